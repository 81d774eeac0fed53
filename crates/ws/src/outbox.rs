//! What all [`Sender`](crate::Sender)s of a connection share: the way into its queue, and the way out of it.
//!
//! Whoever sends puts its message into the queue and writes at once what the transport takes. What that does not take
//! is written by a task that is started for it and ends with it, the [`Pump`]. So nothing that was accepted waits for
//! somebody to send or to receive, and however many send, one place is enough among those that wait for the transport.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use fullduplex_proto::{CloseCode, CloseFrame, Connection, Outcome, Outgoing, State};
use parking_lot::{Mutex, MutexGuard};
use tokio::{runtime, sync::Notify};

use crate::{
    driver::{Driver, now},
    error::Error,
    ping::Pong,
    round::Round,
    sender::{Overflow, Sent, TrySendError, TrySendErrorKind},
    shared::{Handle, Shared, Side},
};

/// Bytes of the queue that a permit counts for until its message is known: the soft limit of 64 KiB allows sixteen.
const RESERVED: usize = 4 << 10;

/// The reason in the Close of [`Overflow::Close`].
const TOO_SLOW: &str = "too slow";

#[derive(Debug)]
pub(crate) struct Outbox {
    handle: Handle,
    overflow: Overflow,
    /// Where the pump runs, also when a thread outside sends.
    runtime: runtime::Handle,
    /// Held by the one that waits for room. It is fair, so the others get it in the order in which they came.
    turn: tokio::sync::Mutex<()>,
    /// Something has left the queue, or never will, or a permit has been given back.
    progress: Notify,
    /// Locked for a moment, and inside the connection's lock where both are needed.
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Those that wait for their turn, or for room.
    waiting: usize,
    permits: usize,
    /// By how much the queue has grown, in all, with what the half had queued.
    accepted: u64,
    /// There is a pump. Changes under the connection's lock only.
    pumping: bool,
}

/// Whether those that came before have got their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    NotYet,
    Now,
}

/// What a write came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// There was nothing to write, or it is not to be written now.
    Nothing,
    All,
    /// The pump has to go on.
    NotAll,
}

