//! Events after a cursor, at once or when they come.

use std::sync::Arc;

use axum::{body::Bytes, response::Response};
use http::StatusCode;
use tokio::time::Instant;

use super::{Caller, Connection, Desk, Problem, json};
use crate::{
    core::{Cursor, NoCursor},
    log::ReadError,
    rooms::follower::{Followed, Follower, Next},
    session::{Ended, HIGH_WATER},
    visits::Visitor,
    wire::{
        reply::{ErrorCode, Resume},
        to_json,
    },
};

/// What follows a cursor; if that is nothing, what comes until `late`.
pub(super) async fn follow(
    desk: &Desk,
    connection: &Connection,
    caller: &Caller,
    room: &Arc<str>,
    after: Option<&str>,
    limit: usize,
    late: Instant,
) -> Result<Response, Problem> {
    let since: Option<Result<Cursor, NoCursor>> = after.map(str::parse);
    let _place = desk.place(connection)?;
    let (hub, address) = (&desk.shared, connection.client.address);
    let room_of_visit = Some(Arc::clone(room));
    let visit = hub.enter(Visitor::new(
        "poll",
        caller.user_id(),
        address,
        room_of_visit,
    ));
    loop {
        let followed = Follower::enter(hub, room, caller.payer(), since.clone(), limit).await?;
        let mut events = Events::after(followed, since.as_ref(), limit);
        match visit.until(events.gather(late)).await {
            // What it was to begin with has just been dropped, or replaced by another history: where to go on from is to be judged anew.
            Ok(Ok(Gathered::NoLongerKept)) => {}
            Ok(Err(error)) => return Err(error.into()),
            Ok(Ok(Gathered::All)) | Err(Ended::Stopping) => {
                return Ok(json(StatusCode::OK, events.to_json()));
            }
            Err(ended) => return Err(Problem::new(ErrorCode::Forbidden, ended.reason())),
        }
    }
}

/// An answer on its way.
struct Events {
    follower: Follower,
    limit: usize,
    resume: Option<Resume>,
    /// Whether it goes on from where the client is. Else the client has to be told, and does not wait.
    goes_on: bool,
    frames: Vec<Bytes>,
    bytes: usize,
    /// What the client has with it.
    cursor: Cursor,
}

enum Gathered {
    All,
    NoLongerKept,
}

impl Events {
    fn after(followed: Followed, since: Option<&Result<Cursor, NoCursor>>, limit: usize) -> Self {
        let Followed {
            follower,
            state,
            judged,
        } = followed;
        let head = Cursor {
            epoch: state.bounds.epoch,
            mark: state.bounds.head,
        };
        let known = match (judged, since) {
            (Some(Ok(())), Some(Ok(since))) => Some(since.clone()),
            _ => None,
        };
        Self {
            follower,
            limit,
            resume: judged.map(Resume::from),
            goes_on: known.is_some(),
            frames: Vec::new(),
            bytes: 0,
            cursor: known.unwrap_or(head),
        }
    }

    /// Takes what is there, or waits until `late` for the first.
    async fn gather(&mut self, late: Instant) -> Result<Gathered, ReadError> {
        let mut late = if self.goes_on { late } else { Instant::now() };
        while self.frames.len() < self.limit && self.bytes < HIGH_WATER {
            let rest = self.limit - self.frames.len();
            match self.follower.next_by(rest, late).await? {
                Some(Next::Events(entries)) => {
                    for entry in entries {
                        let frame = self.follower.said_by(&entry);
                        self.bytes += frame.len();
                        self.frames.push(frame);
                        self.cursor = self.follower.cursor_of(&entry);
                    }
                    late = Instant::now();
                }
                Some(Next::Gap(..) | Next::Forked(_)) if self.frames.is_empty() => {
                    return Ok(Gathered::NoLongerKept);
                }
                Some(Next::Gap(..) | Next::Forked(_)) | None => break,
            }
        }
        Ok(Gathered::All)
    }

    fn to_json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.bytes + self.frames.len() + 128);
        json.extend(b"{\"room\":");
        json.extend(to_json(&self.follower.room()).bytes());
        if let Some(reason) = self.resume.and_then(Resume::reason) {
            json.extend(b",\"reset\":");
            json.extend(to_json(&reason).bytes());
        }
        json.extend(b",\"cursor\":");
        json.extend(to_json(&self.cursor.to_string()).bytes());
        json.extend(b",\"events\":[");
        for (at, frame) in self.frames.iter().enumerate() {
            if at > 0 {
                json.push(b',');
            }
            json.extend_from_slice(frame);
        }
        json.extend(b"]}");
        json
    }
}
