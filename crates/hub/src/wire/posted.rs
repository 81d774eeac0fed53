//! What is posted by HTTP: a `send` or a `pub` whose room is named elsewhere.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{
    command::{bad, fields},
    reply::Failure,
    writing::{data, message},
};
use crate::core::What;

/// What is to be stored, and what is said about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Posted<'a> {
    pub(crate) what: What,
    pub(crate) cid: Option<Cow<'a, str>>,
    /// The name that its author wants.
    pub(crate) name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Post<'a> {
    #[serde(borrow)]
    body: Option<Cow<'a, str>>,
    reply_to: Option<u64>,
    meta: Option<Map<String, Value>>,
    /// `null` is a value, too.
    #[serde(default, deserialize_with = "some")]
    data: Option<Value>,
    #[serde(borrow)]
    cid: Option<Cow<'a, str>>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl<'a> Posted<'a> {
    pub(crate) fn parse(text: &'a str, max_body: usize) -> Result<Self, Failure> {
        let post: Post<'_> = fields(text)?;
        let what = match (post.body, post.data) {
            (Some(body), None) => message(&body, post.reply_to, post.meta, max_body)?,
            (None, Some(value)) => data(&value, max_body)?,
            _ => return Err(bad("there is either body or data")),
        };
        Ok(Self {
            what,
            cid: post.cid,
            name: post.name,
        })
    }
}
