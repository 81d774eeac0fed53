//! A client that comes back while its old connection is still open.

use std::sync::Arc;

use fullduplex::CloseCode;

use super::{Seat, Session, Stop};

/// There is a newer connection of the same session.
pub(super) const REPLACED: CloseCode = CloseCode::new(4006);

impl Session {
    /// Ends the session that the client had before, if it is still there and of the same user. Nobody else's can be ended so,
    /// whatever is named.
    pub(super) fn take_over(&self, named: &str) {
        let own = self.hub.identities.session(self.id);
        let Some(number) = named.strip_prefix("s_").filter(|_| named != own) else {
            return;
        };
        let found = u64::from_str_radix(number, 16).map(|number| self.hub.open.find(number));
        let Ok(Some(old)) = found else { return };
        let user = Arc::clone(self.client.id());
        // Apart from here, where this session's own state is locked: two may take over each other.
        self.hub.spawn(async move { old.replace(&user) });
    }
}

impl Seat {
    fn replace(&self, user: &str) {
        let stop = Stop::close(REPLACED, "replaced by a newer connection");
        self.stop_if(|session| **session.client.id() == *user, stop);
    }
}
