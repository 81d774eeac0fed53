//! One message to many connections.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use fullduplex_proto::{Outgoing, Prepared};
use parking_lot::{Mutex, MutexGuard};

use crate::{
    drain::{Current, Drain, Turn, unbudgeted},
    outbox::Outbox,
    round::{Added, Round},
    sender::{Sender, Sent, TrySendErrorKind, WeakSender},
};

/// Members from which on a join looks for dead ones. It does so each time their number has doubled.
const PRUNE_FROM: usize = 64;

/// A group of connections, each under a key, to which messages are sent together.
///
/// It keeps no connection open and never waits for one: what becomes of a message for a member whose queue is full, its
/// own [`Overflow`](crate::Overflow) says. Members whose connection has ended are removed when a message is sent, and from time
/// to time when another joins. A member costs its key and a pointer; at most as many are kept as were alive at once, twice.
///
/// ```no_run
/// # use fullduplex::{Broadcast, Error, Message, Overflow, Prepared, WebSocket};
/// async fn chat(room: &Broadcast<u64>, id: u64, ws: WebSocket) -> Result<(), Error> {
///     let (mut read, write) = ws.split();
///     let sender = write.into_sender(Overflow::Close);
///     room.join(id, &sender);
///     while let Some(message) = read.recv().await? {
///         room.send(&Prepared::new(&message));
///     }
///     Ok(())
/// }
/// ```
pub struct Broadcast<K> {
    members: Mutex<Members<K>>,
    drain: Arc<Drain>,
}

struct Members<K> {
    all: HashMap<K, Member>,
    /// All are chosen, whatever they say.
    everybody: bool,
    prune_at: usize,
}

struct Member {
    sender: WeakSender,
    /// Its place in the current round; [`NOWHERE`] if it joined after that was opened.
    place: usize,
    /// Its place among those apart, if it is there.
    apart: usize,
    /// It is to get the message that is being sent.
    chosen: bool,
}

/// No round has so many places.
const NOWHERE: usize = usize::MAX;

/// What became of a message to a group: how many members each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivery {
    /// It is in their queues.
    pub sent: usize,
    /// Their queues were full, and they miss it.
    pub dropped: usize,
    /// Messages dropped from queues for this one.
    pub displaced: usize,
    /// Their queues were full, and for that they are being closed.
    pub closed: usize,
    /// Their connections had ended, or were about to. They are no longer members, like those that were closed.
    pub gone: usize,
}

impl<K: Eq + Hash> Broadcast<K> {
    /// A group without members.
    pub fn new() -> Self {
        Self {
            members: Mutex::new(Members {
                all: HashMap::new(),
                everybody: false,
                prune_at: PRUNE_FROM,
            }),
            drain: Arc::default(),
        }
    }

    /// Adds a connection, and says whether its key was free: else it takes the place of another.
    pub fn join(&self, key: K, sender: &Sender) -> bool {
        let mut members = self.members();
        if members.all.len() >= members.prune_at {
            members.prune(self.drain.current().round.as_deref());
        }
        let member = Member {
            sender: sender.downgrade(),
            place: NOWHERE,
            apart: NOWHERE,
            chosen: false,
        };
        let replaced = members.all.insert(key, member);
        replaced.map(|member| self.part(&member)).is_none()
    }

    /// Removes a connection, and says whether it was a member.
    ///
    /// Only a connection that goes on has to leave: one that has ended is removed by the next message. Somebody who has come back
    /// under the same key would be removed in its place.
    pub fn leave(&self, key: &K) -> bool {
        let mut members = self.members();
        let left = members.all.remove(key);
        left.map(|member| self.part(&member)).is_some()
    }

    /// Sends a message to all members. It never waits: the message leaves when the task that sends has had its turn, and with it, in
    /// one write for each member, all that was sent to the group meanwhile.
    ///
    /// When several tasks send, all members get the messages in the same order, and what is sent to one of them alone keeps its
    /// place among them.
    pub fn send(&self, message: &Prepared) -> Delivery {
        let members = self.members();
        let all = members.all.len();
        self.deliver_unbudgeted(members, all, message)
    }

    /// As [`send`](Self::send), to the members whose key `f` chooses: `|key| *key != mine`. It is called under the group's lock, so it
    /// must not use the group itself.
    pub fn send_where(&self, message: &Prepared, mut f: impl FnMut(&K) -> bool) -> Delivery {
        let mut members = self.members();
        let mut chosen = 0;
        for (key, member) in &mut members.all {
            member.chosen = f(key);
            chosen += usize::from(member.chosen);
        }
        self.deliver_unbudgeted(members, chosen, message)
    }

