//! What a client shows to be let in (`Authorization`, RFC 9110 §11.6.2).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::client::RequestError;
use super::uri::Userinfo;

/// A user's name and password, or a token, as the value of an `Authorization` header.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    value: String,
}

impl Credentials {
    /// Makes Basic credentials (RFC 7617), in UTF-8.
    ///
    /// # Errors
    ///
    /// Returns [`RequestError::Credentials`] if the name holds a colon, or either a control character: Basic cannot
    /// carry them.
    pub fn basic(user: &str, password: &str) -> Result<Self, RequestError> {
        let unsendable =
            user.contains(':') || [user, password].iter().any(|text| has_control(text));
        if unsendable {
            return Err(RequestError::Credentials);
        }
        Ok(Self::basic_checked(user.as_bytes(), password.as_bytes()))
    }

    /// Makes Basic credentials of what is known to be right.
    fn basic_checked(user: &[u8], password: &[u8]) -> Self {
        Self {
            value: format!("Basic {}", STANDARD.encode([user, b":", password].concat())),
        }
    }

    /// Makes a bearer token's credentials (RFC 6750 §2.1).
    ///
    /// # Errors
    ///
    /// Returns [`RequestError::Credentials`] if the token is empty or holds anything but visible ASCII characters. More
    /// than RFC 6750 permits: tokens with bars and colons are about.
    pub fn bearer(token: &str) -> Result<Self, RequestError> {
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RequestError::Credentials);
        }
        Ok(Self {
            value: format!("Bearer {token}"),
        })
    }

    /// Returns the value of the header.
    pub(super) fn header_value(self) -> String {
        self.value
    }
}

/// As Basic.
impl From<&Userinfo> for Credentials {
    fn from(userinfo: &Userinfo) -> Self {
        Self::basic_checked(userinfo.username(), userinfo.password())
    }
}

/// RFC 7617 §2 means the control characters of ASCII; those of Unicode are no use in a password either.
fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

/// Shows that there are credentials, not which.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(hidden)")
    }
}
