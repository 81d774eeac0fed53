//! Who is in a room and who types there: the commands about it, and how people are shown.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    command::{Command, bad, checked_room, fields},
    event::UserForm,
    reply::Failure,
};
use crate::core::{Person, Watch};

/// The most people of one page, as many as a join lists unless told otherwise.
const MAX_PAGE: usize = 200;
const DEFAULT_PAGE: usize = 100;
/// The longest place where a list goes on, in bytes: a user's id.
const MAX_CURSOR_BYTES: usize = 256;

/// What a join says it wants to know of who is there.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PresenceForm {
    None,
    Count,
    List,
}

impl From<PresenceForm> for Watch {
    fn from(form: PresenceForm) -> Self {
        match form {
            PresenceForm::None => Self::Nothing,
            PresenceForm::Count => Self::Count,
            PresenceForm::List => Self::List,
        }
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    limit: Option<usize>,
    #[serde(borrow)]
    cursor: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Typing<'a> {
    #[serde(borrow)]
    room: Cow<'a, str>,
    on: bool,
}

pub(super) fn members(text: &str) -> Result<Command<'_>, Failure> {
    let Members {
        room,
        limit,
        cursor,
    } = fields(text)?;
    Ok(Command::Members {
        room: checked_room(room)?,
        limit: page_limit(limit, cursor.as_deref())?,
        cursor,
    })
}

/// How many people a page behind this place has.
pub(crate) fn page_limit(limit: Option<usize>, cursor: Option<&str>) -> Result<usize, Failure> {
    let limit = limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(bad(format!("limit is 1 to {MAX_PAGE}")));
    }
    if cursor.is_some_and(|cursor| cursor.len() > MAX_CURSOR_BYTES) {
        return Err(bad("not the cursor of a list of members"));
    }
    Ok(limit)
}

pub(super) fn typing(text: &str) -> Result<Command<'_>, Failure> {
    let Typing { room, on } = fields(text)?;
    Ok(Command::Typing {
        room: checked_room(room)?,
        on,
    })
}

/// Somebody in a room.
#[derive(Debug, Serialize)]
pub(crate) struct PersonForm<'a> {
    #[serde(flatten)]
    user: UserForm<'a>,
    #[serde(rename = "away", skip_serializing_if = "is_false")]
    is_away: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_false(value: &bool) -> bool {
    !*value
}

impl<'a> From<&'a Person> for PersonForm<'a> {
    fn from(person: &'a Person) -> Self {
        Self {
            user: (&*person.user).into(),
            is_away: person.is_away,
        }
    }
}

/// The reply to `members`.
#[derive(Debug, Serialize)]
pub(crate) struct MembersForm<'a> {
    members: Vec<PersonForm<'a>>,
    /// Where the list goes on, if it does.
    cursor: Option<&'a str>,
    count: usize,
}

impl<'a> MembersForm<'a> {
    /// A page of `count` people, behind which there may be more.
    pub(crate) fn new(people: &'a [Person], has_more: bool, count: usize) -> Self {
        let last = people.last().filter(|_| has_more);
        Self {
            members: people.iter().map(Into::into).collect(),
            cursor: last.map(|person| &*person.user.id),
            count,
        }
    }
}
