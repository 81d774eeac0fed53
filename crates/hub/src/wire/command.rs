//! What `fdx.v1.json` clients may say.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Visitor};

use super::{
    asking::Ask,
    following::Follow,
    from_json_object,
    people::{self, PresenceForm},
    reply::{ErrorCode, Failure},
    writing::Write,
};
use crate::core::{Watch, is_name, is_room_name};

/// The longest textual command id, in bytes: it comes back with the reply.
const MAX_ID_BYTES: usize = 64;
/// The longest client-made message id, in bytes: it is kept and sent with the message.
pub(crate) const MAX_CID_BYTES: usize = 64;
/// The longest e-mail address that can be delivered to (RFC 5321), in bytes.
pub(crate) const MAX_EMAIL_BYTES: usize = 254;
/// The most messages a join may ask for; also the most a plain client may.
pub(crate) const MAX_BACKLOG: usize = 200;
/// The messages a join gets that does not say how many it wants: a screenful or two.
pub(crate) const DEFAULT_BACKLOG: usize = 50;

/// A command's id, chosen by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Id {
    Number(u64),
    Text(Box<str>),
}

/// One command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command<'a> {
    Hello(Hello<'a>),
    Auth {
        token: Cow<'a, str>,
    },
    Join(Join<'a>),
    /// To be in a room without being seen there.
    Sub(Join<'a>),
    Members {
        room: Cow<'a, str>,
        limit: usize,
        cursor: Option<Cow<'a, str>>,
    },
    Typing {
        room: Cow<'a, str>,
        on: bool,
    },
    Leave {
        room: Cow<'a, str>,
    },
    Write(Write<'a>),
    Ask(Ask<'a>),
    Follow(Follow<'a>),
    Ping,
    Hb,
}

/// Who the client is.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub(crate) struct Hello<'a> {
    #[serde(borrow)]
    pub(crate) token: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) email: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(crate) guest: Option<Cow<'a, str>>,
    /// The session whose place this one takes.
    #[serde(borrow)]
    pub(crate) session: Option<Cow<'a, str>>,
    /// Milliseconds between two visible heartbeats.
    pub(crate) hb_ms: Option<u64>,
    /// Rooms to go on in, and from where.
    #[serde(borrow)]
    pub(crate) resume: Option<BTreeMap<Cow<'a, str>, Cow<'a, str>>>,
}

/// A room to be in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Join<'a> {
    pub(crate) room: Cow<'a, str>,
    pub(crate) backlog: usize,
    pub(crate) since: Option<Cow<'a, str>>,
    pub(crate) watch: Watch,
}

/// A frame taken apart: the id to answer to, and what is wanted or why that can't be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) id: Option<Id>,
    pub(crate) command: Result<Command<'a>, Failure>,
}

impl<'a> Frame<'a> {
    /// Reads one text message.
    pub(crate) fn parse(text: &'a str, max_body: usize) -> Self {
        match from_json_object::<Head<'_>>(text) {
            Ok(head) => Self {
                command: Command::parse(&head.op, text, max_body),
                id: head.id,
            },
            Err(why) => Self {
                id: None,
                command: Err(bad(why)),
            },
        }
    }
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    id: Option<Id>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(borrow)]
    token: Cow<'a, str>,
}

#[derive(Deserialize)]
struct JoinFields<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    backlog: Option<usize>,
    #[serde(borrow)]
    since: Option<Cow<'a, str>>,
    presence: Option<PresenceForm>,
}

#[derive(Deserialize)]
struct Leave<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
}

