//! The rooms one session is in.

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    sync::Arc,
};

use fullduplex::Prepared;

use crate::{
    core::{Batch, Begin, Departure, Forked, Gap, History, OwnNumberMap, RoomState, User, Watch},
    rooms::{Place, RoomRef, Rooms, Visitor},
    session::Seat,
    traffic::Client,
};

/// A session's rooms and its cursor in each. Leaves them all when dropped, however the session
/// ends.
#[derive(Debug)]
pub(crate) struct Memberships {
    rooms: Arc<Rooms>,
    visitor: Visitor,
    /// Where the session comes from.
    client: Client,
    joined: Joined,
    /// How it leaves those it is still in when it ends.
    departure: Departure,
}

/// A session's place in a room.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) name: Arc<str>,
    /// The position of the next event the session needs.
    pub(crate) cursor: u64,
    /// The position of the first event that may have been said since it came.
    pub(crate) live_from: u64,
    /// The number of the newest notice that it had.
    pub(crate) notices: u64,
    /// Which of the room's histories it reads.
    pub(crate) history: History,
    /// It is here without being seen.
    pub(crate) is_channel: bool,
}

impl Memberships {
    pub(crate) fn new(rooms: Arc<Rooms>, visitor: Visitor, client: Client) -> Self {
        Self {
            rooms,
            visitor,
            client,
            joined: Joined::default(),
            departure: Departure::Lost,
        }
    }

    pub(crate) fn seat(&self) -> &Arc<Seat> {
        &self.visitor.seat
    }

    pub(crate) fn len(&self) -> usize {
        self.joined.len()
    }

    pub(crate) fn find(&self, name: &str) -> Option<RoomRef> {
        self.joined.find(name)
    }

    /// The room of a session that is in one.
    pub(crate) fn only(&self) -> Option<RoomRef> {
        self.joined.rooms().next()
    }

    pub(crate) fn get(&self, room: RoomRef) -> Option<&Membership> {
        self.joined.get(room)
    }

    pub(crate) fn get_mut(&mut self, room: RoomRef) -> Option<&mut Membership> {
        self.joined.get_mut(room)
    }

    /// Who the session is for.
    pub(crate) const fn client(&self) -> Client {
        self.client
    }

    /// Where the session comes from.
    pub(crate) const fn address(&self) -> IpAddr {
        self.client.address
    }

    /// The names of all, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        self.joined.all().map(|(_, place)| &place.name)
    }

    /// Joins a room this session is not in; as a channel, it neither sees anybody there nor is it seen. None if it has not been
    /// opened.
    pub(crate) fn join(
        &mut self,
        name: &str,
        user: Option<&Arc<User>>,
        is_channel: bool,
        watch: Watch,
        begin: Begin,
    ) -> Option<(RoomRef, RoomState)> {
        let user = user.filter(|_| !is_channel);
        let (room, joined) = self.rooms.join(name, &self.visitor, user, watch, begin)?;
        let place = Membership {
            name: joined.name,
            cursor: joined.cursor,
            live_from: joined.state.bounds.head.seq + 1,
            notices: joined.state.notices,
            history: joined.history,
            is_channel,
        };
        self.joined.insert(room, place);
        Some((room, joined.state))
    }

    pub(crate) fn leave(&mut self, name: &str) -> Option<RoomRef> {
        let room = self.joined.remove(name)?;
        let session = self.visitor.session;
        self.rooms.leave(room, session, Departure::Left);
        Some(room)
    }

    /// Shows the session's user differently in all its rooms where it is seen.
    pub(crate) fn rename(&self, user: &Arc<User>) {
        let is_seen = |room: &RoomRef| self.get(*room).is_some_and(|place| !place.is_channel);
        for room in self.joined.rooms().filter(is_seen) {
            self.rooms.rename(room, self.visitor.session, user);
        }
    }

    /// Says how the session ends; until then it looks as if its connection was lost.
    pub(crate) const fn depart(&mut self, departure: Departure) {
        self.departure = departure;
    }

    /// What a room is like now, watched so from now on.
    pub(crate) fn state(&mut self, room: RoomRef, watch: Watch) -> Option<RoomState> {
        let state = self.rooms.state(room, self.visitor.session, watch)?;
        self.joined.get_mut(room)?.notices = state.notices;
        Some(state)
    }

    /// What this session has to read next in a room; see [`Rooms::read`].
    pub(crate) fn read(
        &self,
        room: RoomRef,
        max_entries: usize,
        max_bytes: usize,
    ) -> Option<Result<Batch<Prepared>, Forked>> {
        let Membership {
            cursor,
            notices,
            history,
            ..
        } = *self.joined.get(room)?;
        let at = Place {
            history,
            cursor,
            notices,
        };
        let session = self.visitor.session;
        Some(self.rooms.read(room, session, at, max_entries, max_bytes))
    }

    /// Whether a room has another history than the one that this session reads.
    pub(crate) fn has_forked(&self, room: RoomRef) -> bool {
        let place = self.joined.get(room);
        place.is_some_and(|place| self.rooms.has_forked(room, place.history))
    }

    /// What a room's ring lacks of what this session needs.
    pub(crate) fn gap(&self, room: RoomRef) -> Option<Gap> {
        let place = self.joined.get(room)?;
        self.rooms.gap(room, place.cursor)
    }

    /// Whether this session is more than `max` events behind in one of `rooms`, of those that were said since it came.
    pub(crate) fn lags(&self, rooms: &VecDeque<RoomRef>, max: usize) -> bool {
        rooms
            .iter()
            .filter_map(|room| Some((room, self.joined.get(*room)?)))
            .any(|(room, place)| {
                self.rooms
                    .lag(*room, place.cursor.max(place.live_from))
                    .is_none_or(|behind| behind > max)
            })
    }
}

