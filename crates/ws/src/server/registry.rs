//! The open connections, to be closed when the server ends.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use fullduplex_proto::CloseFrame;
use parking_lot::{Mutex, MutexGuard};

use crate::shared::{Handle, Shared};

/// Every open connection of a server.
#[derive(Debug, Default)]
pub(super) struct Registry {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By where they are in memory.
    open: HashMap<usize, Weak<Shared>>,
    /// What all are closed with, once they are.
    closing: Option<CloseFrame>,
}

impl Registry {
    /// Adds a connection, and closes it if all are being closed.
    pub(super) fn enter(&self, handle: Handle) -> Entry<'_> {
        let entry = Entry {
            registry: self,
            handle,
        };
        let shared = &entry.handle.shared;
        let closing = {
            let mut state = self.lock();
            state.open.insert(entry.id(), Arc::downgrade(shared));
            state.closing.clone()
        };
        if let Some(frame) = closing {
            shared.close(frame);
        }
        entry
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
    pub(super) handle: Handle,
}

impl Entry<'_> {
    /// Nobody else's while the connection is in memory.
    fn id(&self) -> usize {
        Arc::as_ptr(&self.handle.shared).addr()
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.registry.lock().open.remove(&self.id());
    }
}
