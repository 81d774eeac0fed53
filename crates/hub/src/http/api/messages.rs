//! `GET /api/v1/rooms/{room}/messages`: a page of them as they are now or, with `wait`, the events after a cursor.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{Extension, State},
    response::Response,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Caller, Connection, Desk, MAX_WAIT, Params, Problem, Reception, Room, events, ok};
use crate::{
    auth::Right,
    core::Cursor,
    log::{PageQuery, Span},
    session::page_size,
    wire::{
        asking::{page_limit, span},
        shown::PageForm,
    },
};

#[derive(Deserialize)]
pub(super) struct MessagesQuery {
    after: Option<String>,
    before: Option<u64>,
    around: Option<u64>,
    limit: Option<usize>,
    wait: Option<u64>,
}

/// A page, and the cursor of who goes on from it.
#[derive(Serialize)]
struct Answer<'a> {
    #[serde(flatten)]
    page: PageForm<'a>,
    cursor: String,
}

pub(super) async fn read(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    Room(room): Room,
    Params(query): Params<MessagesQuery>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.may(&room, Right::Read)?;
    let limit = page_limit(query.limit)?;
    let Some(wait) = query.wait else {
        let after = query.after.as_deref().map(position).transpose()?;
        let span = span(after, query.before, query.around)?;
        return page(&desk, &caller, &room, span, limit).await;
    };
    let wait = Duration::from_secs(wait);
    if wait > MAX_WAIT {
        let why = format!("wait is at most {} seconds", MAX_WAIT.as_secs());
        return Err(Problem::bad_request(why));
    }
    if query.before.is_some() || query.around.is_some() {
        let why = "who waits goes on after a cursor: there is neither before nor around";
        return Err(Problem::bad_request(why));
    }
    let after = query.after.as_deref();
    let now = Instant::now();
    let late = caller.end().map_or(now + wait, |end| end.min(now + wait));
    events::follow(&desk, &connection, &caller, &room, after, limit, late).await
}

async fn page(
    desk: &Desk,
    caller: &Caller,
    room: &Arc<str>,
    span: Span,
    limit: usize,
) -> Result<Response, Problem> {
    let viewer = caller.user_id();
    let query = PageQuery {
        room: Arc::clone(room),
        span,
        max: page_size(limit),
        viewer: viewer.clone(),
    };
    let page = desk.shared.projection.page(query).await?;
    let cursor = Cursor {
        epoch: Arc::clone(&page.as_of.epoch),
        mark: page.as_of.head,
    };
    Ok(ok(&Answer {
        page: PageForm::new(room, &page, viewer.as_deref().unwrap_or_default()),
        cursor: cursor.to_string(),
    }))
}

fn position(text: &str) -> Result<u64, Problem> {
    text.parse().map_err(|_| {
        let why = "after is a position; with a cursor there is wait, too";
        Problem::bad_request(why)
    })
}
