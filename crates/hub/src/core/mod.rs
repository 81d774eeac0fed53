//! Rooms, cursors and presence, pure: commands in, effects out. No async, no clock, no serde.
//!
//! The shape in one paragraph: a [`Room`](room::Room) keeps its newest events in a
//! [`Ring`]. A member holds one number per room, its *cursor*: the position of the next event it
//! needs. [`Shard::commit`] appends to the ring and makes the room due, once. [`Shard::round`] then gives what came
//! since for all members together. Whoever is not where it begins, or can't take it now, is woken, once:
//! [`Shard::read`] gives a member what follows its cursor and puts it back to sleep when
//! that reaches the end. Nothing is queued per member, so a slow one costs nothing: when its
//! cursor falls off the ring it is told so.

mod attendance;
mod census;
mod cursor;
mod event;
mod fork;
mod members;
mod name;
mod notice;
mod own_number;
mod position;
mod presence;
mod quota;
mod ring;
mod room;
mod round;
mod shard;
mod typing;
mod words;

pub(crate) use attendance::Departure;
pub(crate) use census::Census;
pub(crate) use cursor::MAX_SEQ;
pub use cursor::{Cursor, MAX_MISSED, NoCursor, Reset, judge};
pub use event::{Author, Claim, Event, User, What};
pub(crate) use event::{Entry, Form};
pub(crate) use fork::{Forked, History};
pub(crate) use members::{Member, SessionId, Wake};
pub(crate) use name::{DEFAULT_ROOM, MAX_NAME_CHARS, is_emoji, is_name, is_room_name, shown_name};
pub(crate) use notice::{News, Notice, Watch};
pub(crate) use own_number::OwnNumberMap;
pub use position::{Bounds, Chk, Mark};
pub(crate) use presence::{Changes, Person};
pub(crate) use quota::{JoinRefused, Quota, payer};
pub(crate) use ring::Gap;
pub(crate) use room::{Birth, RoomState};
pub(crate) use round::{Need, Round};
pub(crate) use shard::{Batch, Begin, Joined, Newest, Opened, Shard, ShardLimits, Slot};
pub(crate) use words::{fold, may_begin, words};

#[cfg(test)]
mod crowd_tests;
#[cfg(test)]
mod fork_tests;
#[cfg(test)]
mod model_tests;
