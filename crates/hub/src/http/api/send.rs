//! `POST /api/v1/rooms/{room}/messages`.

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Extension, State},
    response::Response,
};
use http::{HeaderMap, StatusCode, header};
use tokio::time::timeout;

use super::{Caller, Connection, Problem, Reception, Room, json};
use crate::{
    auth::Right,
    core::Author,
    hub::{Shared, now},
    log::{AppendError, Appended, Draft},
    wire::{
        command::MAX_CID_BYTES,
        posted::Posted,
        reply::{ErrorCode, Failure, Sent},
        to_json,
    },
};

/// Stores a message, or data: the HTTP form of `send` and `pub`, with the same answers.
pub(super) async fn send(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    Room(room): Room,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let hub = &desk.shared;
    // Who may not is not waited for.
    caller.may(&room, Right::Write)?;
    let text = json_body(&headers, body, hub).await?;
    let posted = Posted::parse(&text, hub.config.limits.body)?;
    let key = idempotency_key(&headers)?;
    let cid = match (posted.cid.as_deref(), key) {
        (Some(cid), Some(key)) if cid != key => {
            let why = "cid and Idempotency-Key differ";
            return Err(Problem::new(ErrorCode::Conflict, why));
        }
        (cid, key) => cid.or(key),
    };
    if !cid.is_none_or(is_key) {
        let why =
            format!("cid, or Idempotency-Key, has 1 to {MAX_CID_BYTES} visible ASCII characters");
        return Err(Problem::bad_request(why));
    }
    if cid.is_some() && !caller.is_known() {
        let why = "a cid, or an Idempotency-Key, needs an Authorization that it belongs to";
        return Err(Problem::new(ErrorCode::Unauthorized, why));
    }
    let user = caller.user(hub, posted.name.as_deref())?;
    if let Some(payer) = caller.payer() {
        // A room is made as by a join, and not for free.
        hub.open_room(&room, Some(payer), 0).await?;
    }
    caller.is_still_let_in()?;
    caller.may(&room, Right::Write)?;
    hub.traffic
        .message(connection.client, &user.id, &room, 1)
        .map_err(Failure::too_fast)?;
    let append = hub.log.append(Draft {
        room,
        from: Author::User(user),
        what: posted.what,
        cid: cid.map(Into::into),
        moderates: false,
        now: now(),
    });
    let appended = timeout(hub.config.timeouts.request, append).await;
    let appended = appended.unwrap_or(Err(AppendError::Timeout));
    let Appended {
        seq,
        id,
        ts,
        duplicate: dup,
    } = appended.inspect_err(|error| hub.refusals.count(*error))?;
    let id = &*id;
    let status = if dup {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    Ok(json(status, to_json(&Sent { seq, id, ts, dup })))
}

/// What can be a header's value as well as a `cid`.
fn is_key(cid: &str) -> bool {
    (1..=MAX_CID_BYTES).contains(&cid.len()) && cid.bytes().all(|byte| byte.is_ascii_graphic())
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let key = headers.get("idempotency-key").map(|key| key.to_str());
    key.transpose()
        .map_err(|_| Problem::bad_request("Idempotency-Key is not ASCII"))
}

/// The JSON text that a request carries, of which no more is read than a frame may have.
pub(super) async fn json_body(
    headers: &HeaderMap,
    body: Body,
    hub: &Shared,
) -> Result<String, Problem> {
    if !is_json(headers) {
        let why = "the body is to be application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        return Err(Problem::with_status(status, ErrorCode::Unsupported, why));
    }
    let limit = hub.config.limits.frame;
    let too_large = || {
        let why = format!("a request has at most {limit} bytes");
        Problem::new(ErrorCode::TooLarge, why)
    };
    let declared = headers.get(header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let Ok(read) = timeout(hub.config.timeouts.request, to_bytes(body, limit)).await else {
        let why = "the body did not come in time";
        let status = StatusCode::REQUEST_TIMEOUT;
        return Err(Problem::with_status(status, ErrorCode::BadRequest, why));
    };
    let read: Bytes = read.map_err(|_| too_large())?;
    String::from_utf8(read.into()).map_err(|_| Problem::bad_request("the body is not UTF-8"))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default();
    kind.trim().eq_ignore_ascii_case("application/json")
}
