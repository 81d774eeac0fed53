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
    /// [What was rewritten](crate::rooms::Rooms::rewrites) before it was asked for.
    rewrites: u64,
    /// Up to here the ring had nothing any more when it was asked for.
    until: u64,
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
        // Before it is asked for: what is erased meanwhile may be in it.
        let rewrites = self.hub.rooms.rewrites(room.shard);
        let until = self.rooms.gap(room).map_or(0, |gap| gap.to);
        let state = State::Asked {
            tail: log.tail(&place.name, Start::At(place.cursor), size),
            is_awaited: false,
        };
        self.catch_up.0 = Some(Box::new(Page {
            room,
            state,
            rewrites,
            until,
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
        let tail =
            tail.map_err(|error| Stop::close(CloseCode::TRY_AGAIN_LATER, &error.to_string()))?;
        if self.rooms.has_forked(page.room) {
            // It may be of the new history, before the client knows of that.
            page.state = State::Here(VecDeque::new());
            self.ready.push_back(page.room);
            return Ok(());
        }
        let gone = tail.gone(page.until);
        page.state = State::Here(tail.events.into());
        if let Some(place) = self.rooms.get_mut(page.room)
            && place.cursor <= gone
        {
            let gap = Gap {
                from: place.cursor,
                to: gone,
            };
            place.cursor = gap.to + 1;
            if let Dialect::V1 { .. } = self.dialect {
                self.outbox.push(event::gap(&place.name, gap));
            } else if place.live_from <= gap.to {
                // It can't be told that there was something since it came.
                return Err(self.dialect.too_slow());
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
        if page.rewrites != self.hub.rooms.rewrites(room.shard) {
            // Perhaps they say what was erased since they were read, or are of another history.
            events.clear();
        }
        while !parcel.is_full()
            && let Some(event) = events.pop_front()
        {
            let Some(place) = self.rooms.get_mut(room) else {
                continue;
            };
            // Else it came meanwhile, with what the room had for all.
            if place.cursor <= event.seq {
                place.cursor = event.seq + 1;
                self.hub.rooms.delivered(1);
                if self.dialect.form().says(&event.what) {
                    parcel.push(self.frame(&Entry::new(event)));
                }
            }
        }
        if events.is_empty() {
            self.ready.append(&mut page.behind);
            if self.rooms.gap(room).is_some() {
                self.fall_behind(room);
            }
        } else {
            self.catch_up.0 = Some(page);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::{ops::Range, sync::Arc, task::Waker};

    use fullduplex::{Acceptor, Forwarded, WebSocket};
    use fullduplex_testkit::Peer;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        config::{Config, Limits},
        core::{Begin, Bounds, Cursor, Mark, Watch},
        log::{Appended, Committed, conformance::says},
        session::seat_tests::{self, CLIENT, V1, hub_with, round, say, session},
    };

    /// A session that is written for by hand.
    struct Slow {
        session: Box<Session>,
        ws: WebSocket,
        peer: Peer,
    }

    impl Slow {
        /// In a room where nothing was said yet, with a ring of one event.
        async fn new() -> (Self, Box<Session>) {
            let limits = Limits {
                ring_events: 1,
                ..Limits::default()
            };
            let config = Config {
                limits,
                ..Config::default()
            };
            let hub = hub_with(config).await;
            let (io, peer) = Peer::client();
            let slow = Self {
                session: session(&hub, V1).await,
                ws: Acceptor::new().accept(io).await.unwrap(),
                peer,
            };
            (slow, session(&hub, Dialect::Json).await)
        }

        fn room(&self) -> RoomRef {
            self.session.rooms.only().unwrap()
        }

        /// Writes what there is for it, but no more than one frame if the socket is nearly full.
        fn write(&mut self, is_nearly_full: bool) {
            let cx = &mut Context::from_waker(Waker::noop());
            self.session.poll_log(cx).unwrap();
            let mut parcel = Parcel::default();
            parcel.begin(if is_nearly_full { HIGH_WATER - 1 } else { 0 });
            self.session.pack(&mut parcel).unwrap();
            assert!(parcel.poll_send(&mut self.ws, cx).is_ready());
        }

        /// Gets all that there is.
        fn catch_up(&mut self) {
            for _ in 0..8 {
                self.write(false);
            }
        }

        /// The bodies of what was said in a room, as they came.
        fn said(&self, room: &str) -> Vec<String> {
            let events = self.peer.frames();
            let events = events
                .iter()
                .map(seat_tests::json)
                .filter(|event| event["room"] == *room);
            events
                .map(|event| event["body"].as_str().unwrap_or("?").to_owned())
                .collect()
        }
    }

    #[tokio::test]
    async fn what_a_room_had_for_all_is_not_taken_from_the_log_again() {
        let (mut slow, mut author) = Slow::new().await;
        say(&mut author, 0..2);
        let last = round(&slow.session.hub, &author);
        slow.session.ready.push_back(slow.room());
        // It asks, and gets the first of the two.
        slow.write(false);
        slow.write(true);
        assert_eq!(slow.said("general"), ["0"]);
        let followed = slow.session.follow(&last, &mut slow.ws);
        assert_eq!(followed, Some(Forwarded::Written));
        slow.catch_up();
        assert_eq!(slow.said("general"), ["0", "1"]);
    }

    #[tokio::test]
    async fn s26_what_was_read_before_an_erasure_is_read_again() {
        let (mut slow, _author) = Slow::new().await;
        let hub = Arc::clone(&slow.session.hub);
        for (user, body) in [
            ("u1", "first"),
            ("u1", "secret"),
            ("u2", "kept"),
            ("u2", "last"),
        ] {
            let draft = says(user, body, body);
            hub.log.append(draft).await.unwrap();
        }
        slow.session.ready.push_back(slow.room());
        // It asks, and gets the first of them.
        slow.write(false);
        slow.write(true);
        assert_eq!(slow.said("general"), ["first"]);
        assert_eq!(hub.log.erase(&"u1".into()).await, Ok(2));
        slow.catch_up();
        assert_eq!(slow.said("general"), ["first", "?", "kept", "last"]);
    }

    /// Puts into the ring what the log never had.
    fn lose(slow: &Slow, messages: Range<u64>) {
        let hub = &slow.session.hub;
        for seq in messages {
            let place = Appended {
                seq,
                id: "id".into(),
                ts: 0,
                duplicate: false,
            };
            let draft = says("u1", &seq.to_string(), &seq.to_string());
            hub.rooms.committed(draft.into_event(&place, seq - 1));
        }
    }

    #[tokio::test]
    async fn what_the_log_lost_is_a_gap_and_not_asked_for_again() {
        let (mut slow, _author) = Slow::new().await;
        lose(&slow, 1..4);
        slow.session.ready.push_back(slow.room());
        slow.catch_up();
        let frames = slow.peer.frames();
        let events: Vec<_> = frames.iter().map(seat_tests::kind).collect();
        assert_eq!(events, ["gap", "msg"]);
        assert_eq!(slow.said("general"), ["?", "3"]);
    }

    #[tokio::test]
    async fn a_plain_client_that_lost_something_is_closed() {
        let (slow, _author) = Slow::new().await;
        let mut plain = session(&slow.session.hub, Dialect::Json).await;
        lose(&slow, 1..4);
        // As while it is given history.
        plain.fall_behind(slow.room());
        let cx = &mut Context::from_waker(Waker::noop());
        let Err(Stop::Close(frame)) = plain.poll_log(cx) else {
            panic!("it goes on")
        };
        assert_eq!(frame.code(), CloseCode::TRY_AGAIN_LATER);
        assert_eq!(frame.reason(), "too slow");
    }

    #[tokio::test]
    async fn history_that_takes_long_is_no_lag_of_a_plain_client() {
        let (slow, mut author) = Slow::new().await;
        say(&mut author, 0..3);
        let hub = &slow.session.hub;
        let mut plain = Session::new(hub, Dialect::Json, CLIENT);
        plain.enter("general", 3).await.unwrap();
        let room = slow.room();
        plain.ready.push_back(room);
        plain.check_lag().unwrap();
        say(&mut author, 3..5);
        // Of two the ring has one.
        assert!(plain.check_lag().is_err());
    }

    #[tokio::test]
    async fn of_two_rooms_that_are_behind_each_has_its_turn() {
        let (mut slow, mut author) = Slow::new().await;
        let mut other = Session::new(&slow.session.hub, Dialect::Json, CLIENT);
        other.enter("other", 0).await.unwrap();
        let begin = Begin::Newest { count: 0, from: 0 };
        let joined = slow
            .session
            .rooms
            .join("other", None, true, Watch::Nothing, begin);
        let (room, _) = joined.unwrap();
        say(&mut author, 0..3);
        say(&mut other, 3..6);
        slow.session.ready.extend([slow.room(), room]);
        slow.catch_up();
        assert_eq!(slow.said("general"), ["0", "1", "2"]);
        assert_eq!(slow.said("other"), ["3", "4", "5"]);
    }

    #[tokio::test]
    async fn what_was_read_for_a_room_that_is_left_is_not_for_who_comes_back_with_an_older_cursor()
    {
        let (mut slow, mut author) = Slow::new().await;
        say(&mut author, 0..5);
        slow.session.rooms.get_mut(slow.room()).unwrap().cursor = 3;
        slow.session.ready.push_back(slow.room());
        slow.write(false);
        slow.session.leave("general");
        let hub = &slow.session.hub;
        let bounds = hub.log.bounds(&"general".into()).await.unwrap();
        let begin = Begin::After(Cursor {
            epoch: bounds.epoch,
            mark: Mark::START,
        });
        let joined = slow
            .session
            .rooms
            .join("general", None, true, Watch::Nothing, begin);
        assert_eq!(joined.unwrap().0, slow.room());
        slow.catch_up();
        assert_eq!(slow.said("general"), ["0", "1", "2", "3", "4"]);
    }

    #[tokio::test]
    async fn a_room_that_is_left_waits_for_no_turn() {
        let (mut slow, mut author) = Slow::new().await;
        let begin = Begin::Newest { count: 0, from: 0 };
        let mut other = Session::new(&slow.session.hub, Dialect::Json, CLIENT);
        other.enter("other", 0).await.unwrap();
        let joined = slow
            .session
            .rooms
            .join("other", None, true, Watch::Nothing, begin);
        let (room, _) = joined.unwrap();
        say(&mut author, 0..2);
        say(&mut other, 0..2);
        slow.session.ready.extend([slow.room(), room]);
        slow.write(false);
        slow.session.leave("other");
        let page = slow.session.catch_up.0.as_ref().unwrap();
        assert!(page.behind.is_empty());
    }

    #[tokio::test]
    async fn what_is_read_of_a_history_that_is_left_is_not_given_in_the_next_one() {
        for is_here in [false, true] {
            let (mut slow, mut author) = Slow::new().await;
            let hub = Arc::clone(&slow.session.hub);
            say(&mut author, 0..3);
            slow.session.ready.push_back(slow.room());
            slow.write(false);
            if is_here {
                // The page is there, and one of its events has left.
                slow.write(true);
            }
            let bounds = hub.log.bounds(&"general".into()).await.unwrap();
            let epoch = "new".into();
            hub.rooms.forked("general", &Bounds { epoch, ..bounds });
            slow.catch_up();
            say(&mut author, 3..4);
            slow.session.ready.push_back(slow.room());
            slow.catch_up();
            let frames = slow.peer.frames();
            let bodies: Vec<_> = frames
                .iter()
                .map(|frame| seat_tests::json(frame)["body"].clone())
                .collect();
            let [.., reset, new] = &bodies[..] else {
                panic!("{bodies:?}")
            };
            assert_eq!((reset, new), (&Value::Null, &json!("3")));
            assert_eq!(bodies.len(), if is_here { 3 } else { 2 }, "{bodies:?}");
        }
    }

    #[tokio::test]
    async fn nothing_of_a_new_history_is_given_before_it_is_told() {
        let (mut slow, mut author) = Slow::new().await;
        let hub = Arc::clone(&slow.session.hub);
        say(&mut author, 0..3);
        let bounds = hub.log.bounds(&"general".into()).await.unwrap();
        let epoch = "new".into();
        hub.rooms.forked("general", &Bounds { epoch, ..bounds });
        // It was about to ask when the log forked.
        slow.session.fall_behind(slow.room());
        slow.catch_up();
        let frames = slow.peer.frames();
        let events: Vec<_> = frames.iter().map(seat_tests::kind).collect();
        assert_eq!(events, ["reset"]);
    }

    #[tokio::test]
    async fn a_plain_client_goes_on_in_a_new_history_if_it_had_all_of_the_old_one() {
        let (slow, mut author) = Slow::new().await;
        let hub = Arc::clone(&slow.session.hub);
        let mut plain = session(&hub, Dialect::Text).await;
        say(&mut author, 0..1);
        let room = slow.room();
        let fork = |epoch: &str| {
            let bounds = Bounds::empty(epoch.into());
            hub.rooms.forked("general", &bounds);
        };
        let pack = |plain: &mut Session| {
            plain.ready.push_back(room);
            plain.pack(&mut Parcel::default())
        };
        pack(&mut plain).unwrap();
        fork("new");
        pack(&mut plain).unwrap();
        assert_eq!(plain.rooms.get(room).unwrap().cursor, 1);
        fork("newer");
        fork("newest");
        let Err(Stop::Close(frame)) = pack(&mut plain) else {
            panic!("it goes on")
        };
        assert_eq!(frame.code(), CloseCode::TRY_AGAIN_LATER);
        assert_eq!(frame.reason(), "the room begins anew");
    }
}
