//! What the server answers to a command.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::Serialize;

use super::{command::Id, people::PersonForm, to_json};
use crate::{core::Reset, log::ReadMark};

/// Why a command failed. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ErrorCode {
    BadRequest,
    TooLarge,
    TokenExpired,
    Forbidden,
    NotJoined,
    NotFound,
    Conflict,
    RateLimited,
    Timeout,
    Unavailable,
    Unauthorized,
    Unsupported,
}

/// A failure, with a sentence for whoever debugs the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Failure {
    pub(crate) code: ErrorCode,
    pub(crate) msg: Cow<'static, str>,
    /// When to try again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_ms: Option<u64>,
}

impl Failure {
    pub(crate) fn new(code: ErrorCode, msg: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            msg: msg.into(),
            retry_ms: None,
        }
    }

    /// Somebody searches who has as many searches under way as may be. Those take seconds at most.
    pub(crate) fn searches_already() -> Self {
        Self {
            retry_ms: Some(1_000),
            ..Self::new(
                ErrorCode::RateLimited,
                "another search of yours, or of your address, is under way",
            )
        }
    }

    /// More than the rate allows; tried again after this time it would not be.
    pub(crate) fn too_fast(wait: Duration) -> Self {
        let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        Self {
            retry_ms: Some(retry_ms.saturating_add(1)),
            ..Self::new(ErrorCode::RateLimited, "too many in this time")
        }
    }
}

/// The reply to `hello`.
#[derive(Debug, Serialize)]
pub(crate) struct Welcome<'a> {
    pub(crate) session: &'a str,
    pub(crate) user: SelfForm<'a>,
    /// What a new guest is to keep.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) guest: Option<&'a str>,
    /// When the token does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<u64>,
    pub(crate) now: u64,
    pub(crate) hb: u64,
    pub(crate) limits: Limits,
    pub(crate) features: [&'static str; 0],
    /// The rooms it was to go on in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rooms: Option<BTreeMap<&'a str, RoomResult<'a>>>,
}

/// What came of a room.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum RoomResult<'a> {
    Joined(RoomForm<'a>),
    Refused { err: &'a Failure },
}

/// A client's own user, who may have no name yet.
#[derive(Debug, Serialize)]
pub(crate) struct SelfForm<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: Option<&'a str>,
    pub(crate) avatar: &'a str,
}

/// The limits a client should know.
#[derive(Debug, Serialize)]
pub(crate) struct Limits {
    pub(crate) frame: usize,
    pub(crate) body: usize,
    pub(crate) rooms: usize,
    pub(crate) backlog: usize,
}

/// The reply to `auth`.
#[derive(Debug, Serialize)]
pub(crate) struct Renewed {
    /// When the token expires; never if none.
    pub(crate) expires: Option<u64>,
}

/// The reply to `join` and `sub`, and how a stream by HTTP begins.
#[derive(Debug, Serialize)]
pub(crate) struct RoomForm<'a> {
    pub(crate) room: &'a str,
    #[serde(flatten)]
    pub(crate) resume: Option<Resume>,
    pub(crate) epoch: &'a str,
    pub(crate) head: u64,
    pub(crate) floor: u64,
    pub(crate) cursor: String,
    #[serde(flatten)]
    pub(crate) people: Option<PeopleForm<'a>>,
}

/// Who is in a room, and how far the user itself has read.
#[derive(Debug, Serialize)]
pub(crate) struct PeopleForm<'a> {
    pub(crate) count: usize,
    pub(crate) read: Option<u64>,
    pub(crate) unread: Option<usize>,
    pub(crate) members: Vec<PersonForm<'a>>,
}

/// Whether a client goes on from its cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Resume {
    resume: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Resume {
    /// Why not, if it does not.
    pub(crate) const fn reason(self) -> Option<&'static str> {
        self.reason
    }
}

impl From<Result<(), Reset>> for Resume {
    fn from(judged: Result<(), Reset>) -> Self {
        let reason = judged.err().map(Reset::word);
        let resume = if reason.is_some() { "reset" } else { "ok" };
        Self { resume, reason }
    }
}

/// The reply to what stores an event.
#[derive(Debug, Serialize)]
pub(crate) struct Sent<'a> {
    pub(crate) seq: u64,
    pub(crate) id: &'a str,
    pub(crate) ts: u64,
    pub(crate) dup: bool,
}

/// The reply to `read`.
#[derive(Debug, Serialize)]
pub(crate) struct Read {
    seq: u64,
    unread: usize,
}

impl From<ReadMark> for Read {
    fn from(mark: ReadMark) -> Self {
        Self {
            seq: mark.seq,
            unread: mark.unread,
        }
    }
}

/// The reply to `ping`.
#[derive(Debug, Serialize)]
pub(crate) struct Pong {
    pub(crate) now: u64,
}

/// The reply to `log.list`.
#[derive(Debug, Serialize)]
pub(crate) struct LogNames<'a> {
    pub(crate) logs: Vec<&'a str>,
}

/// The reply to `log.open`.
#[derive(Debug, Serialize)]
pub(crate) struct Opened<'a> {
    pub(crate) stream: &'a str,
    pub(crate) log: &'a str,
    /// Where it begins, as far as that is known.
    pub(crate) cursor: Option<&'a str>,
}

/// The reply to `credit`: the lines that the stream is owed now.
#[derive(Debug, Serialize)]
pub(crate) struct Credited {
    pub(crate) credit: usize,
}

/// The reply to `leave`: nothing to say.
#[derive(Debug, Serialize)]
pub(crate) struct Done {}

#[derive(Serialize)]
struct Success<'a, T> {
    re: &'a Id,
    ok: &'a T,
}

#[derive(Serialize)]
struct Refusal<'a> {
    re: &'a Id,
    err: &'a Failure,
}

#[derive(Serialize)]
struct ErrorEvent<'a> {
    ev: &'static str,
    #[serde(flatten)]
    err: &'a Failure,
}

/// The frame that says that a command worked. None when the command had no id.
pub(crate) fn success<T: Serialize>(re: Option<&Id>, ok: &T) -> Option<String> {
    re.map(|re| to_json(&Success { re, ok }))
}

/// The frame that says that a command failed: a reply, or an event when it had no id.
pub(crate) fn refusal(re: Option<&Id>, err: &Failure) -> String {
    match re {
        Some(re) => to_json(&Refusal { re, err }),
        None => to_json(&ErrorEvent { ev: "error", err }),
    }
}