    /// How many members there are. Some may be dead.
    pub fn len(&self) -> usize {
        self.members().all.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sends a message to so many that are chosen. To have used up a budget makes nobody a slow reader.
    fn deliver_unbudgeted(
        &self,
        members: MutexGuard<'_, Members<K>>,
        chosen: usize,
        message: &Prepared,
    ) -> Delivery {
        let mut delivery = Delivery::default();
        unbudgeted(|| delivery = self.deliver(members, chosen, message));
        delivery
    }

    fn deliver(
        &self,
        mut members: MutexGuard<'_, Members<K>>,
        chosen: usize,
        message: &Prepared,
    ) -> Delivery {
        members.everybody = chosen == members.all.len();
        if chosen == 0 {
            return Delivery::default();
        }
        let turn = Turn(&self.drain);
        let mut current = self.drain.current();
        // A round costs each member something, so it is not for what few get.
        let most = chosen > members.all.len() / 2;
        if most && !members.open_round(&mut current) {
            return members.bury();
        }
        // Who gets what others do not takes no part, be it the message or be it all else.
        let shared = most && Round::admits(message);
        let round = current.round.as_deref();
        if let Some(round) = round
            && !(shared && members.everybody)
        {
            let apart = |member: &&Member| members.is_chosen(member) != shared;
            let places = members
                .all
                .values()
                .filter(apart)
                .map(|member| member.place);
            places.for_each(|place| round.part(place));
        }
        let added = round.filter(|_| shared).map(|round| round.add(message));
        let delivery = members.queue(&mut current, added, message);
        let full = added
            .filter(|added| added.full)
            .and_then(|_| current.close());
        drop((current, members, turn));
        if let Some(full) = full {
            full.write();
        }
        delivery
    }

    /// What is sent from now on is not for this one.
    fn part(&self, member: &Member) {
        if let Some(round) = &self.drain.current().round {
            round.part(member.place);
        }
    }

    fn members(&self) -> MutexGuard<'_, Members<K>> {
        self.members.lock()
    }
}

impl<K: Eq + Hash> Members<K> {
    /// Sees to it that there is a round; false without anybody alive.
    fn open_round(&mut self, current: &mut Current) -> bool {
        if current.round.is_none() {
            let mut outboxes = Vec::with_capacity(self.all.len());
            for member in self.all.values_mut() {
                member.place = NOWHERE;
                if let Some(outbox) = member.sender.outbox.upgrade() {
                    member.place = outboxes.len();
                    outboxes.push(outbox);
                }
            }
            current.round = Round::open(outboxes);
        }
        current.round.is_some()
    }

    /// Puts a message into the queues of the chosen that do not get it by taking part.
    fn queue(
        &mut self,
        current: &mut Current,
        added: Option<Added>,
        message: &Prepared,
    ) -> Delivery {
        let mut delivery = Delivery {
            sent: added.map_or(0, |added| added.level),
            ..Delivery::default()
        };
        if delivery.sent == self.all.len() {
            return delivery;
        }
        let Current { round, apart, .. } = current;
        let round = round.as_deref();
        self.all.retain(|_, member| {
            let takes_part = round
                .zip(added)
                .is_some_and(|(round, added)| round.reaches(member.place, added));
            if takes_part || !(self.everybody || member.chosen) {
                return true;
            }
            let placed = round.and_then(|round| round.outbox(member.place));
            if let Some(outbox) = placed.or_else(|| member.among(apart)) {
                return delivery.count(outbox, message);
            }
            let Some(outbox) = member.sender.outbox.upgrade() else {
                delivery.gone += 1;
                return false;
            };
            let stays = delivery.count(&outbox, message);
            member.apart = apart.len();
            apart.push(outbox);
            stays
        });
        delivery
    }

    fn is_chosen(&self, member: &Member) -> bool {
        self.everybody || member.chosen
    }

    /// Removes all members, of whom none is alive.
    fn bury(&mut self) -> Delivery {
        let everybody = self.everybody;
        let chosen = self
            .all
            .drain()
            .filter(|(_, member)| everybody || member.chosen);
        Delivery {
            gone: chosen.count(),
            ..Delivery::default()
        }
    }

    /// Removes the dead.
    fn prune(&mut self, round: Option<&Round>) {
        self.all.retain(|_, member| {
            let sender = member.sender.upgrade();
            let lives = sender.is_some_and(|sender| !sender.is_closed());
            if let Some(round) = round.filter(|_| !lives) {
                round.part(member.place);
            }
            lives
        });
        self.prune_at = PRUNE_FROM.max(self.all.len() * 2);
    }
}

impl Member {
    /// Its outbox among those apart, who may be others than when it got its place.
    fn among<'a>(&self, apart: &'a [Arc<Outbox>]) -> Option<&'a Arc<Outbox>> {
        let there = apart.get(self.apart)?;
        (Arc::as_ptr(there) == self.sender.outbox.as_ptr()).then_some(there)
    }
}

impl Delivery {
    /// Puts the message into one queue; says whether the connection goes on.
    fn count(&mut self, outbox: &Arc<Outbox>, message: &Prepared) -> bool {
        match outbox.queue_unwritten(Outgoing::Prepared(message.clone())) {
            Ok(Sent::Queued) => self.sent += 1,
            Ok(Sent::Displaced(displaced)) => {
                self.sent += 1;
                self.displaced += displaced;
            }
            Ok(Sent::Dropped) => self.dropped += 1,
            Err(refused) => match refused.kind {
                TrySendErrorKind::Full => self.dropped += 1,
                TrySendErrorKind::TooSlow => {
                    self.closed += 1;
                    return false;
                }
                TrySendErrorKind::Closed => {
                    self.gone += 1;
                    return false;
                }
            },
        }
        true
    }
}

impl<K: Eq + Hash> Default for Broadcast<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> fmt::Debug for Broadcast<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").finish_non_exhaustive()
    }
}
