//! Joins on their way: a room may first have to come out of the log.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::Session;
use crate::{
    core::{Bounds, Cursor, JoinRefused, NoCursor, RoomState, Watch},
    log::{Answer, ReadError, ReadMark},
    rooms::entrance::{Entrance, Judged},
    wire::{
        command::{DEFAULT_BACKLOG, Id, Join, checked_room},
        reply::{self, ErrorCode, Failure, PeopleForm, Resume, RoomForm, RoomResult},
    },
};

/// Members that the reply to a `hello` lists, of all rooms together: as many as a handful of full lists, some 100 KiB.
const MAX_HELLO_MEMBERS: usize = 1_000;

/// Rooms that a client wants into, one after the other. Meanwhile no other command is taken.
#[derive(Debug)]
pub(super) struct Joining {
    id: Option<Id>,
    /// By `hello`: it is answered with all of them, and what they have follows.
    is_hello: bool,
    /// The first is on its way.
    doors: VecDeque<Door>,
    /// What came of the others.
    rooms: Vec<Outcome>,
}

/// A room, and what came of it.
pub(super) type Outcome = (Arc<str>, Result<Entered, Failure>);

/// A room that a client wants into.
#[derive(Debug)]
pub(super) struct Door {
    room: Arc<str>,
    /// Without being seen there.
    is_channel: bool,
    /// The newest events wanted, where it does not go on from a cursor.
    backlog: usize,
    /// What the client has.
    since: Option<Result<Cursor, NoCursor>>,
    watch: Watch,
    mark: Option<ReadMark>,
    step: Step,
}

/// What is next, or waited for.
#[derive(Debug)]
enum Step {
    Outside,
    /// For how far the user has read.
    Marking(Answer<ReadMark, ReadError>),
    Opening(Entrance),
    /// The client was there before.
    Inside,
}

/// A room that was joined.
#[derive(Debug)]
pub(super) struct Entered {
    state: RoomState,
    resume: Option<Resume>,
    is_channel: bool,
    mark: Option<ReadMark>,
}

impl Door {
    pub(super) fn new(join: &Join<'_>, is_channel: bool) -> Self {
        Self {
            room: (&*join.room).into(),
            is_channel,
            backlog: join.backlog,
            since: join.since.as_ref().map(|since| since.parse()),
            watch: if is_channel {
                Watch::Nothing
            } else {
                join.watch
            },
            mark: None,
            step: Step::Outside,
        }
    }

    /// Into a room that `hello` wants to go on in.
    pub(super) fn resumed(room: &str, since: &str) -> Self {
        let join = Join {
            room: room.into(),
            backlog: DEFAULT_BACKLOG,
            since: Some(since.into()),
            watch: Watch::List,
        };
        Self::new(&join, false)
    }

    fn entered(&self, state: RoomState, judged: Judged) -> Entered {
        Entered {
            state,
            resume: judged.map(Resume::from),
            is_channel: self.is_channel,
            mark: self.mark,
        }
    }
}

impl Entered {
    /// The reply, with at most so many members.
    fn form<'a>(&'a self, room: &'a str, max_members: usize) -> RoomForm<'a> {
        let RoomState {
            bounds: Bounds { epoch, floor, head },
            count,
            people,
            ..
        } = &self.state;
        let cursor = Cursor {
            epoch: Arc::clone(epoch),
            mark: *head,
        };
        let listed = people.iter().filter(|_| people.len() <= max_members);
        let people = PeopleForm {
            count: *count,
            read: self.mark.map(|mark| mark.seq),
            unread: self.mark.map(|mark| mark.unread),
            members: listed.map(Into::into).collect(),
        };
        RoomForm {
            room,
            resume: self.resume,
            epoch,
            head: head.seq,
            floor: floor.seq + 1,
            cursor: cursor.to_string(),
            people: (!self.is_channel).then_some(people),
        }
    }
}

/// Keeps the mark that is further: two ways of hearing of one may cross.
fn later(known: &mut Option<ReadMark>, mark: ReadMark) {
    if known.is_none_or(|known| known.seq <= mark.seq) {
        *known = Some(mark);
    }
}

