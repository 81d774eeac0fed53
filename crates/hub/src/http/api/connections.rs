//! `/api/v1/connections`, for who looks after the hub.

use axum::{
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Caller, Params, Problem, Reception, count, ok};
use crate::{session::Listed, wire::reply::ErrorCode};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    after: Option<String>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Page<'a> {
    connections: Vec<ConnectionForm<'a>>,
    /// What to ask for `after` this page, if there may be more.
    next: Option<String>,
}

#[derive(Serialize)]
struct ConnectionForm<'a> {
    id: String,
    user: Option<&'a str>,
    name: Option<&'a str>,
    address: String,
    dialect: &'static str,
    rooms: Vec<&'a str>,
    since: u64,
}

/// The connections that are open for more than an answer, in the order of their ids.
pub(super) async fn list(
    State(desk): Reception,
    Params(query): Params<ListQuery>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.may_administer()?;
    let after = query.after.as_deref().map(number).transpose()?;
    let limit = count(query.limit, 1)?;
    let mut found = desk.shared.open.list(after, limit);
    found.extend(desk.shared.visits.list(after, limit));
    found.sort_unstable_by_key(|listed| listed.number);
    found.truncate(limit);
    let last = found.last().filter(|_| found.len() == limit);
    Ok(ok(&Page {
        next: last.map(|last| id(last.number)),
        connections: found.iter().map(ConnectionForm::from).collect(),
    }))
}

/// Sends a client away.
pub(super) async fn kick(
    State(desk): Reception,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.may_administer()?;
    let number = number(&id)?;
    if desk.shared.open.kick(number) || desk.shared.visits.kick(number) {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(Problem::new(
            ErrorCode::NotFound,
            "there is no such connection",
        ))
    }
}

impl<'a> From<&'a Listed> for ConnectionForm<'a> {
    fn from(listed: &'a Listed) -> Self {
        Self {
            id: id(listed.number),
            user: listed.user.as_deref(),
            name: listed.name.as_deref(),
            address: listed.address.to_canonical().to_string(),
            dialect: listed.dialect,
            rooms: listed.rooms.iter().map(|room| &**room).collect(),
            since: listed.since,
        }
    }
}

fn id(number: u64) -> String {
    format!("s_{number:016x}")
}

/// The number in a public id.
fn number(id: &str) -> Result<u64, Problem> {
    let digits = id.strip_prefix("s_").filter(|digits| {
        digits.len() == 16
            && digits
                .bytes()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    });
    digits
        .and_then(|digits| u64::from_str_radix(digits, 16).ok())
        .ok_or_else(|| Problem::bad_request("not the id of a connection"))
}
