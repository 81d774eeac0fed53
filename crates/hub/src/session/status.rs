//! Whether messages are stored at present, as clients are told.

use std::sync::{Weak, atomic::Ordering};

use super::{Dialect, Open, Session, bye::Leaving};
use crate::{
    hub::Shared,
    log::Health,
    wire::event::{self, Status},
};

impl Shared {
    /// Looks whether the log stores anything, and has all sessions tell their clients if that has changed.
    pub(crate) fn look_at_health(&self) {
        let is_read_only = self.log.health() != Health::Well;
        if self.is_read_only.swap(is_read_only, Ordering::Relaxed) != is_read_only {
            self.open.wake_all();
        }
    }
}

impl Open {
    fn wake_all(&self) {
        for (_, seat, _) in self.entries() {
            if let Some(seat) = Weak::upgrade(&seat) {
                seat.wake();
            }
        }
    }
}

impl Session {
    /// Tells a client that has said hello what it does not know. Of several changes in a moment it hears the last.
    pub(super) fn say_status(&mut self) {
        let is_read_only = self.hub.is_read_only.load(Ordering::Relaxed);
        let may_hear = matches!(self.dialect, Dialect::V1 { .. })
            && self.present.is_some()
            && !self.holds_rooms()
            && self.leaving == Leaving::No;
        if may_hear && is_read_only != self.knows_read_only {
            self.knows_read_only = is_read_only;
            let status = if is_read_only {
                Status::ReadOnly
            } else {
                Status::Ok
            };
            self.outbox.push(event::status(status));
        }
    }
}