/// What came of the rooms that `hello` wanted to go on in.
pub(super) fn forms(rooms: &[Outcome]) -> BTreeMap<&str, RoomResult<'_>> {
    let mut may_list = MAX_HELLO_MEMBERS;
    let mut forms = BTreeMap::new();
    for (room, result) in rooms {
        let form = match result {
            Ok(entered) => {
                let form = entered.form(room, may_list);
                may_list -= form
                    .people
                    .as_ref()
                    .map_or(0, |people| people.members.len());
                RoomResult::Joined(form)
            }
            Err(err) => RoomResult::Refused { err },
        };
        forms.insert(&**room, form);
    }
    forms
}

impl Session {
    pub(super) fn join(&mut self, door: Door, id: Option<&Id>) {
        self.joining = Some(Box::new(Joining {
            id: id.cloned(),
            is_hello: false,
            doors: VecDeque::from([door]),
            rooms: Vec::new(),
        }));
    }

    /// Joins these rooms before `hello` is answered.
    pub(super) fn join_for_hello(&mut self, doors: VecDeque<Door>, id: Option<&Id>) {
        self.joining = Some(Box::new(Joining {
            id: id.cloned(),
            is_hello: true,
            rooms: Vec::with_capacity(doors.len()),
            doors,
        }));
    }

    /// Whether what rooms have waits, for a reply that comes first.
    pub(super) fn holds_rooms(&self) -> bool {
        self.joining
            .as_ref()
            .is_some_and(|joining| joining.is_hello)
    }

    /// Whether the reply to a join that is under way tells how far the user has read a room.
    pub(super) fn is_told_on_joining(&mut self, room: &str, mark: ReadMark) -> bool {
        let Some(joining) = &mut self.joining else {
            return false;
        };
        let doors = joining.doors.iter_mut();
        let outside = doors.filter(|door| !door.is_channel);
        let outside = outside.map(|door| (&door.room, &mut door.mark));
        let inside = joining.rooms.iter_mut().filter_map(|(name, result)| {
            let entered = result.as_mut().ok().filter(|entered| !entered.is_channel)?;
            Some((&*name, &mut entered.mark))
        });
        let mut found = outside.chain(inside);
        let Some((_, known)) = found.find(|(name, _)| ***name == *room) else {
            return false;
        };
        later(known, mark);
        true
    }

    /// Goes on with the joins that are under way.
    pub(super) fn poll_joining(&mut self, cx: &mut Context<'_>) {
        let Some(mut joining) = self.joining.take() else {
            return;
        };
        while let Some(mut door) = joining.doors.pop_front() {
            match self.poll_enter(&mut door, cx) {
                Poll::Ready(result) => joining.rooms.push((door.room, result)),
                Poll::Pending => {
                    joining.doors.push_front(door);
                    self.joining = Some(joining);
                    return;
                }
            }
        }
        self.answer_joining(&joining);
    }

    /// Takes back that a `hello` under way has joined a room, which its reply is to say. Says whether it had.
    pub(super) fn joins_in_vain(&mut self, room: &str) -> bool {
        let joining = self.joining.as_mut().filter(|joining| joining.is_hello);
        let mut rooms = joining.into_iter().flat_map(|joining| &mut joining.rooms);
        let joined = rooms.find(|(name, result)| **name == *room && result.is_ok());
        let Some((_, result)) = joined else {
            return false;
        };
        let why = "you were sent out of this room";
        *result = Err(Failure::new(ErrorCode::Forbidden, why));
        true
    }

    fn answer_joining(&mut self, joining: &Joining) {
        let id = joining.id.as_ref();
        if joining.is_hello {
            self.welcome(id, Some(&joining.rooms));
            return;
        }
        for (room, result) in &joining.rooms {
            match result {
                Ok(entered) => self.reply(id, &entered.form(room, usize::MAX)),
                Err(failure) => self.outbox.push(reply::refusal(id, failure)),
            }
        }
    }

