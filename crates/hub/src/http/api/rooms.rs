//! `GET /api/v1/rooms`, `…/members` and `GET /api/v1/stats`: what is going on.

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use serde::{Deserialize, Serialize};

use super::{Caller, Params, Problem, Reception, Room, count, ok, sse};
use crate::{
    auth::Right,
    hub::now,
    wire::people::{MembersForm, page_limit},
};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Page<'a> {
    rooms: Vec<RoomForm<'a>>,
    /// What to ask for `after` this page, if there may be more.
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct RoomForm<'a> {
    room: &'a str,
    count: usize,
}

/// The rooms in memory that may be read, by name.
pub(super) async fn list(
    State(desk): Reception,
    Params(query): Params<ListQuery>,
    caller: Caller,
) -> Result<Response, Problem> {
    let limit = count(query.limit, 1)?;
    let hub = &desk.shared;
    let after = query.after.as_deref();
    let hidden = hub.bans.rooms(caller.who());
    let found = hub.rooms.list(after, limit, caller.readable(), &hidden);
    let last = found.last().filter(|_| found.len() == limit);
    let forms = found.iter().map(|(room, count)| RoomForm {
        room,
        count: *count,
    });
    Ok(ok(&Page {
        next: last.map(|(room, _)| &**room),
        rooms: forms.collect(),
    }))
}

#[derive(Deserialize)]
pub(super) struct MembersQuery {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// Who is in a room: nobody in one that is not in memory.
pub(super) async fn members(
    State(desk): Reception,
    Room(room): Room,
    Params(query): Params<MembersQuery>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.may(&room, Right::Read)?;
    let cursor = query.cursor.as_deref();
    let limit = page_limit(query.limit, cursor)?;
    let (people, has_more, count) = desk.shared.rooms.members(&room, cursor, limit);
    Ok(ok(&MembersForm::new(&people, has_more, count)))
}

#[derive(Serialize)]
struct Stats {
    now: u64,
    connections: usize,
    websockets: BTreeMap<&'static str, u64>,
    streams: usize,
    rooms: usize,
    users: usize,
}

/// How much there is of what: where tokens are asked for, for who looks after the server.
pub(super) async fn stats(State(desk): Reception, caller: Caller) -> Result<Response, Problem> {
    let hub = &desk.shared;
    if hub.gate.asks_for_tokens() {
        caller.may_administer()?;
    }
    let census = hub.rooms.census();
    Ok(ok(&Stats {
        now: now(),
        connections: hub.connections(),
        websockets: hub.metrics.open().collect(),
        streams: hub.visits.count(sse::KIND),
        rooms: census.rooms,
        users: census.users,
    }))
}
