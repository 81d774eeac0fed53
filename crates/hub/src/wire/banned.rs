//! What is posted to ban somebody.

use std::{borrow::Cow, sync::Arc};

use serde::Deserialize;

use super::{
    command::{bad, checked_room, fields},
    reply::Failure,
};
use crate::auth::{Subject, is_user_id};

/// The longest that a ban may be said to last. 10 years: one that is to last longer has no end.
const MAX_SECONDS: u64 = 10 * 366 * 24 * 3_600;

/// Whom to keep out of what, and for how long.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewBan {
    pub(crate) whom: Subject,
    pub(crate) room: Option<Arc<str>>,
    pub(crate) seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Post<'a> {
    #[serde(borrow)]
    user: Option<Cow<'a, str>>,
    #[serde(borrow)]
    address: Option<Cow<'a, str>>,
    #[serde(borrow)]
    room: Option<Cow<'a, str>>,
    seconds: Option<u64>,
}

impl NewBan {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let post: Post<'_> = fields(text)?;
        let whom = match (post.user, post.address) {
            (Some(id), None) if is_user_id(&id) => Subject::User(id.into()),
            (Some(_), None) => return Err(bad("user is the id of a user")),
            (None, Some(address)) => {
                Subject::Address(address.parse().map_err(|why: &str| bad(why))?)
            }
            _ => return Err(bad("there is either user or address")),
        };
        let room = post.room.map(checked_room).transpose()?;
        let is_good = |seconds| (1..=MAX_SECONDS).contains(&seconds);
        if !post.seconds.is_none_or(is_good) {
            let why =
                format!("seconds is from 1 to {MAX_SECONDS}, or left out for a ban without end");
            return Err(bad(why));
        }
        Ok(Self {
            whom,
            room: room.map(Arc::from),
            seconds: post.seconds,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ban_says_whom_and_perhaps_where_and_how_long() {
        let ban = |text: &str| NewBan::parse(text).unwrap();
        assert_eq!(
            ban(r#"{"user":"u_1"}"#),
            NewBan {
                whom: Subject::User("u_1".into()),
                room: None,
                seconds: None,
            }
        );
        assert_eq!(
            ban(r#"{"address":"2001:db8::1","user":null,"room":"a","seconds":60}"#),
            NewBan {
                whom: Subject::of("2001:db8::".parse().unwrap()),
                room: Some("a".into()),
                seconds: Some(60),
            }
        );
        let long = format!(r#"{{"user":"{}"}}"#, "x".repeat(129));
        for bad in [
            "{}",
            "[]",
            r#"{"user":"u","address":"192.0.2.1"}"#,
            r#"{"user":""}"#,
            r#"{"user":"a\u0007"}"#,
            r#"{"user":1}"#,
            r#"{"address":"192.0.2.0/24"}"#,
            r#"{"user":"u","room":"a/b"}"#,
            r#"{"user":"u","seconds":0}"#,
            r#"{"user":"u","seconds":-1}"#,
            r#"{"user":"u","seconds":316224001}"#,
            &long,
        ] {
            assert!(NewBan::parse(bad).is_err(), "{bad}");
        }
    }
}