impl Outbox {
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub(crate) fn new(handle: Handle, overflow: Overflow) -> Self {
        let queued = handle.shared.lock().connection().queued();
        let counts = Counts {
            accepted: queued as u64,
            ..Counts::default()
        };
        Self {
            handle,
            overflow,
            runtime: runtime::Handle::current(),
            turn: tokio::sync::Mutex::new(()),
            progress: Notify::new(),
            counts: Mutex::new(counts),
        }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    pub(crate) fn look<R>(&self, f: impl FnOnce(&Connection) -> R) -> R {
        f(self.handle.shared.lock().connection())
    }

    // Into the queue. Nothing here writes.

    /// Puts a message into the queue without waiting, or does with it what the policy says.
    pub(crate) fn queue(&self, outgoing: Outgoing) -> Result<Sent, TrySendError> {
        self.queue_in(Turn::NotYet, outgoing)
    }

    /// The same, waiting for room if that is the policy.
    pub(crate) async fn accept(self: &Arc<Self>, outgoing: Outgoing) -> Result<Sent, Error> {
        let mut slot = Some(outgoing);
        self.in_turn(|turn| match self.queue_in(turn, slot.take()?) {
            Ok(sent) => Some(Ok(sent)),
            Err(refused) if refused.kind == TrySendErrorKind::Full => {
                slot = Some(refused.outgoing);
                None
            }
            Err(_) => Some(Err(self.closed_error())),
        })
        .await
    }

    /// The same without writing it, for somebody who writes later: what could have left does not count as full.
    pub(crate) fn queue_unwritten(
        self: &Arc<Self>,
        outgoing: Outgoing,
    ) -> Result<Sent, TrySendError> {
        if !self.look(|connection| self.has_room(connection, Turn::NotYet)) {
            self.write_now();
        }
        self.queue(outgoing)
    }

    /// Puts a message into the queue for which there is a permit.
    pub(crate) fn queue_reserved(&self, outgoing: Outgoing) -> Result<(), TrySendError> {
        self.push(|connection| Ok(connection.send_reserved(now(), outgoing)?))
    }

    /// Queues a ping.
    pub(crate) fn ping(&self, payload: Bytes) -> Result<Pong, Error> {
        Ok(Pong {
            receiver: self.handle.with(|driver| driver.ping(payload))?,
            connection: Arc::downgrade(&self.handle.shared),
        })
    }

    /// Waits for room and keeps it until it is given back.
    pub(crate) async fn reserve(self: &Arc<Self>) -> Result<(), Error> {
        self.in_turn(|turn| {
            self.queue_owed();
            let driver = self.handle.shared.lock();
            if driver.connection().state() != State::Open {
                return Some(Err(driver.closed()));
            }
            let room = self.has_room(driver.connection(), turn);
            self.counts().permits += usize::from(room);
            room.then_some(Ok(()))
        })
        .await
    }

    /// Gives back what was reserved.
    pub(crate) fn give_back(&self) {
        self.counts().permits -= 1;
        self.progress.notify_waiters();
    }

    /// Tries until it comes to something: at once if nobody waits, else behind those that came before.
    async fn in_turn<T>(self: &Arc<Self>, mut attempt: impl FnMut(Turn) -> Option<T>) -> T {
        if let Some(done) = attempt(Turn::NotYet) {
            return done;
        }
        let _waiting = Waiting::new(self);
        let _turn = self.turn.lock().await;
        loop {
            let mut progress = pin!(self.progress.notified());
            progress.as_mut().enable();
            if let Some(done) = attempt(Turn::Now) {
                return done;
            }
            self.write_now();
            progress.await;
        }
    }

    fn queue_in(&self, turn: Turn, outgoing: Outgoing) -> Result<Sent, TrySendError> {
        self.push(|connection| {
            let refused = if connection.state() == State::Open && !self.has_room(connection, turn) {
                TrySendError {
                    outgoing,
                    kind: TrySendErrorKind::Full,
                }
            } else {
                match connection.send(now(), outgoing) {
                    Ok(()) => return Ok(Sent::Queued),
                    Err(refused) => refused.into(),
                }
            };
            match refused.kind {
                TrySendErrorKind::Full => self.overflow(connection, refused),
                _ => Err(refused),
            }
        })
    }

    /// The queue is full.
    fn overflow(
        &self,
        connection: &mut Connection,
        refused: TrySendError,
    ) -> Result<Sent, TrySendError> {
        match self.overflow {
            Overflow::Wait => Err(refused),
            Overflow::DropNewest => Ok(Sent::Dropped),
            Overflow::DropOldest => {
                let below = self.room(connection).max(1);
                match connection.send_displacing(now(), refused.outgoing, below) {
                    Ok(dropped) => Ok(Sent::Displaced(dropped)),
                    Err(_) => Ok(Sent::Dropped),
                }
            }
            Overflow::Close => {
                connection.close(now(), too_slow());
                Err(TrySendError {
                    kind: TrySendErrorKind::TooSlow,
                    ..refused
                })
            }
        }
    }

    /// How many bytes may be queued so that there is room for one message more.
    fn room(&self, connection: &Connection) -> usize {
        let soft = connection.config().limits.soft_queue.max(1);
        soft.saturating_sub(self.counts().permits.saturating_mul(RESERVED))
    }

    fn has_room(&self, connection: &Connection, turn: Turn) -> bool {
        // Only those that would wait themselves have to let others go first.
        let waits = self.overflow == Overflow::Wait && turn == Turn::NotYet;
        let behind = waits && self.counts().waiting > 0;
        !behind && connection.queued() < self.room(connection)
    }

    /// Lets `f` put something into the queue, and counts it.
    fn push<R>(&self, f: impl FnOnce(&mut Connection) -> R) -> R {
        self.counted(|driver| {
            driver.queue_owed();
            f(driver.connection_mut())
        })
    }

    /// Uses the driver, and counts by how much its queue grows.
    fn counted<R>(&self, f: impl FnOnce(&mut Driver) -> R) -> R {
        self.handle.with(|driver| {
            let before = driver.connection().queued();
            let result = f(driver);
            let grown = driver.connection().queued().saturating_sub(before);
            if grown > 0 {
                self.counts().accepted += grown as u64;
            }
            result
        })
    }

    // Rounds of a group, in `round.rs`.

    /// Where the connection runs.
    pub(crate) fn runtime(&self) -> &runtime::Handle {
        &self.runtime
    }

    /// Takes part in a round, unless it has to wait behind something, or be counted.
    pub(crate) fn follow(&self, round: &Arc<Round>, place: usize) -> bool {
        self.counted(|driver| {
            driver.queue_owed();
            let waits = {
                let counts = self.counts();
                counts.pumping || counts.permits > 0
            };
            !waits && driver.follow(round, place)
        })
    }

    /// Queues what a round has so far.
    pub(crate) fn queue_owed(&self) {
        self.push(|_| ());
    }

    /// Writes a round, all of which `bytes` is, or what else there is to write.
    pub(crate) fn write_round(self: &Arc<Self>, round: &Arc<Round>, bytes: &[u8]) {
        // A transport may make timers when it is written to.
        let _entered = self.runtime.enter();
        if !self.counted(|driver| driver.write_round(round, bytes)) {
            self.write();
        }
    }

    // Out of the queue.

    /// Writes what the transport takes, and leaves the rest to the pump. Inside a corked handler all is left to the end of
    /// its poll while little is queued.
    pub(crate) fn write(self: &Arc<Self>) {
        self.write_if(|driver| {
            driver.connection().state() != State::Open || !driver.leaves_later()
        });
    }

    /// The same, also inside a corked handler.
    fn write_now(self: &Arc<Self>) {
        self.write_if(|_| true);
    }

    fn write_if(self: &Arc<Self>, due: impl FnOnce(&Driver) -> bool) {
        // The connection's timer may be made here.
        let _entered = self.runtime.enter();
        let written = self.handle.visit(|driver, cx| {
            if driver.is_over() || self.counts().pumping || !due(driver) {
                return Written::Nothing;
            }
            let before = driver.connection().queued();
            let done = driver.connection().state() == State::Open
                && driver.poll_write(cx).is_ready()
                && driver.connection().state() == State::Open;
            self.counts().pumping = !done;
            match done {
                false => Written::NotAll,
                true if before > 0 => Written::All,
                true => Written::Nothing,
            }
        });
        if written == Written::NotAll {
            self.runtime.spawn(Pump::new(self).run());
        }
        // Not for nothing: the one that waits for room comes by here, too, and would never rest.
        if written == Written::All {
            self.progress.notify_waiters();
        }
    }

    /// Writes, and waits until all has left that was in the queue at first.
    pub(crate) async fn flush(self: &Arc<Self>) -> Result<(), Error> {
        self.queue_owed();
        let target = self.counts().accepted;
        self.write_now();
        loop {
            let mut progress = pin!(self.progress.notified());
            progress.as_mut().enable();
            if let Some(flushed) = self.flushed(target) {
                return flushed;
            }
            progress.await;
        }
    }

    /// Whether so much of what was accepted has left.
    fn flushed(&self, target: u64) -> Option<Result<(), Error>> {
        let driver = self.handle.shared.lock();
        let queued = driver.connection().queued() as u64;
        // What is queued when the end begins is not counted: there can be more in the queue than was accepted.
        let left = self.counts().accepted >= target.saturating_add(queued);
        // While others send on, a transport with a buffer of its own may never be empty; what they send pushes it out.
        if left && (queued > 0 || driver.is_flushed()) {
            return Some(Ok(()));
        }
        (driver.connection().state() == State::Closed).then(|| Err(driver.closed()))
    }

    // The end.

    /// Begins the closing handshake and sees to it that it goes on.
    pub(crate) fn close(self: &Arc<Self>, frame: CloseFrame) {
        self.counted(|driver| driver.close(frame));
        self.write_now();
    }

    /// Waits for the end.
    pub(crate) async fn closed(&self) -> Outcome {
        let told = self.handle.shared.ended();
        loop {
            let mut ended = pin!(told.notified());
            ended.as_mut().enable();
            if let Some(outcome) = self.look(Connection::outcome) {
                return outcome;
            }
            ended.await;
        }
    }

    fn closed_error(&self) -> Error {
        self.handle.shared.lock().closed()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock()
    }
}

/// One that waits for its turn, or for room.
struct Waiting<'a>(&'a Outbox);

