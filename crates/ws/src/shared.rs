//! A connection as its owners share it: one short lock, never held across an await.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use fullduplex_proto::{CloseFrame, State};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use crate::{
    driver::{Driver, RoomState},
    info::Info,
    room::Key,
};

/// What the whole, its halves and a corking helper have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) info: Info,
    driver: Mutex<Driver>,
    wakers: Mutex<Wakers>,
    /// The connection was used elsewhere while its handler had the room (see `room.rs`). Changes under the driver's lock; whoever has the
    /// connection when it is read has got it from there.
    spoilt: AtomicBool,
    /// The end has begun, which whoever has messages in an inbox has to know without the lock.
    ending: AtomicBool,
}

/// Who waits. Kept apart from the driver, because a transport may wake while it is polled under the driver's lock.
#[derive(Debug, Default)]
struct Wakers {
    reader: Option<Waker>,
    /// Boxed, as most connections are one task's.
    others: Option<Box<Others>>,
}

/// Those that wait beside a reader.
#[derive(Debug, Default)]
struct Others {
    writer: Option<Waker>,
    /// A corking helper whose write did not get through.
    helper: Option<Waker>,
    /// Told when the connection has ended, for any number of those that wait for that alone.
    ended: Option<Arc<Notify>>,
}

/// Which part of a connection polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// All of it: a single task.
    Whole,
    /// The receiving half.
    Reader,
    /// The sending half.
    Writer,
    /// The helper that corks a handler, who may have split it or given it away.
    Helper,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Driver> {
        // A panic under it can only be a transport's, and the state that leaves is still one that can be closed: no poisoning.
        self.driver.lock()
    }

    /// Which room is the connection's.
    #[inline]
    pub(crate) fn key(&self) -> Key {
        Key::of(self.driver.data_ptr())
    }

    #[inline]
    pub(crate) fn is_spoilt(&self) -> bool {
        self.spoilt.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    #[cold]
    pub(crate) fn set_spoilt(&self, spoilt: bool) {
        self.spoilt.store(spoilt, Ordering::Relaxed);
    }

    /// Wakes whoever waits for this connection.
    pub(crate) fn wake_all(&self) {
        let waiting = {
            let wakers = self.wakers();
            let others = wakers.others.as_ref();
            [
                wakers.reader.clone(),
                others.and_then(|others| others.writer.clone()),
                others.and_then(|others| others.helper.clone()),
            ]
        };
        for waker in waiting.into_iter().flatten() {
            waker.wake();
        }
    }

    /// The same, and those that wait for the end.
    fn wake_ended(&self) {
        self.wake_all();
        let ended = {
            let wakers = self.wakers();
            wakers
                .others
                .as_ref()
                .and_then(|others| others.ended.clone())
        };
        if let Some(ended) = ended {
            ended.notify_waiters();
        }
    }

    /// What is told when the connection has ended. Whether it has, is to be looked at afterwards.
    pub(crate) fn ended(&self) -> Arc<Notify> {
        let mut wakers = self.wakers();
        let others = wakers.others.get_or_insert_default();
        Arc::clone(others.ended.get_or_insert_default())
    }

    /// The connection has come to another state.
    #[cold]
    fn wake_for(&self, state: State) {
        self.ending.store(true, Ordering::Relaxed);
        if state == State::Closed {
            self.wake_ended();
        } else {
            self.wake_all();
        }
    }

    /// Begins the closing handshake for whoever owns the connection, who may be busy elsewhere.
    pub(crate) fn close(&self, frame: CloseFrame) {
        {
            let mut driver = self.lock();
            driver.close(frame);
            self.ending.store(true, Ordering::Relaxed);
            // If the transport is full, the owner goes on, once woken.
            let _ = driver
                .poll_write(&mut Context::from_waker(Waker::noop()))
                .is_ready();
        }
        self.wake_ended();
    }

    /// Takes the transport away from whoever owns the connection.
    pub(crate) fn abandon(&self) {
        self.lock().abandon();
        self.ending.store(true, Ordering::Relaxed);
        self.wake_ended();
    }

    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        self.wakers.lock()
    }

    /// Notes who waits, and returns who waited before, to be dropped once no lock is held: the last waker of a task may take
    /// the task along, and with it the other half.
    #[must_use]
    fn wait(&self, side: Side, waker: &Waker) -> Option<Waker> {
        let mut wakers = self.wakers();
        let slot = match side {
            Side::Whole | Side::Reader => &mut wakers.reader,
            Side::Writer => &mut wakers.others.get_or_insert_default().writer,
            Side::Helper => &mut wakers.others.get_or_insert_default().helper,
        };
        if slot.as_ref().is_some_and(|known| known.will_wake(waker)) {
            return None;
        }
        slot.replace(waker.clone())
    }
}

/// Halves poll the transport with this waker: it knows one reader and one writer, and either half reads and writes.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_all();
    }
}

/// A share in a connection. When the last one goes, so does the transport.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new(driver: Driver, info: Info) -> Self {
        let shared = Shared {
            info,
            driver: Mutex::new(driver),
            wakers: Mutex::default(),
            spoilt: AtomicBool::new(false),
            ending: AtomicBool::new(false),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Polls the driver under its lock, and sees to it that `cx` is woken when it is worth polling again.
    #[inline]
    pub(crate) fn poll<R>(
        &self,
        side: Side,
        cx: &mut Context<'_>,
        f: impl FnOnce(&mut Driver, &mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let mut replaced = None;
        let result = self.with(|driver| {
            driver.several |= side != Side::Whole;
            if driver.several {
                replaced = self.shared.wait(side, cx.waker());
                return f(driver, &mut Context::from_waker(&self.waker()));
            }
            let result = f(driver, cx);
            if result.is_pending() && !std::mem::take(&mut driver.waits_as_before) {
                replaced = self.shared.wait(side, cx.waker());
            }
            result
        });
        drop(replaced);
        result
    }

    /// Uses the driver without waiting: what `f` polls wakes those that wait.
    pub(crate) fn visit<R>(&self, f: impl FnOnce(&mut Driver, &mut Context<'_>) -> R) -> R {
        self.with(|driver| {
            driver.several = true;
            f(driver, &mut Context::from_waker(&self.waker()))
        })
    }

    /// Uses the driver under its lock. If the end begins by that, or is reached, all that wait are woken: there may be a Close
    /// to write, and another deadline to wait for, or the transport is gone.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut Driver) -> R) -> R {
        let mut driver = self.shared.lock();
        let before = driver.connection().state();
        let result = f(&mut driver);
        let after = driver.connection().state();
        if driver.room == RoomState::Spoilt {
            self.shared.set_spoilt(true);
        }
        drop(driver);
        if after != before {
            self.shared.wake_for(after);
        }
        result
    }

    /// Wakes all that wait.
    fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.shared))
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        self.shared.lock().owners += 1;
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut driver = self.shared.lock();
        driver.owners -= 1;
        // The waker that halves leave in the transport and its timer keeps `Shared` alive: they have to go first.
        driver.abandon_if_deserted();
    }
}
