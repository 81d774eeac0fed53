//! `fdx token`: makes tokens for a server that asks for them, and explains them.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, Read as _},
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, SystemTime},
};

use clap::{Args, ValueEnum};
use fullduplex_hub::auth::{
    Claims, Grant, KeyError, KeySet, Rules, SigningKey, Unchecked, read_public, read_secret,
};

use crate::{exit::Failure, output, visible::visible};

const HELP: &str = "\
Keys stand in files, and so does a token to be explained (- is standard input): what is on a command line others can see.
docs/auth.md says what is in a token.

Examples:
  (umask 077; openssl rand -hex 32 > secret)
  fdx token --key secret --sub ana --name Ana --room 'general=read,write' --room 'team-*=read'
  fdx token --key private.pem --sub viewer --right log --expires 30d
  fdx token --check token.txt --key secret";

/// More than a token may have, so that one that is too long is told from one that is cut.
const MAX_TOKEN_FILE: u64 = 64 << 10;

/// Makes a token that says who somebody is and what they may do, or explains one
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct TokenArgs {
    /// The key: a secret (HS256), or a private key in PEM; for --check also a public key or a JWK Set
    #[arg(long, value_name = "FILE", required_unless_present = "check")]
    key: Option<PathBuf>,
    /// The id of the user
    #[arg(
        long,
        value_name = "USER",
        required_unless_present = "check",
        conflicts_with = "check"
    )]
    sub: Option<String>,
    /// The name that others see; without one it is chosen later
    #[arg(long, conflicts_with = "check")]
    name: Option<String>,
    /// What the avatar is made from
    #[arg(long, value_name = "ADDRESS", conflicts_with = "check")]
    email: Option<String>,
    /// What may be done in a room, or in all whose names begin so: read, write, admin (repeatable)
    #[arg(long = "room", value_name = "NAME[*]=RIGHT,...", value_parser = parse_room, conflicts_with = "check")]
    rooms: Vec<(String, Vec<String>)>,
    /// What may be done besides: follow logs, use the API, erase what users said (repeatable)
    #[arg(long = "right", value_name = "RIGHT", conflicts_with = "check")]
    rights: Vec<ServerRight>,
    /// How long it is good for: a number with s, m, h or d behind it, or never
    #[arg(
        long,
        value_name = "TIME",
        default_value = "1h",
        conflicts_with = "check"
    )]
    expires: Lifetime,
    /// Who makes it; for --check, who must have made it
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// For whom it is; for --check, for whom it must be
    #[arg(long)]
    audience: Option<String>,
    /// The key's id, for a server that has several
    #[arg(long, value_name = "ID", conflicts_with = "check")]
    kid: Option<String>,
    /// Explains the token in this file instead
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ServerRight {
    Log,
    Api,
    Erase,
}

impl ServerRight {
    const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Api => "api",
            Self::Erase => "erase",
        }
    }
}

/// How long a token is good for; `None` is for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lifetime(Option<Duration>);

impl FromStr for Lifetime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let seconds = |unit| match unit {
            's' => Some(1),
            'm' => Some(60),
            'h' => Some(3600),
            'd' => Some(86_400),
            _ => None,
        };
        let unit = text.chars().next_back().and_then(seconds);
        let number = text.get(..text.len().saturating_sub(1));
        let number = number.and_then(|number| number.parse::<u32>().ok());
        match (number, unit) {
            (Some(number @ 1..), Some(unit)) => {
                Ok(Self(Some(Duration::from_secs(u64::from(number) * unit))))
            }
            _ => {
                Err("write a number and a unit, such as 90s, 15m, 12h or 30d, or never".to_owned())
            }
        }
    }
}

fn parse_room(text: &str) -> Result<(String, Vec<String>), String> {
    let (room, rights) = text
        .rsplit_once('=')
        .filter(|(room, _)| !room.is_empty())
        .ok_or("write NAME=RIGHT,...")?;
    let rights: Vec<_> = rights.split(',').map(str::to_owned).collect();
    match rights
        .iter()
        .find(|right| !matches!(&***right, "read" | "write" | "admin"))
    {
        Some(other) => Err(format!("\"{other}\" is none of read, write, admin")),
        None => Ok((room.to_owned(), rights)),
    }
}

pub(crate) fn run(args: TokenArgs) -> Result<(), Failure> {
    match &args.check {
        Some(file) => explain(file, &args),
        None => make(args),
    }
}

fn make(args: TokenArgs) -> Result<(), Failure> {
    let file = args.key.unwrap_or_default();
    let bytes = read_secret(&file).map_err(|error| unreadable(&file, &error))?;
    let key = SigningKey::from_file(&bytes).map_err(|error| unusable(&file, error))?;
    let mut rooms = BTreeMap::<_, Vec<_>>::new();
    for (room, rights) in args.rooms {
        rooms.entry(room).or_default().extend(rights);
    }
    let now = now();
    let claims = Claims {
        sub: args.sub.unwrap_or_default(),
        name: args.name,
        email: args.email,
        rooms,
        rights: args
            .rights
            .iter()
            .map(|right| right.name().to_owned())
            .collect(),
        iss: args.issuer,
        aud: args.audience.into_iter().collect(),
        iat: Some(now),
        nbf: None,
        exp: args.expires.0.map(|lifetime| now + lifetime.as_secs()),
    };
    Grant::from_claims(&claims)
        .map_err(|why| Failure::usage(format!("no server would take it: {why}")))?;
    let token = key
        .token(&claims, args.kid.as_deref())
        .ok_or_else(|| Failure::run("this system has no randomness to sign with"))?;
    Unchecked::parse(&token)
        .map_err(|why| Failure::usage(format!("no server would take it: {why}")))?;
    output::line(&token);
    Ok(())
}

