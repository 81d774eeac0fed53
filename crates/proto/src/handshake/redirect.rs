//! Following a response to where it points (RFC 9110 §15.4), without giving away what was meant for somebody else.

use std::error::Error;
use std::fmt;

use super::client::ClientRequest;
use super::refused::Refused;
use super::uri::{Uri, UriError};

/// Headers of the caller that go along to another origin. All others stay behind, since only the caller knows which of them
/// are secret: `X-Api-Key` is as much as `Authorization`.
const HARMLESS: [&str; 3] = ["Accept", "Accept-Language", "User-Agent"];

/// Tells whether the status code is that of a redirect which names one place to go to.
fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

/// The redirects that one attempt to connect follows.
///
/// # Examples
///
/// ```
/// use fullduplex_proto::handshake::{ClientError, ClientRequest, RedirectError, Redirects};
///
/// let request = ClientRequest::new("wss://a.example/old".parse()?);
/// let mut redirects = Redirects::new(3);
/// let mut attempt = request.start([7; 16]);
/// let answer = b"HTTP/1.1 308 Permanent Redirect\r\nLocation: new\r\nContent-Length: 0\r\n\r\n";
/// let Err(ClientError::Refused(refused)) = attempt.receive(answer) else {
///     return Err("a redirect refuses".into());
/// };
/// let next = redirects.follow(&request, &refused).ok_or("a redirect")??;
/// assert_eq!(next.uri().to_string(), "wss://a.example/new");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Redirects {
    left: usize,
    visited: Vec<Uri>,
}

impl Redirects {
    /// Follows at most so many.
    pub fn new(max: usize) -> Self {
        Self {
            left: max,
            visited: Vec::new(),
        }
    }

    /// Returns the request to make next, on a fresh connection; `None` if this response is no redirect (301, 302, 303,
    /// 307, 308).
    ///
    /// When scheme, host or port change, credentials and all header lines of the caller are left out, but for `Accept`,
    /// `Accept-Language` and `User-Agent`; they do not come back at later redirects. Origin and subprotocols stay.
    ///
    /// # Errors
    ///
    /// Returns why the redirect must not be followed.
    pub fn follow(
        &mut self,
        request: &ClientRequest,
        refused: &Refused,
    ) -> Option<Result<ClientRequest, RedirectError>> {
        is_redirect(refused.status()).then(|| self.target(request, refused))
    }

    fn target(
        &mut self,
        request: &ClientRequest,
        refused: &Refused,
    ) -> Result<ClientRequest, RedirectError> {
        let location = refused.location().ok_or(RedirectError::NoLocation)?;
        let from = request.uri();
        let mut to = from.join(location).map_err(RedirectError::Location)?;
        if from.is_secure() && !to.is_secure() {
            return Err(RedirectError::Downgrade);
        }
        // RFC 9110 §4.2.4: credentials in a reference from somebody else are there to deceive. Ours are in a relative one.
        if to.userinfo().is_some() && to.userinfo() != from.userinfo() {
            return Err(RedirectError::Userinfo);
        }
        let same_origin = from.is_same_origin(&to);
        to.set_userinfo(from.userinfo().filter(|_| same_origin).cloned());
        self.visited.push(place(from));
        if self.visited.contains(&place(&to)) {
            return Err(RedirectError::Loop);
        }
        self.left = self.left.checked_sub(1).ok_or(RedirectError::TooMany)?;
        let keep = |name: &str| {
            same_origin
                || HARMLESS
                    .iter()
                    .any(|harmless| name.eq_ignore_ascii_case(harmless))
        };
        Ok(request.sent_to(to, keep))
    }

    /// Says that from here on requests are not what they were, as after credentials were added: a place seen before may
    /// answer otherwise.
    pub fn forget_visited(&mut self) {
        self.visited.clear();
    }
}

/// What the server is asked for, whoever asks.
fn place(uri: &Uri) -> Uri {
    let mut place = uri.clone();
    place.set_userinfo(None);
    place
}

/// Why a redirect must not be followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// The response has no readable `Location`.
    NoLocation,
    /// The `Location` is not one that can be connected to.
    Location(UriError),
    /// The `Location` names a user.
    Userinfo,
    /// It leads from wss to ws, where anybody could read and change what is said.
    Downgrade,
    /// It leads to where we have been.
    Loop,
    /// More redirects than are to be followed.
    TooMany,
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoLocation => "the server redirects without a Location",
            Self::Location(error) => {
                return write!(
                    f,
                    "the server redirects to what cannot be connected to: {error}"
                );
            }
            Self::Userinfo => "the server redirects with a user name of its own choice",
            Self::Downgrade => "the server redirects from wss to ws",
            Self::Loop => "the server redirects in a circle",
            Self::TooMany => "the server redirects too often",
        })
    }
}

impl Error for RedirectError {}
