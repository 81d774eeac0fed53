//! Who is let in, as plain data.

use std::{fmt, path::PathBuf, time::Duration};

use ring::{hmac, rand::SystemRandom};

use super::{KeyError, Rules, key};

/// Who is let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Access {
    /// Whoever reaches the hub chooses a name, and only this machine [reaches](crate::Config::is_public) it.
    #[default]
    Loopback,
    /// Whoever reaches the hub chooses a name.
    Open,
    /// Who has a token, and as far as that goes.
    Tokens(Tokens),
}

/// How tokens are checked, and where they may stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tokens {
    /// What they are signed with.
    pub keys: KeySource,
    /// What they have to say.
    pub rules: Rules,
    /// The cookie that one may be in. None by default: a browser sends cookies unasked, also for pages of other sites, so with
    /// it any page that may connect acts as the user.
    pub cookie: Option<String>,
    /// Whether one may be in the query, as `token`. Off by default: addresses get into logs and histories.
    pub query: bool,
    /// How long keys that can't be fetched again are used. Default 24 hours: a night in which the issuer is down ends nothing,
    /// and a key that was taken back is not good for longer than a day.
    pub key_life: Duration,
}

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// A file with the secret of HS256.
    Secret(PathBuf),
    /// A file with a public key in PEM or a JWK Set, read again now and then.
    File(PathBuf),
    /// The address of a JWK Set, fetched again now and then.
    Url {
        /// It, by https, or by http from this machine.
        url: String,
        /// The certificates to trust for it, PEM, instead of Mozilla's.
        ca: Option<PathBuf>,
    },
}

impl Tokens {
    /// Tokens signed with these keys, with an end, in a header or a `hello`.
    pub fn new(keys: KeySource) -> Self {
        Self {
            keys,
            rules: Rules::default(),
            cookie: None,
            query: false,
            key_life: Duration::from_secs(24 * 3600),
        }
    }
}

/// The token that allows everything. What it is can't be got out of it again.
#[derive(Clone)]
pub struct AdminToken {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl AdminToken {
    /// The bytes of a file, without a line end behind them.
    ///
    /// # Errors
    ///
    /// There are fewer than 32.
    pub fn new(file: &[u8]) -> Result<Self, KeyError> {
        let token = key::without_line_end(file);
        if token.len() < key::MIN_SECRET_BYTES {
            return Err(KeyError::ShortSecret);
        }
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| KeyError::NoRandomness)?;
        let tag = hmac::sign(&key, token);
        Ok(Self { key, tag })
    }

    /// Whether this is it. How long that takes tells nothing about where they differ.
    pub fn is(&self, presented: &str) -> bool {
        hmac::verify(&self.key, presented.as_bytes(), self.tag.as_ref()).is_ok()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrators_token_is_the_one_in_the_file_and_no_part_of_it() {
        let text = "0123456789abcdef0123456789abcdef";
        let token = AdminToken::new(format!("{text}\n").as_bytes()).unwrap();
        assert!(token.is(text));
        for other in [
            "",
            "0",
            &text[1..],
            &format!("{text}\n"),
            &format!("{text}0"),
        ] {
            assert!(!token.is(other), "{other:?}");
        }
        assert_eq!(
            AdminToken::new(&text.as_bytes()[1..]).unwrap_err(),
            KeyError::ShortSecret
        );
        assert_eq!(format!("{token:?}"), "AdminToken");
    }
}
