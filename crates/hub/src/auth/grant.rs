//! What somebody may do.

use std::sync::Arc;

use super::Claims;
use crate::{core::is_name, wire::event::PLAIN_ID};

/// The longest id of a user, in bytes: it is kept with each message.
const MAX_ID_BYTES: usize = 128;
/// The longest e-mail address that can be delivered to (RFC 5321), in bytes.
const MAX_EMAIL_BYTES: usize = 254;

/// The id of whoever has the administrator's token, which is no other user's.
const ADMIN: &str = "fdx:admin";

/// What may be done in a room. None includes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Join it, and see what was said and who is there.
    Read,
    /// Say something, and change or delete that.
    Write,
    /// Delete what others said, and send them out.
    Admin,
}

/// Who somebody is, and what they may do until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    user: Option<Known>,
    rooms: Vec<(Names, Rights)>,
    log: bool,
    api: bool,
    erase: bool,
    expires: Option<u64>,
}

/// A user whom a token names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    id: Arc<str>,
    name: Option<Arc<str>>,
    email: Option<Arc<str>>,
}

/// Why claims that are signed well are of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadClaims {
    /// `sub` is missing, too long, or has control characters.
    #[error("sub must have 1 to {MAX_ID_BYTES} bytes without control characters")]
    User,
    /// `sub` is the administrator's own, or that of all plain clients.
    #[error("sub must not be {ADMIN} or {PLAIN_ID}")]
    Reserved,
    /// `name` can't be one.
    #[error("name must be 1 to 64 visible characters")]
    Name,
    /// `email` can't be one.
    #[error("email must have at most {MAX_EMAIL_BYTES} bytes")]
    Email,
}

impl Grant {
    /// What everybody may where no tokens are asked for: all rooms, and logs as far as those are shown.
    pub fn open() -> Self {
        Self {
            user: None,
            rooms: vec![(
                Names::all(),
                Rights {
                    read: true,
                    write: true,
                    admin: false,
                },
            )],
            log: true,
            api: false,
            erase: false,
            expires: None,
        }
    }

    /// What somebody may who has shown no token yet.
    pub(crate) const fn nothing() -> Self {
        Self {
            user: None,
            rooms: Vec::new(),
            log: false,
            api: false,
            erase: false,
            expires: None,
        }
    }

    /// What the holder of the administrator's token may: everything.
    pub fn admin() -> Self {
        Self {
            user: Some(Known {
                id: ADMIN.into(),
                name: Some("admin".into()),
                email: None,
            }),
            rooms: vec![(
                Names::all(),
                Rights {
                    read: true,
                    write: true,
                    admin: true,
                },
            )],
            log: true,
            api: true,
            erase: true,
            expires: None,
        }
    }

    /// What a token gives whose signature, times and so on are right. Rights that are not known give nothing.
    ///
    /// # Errors
    ///
    /// It does not say who the user is, or in a way that can't be.
    pub fn from_claims(claims: &Claims) -> Result<Self, BadClaims> {
        let id = &claims.sub;
        if !is_user_id(id) {
            return Err(BadClaims::User);
        }
        if is_admin_id(id) || id == PLAIN_ID {
            return Err(BadClaims::Reserved);
        }
        let name = claims.name.as_deref().map(str::trim);
        if name.is_some_and(|name| !is_name(name)) {
            return Err(BadClaims::Name);
        }
        let email = claims.email.as_deref();
        if email.is_some_and(|email| email.len() > MAX_EMAIL_BYTES) {
            return Err(BadClaims::Email);
        }
        let rooms = claims.rooms.iter();
        let has = |right: &str| claims.rights.iter().any(|given| given == right);
        Ok(Self {
            user: Some(Known {
                id: id.as_str().into(),
                name: name.map(Arc::from),
                email: email.map(Arc::from),
            }),
            rooms: rooms
                .map(|(names, rights)| (Names::new(names), Rights::new(rights)))
                .collect(),
            log: has("log"),
            api: has("api"),
            erase: has("erase"),
            expires: claims.exp,
        })
    }

    /// The user it is for; none if whoever comes may say who they are.
    pub fn user_id(&self) -> Option<&Arc<str>> {
        Some(&self.user.as_ref()?.id)
    }

    /// The name others see, if it is not left to the user.
    pub fn name(&self) -> Option<&Arc<str>> {
        self.user.as_ref()?.name.as_ref()
    }

    /// What the user's avatar is made from, if not from the id.
    pub fn email(&self) -> Option<&str> {
        self.user.as_ref()?.email.as_deref()
    }

    /// Whether something may be done in a room.
    pub fn may(&self, room: &str, right: Right) -> bool {
        self.rooms
            .iter()
            .any(|(names, rights)| rights.have(right) && names.have(room))
    }

    /// Whether something may be done in every room.
    pub fn may_everywhere(&self, right: Right) -> bool {
        self.names(right).any(|names| *names == Names::all())
    }

    /// The rooms where something may be done.
    pub(crate) fn names(&self, right: Right) -> impl Iterator<Item = &Names> {
        let allowed = self
            .rooms
            .iter()
            .filter(move |(_, rights)| rights.have(right));
        allowed.map(|(names, _)| names)
    }