    fn poll_enter(
        &mut self,
        door: &mut Door,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Entered, Failure>> {
        loop {
            door.step = match &mut door.step {
                Step::Outside => {
                    self.check(door)?;
                    self.marking(door)
                }
                Step::Marking(mark) => {
                    // What can't be told now is no reason to stay outside.
                    if let Ok(mark) = ready!(Pin::new(mark).poll(cx)) {
                        later(&mut door.mark, mark);
                    }
                    self.opening(door)
                }
                Step::Opening(entrance) => {
                    let (begin, judged) = ready!(entrance.poll(&self.hub, cx))?;
                    // Not if that has changed meanwhile.
                    self.may_enter(&door.room)?;
                    let (user, is_channel) = (self.client.user(), door.is_channel);
                    if let Some((room, state)) = self
                        .rooms
                        .join(&door.room, user, is_channel, door.watch, begin)
                    {
                        self.ready.push_back(room);
                        if let Some(judged) = judged {
                            self.hub.metrics.resumed(judged);
                        }
                        return Poll::Ready(Ok(door.entered(state, judged)));
                    }
                    // It changed since it was opened; see `Entrance::again`.
                    self.opening(door)
                }
                Step::Inside => {
                    let room = self.rooms.find(&door.room);
                    match room.and_then(|room| self.rooms.state(room, door.watch)) {
                        Some(state) => return Poll::Ready(Ok(door.entered(state, None))),
                        None => self.opening(door),
                    }
                }
            };
        }
    }

    /// Whether the client may want into a room.
    fn check(&self, door: &Door) -> Result<(), Failure> {
        checked_room((&*door.room).into())?;
        self.may_enter(&door.room)?;
        let room = self.rooms.find(&door.room);
        match room.and_then(|room| self.rooms.get(room)) {
            Some(place) if place.is_channel == door.is_channel => Ok(()),
            Some(_) => {
                let why = "the room was joined the other way; leave it first";
                Err(Failure::new(ErrorCode::Conflict, why))
            }
            None if self.rooms.len() < self.hub.config.limits.rooms_per_connection => Ok(()),
            None => {
                let why = "too many rooms joined";
                Err(Failure::new(ErrorCode::RateLimited, why))
            }
        }
    }

    fn marking(&self, door: &Door) -> Step {
        if door.is_channel {
            return self.opening(door);
        }
        let mark = self.hub.projection.mark(&door.room, self.client.id());
        Step::Marking(mark)
    }

    fn opening(&self, door: &Door) -> Step {
        if self.rooms.find(&door.room).is_some() {
            return Step::Inside;
        }
        let (hub, payer) = (&self.hub, self.payer());
        let since = door.since.clone();
        Step::Opening(Entrance::new(hub, &door.room, payer, door.backlog, since))
    }
}

impl From<JoinRefused> for Failure {
    fn from(refused: JoinRefused) -> Self {
        match refused {
            JoinRefused::Full => Self::new(
                ErrorCode::Unavailable,
                "the server has as many rooms as it may",
            ),
            JoinRefused::ShareUsed => Self::new(
                ErrorCode::RateLimited,
                "too many rooms were made from your address",
            ),
            JoinRefused::Unreadable => {
                Self::new(ErrorCode::Unavailable, "the room can't be read right now")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Person, User};

    fn entered(members: usize) -> Entered {
        let user = Arc::new(User {
            id: "u_1".into(),
            name: "Ana".into(),
            avatar: "0".into(),
        });
        let person = Person {
            user,
            is_away: false,
        };
        Entered {
            state: RoomState {
                bounds: Bounds::empty("k3f9".into()),
                count: members,
                people: vec![person; members],
                notices: 0,
            },
            resume: None,
            is_channel: false,
            mark: None,
        }
    }

    #[test]
    fn a_hello_lists_members_until_there_are_enough_and_counts_all() {
        let sizes = [600, 500, 400, 1];
        let rooms = sizes.map(|members| (format!("{members:03}").into(), Ok(entered(members))));
        let listed = forms(&rooms).into_values().map(|form| match form {
            RoomResult::Joined(RoomForm {
                people: Some(people),
                ..
            }) => (people.count, people.members.len()),
            other => panic!("{other:?}"),
        });
        // In the order in which they were joined.
        let expected = [(1, 0), (400, 400), (500, 0), (600, 600)];
        assert_eq!(listed.collect::<Vec<_>>(), expected);
    }
}
