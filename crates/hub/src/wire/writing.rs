//! Commands that store an event of a room.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    command::{MAX_CID_BYTES, bad, checked_body, checked_length, checked_room, fields},
    reply::Failure,
    to_json,
};
use crate::core::{MAX_SEQ, What, is_emoji};

/// How deep an application's JSON may be nested: far beyond what anybody writes by hand, and, with what is around it, far from
/// where the JSON readers of other clients give up.
const MAX_DEPTH: usize = 32;

/// An event that a client wants stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Write<'a> {
    pub(crate) room: Cow<'a, str>,
    pub(crate) cid: Option<Cow<'a, str>>,
    pub(crate) what: What,
}

#[derive(Deserialize)]
struct Send<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    #[serde(borrow)]
    cid: Cow<'a, str>,
    #[serde(borrow)]
    body: Cow<'a, str>,
    reply_to: Option<u64>,
    meta: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct Edit<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    target: u64,
    #[serde(borrow)]
    body: Cow<'a, str>,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Delete<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    target: u64,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct React<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    target: u64,
    #[serde(borrow)]
    emoji: Cow<'a, str>,
    on: bool,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Pub<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    data: Value,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
}

impl<'a> Write<'a> {
    pub(super) fn send(text: &'a str, max_body: usize) -> Result<Self, Failure> {
        let command: Send<'_> = fields(text)?;
        let what = message(&command.body, command.reply_to, command.meta, max_body)?;
        Self::new(command.room, Some(command.cid), what)
    }

    pub(super) fn edit(text: &'a str, max_body: usize) -> Result<Self, Failure> {
        let command: Edit<'_> = fields(text)?;
        let what = What::Edit {
            target: checked_position(command.target)?,
            body: Some(checked_body(&command.body, max_body)?.into()),
        };
        Self::new(command.room, command.cid, what)
    }

    pub(super) fn delete(text: &'a str) -> Result<Self, Failure> {
        let command: Delete<'_> = fields(text)?;
        let target = checked_position(command.target)?;
        Self::new(command.room, command.cid, What::Delete { target })
    }

    pub(super) fn react(text: &'a str) -> Result<Self, Failure> {
        let command: React<'_> = fields(text)?;
        if !is_emoji(&command.emoji) {
            return Err(bad(
                "emoji has 1 to 64 bytes, something visible and no control character",
            ));
        }
        let what = What::React {
            target: checked_position(command.target)?,
            emoji: command.emoji.into(),
            on: command.on,
        };
        Self::new(command.room, command.cid, what)
    }

    pub(super) fn publish(text: &'a str, max_body: usize) -> Result<Self, Failure> {
        let command: Pub<'_> = fields(text)?;
        let what = data(&command.data, max_body)?;
        Self::new(command.room, command.cid, what)
    }

    fn new(room: Cow<'a, str>, cid: Option<Cow<'a, str>>, what: What) -> Result<Self, Failure> {
        let is_cid = |cid: &Cow<'_, str>| (1..=MAX_CID_BYTES).contains(&cid.len());
        if !cid.as_ref().is_none_or(is_cid) {
            return Err(bad(format!("cid has 1 to {MAX_CID_BYTES} bytes")));
        }
        Ok(Self {
            room: checked_room(room)?,
            cid,
            what,
        })
    }
}

/// A message that may be stored.
pub(super) fn message(
    body: &str,
    reply_to: Option<u64>,
    meta: Option<Map<String, Value>>,
    max_body: usize,
) -> Result<What, Failure> {
    let meta = meta.map(|meta| {
        let meta = Value::Object(meta);
        checked_json(&meta, "meta", What::MAX_META_BYTES)
    });
    Ok(What::Message {
        body: Some(checked_body(body, max_body)?.into()),
        reply_to: reply_to.map(checked_position).transpose()?,
        meta: meta.transpose()?,
    })
}

/// What an app says, if it may be stored.
pub(super) fn data(value: &Value, max_bytes: usize) -> Result<What, Failure> {
    let json = Some(checked_json(value, "data", max_bytes)?);
    Ok(What::Data { json })
}

/// A value as others get it: read by us first, so that no reader of theirs has to cope with what ours would not.
fn checked_json(value: &Value, name: &str, max: usize) -> Result<Arc<str>, Failure> {
    if !is_within_depth(value, MAX_DEPTH) {
        return Err(bad(format!("{name} has at most {MAX_DEPTH} levels")));
    }
    let json = to_json(value);
    checked_length(&json, name, max)?;
    Ok(json.into())
}

fn is_within_depth(value: &Value, levels: usize) -> bool {
    let deeper = |value: &Value| is_within_depth(value, levels - 1);
    match value {
        Value::Array(values) => levels > 0 && values.iter().all(deeper),
        Value::Object(entries) => levels > 0 && entries.values().all(deeper),
        _ => true,
    }
}

