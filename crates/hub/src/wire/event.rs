//! What the server tells `fdx.v1.json` clients unasked.

use std::{borrow::Cow, collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::to_json;
use crate::{
    core::{Author, Changes, Event, Forked, Gap, News, Notice, Reset, User, What, shown_name},
    log::ReadMark,
};

/// The heartbeat browsers can see.
pub(crate) const HB: &str = r#"{"ev":"hb"}"#;

/// The user id of everybody who speaks a plain mode, and of nobody else.
pub(crate) const PLAIN_ID: &str = "plain";
/// What a plain client is called that does not say.
pub(crate) const PLAIN_NAME: &str = "guest";
/// The avatar's seed of those who say nothing about themselves.
const PLAIN_AVATAR: &str = "00000000";

/// A user, as others see them.
#[derive(Debug, Serialize)]
pub(crate) struct UserForm<'a> {
    id: &'a str,
    name: Cow<'a, str>,
    avatar: &'a str,
}

impl<'a> From<&'a User> for UserForm<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: &user.id,
            name: (&*user.name).into(),
            avatar: &user.avatar,
        }
    }
}

impl<'a> From<&'a Author> for UserForm<'a> {
    fn from(author: &'a Author) -> Self {
        match author {
            Author::User(user) => (&**user).into(),
            Author::PlainJson(claim) => Self {
                id: PLAIN_ID,
                name: plain_name(&claim.username),
                avatar: &claim.avatar,
            },
            Author::PlainText => Self {
                id: PLAIN_ID,
                name: PLAIN_NAME.into(),
                avatar: PLAIN_AVATAR,
            },
        }
    }
}

/// How a plain client that claims this name is called where names are under our rules.
pub(crate) fn plain_name(claimed: &str) -> Cow<'_, str> {
    match shown_name(claimed) {
        name if name.is_empty() => PLAIN_NAME.into(),
        name => name,
    }
}

/// What all events have that the log keeps, and what each kind has besides.
#[derive(Debug, Serialize)]
pub(super) struct Durable<'a> {
    ev: &'a str,
    room: &'a str,
    seq: u64,
    prev: u64,
    id: &'a str,
    ts: u64,
    from: UserForm<'a>,
    #[serde(flatten)]
    what: WhatForm<'a>,
    cid: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum WhatForm<'a> {
    Msg {
        body: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        reply_to: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        meta: Option<&'a RawValue>,
    },
    Edit {
        target: u64,
        body: Option<&'a str>,
    },
    Del {
        target: u64,
    },
    React {
        target: u64,
        emoji: &'a str,
        on: bool,
    },
    Data {
        data: Option<&'a RawValue>,
    },
    Other(BTreeMap<String, &'a RawValue>),
}

impl<'a> From<&'a What> for WhatForm<'a> {
    fn from(what: &'a What) -> Self {
        match *what {
            What::Message {
                ref body,
                reply_to,
                ref meta,
            } => Self::Msg {
                body: body.as_deref(),
                reply_to,
                meta: meta.as_deref().and_then(raw),
            },
            What::Edit { target, ref body } => Self::Edit {
                target,
                body: body.as_deref(),
            },
            What::Delete { target } => Self::Del { target },
            What::React {
                target,
                ref emoji,
                on,
            } => Self::React { target, emoji, on },
            What::Data { ref json } => Self::Data {
                data: json.as_deref().and_then(raw),
            },
            What::Other { ref json, .. } => {
                Self::Other(json.as_deref().and_then(raw).unwrap_or_default())
            }
        }
    }
}

/// JSON that came from the log, as it is.
fn raw<'a, T: Deserialize<'a>>(json: &'a str) -> Option<T> {
    serde_json::from_str(json).ok()
}

impl<'a> From<&'a Event> for Durable<'a> {
    fn from(event: &'a Event) -> Self {
        Self {
            ev: kind(&event.what),
            room: &event.room,
            seq: event.seq,
            prev: event.prev,
            id: &event.id,
            ts: event.ts,
            from: (&event.from).into(),
            what: (&event.what).into(),
            cid: event.cid.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct ReadEvent<'a> {
    ev: &'static str,
    room: &'a str,
    seq: u64,
    unread: usize,
}

#[derive(Serialize)]
struct Pres<'a> {
    ev: &'static str,
    room: &'a str,
    #[serde(rename = "in")]
    came: Vec<UserForm<'a>>,
    out: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    away: Vec<&'a str>,
    count: usize,
}

#[derive(Serialize)]
struct Typing<'a> {
    ev: &'static str,
    room: &'a str,
    user: Named<'a>,
    on: bool,
}

/// As much of a user as fits a line.
#[derive(Serialize)]
struct Named<'a> {
    id: &'a str,
    name: &'a str,
}

#[derive(Serialize)]
struct Bye {
    ev: &'static str,
    reason: &'static str,
    reconnect_ms: u128,
    jitter_ms: u128,
}

#[derive(Serialize)]
struct Expiring {
    ev: &'static str,
    in_ms: u64,
}

#[derive(Serialize)]
struct Kick<'a> {
    ev: &'static str,
    room: &'a str,
    reason: &'static str,
}