fn explain(file: &Path, args: &TokenArgs) -> Result<(), Failure> {
    let keys = args.key.as_deref().map(keys).transpose()?;
    let text = read_token(file)?;
    let token = Unchecked::parse(text.trim()).map_err(|why| Failure::run(why.to_string()))?;
    let claims = token.claims();
    let now = now();
    let rules = Rules {
        issuer: args.issuer.clone(),
        audience: args.audience.clone(),
        // Whether a server takes such is its own matter.
        endless: true,
        ..Rules::default()
    };
    let kid = token.kid().map(|kid| format!(", key {kid}"));
    say(
        "algorithm",
        &format!("{}{}", token.algorithm(), kid.unwrap_or_default()),
    );
    if let Ok(claims) = &claims {
        describe(claims, now);
    }
    let judged = match &keys {
        Some(keys) => token.verify(keys, &rules, now),
        None => claims.and_then(|claims| rules.judge(&claims, now).map(|()| claims)),
    };
    let judged = judged.and_then(|claims| Ok(Grant::from_claims(&claims)?));
    match judged {
        Ok(_) if keys.is_none() => say("verdict", "the signature was not checked; pass --key"),
        Ok(_) => say("verdict", "good"),
        Err(why) => return Err(Failure::run(why.to_string())),
    }
    Ok(())
}

fn describe(claims: &Claims, now: u64) {
    let name = claims.name.as_deref();
    let name = name.map_or_else(String::new, |name| format!(", called {name}"));
    say("user", &format!("{}{name}", claims.sub));
    for (what, value) in [("issuer", &claims.iss), ("email", &claims.email)] {
        if let Some(value) = value {
            say(what, value);
        }
    }
    if !claims.aud.is_empty() {
        say("audience", &claims.aud.join(", "));
    }
    for (what, time) in [
        ("made", claims.iat),
        ("valid from", claims.nbf),
        ("expires", claims.exp),
    ] {
        if let Some(time) = time {
            say(what, &relative(time, now));
        }
    }
    if claims.exp.is_none() {
        say("expires", "never");
    }
    for (room, rights) in &claims.rooms {
        say("room", &format!("{room}: {}", rights.join(", ")));
    }
    if !claims.rights.is_empty() {
        say("rights", &claims.rights.join(", "));
    }
}

fn say(what: &str, value: &str) {
    output::line(&format!("{what:<11} {}", visible(value)));
}

/// A time, seen from now.
fn relative(time: u64, now: u64) -> String {
    if time == now {
        return format!("now ({time})");
    }
    let (seconds, [before, behind]) = if time > now {
        (time - now, ["in ", ""])
    } else {
        (now - time, ["", " ago"])
    };
    let mut text = before.to_owned();
    let (number, unit) = match seconds {
        0..120 => (seconds, "s"),
        120..7200 => (seconds / 60, "min"),
        7200..172_800 => (seconds / 3600, "h"),
        _ => (seconds / 86_400, "d"),
    };
    // Writing to a String does not fail.
    write!(text, "{number} {unit}{behind} ({time})").ok();
    text
}

/// What a token is checked with: public keys, or else a secret.
fn keys(file: &Path) -> Result<KeySet, Failure> {
    let bytes = read_public(file).map_err(|error| unreadable(file, &error))?;
    match KeySet::from_public(&bytes) {
        Err(KeyError::NoPublicKey) => KeySet::from_secret(&bytes),
        keys => keys,
    }
    .map_err(|error| match error {
        KeyError::NoSecret => unusable(file, KeyError::NoPublicKey),
        error => unusable(file, error),
    })
}

fn unreadable(file: &Path, error: &io::Error) -> Failure {
    Failure::start(format!("cannot read {}: {error}", file.display()))
}

fn unusable(file: &Path, error: KeyError) -> Failure {
    Failure::start(format!("cannot use {}: {error}", file.display()))
}

fn read_token(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        io::stdin()
            .lock()
            .take(MAX_TOKEN_FILE)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(file)
            .and_then(|file| file.take(MAX_TOKEN_FILE).read_to_string(&mut text))
    };
    read.map_err(|error| unreadable(file, &error))?;
    Ok(text)
}

/// Seconds since 1970.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_have_a_unit() {
        let parse = |text: &str| text.parse::<Lifetime>().map(|lifetime| lifetime.0);
        for (text, seconds) in [("90s", 90), ("15m", 900), ("1h", 3600), ("30d", 2_592_000)] {
            assert_eq!(parse(text), Ok(Some(Duration::from_secs(seconds))));
        }
        assert_eq!(parse("never"), Ok(None));
        for bad in [
            "",
            "h",
            "1",
            "0h",
            "-1h",
            "1w",
            "1.5h",
            "99999999999d",
            "1é",
            "é",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_told_from_now() {
        let now = 1_000_000;
        for (time, told) in [
            (now, "now (1000000)"),
            (now - 1, "1 s ago (999999)"),
            (now + 119, "in 119 s (1000119)"),
            (now + 3599, "in 59 min (1003599)"),
            (now + 3600, "in 60 min (1003600)"),
            (now - 7200, "2 h ago (992800)"),
            (now + 172_800, "in 2 d (1172800)"),
        ] {
            assert_eq!(relative(time, now), told);
        }
    }

    #[test]
    fn rooms_have_rights() {
        let parsed = parse_room("a=b=read,write");
        assert_eq!(
            parsed,
            Ok(("a=b".into(), vec!["read".into(), "write".into()]))
        );
        for bad in ["a", "=read", "a=", "a=read,", "a=dance", "a=Read"] {
            assert!(parse_room(bad).is_err(), "{bad}");
        }
    }
}
