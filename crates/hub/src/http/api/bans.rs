//! `/api/v1/bans`, and who is sent out of a room: for who looks after the hub, and for who moderates the room.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use tokio::{task::spawn_blocking, time::timeout};

use super::{Caller, Params, Problem, Reception, count, json, ok, send::json_body};
use crate::{
    auth::{Ban, BanError, BanForm, Subject, is_admin_id},
    core::{MAX_SEQ, is_room_name},
    hub::{Shared, now},
    session::Ended,
    wire::{banned::NewBan, reply::ErrorCode, to_json},
};

#[derive(Deserialize)]
pub(super) struct ListQuery {
    room: Option<String>,
    after: Option<u64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
struct Page {
    bans: Vec<BanForm>,
    /// What to ask for `after` this page, if there may be more.
    next: Option<u64>,
}

/// The bans, in the order of their ids: all of them, or those of one room.
pub(super) async fn list(
    State(desk): Reception,
    Params(query): Params<ListQuery>,
    caller: Caller,
) -> Result<Response, Problem> {
    let room = query.room.as_deref();
    if room.is_some_and(|room| !is_room_name(room)) {
        return Err(Problem::bad_request("not a room name"));
    }
    caller.may_moderate(room)?;
    let limit = count(query.limit, 1)?;
    let after = query.after.map(checked_id).transpose()?;
    let is_wanted = |ban: &Ban| {
        let is_there = room.is_none_or(|room| ban.room.as_deref() == Some(room));
        is_there && may_see(&caller, ban)
    };
    let bans = &desk.shared.bans;
    let found = bans.list(after.unwrap_or(0), limit, is_wanted);
    let last = found.last().filter(|_| found.len() == limit);
    Ok(ok(&Page {
        next: last.map(|last| last.id),
        bans: found.iter().map(BanForm::from).collect(),
    }))
}

/// What may be the id of a ban.
fn checked_id(id: u64) -> Result<u64, Problem> {
    if (1..=MAX_SEQ).contains(&id) {
        Ok(id)
    } else {
        Err(Problem::bad_request("not the id of a ban"))
    }
}

/// Who moderates a room sees users, and no addresses.
fn may_see(caller: &Caller, ban: &Ban) -> bool {
    may_decide(caller, &ban.whom, ban.room.as_deref()).is_ok()
}

/// Refuses a ban that is not the caller's to make or lift.
fn may_decide(caller: &Caller, whom: &Subject, room: Option<&str>) -> Result<(), Problem> {
    match whom {
        Subject::User(_) => caller.may_moderate(room),
        Subject::Address(_) => caller.may_administer(),
    }
}

/// Keeps somebody out, and sends away whoever it is that is there.
pub(super) async fn add(
    State(desk): Reception,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let hub = &desk.shared;
    if !caller.is_known() {
        // Nobody else reads what strangers send here.
        caller.may_administer()?;
    }
    let text = json_body(&headers, body, hub).await?;
    let NewBan {
        whom,
        room,
        seconds,
    } = NewBan::parse(&text)?;
    may_decide(&caller, &whom, room.as_deref())?;
    if caller.is(&whom) || matches!(&whom, Subject::User(id) if is_admin_id(id)) {
        let why = "nobody bans themselves, nor the administrator";
        return Err(Problem::new(ErrorCode::Conflict, why));
    }
    caller.may_go_on()?;
    let until = seconds.map(|seconds| now() + seconds * 1_000);
    let ban = change(hub, caller, move |hub, caller| {
        may_decide(caller, &whom, room.as_deref())?;
        let by = caller.user_id();
        if let (Some(room), Some(by), Err(_)) = (&room, &by, caller.may_administer()) {
            hub.bans.check_share(&whom, room, by)?;
        }
        let ban = hub.ban(whom, room, until, by)?;
        tracing::info!(by = ?ban.by, whom = %ban.whom, room = ?ban.room, until = ?ban.until, "banned");
        hub.bans.settle()?;
        Ok(ban)
    });
    let form = BanForm::from(&ban.await?);
    Ok(json(StatusCode::CREATED, to_json(&form)))
}

/// Lets somebody in again.
pub(super) async fn lift(
    State(desk): Reception,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let hub = &desk.shared;
    let id = checked_id(id.parse().unwrap_or(0));
    let ban = id.as_ref().ok().and_then(|id| hub.bans.get(*id));
    match &ban {
        Some(ban) => may_decide(&caller, &ban.whom, ban.room.as_deref())?,
        None => caller.may_administer()?,
    }
    let id = id?;
    let ban = ban.ok_or_else(|| Problem::new(ErrorCode::NotFound, "there is no such ban"))?;
    caller.may_go_on()?;
    let by = caller.user_id();
    change(hub, caller, move |hub, caller| {
        may_decide(caller, &ban.whom, ban.room.as_deref())?;
        hub.bans.remove(id)?;
        tracing::info!(?by, whom = %ban.whom, room = ?ban.room, "no longer banned");
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Sends a user out of a room.
pub(super) async fn put_out(
    State(desk): Reception,
    Path((room, user)): Path<(String, String)>,
    caller: Caller,
) -> Result<Response, Problem> {
    if !is_room_name(&room) {
        return Err(Problem::bad_request("not a room name"));
    }
    caller.may_moderate(Some(&room))?;
    caller.may_go_on()?;
    let by = caller.user_id();
    let whom = Subject::User(user.into());
    let hub = &desk.shared;
    if !hub.send_away(&whom, Some(&room), Ended::Kicked) {
        let why = "this user is not in this room";
        return Err(Problem::new(ErrorCode::NotFound, why));
    }
    tracing::info!(?by, %whom, room, "sent out of a room");
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Changes the bans, one change at a time, each to its end even if nobody waits for it any more. Its caller is judged when it is its
/// turn: one before it may have been a ban of the caller.
async fn change<T: Send + 'static>(
    hub: &Arc<Shared>,
    caller: Caller,
    change: impl FnOnce(&Shared, &Caller) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let turn = Arc::clone(&hub.bans.turn);
    let changing = Arc::clone(hub);
    let changed = async {
        let turn = turn.lock_owned().await;
        let changed = spawn_blocking(move || {
            let _turn = turn;
            caller.is_still_let_in()?;
            change(&changing, &caller)
        });
        changed.await
    };
    let Ok(Ok(changed)) = timeout(hub.config.timeouts.request, changed).await else {
        let why = "it is unknown whether this was stored";
        return Err(Problem::new(ErrorCode::Timeout, why));
    };
    changed
}

impl From<BanError> for Problem {
    fn from(error: BanError) -> Self {
        let code = match &error {
            BanError::Full | BanError::ShareFull => ErrorCode::Conflict,
            BanError::Io(why) => {
                tracing::error!(error = %why, "the bans can't be stored");
                ErrorCode::Unavailable
            }
            BanError::Unsure(why) => {
                tracing::error!(error = %why, "it is unknown whether the bans are stored");
                ErrorCode::Timeout
            }
        };
        Self::new(code, error.to_string())
    }
}