#[derive(Serialize)]
struct GapEvent<'a> {
    ev: &'static str,
    room: &'a str,
    from: u64,
    to: u64,
    reason: &'static str,
}

/// What an event that the log keeps is called.
pub(crate) fn kind(what: &What) -> &str {
    match what {
        What::Message { .. } => "msg",
        What::Edit { .. } => "edit",
        What::Delete { .. } => "del",
        What::React { .. } => "react",
        What::Data { .. } => "data",
        What::Other { kind, .. } => kind,
    }
}

/// An event that the log keeps.
pub(crate) fn durable(event: &Event) -> String {
    to_json(&Durable::from(event))
}

/// How far the client's user has read a room on another connection.
pub(crate) fn read(room: &str, mark: ReadMark) -> String {
    to_json(&ReadEvent {
        ev: "read",
        room,
        seq: mark.seq,
        unread: mark.unread,
    })
}

/// What a room tells that the log does not keep.
pub(crate) fn notice<F>(notice: &Notice<F>) -> String {
    match &notice.news {
        News::Presence(changes) => pres(&notice.room, changes),
        News::Typing { user, is_on } => to_json(&Typing {
            ev: "typing",
            room: &notice.room,
            user: Named {
                id: &user.id,
                name: &user.name,
            },
            on: *is_on,
        }),
    }
}

/// Who came and who left.
fn pres(room: &str, changes: &Changes) -> String {
    to_json(&Pres {
        ev: "pres",
        room,
        came: changes.came.iter().map(|user| (&**user).into()).collect(),
        out: changes.left.iter().map(|id| &**id).collect(),
        away: changes.away.iter().map(|id| &**id).collect(),
        count: changes.count,
    })
}

/// What the server does at present.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    Ok,
    /// It stores nothing.
    ReadOnly,
}

#[derive(Serialize)]
struct StatusEvent {
    ev: &'static str,
    status: Status,
}

/// The server does this from now on.
pub(crate) fn status(status: Status) -> String {
    to_json(&StatusEvent {
        ev: "status",
        status,
    })
}

/// The server goes, and comes back; the client should too, after a time and a part of another.
pub(crate) fn bye(reconnect: Duration, jitter: Duration) -> String {
    to_json(&Bye {
        ev: "bye",
        reason: "restart",
        reconnect_ms: reconnect.as_millis(),
        jitter_ms: jitter.as_millis(),
    })
}

/// The client's token ends after this time, and the connection with it.
pub(crate) fn expiring(left: Duration) -> String {
    to_json(&Expiring {
        ev: "expiring",
        in_ms: u64::try_from(left.as_millis()).unwrap_or(0),
    })
}

/// The server has taken the client out of a room.
pub(crate) fn kick(room: &str, reason: &'static str) -> String {
    to_json(&Kick {
        ev: "kick",
        room,
        reason,
    })
}

#[derive(Serialize)]
struct ResetEvent<'a> {
    ev: &'static str,
    room: &'a str,
    reason: &'static str,
    epoch: &'a str,
    head: u64,
    floor: u64,
    cursor: String,
}

/// A room has another history from now on.
pub(crate) fn reset(room: &str, forked: &Forked) -> String {
    to_json(&ResetEvent {
        ev: "reset",
        room,
        reason: Reset::Epoch.word(),
        epoch: &forked.epoch,
        head: forked.head.seq,
        floor: forked.floor.seq + 1,
        cursor: forked.cursor().to_string(),
    })
}

/// Positions this connection was too slow for.
pub(crate) fn gap(room: &str, gap: Gap) -> String {
    to_json(&GapEvent {
        ev: "gap",
        room,
        from: gap.from,
        to: gap.to,
        reason: "slow",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(what: What) -> String {
        durable(&Event {
            room: "general".into(),
            seq: 2,
            prev: 1,
            id: "x".into(),
            ts: 0,
            from: Author::PlainText,
            what,
            cid: None,
        })
    }

    #[test]
    fn what_apps_say_is_passed_on_as_it_was_written() {
        let message = said(What::Message {
            body: Some("yes".into()),
            reply_to: Some(1),
            meta: Some(r#"{"n":1e400}"#.into()),
        });
        assert!(message.contains(r#""body":"yes","reply_to":1,"meta":{"n":1e400}"#));
        let json = Some("[1.0, 2]".into());
        assert!(said(What::Data { json }).contains(r#""data":[1.0, 2]"#));
        assert!(said(What::Data { json: None }).contains(r#""data":null"#));
    }

    #[test]
    fn s44_an_event_of_a_kind_that_is_not_known_is_passed_on_as_it_is() {
        let kind = "poll".into();
        let json = Some(r#"{"question":"?","votes":[1.0]}"#.into());
        let text = said(What::Other { kind, json });
        assert!(text.starts_with(r#"{"ev":"poll","room":"general","seq":2,"#));
        assert!(text.contains(r#""question":"?","votes":[1.0],"cid":null"#));
        let json = None;
        let erased = said(What::Other {
            kind: "poll".into(),
            json,
        });
        assert!(
            erased.contains(r#""avatar":"00000000"},"cid":null"#),
            "{erased}"
        );
    }
}
