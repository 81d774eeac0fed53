//! What a server wants to know a client by (`WWW-Authenticate`, RFC 9110 §11.6.1).

use super::grammar::{MAX_LIST_ELEMENTS, is_token, unescape};
use super::headers::Headers;

/// One way in which a server that answers 401 would let a client in, such as `Basic realm="staff"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    scheme: String,
    params: Vec<(String, String)>,
}

impl Challenge {
    /// Returns the scheme as the server wrote it; see [`is`](Self::is) to compare.
    pub fn scheme(&self) -> &str {
        &self.scheme
    }

    /// Tells whether this is the scheme, in any case.
    pub fn is(&self, scheme: &str) -> bool {
        self.scheme.eq_ignore_ascii_case(scheme)
    }

    /// Returns the realm: the server's name for what the credentials open.
    pub fn realm(&self) -> Option<&str> {
        self.param("realm")
    }

    /// Returns the value of a parameter, whose name compares in any case, without its quotes.
    pub fn param(&self, name: &str) -> Option<&str> {
        let mut params = self.params.iter();
        let found = params.find(|(other, _)| other.eq_ignore_ascii_case(name));
        found.map(|(_, value)| &**value)
    }
}

/// Reads the challenges on all lines, in order.
///
/// A line is read up to where it breaks the grammar: a challenge that is not understood takes none away that is.
pub(super) fn challenges(headers: &Headers) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    for line in headers.get_all("WWW-Authenticate") {
        // `None` where the line has ended or breaks the grammar: what was read before that stays.
        let _ = read_line(line, &mut challenges);
    }
    challenges
}

/// Commas divide challenges as they divide the parameters of one: `Basic realm="a", Digest realm="b", qop=auth`. A word
/// with an equals sign behind it is a parameter of the challenge before it; any other starts a challenge.
fn read_line(line: &[u8], challenges: &mut Vec<Challenge>) -> Option<()> {
    let mut rest = Rest(line);
    let first = challenges.len();
    loop {
        rest.skip(b" \t,");
        if let Some(param) = rest.param() {
            // Before any scheme of its line it belongs to none.
            challenges[first..].last_mut()?.add(param)?;
        } else {
            let mut challenge = Challenge {
                scheme: rest.token()?,
                params: Vec::new(),
            };
            rest.skip(b" \t");
            // It was to be a parameter.
            if rest.0.starts_with(b"=") {
                return None;
            }
            match rest.param() {
                Some(param) => challenge.add(param)?,
                None => rest.token68(),
            }
            if challenges.len() == MAX_LIST_ELEMENTS {
                return None;
            }
            challenges.push(challenge);
        }
        rest.skip(b" \t");
        if !matches!(rest.0, [] | [b',', ..]) {
            return None;
        }
    }
}

impl Challenge {
    fn add(&mut self, param: (String, String)) -> Option<()> {
        if self.params.len() == MAX_LIST_ELEMENTS {
            return None;
        }
        self.params.push(param);
        Some(())
    }
}

/// What is left of a line.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn skip(&mut self, bytes: &[u8]) {
        self.take(|byte| bytes.contains(&byte));
    }

    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &[u8] {
        let end = self.0.iter().position(|&byte| !wanted(byte));
        let (taken, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        taken
    }

    fn token(&mut self) -> Option<String> {
        let token = self.take(|byte| is_token(&[byte]));
        (!token.is_empty()).then(|| String::from_utf8_lossy(token).into_owned())
    }

    /// Skips a value like that of `Negotiate`. Basic and Bearer challenges have none.
    fn token68(&mut self) {
        self.take(|byte| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte));
    }

    /// Takes `name=value`, or nothing.
    fn param(&mut self) -> Option<(String, String)> {
        let mut rest = Rest(self.0);
        let name = rest.token()?;
        rest.skip(b" \t");
        rest.0 = rest.0.strip_prefix(b"=")?;
        rest.skip(b" \t");
        let value = match rest.0 {
            [b'"', quoted @ ..] => {
                let end = closing_quote(quoted)?;
                rest.0 = &quoted[end + 1..];
                let plain = unescape(&quoted[..end]).ok()?;
                String::from_utf8_lossy(&plain).into_owned()
            }
            _ => rest.token()?,
        };
        self.0 = rest.0;
        Some((name, value))
    }
}