impl<'a> Command<'a> {
    /// Reads the fields of `op`. The text is gone through once more: an ill-typed field must not
    /// keep the reply from naming the command's id, nor may a key that only other commands know.
    fn parse(op: &str, text: &'a str, max_body: usize) -> Result<Self, Failure> {
        match op {
            "hello" => Ok(Self::Hello(fields::<Hello<'_>>(text)?.checked()?)),
            "auth" => {
                let Auth { token } = fields(text)?;
                Ok(Self::Auth { token })
            }
            "join" => Join::parse(text, DEFAULT_BACKLOG).map(Self::Join),
            "sub" => Join::parse(text, 0).map(Self::Sub),
            "members" => people::members(text),
            "typing" => people::typing(text),
            "leave" => {
                let Leave { room } = fields(text)?;
                Ok(Self::Leave {
                    room: checked_room(room)?,
                })
            }
            "send" => Write::send(text, max_body).map(Self::Write),
            "edit" => Write::edit(text, max_body).map(Self::Write),
            "delete" => Write::delete(text).map(Self::Write),
            "react" => Write::react(text).map(Self::Write),
            "pub" => Write::publish(text, max_body).map(Self::Write),
            "history" => Ask::history(text).map(Self::Ask),
            "search" => Ask::search(text).map(Self::Ask),
            "read" => Ask::read(text).map(Self::Ask),
            "log.list" => Ok(Self::Follow(Follow::List)),
            "log.open" => Follow::open(text).map(Self::Follow),
            "log.set" => Follow::set(text).map(Self::Follow),
            "log.close" => Follow::close(text).map(Self::Follow),
            "credit" => Follow::credit(text).map(Self::Follow),
            "ping" => Ok(Self::Ping),
            "hb" => Ok(Self::Hb),
            _ => Err(Failure::new(ErrorCode::Unsupported, "an unknown op")),
        }
    }
}

impl<'a> Join<'a> {
    fn parse(text: &'a str, default_backlog: usize) -> Result<Self, Failure> {
        let JoinFields {
            room,
            backlog,
            since,
            presence,
        } = fields(text)?;
        let backlog = backlog.unwrap_or(default_backlog);
        if backlog > MAX_BACKLOG {
            return Err(bad(format!("backlog is at most {MAX_BACKLOG}")));
        }
        Ok(Self {
            room: checked_room(room)?,
            backlog,
            since,
            watch: presence.map_or(Watch::List, Into::into),
        })
    }
}

impl Hello<'_> {
    fn checked(mut self) -> Result<Self, Failure> {
        if let Some(name) = &mut self.name {
            *name = Cow::Owned(name.trim().to_owned());
            if !is_name(name) {
                return Err(bad(
                    "name has 1 to 64 characters, none of them a control character",
                ));
            }
        }
        if self
            .email
            .as_ref()
            .is_some_and(|email| email.len() > MAX_EMAIL_BYTES)
        {
            return Err(bad(format!("email is at most {MAX_EMAIL_BYTES} bytes")));
        }
        Ok(self)
    }
}

pub(super) fn fields<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Failure> {
    from_json_object(text).map_err(bad)
}

pub(super) fn bad(why: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(ErrorCode::BadRequest, why)
}

pub(super) fn checked_body(body: &str, max: usize) -> Result<&str, Failure> {
    if body.trim().is_empty() {
        return Err(bad("body is blank"));
    }
    checked_length(body, "body", max)?;
    Ok(body)
}

pub(super) fn checked_length(text: &str, name: &str, max: usize) -> Result<(), Failure> {
    if text.len() > max {
        let why = format!("{name} is at most {max} bytes");
        return Err(Failure::new(ErrorCode::TooLarge, why));
    }
    Ok(())
}

pub(crate) fn checked_room(room: Cow<'_, str>) -> Result<Cow<'_, str>, Failure> {
    if is_room_name(&room) {
        Ok(room)
    } else {
        Err(bad("not a room name"))
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor)
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an id: an integer from 0 to 2^53-1 or a string of at most {MAX_ID_BYTES} bytes"
        )
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Id, E> {
        if number < 1 << 53 {
            Ok(Id::Number(number))
        } else {
            Err(E::custom("an id is below 2^53"))
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Id, E> {
        if text.len() <= MAX_ID_BYTES {
            Ok(Id::Text(text.into()))
        } else {
            Err(E::invalid_length(text.len(), &self))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Frame<'_> {
        Frame::parse(text, 16)
    }

    fn code(text: &str) -> Option<ErrorCode> {
        parse(text).command.err().map(|failure| failure.code)
    }

    #[test]
    fn what_is_not_one_json_object_is_a_bad_request_without_id() {
        for text in [
            "",
            "null",
            "[]",
            r#"["ping"]"#,
            r#"{"op":"ping"}{}"#,
            r#"{"op":"ping""#,
            r#""ping""#,
            r#"{"id":1}"#,
            r#"{"op":1}"#,
            r#"{"op":"ping","op":"hb"}"#,
            "{'op':'ping'}",
        ] {
            let frame = parse(text);
            assert_eq!(frame.id, None, "{text}");
            assert_eq!(code(text), Some(ErrorCode::BadRequest), "{text}");
        }
        let deep = "[".repeat(5_000);
        assert_eq!(
            code(&format!(r#"{{"op":"ping","x":{deep}"#)),
            Some(ErrorCode::BadRequest)
        );
    }

    #[test]
    fn ids_are_small_integers_or_short_strings() {
        let id = |text: &str| parse(&format!(r#"{{"op":"ping","id":{text}}}"#)).id;
        assert_eq!(id("0"), Some(Id::Number(0)));
        assert_eq!(id("9007199254740991"), Some(Id::Number((1 << 53) - 1)));
        assert_eq!(id(r#""a\n""#), Some(Id::Text("a\n".into())));
        assert_eq!(id("null"), None);
        let long = format!("{:?}", "x".repeat(65));
        for bad in [
            "9007199254740992",
            "-1",
            "1.5",
            "1e3",
            "true",
            "[]",
            "{}",
            long.as_str(),
        ] {
            let frame = format!(r#"{{"op":"ping","id":{bad}}}"#);
            assert_eq!(code(&frame), Some(ErrorCode::BadRequest), "{bad}");
        }
    }

    #[test]
    fn an_ill_typed_field_is_refused_under_the_commands_id() {
        for (text, expected) in [
            (r#"{"op":"send","id":7}"#, ErrorCode::BadRequest),
            (
                r#"{"op":"send","id":7,"room":"a","cid":1,"body":"x"}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"send","id":7,"room":"a/b","cid":"1","body":"x"}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"send","id":7,"room":"a","cid":"","body":"x"}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"send","id":7,"room":"a","cid":"1","body":" \n"}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"send","id":7,"room":"a","cid":"1","body":"12345678901234567"}"#,
                ErrorCode::TooLarge,
            ),
            (
                r#"{"op":"join","id":7,"room":"a","backlog":201}"#,
                ErrorCode::BadRequest,
            ),
            (
                r#"{"op":"join","id":7,"room":"a","backlog":-1}"#,
                ErrorCode::BadRequest,
            ),
            (r#"{"op":"join","id":7,"room":".."}"#, ErrorCode::BadRequest),
            (r#"{"op":"hello","id":7,"name":" "}"#, ErrorCode::BadRequest),
            (
                r#"{"op":"hello","id":7,"name":"a\u0000b"}"#,
                ErrorCode::BadRequest,
            ),
            (r#"{"op":"hello","id":7,"guest":7}"#, ErrorCode::BadRequest),
            (r#"{"op":"auth","id":7}"#, ErrorCode::BadRequest),
            (r#"{"op":"dance","id":7}"#, ErrorCode::Unsupported),
        ] {
            assert_eq!(parse(text).id, Some(Id::Number(7)), "{text}");
            assert_eq!(code(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn keys_of_other_commands_and_unknown_ones_are_ignored() {
        let frame = parse(r#"{"name":5,"op":"ping","x":{"y":[1,2]},"id":"a"}"#);
        assert_eq!(
            frame,
            Frame {
                id: Some(Id::Text("a".into())),
                command: Ok(Command::Ping)
            }
        );
    }

    #[test]
    fn names_are_trimmed() {
        let Ok(Command::Hello(hello)) = parse(r#"{"op":"hello","name":"  Ana "}"#).command else {
            panic!("a good hello");
        };
        assert_eq!(hello.name.as_deref(), Some("Ana"));
    }
}
