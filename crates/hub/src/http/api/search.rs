//! `GET /api/v1/search`.

use std::sync::Arc;

use axum::{
    extract::{Extension, State},
    response::Response,
};
use serde::Deserialize;

use super::{Caller, Connection, Params, Problem, Reception, ok};
use crate::{
    auth::Right,
    session::search_query,
    wire::{asking::Query, reply::Failure, shown::FoundForm},
};

#[derive(Deserialize)]
pub(super) struct Search {
    q: String,
    room: Option<String>,
    from: Option<String>,
    after: Option<u64>,
    before: Option<u64>,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Messages by their words, in one room or in all.
pub(super) async fn search(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    Params(query): Params<Search>,
    caller: Caller,
) -> Result<Response, Problem> {
    let query = Query {
        q: query.q.into(),
        room: query.room.map(Into::into),
        from: query.from.map(Into::into),
        after: query.after,
        before: query.before,
        limit: query.limit,
        cursor: query.cursor.map(Into::into),
    };
    let search = query.checked()?;
    let rooms = if let Some(room) = search.room.as_deref() {
        caller.may(room, Right::Read)?;
        Some(vec![Arc::from(room)])
    } else {
        caller.may_read_all()?;
        None
    };
    let hub = &desk.shared;
    let viewer = caller.user_id();
    let query = search_query(search, rooms, viewer.clone());
    let words = Arc::clone(&query.words);
    let turn = hub.traffic.search(connection.client, viewer.clone());
    let _turn = turn.map_err(|_| Failure::searches_already())?;
    let found = hub.projection.search(query).await?;
    let viewer = viewer.as_deref().unwrap_or_default();
    Ok(ok(&FoundForm::new(&found, &words, viewer)))
}
