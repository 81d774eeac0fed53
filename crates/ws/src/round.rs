//! What a group sends in one turn of the runtime, kept once for all its members.
//!
//! The first message of a turn opens a [`Round`]. A member with nothing to write then only notes that it takes part
//! ([`Owed`]); later messages do not touch it. When the turn is over, one task writes to each member all of the round with one
//! call, straight from the memory that all share.
//!
//! What else a connection is to send has to go behind that. So it first *parts*: it queues what the round has so far
//! (`Driver::queue_owed`), and from then on gets each message through its own queue. The same goes for members that never
//! took part, because they are behind or their settings ask for more than copying. A message that few get opens no round: it
//! goes through their queues.
//!
//! Locks are taken in this order: a group's, its drain's (`drain.rs`), a connection's, a round's.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use fullduplex_proto::Prepared;
use parking_lot::{Mutex, MutexGuard};
use tokio::runtime::Handle;

use crate::{bundle, outbox::Outbox};

/// Bytes from which on a round is written without waiting for the end of the turn, with what each message costs in a queue.
const FULL: usize = 32 << 10;

/// What a round can come to, so room for as much is needed in the queue of a member that parts: all that fits the default
/// [`soft_queue`](fullduplex_proto::Limits::soft_queue).
pub(crate) const MAX_ROUND: usize = 2 * FULL;

/// A member has whatever the round has: it takes part.
const ALL: usize = usize::MAX;

pub(crate) struct Round {
    members: Box<[Member]>,
    runtime: Handle,
    frames: Mutex<Frames>,
    /// The frames one behind the other, when none is added any more.
    bytes: OnceLock<Bytes>,
    /// The member that is written to next.
    next: AtomicUsize,
}

struct Member {
    outbox: Arc<Outbox>,
    /// How many of the frames it has queued itself, or [`ALL`]. Written under the lock of the frames.
    has: AtomicUsize,
}

#[derive(Default)]
struct Frames {
    all: Vec<Prepared>,
    cost: usize,
    /// Members that take part.
    level: usize,
}

/// A message of a round.
#[derive(Clone, Copy)]
pub(crate) struct Added {
    /// Those that get it by taking part.
    pub(crate) level: usize,
    /// The round has to be written now.
    pub(crate) full: bool,
    index: usize,
}

impl Round {
    /// Whether a message can be one of a round's.
    pub(crate) fn admits(message: &Prepared) -> bool {
        message.queue_cost() <= FULL && !message.may_be_compressed()
    }

    /// A round for these, of whom those take part that can. None for nobody.
    pub(crate) fn open(outboxes: Vec<Arc<Outbox>>) -> Option<Arc<Self>> {
        let round = Self::of(outboxes)?;
        for (place, member) in round.members.iter().enumerate() {
            if !member.outbox.follow(&round, place) {
                round.parted(place, &mut round.frames());
            }
        }
        Some(round)
    }

    /// A round in which nobody takes part, to write to each of these what it has queued.
    pub(crate) fn of(outboxes: Vec<Arc<Outbox>>) -> Option<Arc<Self>> {
        // Not where somebody sends, who may have made a runtime for that alone and drive it no more.
        let runtime = outboxes.first()?.runtime().clone();
        let members = outboxes.into_iter().map(|outbox| Member {
            outbox,
            has: AtomicUsize::new(ALL),
        });
        let members: Box<[Member]> = members.collect();
        Some(Arc::new(Self {
            frames: Mutex::new(Frames {
                level: members.len(),
                ..Frames::default()
            }),
            members,
            runtime,
            bytes: OnceLock::new(),
            next: AtomicUsize::new(0),
        }))
    }

    /// Where it is to be written: where a member runs.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The member at a place; none for one that joined later.
    pub(crate) fn outbox(&self, place: usize) -> Option<&Arc<Outbox>> {
        self.members.get(place).map(|member| &member.outbox)
    }

    /// Makes a member queue its messages from now on.
    pub(crate) fn part(&self, place: usize) {
        if let Some(member) = self.members.get(place)
            && member.has.load(Ordering::Acquire) == ALL
        {
            member.outbox.queue_owed();
        }
    }

    /// Adds a message. The round must be open, and stay so until each has got it to whom it is to go.
    pub(crate) fn add(&self, message: &Prepared) -> Added {
        let mut frames = self.frames();
        frames.all.push(message.clone());
        frames.cost += message.queue_cost();
        Added {
            level: frames.level,
            full: frames.cost >= FULL,
            index: frames.all.len() - 1,
        }
    }

    /// Whether a member gets a message by taking part.
    pub(crate) fn reaches(&self, place: usize, added: Added) -> bool {
        let member = self.members.get(place);
        member.is_some_and(|member| member.has.load(Ordering::Acquire) > added.index)
    }

    /// Writes to a member that nobody has written to; false if there is none left. The round must be closed.
    pub(crate) fn write_next(self: &Arc<Self>) -> bool {
        let place = self.next.fetch_add(1, Ordering::Relaxed);
        let Some(outbox) = self.outbox(place) else {
            return false;
        };
        let bytes = self
            .bytes
            .get_or_init(|| bundle::join(&self.frames().all, Prepared::frame));
        outbox.write_round(self, bytes);
        true
    }

    /// Leaves it to all members that nobody has written to, each on its own runtime.
    pub(crate) fn abandon(&self) {
        let next = self.next.load(Ordering::Relaxed);
        for place in next..self.members.len() {
            self.part(place);
            if let Some(outbox) = self.outbox(place) {
                let outbox = Arc::clone(outbox);
                let runtime = outbox.runtime().clone();
                runtime.spawn(async move { outbox.write() });
            }
        }
    }

    /// How many members it was opened for.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    fn parted(&self, place: usize, frames: &mut Frames) {
        frames.level -= 1;
        if let Some(member) = self.members.get(place) {
            member.has.store(frames.all.len(), Ordering::Release);
        }
    }

    fn frames(&self) -> MutexGuard<'_, Frames> {
        self.frames.lock()
    }
}

impl fmt::Debug for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Round").finish_non_exhaustive()
    }
}

/// A connection's part in a round. While there is one, whoever is to write the round keeps it alive; so this is never the last
/// to let go of the members, which would be under a connection's lock.
#[derive(Debug)]
pub(crate) struct Owed {
    round: Arc<Round>,
    place: usize,
}

impl Owed {
    pub(crate) fn new(round: &Arc<Round>, place: usize) -> Self {
        let round = Arc::clone(round);
        Self { round, place }
    }

    pub(crate) fn is_of(&self, round: &Arc<Round>) -> bool {
        Arc::ptr_eq(&self.round, round)
    }

    /// What it counts for in a queue.
    pub(crate) fn cost(&self) -> usize {
        self.round.frames().cost
    }

    /// Takes part no longer, and hands out what the round has so far.
    pub(crate) fn part(self, mut queue: impl FnMut(Prepared)) {
        let mut frames = self.round.frames();
        frames.all.iter().cloned().for_each(&mut queue);
        self.round.parted(self.place, &mut frames);
    }
}