    /// Whether logs may be followed.
    pub const fn may_follow_logs(&self) -> bool {
        self.log
    }

    /// Whether the server's own matters may be seen and changed: connections, bans.
    pub const fn may_administer(&self) -> bool {
        self.api
    }

    /// Whether what any user said may be erased for good.
    pub const fn may_erase(&self) -> bool {
        self.erase
    }

    /// When it ends, in seconds since 1970.
    pub const fn expires(&self) -> Option<u64> {
        self.expires
    }
}

/// Whether this can be the id of a user.
pub(crate) fn is_user_id(id: &str) -> bool {
    (1..=MAX_ID_BYTES).contains(&id.len()) && !id.chars().any(char::is_control)
}

/// Whether it is that of whoever has the administrator's token.
pub(crate) fn is_admin_id(id: &str) -> bool {
    id == ADMIN
}

/// A room's name, or all names that begin so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    text: Box<str>,
    is_prefix: bool,
}

impl Names {
    fn new(text: &str) -> Self {
        let prefix = text.strip_suffix('*');
        Self {
            text: prefix.unwrap_or(text).into(),
            is_prefix: prefix.is_some(),
        }
    }

    fn all() -> Self {
        Self::new("*")
    }

    /// No other is before this one, and between those that there are is none that is not among them.
    pub(crate) fn first(&self) -> &str {
        &self.text
    }

    pub(crate) fn have(&self, room: &str) -> bool {
        if self.is_prefix {
            room.starts_with(&*self.text)
        } else {
            room == &*self.text
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rights {
    read: bool,
    write: bool,
    admin: bool,
}

impl Rights {
    fn new(names: &[String]) -> Self {
        let has = |right: &str| names.iter().any(|name| name == right);
        Self {
            read: has("read"),
            write: has("write"),
            admin: has("admin"),
        }
    }

    const fn have(self, right: Right) -> bool {
        match right {
            Right::Read => self.read,
            Right::Write => self.write,
            Right::Admin => self.admin,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(json: &str) -> Result<Grant, BadClaims> {
        Grant::from_claims(&serde_json::from_str(json).unwrap())
    }

    #[test]
    fn rights_are_those_of_all_patterns_that_match_and_none_includes_another() {
        let grant = grant(
            r#"{"sub":"a","rooms":{"general":["write"],"gen*":["read"],"team-*":["admin","dance"],"a*b":["read"]}}"#,
        )
        .unwrap();
        let may = |room: &str| {
            [Right::Read, Right::Write, Right::Admin].map(|right| grant.may(room, right))
        };
        assert_eq!(may("general"), [true, true, false]);
        assert_eq!(may("gen"), [true, false, false]);
        assert_eq!(may("team-"), [false, false, true]);
        assert_eq!(may("team"), [false, false, false]);
        assert_eq!(may("General"), [false, false, false]);
        assert_eq!(may("a*b"), [true, false, false]);
        assert_eq!(may("axb"), [false, false, false]);
    }

    #[test]
    fn a_token_without_rights_gives_none() {
        let grant = grant(r#"{"sub":"a"}"#).unwrap();
        assert!(!grant.may("general", Right::Read));
        assert!(!grant.may_follow_logs() && !grant.may_administer() && !grant.may_erase());
    }

    #[test]
    fn logs_the_api_and_erasing_are_rights_of_their_own() {
        let may = |right: &str| {
            let grant = grant(&format!(r#"{{"sub":"a","rights":["{right}"]}}"#)).unwrap();
            [
                grant.may_follow_logs(),
                grant.may_administer(),
                grant.may_erase(),
            ]
        };
        assert_eq!(may("log"), [true, false, false]);
        assert_eq!(may("api"), [false, true, false]);
        assert_eq!(may("erase"), [false, false, true]);
    }

    #[test]
    fn in_open_mode_nobody_is_an_administrator() {
        let open = Grant::open();
        assert!(open.may("any", Right::Read) && open.may("any", Right::Write));
        assert!(!open.may("any", Right::Admin) && !open.may_administer() && !open.may_erase());
    }

    #[test]
    fn a_user_must_be_named_properly() {
        let long = format!(r#"{{"sub":"{}"}}"#, "x".repeat(129));
        for bad in [r#"{"sub":""}"#, "{}", r#"{"sub":"a\u0007"}"#, &long] {
            assert_eq!(grant(bad), Err(BadClaims::User), "{bad}");
        }
        for taken in ["fdx:admin", "plain"] {
            let taken = grant(&format!(r#"{{"sub":"{taken}"}}"#));
            assert_eq!(taken, Err(BadClaims::Reserved));
        }
        let admin = grant(r#"{"sub":"admin"}"#).unwrap();
        assert_ne!(admin.user_id(), Grant::admin().user_id());
        assert_eq!(grant(r#"{"sub":"a","name":" "}"#), Err(BadClaims::Name));
        let long = format!(r#"{{"sub":"a","email":"{}"}}"#, "x".repeat(255));
        assert_eq!(grant(&long), Err(BadClaims::Email));
    }
}