impl<'a> Waiting<'a> {
    fn new(outbox: &'a Outbox) -> Self {
        outbox.counts().waiting += 1;
        Self(outbox)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.counts().waiting -= 1;
    }
}

/// The task that writes what the transport did not take at once, and that goes through the closing handshake: it ends when
/// nothing is left to write, or with the connection. The write timeout and the close timeout bound it.
struct Pump {
    outbox: Arc<Outbox>,
    done: bool,
}

impl Pump {
    fn new(outbox: &Arc<Outbox>) -> Self {
        Self {
            outbox: Arc::clone(outbox),
            done: false,
        }
    }

    fn run(mut self) -> impl Future<Output = ()> + Send {
        poll_fn(move |cx| self.poll(cx))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let outbox = &self.outbox;
        let polled = outbox.handle.poll(Side::Writer, cx, |driver, cx| {
            let polled = driver.poll_out(cx);
            // Under this lock, so that whoever queues next finds either a pump that will look again, or none.
            outbox.counts().pumping = polled.is_pending();
            polled
        });
        self.done = polled.is_ready();
        self.outbox.progress.notify_waiters();
        polled
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        if !self.done {
            // A transport panicked, or the runtime ends: those that wait find out themselves.
            self.outbox.counts().pumping = false;
            self.outbox.progress.notify_waiters();
        }
    }
}

fn too_slow() -> CloseFrame {
    CloseFrame::new(CloseCode::TRY_AGAIN_LATER, TOO_SLOW).unwrap_or(CloseFrame::normal())
}