/// A position that an event may have.
pub(super) fn checked_position(seq: u64) -> Result<u64, Failure> {
    if (1..=MAX_SEQ).contains(&seq) {
        Ok(seq)
    } else {
        Err(bad("a position is from 1 to 2^53-1"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{
        command::{Command, Frame},
        reply::ErrorCode,
    };

    fn parse(text: &str) -> Result<What, ErrorCode> {
        match Frame::parse(text, 16).command {
            Ok(Command::Write(write)) => Ok(write.what),
            Ok(other) => panic!("{text} was read as {other:?}"),
            Err(failure) => Err(failure.code),
        }
    }

    #[test]
    fn what_may_not_be_stored_is_refused() {
        use ErrorCode::{BadRequest, TooLarge};
        let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
        let deep = format!(r#"{{"op":"pub","room":"a","data":{deep}}}"#);
        let long = format!(
            r#"{{"op":"react","room":"a","target":1,"emoji":"{}","on":true}}"#,
            "x".repeat(65)
        );
        let meta = format!(
            r#"{{"op":"send","room":"a","cid":"1","body":"x","meta":{{"a":"{}"}}}}"#,
            "x".repeat(4096)
        );
        for (text, code) in [
            (
                r#"{"op":"edit","room":"a","target":0,"body":"x"}"#,
                BadRequest,
            ),
            (
                r#"{"op":"edit","room":"a","target":9007199254740992,"body":"x"}"#,
                BadRequest,
            ),
            (
                r#"{"op":"edit","room":"a","target":"1","body":"x"}"#,
                BadRequest,
            ),
            (
                r#"{"op":"edit","room":"a","target":1,"body":" "}"#,
                BadRequest,
            ),
            (
                r#"{"op":"edit","room":"a","target":1,"body":"x","cid":""}"#,
                BadRequest,
            ),
            (
                r#"{"op":"edit","room":"a","target":1,"body":"12345678901234567"}"#,
                TooLarge,
            ),
            (r#"{"op":"delete","room":"a"}"#, BadRequest),
            (r#"{"op":"delete","room":"a","target":1.5}"#, BadRequest),
            (
                r#"{"op":"react","room":"a","target":1,"emoji":"","on":true}"#,
                BadRequest,
            ),
            (
                r#"{"op":"react","room":"a","target":1,"emoji":" ","on":true}"#,
                BadRequest,
            ),
            (
                r#"{"op":"react","room":"a","target":1,"emoji":"a\u202eb","on":true}"#,
                BadRequest,
            ),
            (
                r#"{"op":"react","room":"a","target":1,"emoji":"a\nb","on":true}"#,
                BadRequest,
            ),
            (
                r#"{"op":"react","room":"a","target":1,"emoji":"+1"}"#,
                BadRequest,
            ),
            (&long, BadRequest),
            (
                r#"{"op":"send","room":"a","cid":"1","body":"x","reply_to":0}"#,
                BadRequest,
            ),
            (
                r#"{"op":"send","room":"a","cid":"1","body":"x","meta":[1]}"#,
                BadRequest,
            ),
            (&meta, TooLarge),
            (r#"{"op":"pub","room":"a"}"#, BadRequest),
            (r#"{"op":"pub","room":"a","data":1e999}"#, BadRequest),
            (r#"{"op":"pub","room":"a","data":"\ud800"}"#, BadRequest),
            (
                r#"{"op":"pub","room":"a","data":"123456789012345"}"#,
                TooLarge,
            ),
            (&deep, BadRequest),
        ] {
            assert_eq!(parse(text), Err(code), "{text}");
        }
    }

    #[test]
    fn of_json_the_value_is_kept_and_not_its_spelling() {
        for (data, kept) in [
            ("null", "null"),
            (" [ 1,\n 2 ] ", "[1,2]"),
            (r#""\u00e9""#, "\"é\""),
            ("9007199254740993", "9007199254740993"),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ] {
            let json = Some(kept.into());
            let text = format!(r#"{{"op":"pub","room":"a","data":{data}}}"#);
            assert_eq!(parse(&text), Ok(What::Data { json }), "{data}");
        }
        let nested = format!("{}{}", "[".repeat(8), "]".repeat(8));
        assert!(parse(&format!(r#"{{"op":"pub","room":"a","data":{nested}}}"#)).is_ok());
    }

    #[test]
    fn an_answer_and_what_its_app_adds_are_read_and_null_is_none() {
        let text = r#"{"op":"send","room":"a","cid":"1","body":"x","reply_to":7,"meta":{"k":[1]}}"#;
        let what = What::Message {
            body: Some("x".into()),
            reply_to: Some(7),
            meta: Some(r#"{"k":[1]}"#.into()),
        };
        assert_eq!(parse(text), Ok(what));
        let text = r#"{"op":"send","room":"a","cid":"1","body":"x","reply_to":null,"meta":null}"#;
        assert_eq!(parse(text), Ok(What::message("x")));
    }
}