impl Drop for Memberships {
    fn drop(&mut self) {
        for room in self.joined.rooms() {
            let session = self.visitor.session;
            self.rooms.leave(room, session, self.departure);
        }
    }
}

/// Memberships, one of which has its place in the session itself: most have one, and a delivery looks for it.
#[derive(Debug, Default)]
struct Joined {
    here: Option<(RoomRef, Membership)>,
    others: Option<Box<Others>>,
}

/// Those behind the first.
#[derive(Debug, Default)]
struct Others {
    by_room: OwnNumberMap<RoomRef, Membership>,
    by_name: BTreeMap<Arc<str>, RoomRef>,
}

impl Joined {
    fn len(&self) -> usize {
        self.all().count()
    }

    fn all(&self) -> impl Iterator<Item = (RoomRef, &Membership)> {
        let others = self.others.iter().flat_map(|others| &others.by_room);
        let here = self.here.iter().map(|(room, place)| (*room, place));
        here.chain(others.map(|(room, place)| (*room, place)))
    }

    fn rooms(&self) -> impl Iterator<Item = RoomRef> {
        self.all().map(|(room, _)| room)
    }

    fn find(&self, name: &str) -> Option<RoomRef> {
        match &self.here {
            Some((here, place)) if *place.name == *name => Some(*here),
            _ => self.others.as_ref()?.by_name.get(name).copied(),
        }
    }

    fn get(&self, room: RoomRef) -> Option<&Membership> {
        match &self.here {
            Some((here, place)) if *here == room => Some(place),
            _ => self.others.as_ref()?.by_room.get(&room),
        }
    }

    fn get_mut(&mut self, room: RoomRef) -> Option<&mut Membership> {
        match &mut self.here {
            Some((here, place)) if *here == room => Some(place),
            _ => self.others.as_mut()?.by_room.get_mut(&room),
        }
    }

    fn insert(&mut self, room: RoomRef, place: Membership) {
        if self.here.is_none() {
            self.here = Some((room, place));
        } else {
            let others = self.others.get_or_insert_default();
            others.by_name.insert(Arc::clone(&place.name), room);
            others.by_room.insert(room, place);
        }
    }

    fn remove(&mut self, name: &str) -> Option<RoomRef> {
        let is_here = |(_, place): &mut (RoomRef, Membership)| *place.name == *name;
        if let Some((room, _)) = self.here.take_if(is_here) {
            return Some(room);
        }
        let others = self.others.as_mut()?;
        let room = others.by_name.remove(name)?;
        others.by_room.remove(&room);
        Some(room)
    }
}
