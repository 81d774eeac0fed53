//! Who is let in.

use std::path::{Path, PathBuf};

use clap::Args;
use fullduplex_hub::{
    Config,
    auth::{Access, AdminToken, KeySource, Rules, Tokens, read_secret},
};

use crate::exit::Failure;

/// Flags of the commands that run a hub.
#[derive(Args, Debug)]
#[command(next_help_heading = "Who may do what")]
pub(crate) struct AccessArgs {
    /// Lets whoever reaches us choose a name, when that is not only this machine
    #[arg(long, conflicts_with_all = ["auth_secret", "auth_keys"])]
    open: bool,
    /// Asks for tokens, signed by HS256 with the secret in this file
    #[arg(long, value_name = "FILE", conflicts_with = "auth_keys")]
    auth_secret: Option<PathBuf>,
    /// Asks for tokens, signed with RSA, P-256 or Ed25519: the public key in PEM, or a JWK Set
    #[arg(long, value_name = "FILE|URL")]
    auth_keys: Option<String>,
    /// Trusts these certificates, PEM, for that address instead of Mozilla's
    #[arg(long, value_name = "FILE", requires = "auth_keys")]
    auth_ca: Option<PathBuf>,
    /// Who must have made a token (its `iss`)
    #[arg(long, value_name = "ISSUER")]
    auth_issuer: Option<String>,
    /// For whom a token must have been made (its `aud`)
    #[arg(long, value_name = "AUDIENCE")]
    auth_audience: Option<String>,
    /// Takes a token from this cookie, too
    #[arg(long, value_name = "NAME", value_parser = cookie_name)]
    auth_cookie: Option<String>,
    /// Takes a token from the query, too, as `token`: addresses get into logs
    #[arg(long)]
    auth_query: bool,
    /// Takes tokens that never expire
    #[arg(long)]
    auth_endless: bool,
    /// The file with the token for all of the API
    #[arg(long, value_name = "FILE")]
    admin_token: Option<PathBuf>,
}

impl AccessArgs {
    /// The files that nobody else is to read, with their flags.
    pub(crate) fn private(&self) -> [(&'static str, Option<&Path>); 2] {
        [
            ("--auth-secret", self.auth_secret.as_deref()),
            ("--admin-token", self.admin_token.as_deref()),
        ]
    }

    /// Puts them into `config`.
    pub(crate) fn apply(self, config: &mut Config) -> Result<(), Failure> {
        config.admin = self.admin_token.as_deref().map(admin).transpose()?;
        let rules = Rules {
            issuer: self.auth_issuer,
            audience: self.auth_audience,
            endless: self.auth_endless,
            ..Rules::default()
        };
        let keys = match (self.auth_secret, self.auth_keys) {
            (Some(secret), _) => KeySource::Secret(secret),
            (None, Some(url)) if url.contains("://") => KeySource::Url {
                url,
                ca: self.auth_ca,
            },
            (None, Some(file)) => KeySource::File(file.into()),
            (None, None) => {
                let is_plain =
                    rules == Rules::default() && self.auth_cookie.is_none() && !self.auth_query;
                if !is_plain {
                    return Err(Failure::usage(
                        "no tokens are asked for; pass --auth-secret or --auth-keys",
                    ));
                }
                if self.open {
                    config.access = Access::Open;
                }
                return Ok(());
            }
        };
        config.access = Access::Tokens(Tokens {
            rules,
            cookie: self.auth_cookie,
            query: self.auth_query,
            ..Tokens::new(keys)
        });
        Ok(())
    }
}

fn admin(file: &Path) -> Result<AdminToken, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::start(format!("cannot use {}: {error}", file.display()))
    };
    let token = read_secret(file).map_err(|error| failed(&error))?;
    AdminToken::new(&token).map_err(|error| failed(&error))
}

fn cookie_name(text: &str) -> Result<String, &'static str> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if text.is_empty() || !text.chars().all(is_token) {
        return Err("this is no name of a cookie");
    }
    Ok(text.to_owned())
}
