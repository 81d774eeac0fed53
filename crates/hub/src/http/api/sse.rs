//! `GET /sse/{room}`: a room's events as they come, for `EventSource`.

use std::{
    convert::Infallible,
    fmt::Write as _,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Extension, State},
    response::{IntoResponse, Response},
};
use futures_core::Stream;
use http::{HeaderMap, header};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    super::comeback::{EVENT_STREAM, retry},
    Caller, Connection, Params, Place, Problem, Reception, Room, count,
};
use crate::{
    auth::Right,
    core::{Cursor, NoCursor},
    hub::Shared,
    rooms::follower::{Followed, Follower, Next},
    session::{Alarm, Ended, MAX_BATCH, jitter},
    visits::{Visit, Visitor},
    wire::{
        event,
        reply::{Resume, RoomForm},
        to_json,
    },
};

/// What a stream says when there is nothing to say: a comment.
const STILL_HERE: &str = ": hb\n\n";

/// How long a browser should stay away at least. A restart is over by then; a proxy in front answers 502 before, after which no browser
/// comes back.
const AWAY: Duration = Duration::from_secs(2);

/// What a stream is among the connections.
pub(super) const KIND: &str = "sse";

#[derive(Deserialize)]
pub(super) struct FollowQuery {
    since: Option<String>,
    backlog: Option<usize>,
}

/// Follows a room from a cursor on, or with its newest events.
pub(super) async fn follow(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    Room(room): Room,
    Params(query): Params<FollowQuery>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.may(&room, Right::Read)?;
    let backlog = count(query.backlog, 0)?;
    let place = desk.place(&connection)?;
    let last = headers.get("last-event-id").map(|id| id.to_str());
    let last = last.map(|id| id.map_err(|_| NoCursor).and_then(str::parse));
    let since = last.or_else(|| query.since.as_deref().map(str::parse));
    let address = connection.client.address;
    let followed = Follower::enter(&desk.shared, &room, caller.payer(), since, backlog).await?;
    let hub = &desk.shared;
    if let Some(judged) = followed.judged {
        hub.metrics.resumed(judged);
    }
    let visitor = Visitor::new(KIND, caller.user_id(), address, Some(Arc::clone(&room)));
    let visit = hub.enter(visitor.on(&connection.lease));
    // If the server goes without a goodbye.
    let retry = retry(AWAY, jitter(streams(hub, &place), Duration::ZERO));
    let first = Some(retry + &first(&room, &followed));
    let events = Events {
        follower: followed.follower,
        first,
        ends: Box::pin(visit.ended()),
        is_over: false,
        end: caller.end(),
        alarm: Alarm::default(),
        said: Instant::now(),
        connection,
        place,
        hub: Arc::clone(hub),
        _visit: visit,
    };
    let headers = [
        (header::CONTENT_TYPE, EVENT_STREAM),
        (header::CACHE_CONTROL, "no-store"),
        // It ends with the connection, or the connection with it.
        (header::CONNECTION, "close"),
        // What nginx would else collect.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// The body: made as the connection takes it.
struct Events {
    follower: Follower,
    /// What comes before all else.
    first: Option<String>,
    ends: Pin<Box<dyn Future<Output = Ended> + Send>>,
    is_over: bool,
    /// When its token expires.
    end: Option<Instant>,
    alarm: Alarm,
    said: Instant,
    connection: Connection,
    place: Place,
    hub: Arc<Shared>,
    _visit: Visit,
}

impl Events {
    /// What is to be said next. None at the end.
    fn poll_text(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        if self.is_over || self.has_expired() {
            return Poll::Ready(None);
        }
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(first));
        }
        if let Poll::Ready(end) = self.ends.as_mut().poll(cx) {
            self.is_over = true;
            return Poll::Ready(match end {
                Ended::Stopping => Some(self.bye()),
                Ended::Kicked | Ended::Banned | Ended::Forbidden => None,
            });
        }
        match self.follower.poll_next(MAX_BATCH, cx) {
            Poll::Ready(Ok(next)) => return Poll::Ready(Some(self.text_of(&next))),
            Poll::Ready(Err(error)) => {
                self.hub.told.failed.tell(|left_out| {
                    tracing::warn!(%error, left_out, "a stream of events can't go on");
                });
                self.is_over = true;
                return Poll::Ready(None);
            }
            Poll::Pending => {}
        }
        loop {
            let due = self.said + self.hub.config.timeouts.stream_heartbeat;
            if due <= Instant::now() {
                return Poll::Ready(Some(STILL_HERE.to_owned()));
            }
            self.alarm
                .set(Some(self.end.map_or(due, |end| end.min(due))));
            ready!(self.alarm.poll(cx));
            if self.has_expired() {
                return Poll::Ready(None);
            }
        }
    }

    fn has_expired(&self) -> bool {
        self.end.is_some_and(|end| end <= Instant::now())
    }

    /// What it says when the hub stops: the return of all is spread, as that of sessions is.
    fn bye(&self) -> String {
        let drain = self.hub.config.timeouts.drain;
        let jitter = jitter(streams(&self.hub, &self.place), drain);
        let mut text = retry(AWAY, jitter);
        push_block(&mut text, None, "bye", &event::bye(AWAY, jitter));
        text
    }

    fn text_of(&self, next: &Next) -> String {
        let mut text = String::new();
        match next {
            Next::Gap(gap, cursor) => {
                let gap = event::gap(self.follower.room(), *gap);
                push_block(&mut text, Some(cursor), "gap", &gap);
            }
            Next::Forked(forked) => {
                let reset = event::reset(self.follower.room(), forked);
                push_block(&mut text, Some(&forked.cursor()), "reset", &reset);
            }
            Next::Events(entries) => {
                for entry in entries {
                    let cursor = self.follower.cursor_of(entry);
                    let frame = self.follower.said_by(entry);
                    let frame = String::from_utf8_lossy(&frame);
                    let kind = event::kind(&entry.event.what);
                    push_block(&mut text, Some(&cursor), kind, &frame);
                }
            }
        }
        text
    }
}

