//! One message to many connections.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use fullduplex_proto::{Outgoing, Prepared};

use crate::{
    outbox::Outbox,
    sender::{Sender, Sent, TrySendErrorKind, WeakSender},
};

/// Connections that the sending task writes to itself; for each so many more there is a task, so that a big group neither
/// holds up the sender nor is written to by one thread alone.
const WRITES_AT_ONCE: usize = 64;

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
}

struct Members<K> {
    senders: HashMap<K, WeakSender>,
    prune_at: usize,
}

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
                senders: HashMap::new(),
                prune_at: PRUNE_FROM,
            }),
        }
    }

    /// Adds a connection, and says whether its key was free: else it takes the place of another.
    pub fn join(&self, key: K, sender: &Sender) -> bool {
        let mut members = self.members();
        if members.senders.len() >= members.prune_at {
            members.prune();
        }
        let replaced = members.senders.insert(key, sender.downgrade());
        replaced.is_none()
    }

    /// Removes a connection, and says whether it was a member.
    ///
    /// Only a connection that goes on has to leave: one that has ended is removed by the next message. Somebody who has come back
    /// under the same key would be removed in its place.
    pub fn leave(&self, key: &K) -> bool {
        self.members().senders.remove(key).is_some()
    }

    /// Sends a message to all members. It never waits.
    ///
    /// When several tasks send, all members get the messages in the same order: the group is locked while the message is
    /// put into their queues, and unlocked before anything is written.
    pub fn send(&self, message: &Prepared) -> Delivery {
        self.send_where(message, |_| true)
    }

    /// As [`send`](Self::send), to the members whose key `f` chooses: `|key| *key != mine`. It is called under the group's lock, so it
    /// must not use the group itself.
    pub fn send_where(&self, message: &Prepared, f: impl FnMut(&K) -> bool) -> Delivery {
        let (delivery, queued) = self.members().queue(message, f);
        write(queued);
        delivery
    }

    /// How many members there are. Some may be dead.
    pub fn len(&self) -> usize {
        self.members().senders.len()
    }

    /// Whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn members(&self) -> MutexGuard<'_, Members<K>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Members<K> {
    /// Puts a message into the queues of those that `f` chooses, and says which have something to write.
    fn queue(
        &mut self,
        message: &Prepared,
        mut f: impl FnMut(&K) -> bool,
    ) -> (Delivery, Vec<Arc<Outbox>>) {
        let mut delivery = Delivery::default();
        let mut queued = Vec::with_capacity(self.senders.len());
        self.senders.retain(|key, sender| {
            if !f(key) {
                return true;
            }
            let Some(outbox) = sender.outbox.upgrade() else {
                delivery.gone += 1;
                return false;
            };
            let stays = delivery.count(&outbox, message);
            queued.push(outbox);
            stays
        });
        (delivery, queued)
    }

    /// Removes the dead.
    fn prune(&mut self) {
        self.senders
            .retain(|_, sender| sender.upgrade().is_some_and(|sender| !sender.is_closed()));
        self.prune_at = PRUNE_FROM.max(self.senders.len() * 2);
    }
}

impl Delivery {
    /// Puts the message into one queue; says whether the connection goes on.
    fn count(&mut self, outbox: &Outbox, message: &Prepared) -> bool {
        match outbox.queue(Outgoing::Prepared(message.clone())) {
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

/// Writes what the transports take. None is waited for.
fn write(mut outboxes: Vec<Arc<Outbox>>) {
    let mut elsewhere = outboxes.split_off(outboxes.len().min(WRITES_AT_ONCE));
    elsewhere.retain(|outbox| outbox.claim());
    for chunk in elsewhere.chunks(WRITES_AT_ONCE) {
        if let [first, ..] = chunk {
            let due = Due(chunk.to_vec());
            first.spawn(async move { due.write() });
        }
    }
    outboxes.iter().for_each(Outbox::write);
}

/// Connections that a task is about to write to. None is in two of them, so there are no more tasks than members, however
/// fast messages follow each other.
struct Due(Vec<Arc<Outbox>>);

impl Due {
    fn write(mut self) {
        while let Some(outbox) = self.0.pop() {
            outbox.unclaim();
            outbox.write();
        }
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        // The runtime has ended.
        self.0.iter().for_each(|outbox| outbox.unclaim());
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