/// Where the quotes end; a character behind a backslash ends nothing (RFC 9110 §5.6.4).
fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|&byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was read, each parameter behind its scheme.
    fn read(lines: &[&str]) -> Vec<String> {
        let mut headers = Headers::new();
        for line in lines {
            headers.append("www-authenticate", line).unwrap();
        }
        let shown = |challenge: &Challenge| {
            let params = challenge.params.iter();
            let params = params.map(|(name, value)| format!(" {name}={value}"));
            challenge.scheme.clone() + &params.collect::<String>()
        };
        challenges(&headers).iter().map(shown).collect()
    }

    #[test]
    fn challenges_stand_in_lists_and_on_lines() {
        // The example of RFC 9110 §11.6.1.
        assert_eq!(
            read(&[
                "Basic realm=\"simple\", Newauth realm=\"apps\",\n type=1, title=\"Login to \\\"apps\\\"\""
                    .replace('\n', "")
                    .as_str()
            ]),
            ["Basic realm=simple", "Newauth realm=apps type=1 title=Login to \"apps\""]
        );
        assert_eq!(
            read(&["Negotiate", "Basic realm=\"a, Bearer realm=b\""]),
            ["Negotiate", "Basic realm=a, Bearer realm=b"]
        );
        for (line, challenges) in [
            ("Bearer", vec!["Bearer"]),
            (
                ", ,Bearer,, Basic realm=x ,",
                vec!["Bearer", "Basic realm=x"],
            ),
            ("NTLM, Basic REALM = \"x\"", vec!["NTLM", "Basic REALM=x"]),
            (
                "Negotiate YWJj==, Bearer a=b",
                vec!["Negotiate", "Bearer a=b"],
            ),
            ("Negotiate YWJj=, Bearer", vec!["Negotiate", "Bearer"]),
            ("Basic realm=\"\"", vec!["Basic realm="]),
            (
                "Basic realm=\"a\\\\\", Bearer",
                vec!["Basic realm=a\\", "Bearer"],
            ),
        ] {
            assert_eq!(read(&[line]), challenges, "{line}");
        }
    }

    #[test]
    fn what_breaks_the_grammar_takes_nothing_else_along() {
        for (line, challenges) in [
            ("", vec![]),
            ("realm=\"x\", Basic", vec![]),
            ("Basic realm=\"never ends", vec!["Basic"]),
            ("Basic a=b, realm=\"never ends", vec!["Basic a=b"]),
            ("Basic realm=\"x\" Bearer", vec!["Basic realm=x"]),
            ("\"Basic\"", vec![]),
            ("Bearer, é", vec!["Bearer"]),
        ] {
            let mut both = challenges.clone();
            both.push("Basic realm=last");
            assert_eq!(read(&[line, "Basic realm=last"]), both, "{line}");
        }
    }

    #[test]
    fn lists_are_bounded() {
        let many = |text: &str| text.repeat(MAX_LIST_ELEMENTS + 1);
        assert_eq!(read(&[&many("A,")]).len(), MAX_LIST_ELEMENTS);
        let params = read(&[&format!("A {}", many("a=b,"))]);
        assert_eq!(params.concat().matches("a=b").count(), MAX_LIST_ELEMENTS);
    }

    #[test]
    fn names_compare_in_any_case() {
        let mut headers = Headers::new();
        headers
            .append(
                "WWW-Authenticate",
                "bEARER Realm=\"r\", error=\"invalid_token\"",
            )
            .unwrap();
        let challenge = challenges(&headers).remove(0);
        assert!(challenge.is("Bearer") && !challenge.is("Basic"));
        assert_eq!(challenge.realm(), Some("r"));
        assert_eq!(challenge.param("ERROR"), Some("invalid_token"));
    }
}
