//! Events that a room's ring no longer has, and the log still does.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use fullduplex::CloseCode;

use super::{Dialect, HIGH_WATER, MAX_BATCH, Parcel, Session, Stop};
use crate::{
    core::{Entry, Event, Gap},
    log::{Answer, PageSize, ReadError, Start, Tail},
    rooms::RoomRef,
    wire::event,
};

/// What a session reads from the log, one page of one room at a time.
#[derive(Debug, Default)]
pub(super) struct CatchUp(Option<Box<Page>>);

#[derive(Debug)]
struct Page {
    room: RoomRef,
    state: State,
    /// Rooms that are behind their ring, too, and wait for their turn.
    behind: VecDeque<RoomRef>,
}

#[derive(Debug)]
enum State {
    Asked {
        tail: Answer<Tail, ReadError>,
        /// Whether the session's task is woken when it comes.
        is_awaited: bool,
    },
    Here(VecDeque<Event>),
}

impl CatchUp {
    /// Whether a page was asked for that nobody waits for yet.
    pub(super) fn is_new(&self) -> bool {
        let state = self.0.as_ref().map(|page| &page.state);
        matches!(
            state,
            Some(State::Asked {
                is_awaited: false,
                ..
            })
        )
    }

    /// Whether what a room's ring does not have is being read.
    pub(super) fn is_of(&self, room: RoomRef) -> bool {
        self.0.as_ref().is_some_and(|page| page.room == room)
    }

    /// Gives up what was read for a room.
    pub(super) fn leave(&mut self, room: RoomRef) {
        let Some(page) = &mut self.0 else { return };
        page.behind.retain(|other| *other != room);
        if page.room == room {
            page.state = State::Here(VecDeque::new());
        }
    }
}

impl Session {
    /// A room's ring does not have what this session needs next: asks the log.
    pub(super) fn fall_behind(&mut self, room: RoomRef) {
        if let Some(page) = &mut self.catch_up.0 {
            if !page.behind.contains(&room) {
                page.behind.push_back(room);
            }
            return;
        }
        let Some(place) = self.rooms.get(room) else {
            return;
        };
        let size = PageSize {
            events: MAX_BATCH,
            bytes: HIGH_WATER,
        };
        let log = &self.hub.log;
        let state = State::Asked {
            tail: log.tail(&place.name, Start::At(place.cursor), size),
            is_awaited: false,
        };
        self.catch_up.0 = Some(Box::new(Page {
            room,
            state,
            behind: VecDeque::new(),
        }));
    }

    /// For the session's task: takes what the log answered.
    pub(super) fn poll_catch_up(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Some(page) = &mut self.catch_up.0 else {
            return Ok(());
        };
        let State::Asked { tail, is_awaited } = &mut page.state else {
            return Ok(());
        };
        *is_awaited = true;
        let Poll::Ready(tail) = Pin::new(tail).poll(cx) else {
            return Ok(());
        };
        let Tail { bounds, events } =
            tail.map_err(|error| Stop::close(CloseCode::TRY_AGAIN_LATER, &error.to_string()))?;
        page.state = State::Here(events.into());
        if let Some(place) = self.rooms.get_mut(page.room)
            && place.cursor <= bounds.floor.seq
        {
            let gap = Gap {
                from: place.cursor,
                to: bounds.floor.seq,
            };
            place.cursor = gap.to + 1;
            if let Dialect::V1 { .. } = self.dialect {
                self.outbox.push(event::gap(&place.name, gap));
            }
        }
        self.ready.push_back(page.room);
        Ok(())
    }

    /// Packs what was read for a room, and lets the next one have its turn when that was all. None if nothing was read for
    /// this one.
    pub(super) fn pack_caught_up(&mut self, room: RoomRef, parcel: &mut Parcel) -> Option<()> {
        let mut page = self.catch_up.0.take_if(|page| page.room == room)?;
        let State::Here(events) = &mut page.state else {
            self.catch_up.0 = Some(page);
            return None;
        };
        while !parcel.is_full()
            && let Some(event) = events.pop_front()
        {
            let Some(place) = self.rooms.get_mut(room) else {
                continue;
            };
            // Else it came meanwhile, with what the room had for all.
            if place.cursor <= event.seq {
                place.cursor = event.seq + 1;
                if self.dialect.form().says(&event.what) {
                    parcel.push(self.frame(&Entry::new(event)));
                }
            }
        }
        if events.is_empty() {
            self.ready.append(&mut page.behind);
            if self.rooms.is_behind(room) {
                self.fall_behind(room);
            }
        } else {
            self.catch_up.0 = Some(page);
        }
        Some(())
    }
}
