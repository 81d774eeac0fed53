//! The frames of `fdx.v1.json`, as `docs/hub-protocol.md` has them. What is not known is passed over.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A user, as everybody may see them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct User {
    /// The same for all connections of this user.
    pub id: String,
    /// None while none was chosen.
    pub name: Option<String>,
    /// The seed a picture is drawn from.
    #[serde(default)]
    pub avatar: String,
}

/// The answer to `hello`: who this is, and what is allowed.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Welcome {
    /// Names this connection, for logs.
    pub session: String,
    /// Who this is.
    pub user: User,
    /// The server's clock, in milliseconds since 1970.
    pub now: u64,
    /// What else the server told: limits, features.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Whether a join went on from where the client was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// Everything that was missed follows, in order.
    Ok,
    /// It did not; [`Joined::reason`] says why. What is known of the room is to be dropped: the newest events follow.
    Reset,
}

/// The answer to `join` or `sub`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Joined {
    /// The room.
    pub room: String,
    /// How it went on; none at a first join.
    pub resume: Option<Resume>,
    /// Why it did not.
    pub reason: Option<String>,
    /// Names the room's history.
    pub epoch: String,
    /// The newest position; 0 where nothing was said yet.
    pub head: u64,
    /// The position below which nothing is kept.
    pub floor: u64,
    /// The cursor of the head.
    pub cursor: String,
    /// How many users are here; 0 for who [subscribed](crate::Client::subscribe).
    #[serde(default)]
    pub count: usize,
    /// They, where they are few.
    #[serde(default)]
    pub members: Vec<User>,
}

/// Something in a room's log.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Placed {
    /// The room.
    pub room: String,
    /// Its position: grows within the room, and may leave numbers out.
    pub seq: u64,
    /// The position of the event before it.
    pub prev: u64,
    /// Its id, made by the server.
    pub id: String,
    /// Milliseconds since 1970, by the server's clock.
    pub ts: u64,
    /// Who it is from.
    pub from: User,
    /// The sender's own id of it.
    pub cid: Option<String>,
    /// What it is.
    #[serde(flatten)]
    pub what: What,
}

/// What an event in a log is.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "ev")]
#[non_exhaustive]
pub enum What {
    /// A message.
    #[serde(rename = "msg")]
    Message {
        /// What it says. None once it was deleted.
        body: Option<String>,
        /// The message it answers.
        #[serde(default)]
        reply_to: Option<u64>,
        /// What an application put beside it.
        #[serde(default)]
        meta: Option<Value>,
    },
    /// Another body for a message.
    #[serde(rename = "edit")]
    Edit {
        /// Which message.
        target: u64,
        /// What it says now. None once it was deleted.
        body: Option<String>,
    },
    /// The end of a message.
    #[serde(rename = "del")]
    Delete {
        /// Which message.
        target: u64,
    },
    /// A reaction, set or taken back.
    #[serde(rename = "react")]
    React {
        /// To which message.
        target: u64,
        /// Which.
        emoji: String,
        /// Whether it is set.
        on: bool,
    },
    /// What an application published in a channel.
    #[serde(rename = "data")]
    Data {
        /// Any JSON.
        data: Value,
    },
    /// A kind that this client does not know.
    #[serde(other)]
    Other,
}

/// The log has it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Sent {
    /// Its position in the room.
    pub seq: u64,
    /// Its id.
    pub id: String,
    /// Its time.
    pub ts: u64,
    /// Whether it was there already, from an earlier try.
    pub dup: bool,
}

/// Which messages of a room [`history`](crate::Client::history) asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// The newest.
    Newest,
    /// Those next before a position.
    Before(u64),
    /// Those next after a position; of 0, the first.
    After(u64),
    /// Those around a position, itself included.
    Around(u64),
}

/// Messages and data of a room, the oldest first.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// They, as they are now.
    pub events: Vec<Shown>,
    /// The position that now is: what came later is not in it, and comes as events.
    pub as_of: u64,
    /// Whether there are older ones.
    pub more_before: bool,
    /// Whether there are newer ones.
    pub more_after: bool,
    /// The position below which nothing is kept.
    pub floor: u64,
}

/// A message with what became of it, or data.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Shown {
    /// It, with its present body.
    #[serde(flatten)]
    pub event: Placed,
    /// The position of the edit that the body is from.
    #[serde(default)]
    pub edited: Option<u64>,
    /// Who reacted how, by emoji.
    #[serde(default)]
    pub reactions: BTreeMap<String, Reaction>,
}

/// Reactions of one kind to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Reaction {
    /// How many users have it set.
    pub count: u64,
    /// Whether oneself has.
    pub me: bool,
}

/// Positions of a room that this client will not get.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Gap {
    /// The room.
    pub room: String,
    /// The first one.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// Why.
    pub reason: String,
}

/// The server has taken this client out of a room.
#[derive(Debug, Deserialize)]
pub(crate) struct Kick {
    pub(crate) room: String,
    pub(crate) reason: String,
}

/// A room has another history.
#[derive(Debug, Deserialize)]
pub(crate) struct Reset {
    pub(crate) room: String,
}

/// What a server says when it goes.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Bye {
    #[serde(default)]
    pub(crate) reconnect_ms: u64,
    #[serde(default)]
    pub(crate) jitter_ms: u64,
}

/// A refusal.
#[derive(Debug, Deserialize)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    #[serde(default)]
    pub(crate) msg: String,
    pub(crate) retry_ms: Option<u64>,
}

/// One frame from a server.
#[derive(Debug)]
pub(crate) enum Frame {
    Reply {
        id: u64,
        result: Result<Value, Refusal>,
    },
    Placed(Placed),
    Gap(Gap),
    Kick(Kick),
    Reset(Reset),
    Heartbeat,
    Bye(Bye),
    /// An event without a place.
    Other(Map<String, Value>),
}

impl Frame {
    /// None for what is no frame, or a broken one of a kind that is known.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut frame: Map<String, Value> = serde_json::from_str(text).ok()?;
        if let Some(id) = frame.get("re") {
            let id = id.as_u64()?;
            let result = match (frame.remove("ok"), frame.remove("err")) {
                (Some(ok), _) => Ok(ok),
                (None, err) => Err(from(err?)?),
            };
            return Some(Self::Reply { id, result });
        }
        match frame.get("ev")?.as_str()? {
            "hb" => Some(Self::Heartbeat),
            "bye" => from(Value::Object(frame)).map(Self::Bye),
            "gap" => from(Value::Object(frame)).map(Self::Gap),
            "kick" => from(Value::Object(frame)).map(Self::Kick),
            "reset" => from(Value::Object(frame)).map(Self::Reset),
            _ if frame.contains_key("seq") && frame.contains_key("prev") => {
                from(Value::Object(frame)).map(Self::Placed)
            }
            _ => Some(Self::Other(frame)),
        }
    }
}

pub(crate) fn from<T: for<'de> Deserialize<'de>>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}
