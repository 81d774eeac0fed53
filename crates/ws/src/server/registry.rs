//! The open connections, to be closed when the server ends.

use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use fullduplex_proto::CloseFrame;
use parking_lot::{Mutex, MutexGuard};

use crate::shared::Shared;

/// Every open connection of a server.
#[derive(Debug, Default)]
pub(super) struct Registry {
    next: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: HashMap<u64, Weak<Shared>>,
    /// What all are closed with, once they are.
    closing: Option<CloseFrame>,
}

impl Registry {
    /// Adds a connection, and closes it if all are being closed.
    pub(super) fn enter(&self, shared: &Arc<Shared>) -> Entry<'_> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let closing = {
            let mut state = self.lock();
            state.open.insert(id, Arc::downgrade(shared));
            state.closing.clone()
        };
        if let Some(frame) = closing {
            shared.close(frame);
        }
        Entry { registry: self, id }
    }

    /// Closes all, and those that are added from now on.
    pub(super) fn close_all(&self, frame: &CloseFrame) {
        self.lock().closing = Some(frame.clone());
        for shared in self.all() {
            shared.close(frame.clone());
        }
    }

    /// Takes their transports away.
    pub(super) fn abandon_all(&self) {
        for shared in self.all() {
            shared.abandon();
        }
    }

    fn all(&self) -> Vec<Arc<Shared>> {
        self.lock()
            .open
            .values()
            .filter_map(Weak::upgrade)
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// A connection's place in the registry.
pub(super) struct Entry<'a> {
    registry: &'a Registry,
    id: u64,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.registry.lock().open.remove(&self.id);
    }
}