impl Stream for Events {
    type Item = Result<String, Infallible>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // It is asked only while the connection takes what it says. Who takes nothing until after the next heartbeat is gone.
        let timeouts = &this.hub.config.timeouts;
        let lease = &this.connection.lease;
        lease.extend(timeouts.stream_heartbeat + timeouts.write);
        let text = ready!(this.poll_text(cx));
        this.said = Instant::now();
        Poll::Ready(text.map(Ok))
    }
}

/// How many streams there are, and polls that are held.
fn streams(hub: &Shared, place: &Place) -> usize {
    let free = place.of_all.semaphore().available_permits();
    hub.config.limits.followers() - free
}

/// Where the stream begins: `ok` or `reset`. It names a cursor only if that is what the events after it follow: a client that has
/// got no further comes back with it.
fn first(room: &str, followed: &Followed) -> String {
    let Followed {
        follower,
        state,
        judged,
    } = followed;
    let bounds = &state.bounds;
    let resume = judged.map(Resume::from);
    let head = Cursor {
        epoch: Arc::clone(&bounds.epoch),
        mark: bounds.head,
    };
    let form = RoomForm {
        room,
        resume,
        epoch: &bounds.epoch,
        head: bounds.head.seq,
        floor: bounds.floor.seq + 1,
        cursor: head.to_string(),
        people: None,
    };
    let kind = match judged {
        Some(Err(_)) => "reset",
        Some(Ok(())) | None => "ok",
    };
    let is_at_head = follower.position() > bounds.head.seq;
    let mut text = String::new();
    push_block(
        &mut text,
        is_at_head.then_some(&head),
        kind,
        &to_json(&form),
    );
    text
}

/// One event. JSON has no line ends.
fn push_block(text: &mut String, cursor: Option<&Cursor>, kind: &str, data: &str) {
    // Writing to a String does not fail.
    if let Some(cursor) = cursor {
        let _ = writeln!(text, "id: {cursor}");
    }
    let _ = write!(text, "event: {kind}\ndata: {data}\n\n");
}
