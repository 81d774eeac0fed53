//! `/api/v1/users/{user}/messages`, for who may erase.

use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use serde::Serialize;
use tokio::time::timeout;

use super::{Caller, Problem, Reception, ok};
use crate::{
    auth::{Who, is_user_id},
    log::AppendError,
    wire::event::PLAIN_ID,
};

#[derive(Serialize)]
struct Erased {
    /// Events that had something to forget.
    erased: u64,
}

/// Forgets what a user said, everywhere. It goes on also if nobody waits for the end.
pub(super) async fn erase(
    State(desk): Reception,
    Path(user): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    caller.may_erase()?;
    if !is_user_id(&user) {
        return Err(Problem::bad_request("not the id of a user"));
    }
    if user == PLAIN_ID {
        return Err(Problem::bad_request(
            "what plain clients wrote is nobody's in particular: delete the messages one by one",
        ));
    }
    let hub = &desk.shared;
    let user: Arc<str> = user.into();
    let Who { user: by, address } = caller.who();
    // Before the wait, of which nobody may see the end: it can't be taken back.
    tracing::info!(%user, by = by.map(|by| &**by), %address, "what a user said is to be erased");
    let erasing = timeout(hub.config.timeouts.request, hub.log.erase(&user));
    let erased = erasing.await.unwrap_or(Err(AppendError::Timeout))?;
    tracing::info!(%user, events = erased, "what a user said was erased");
    Ok(ok(&Erased { erased }))
}
