//! Open connections as an operator sees them.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use fullduplex::CloseCode;

use super::{Dialect, Open, Session, Stop};

/// An operator sent the client away.
const KICKED: CloseCode = CloseCode::new(4005);

/// A connection that follows rooms.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The number in its public id.
    pub(crate) number: u64,
    /// The id of the user, as far as it is known.
    pub(crate) user: Option<Arc<str>>,
    pub(crate) name: Option<Arc<str>>,
    pub(crate) address: IpAddr,
    pub(crate) dialect: &'static str,
    pub(crate) rooms: Vec<Arc<str>>,
    /// Milliseconds since 1970.
    pub(crate) since: u64,
}

impl Open {
    /// The sessions whose numbers follow `after`, in their order, at most `max`.
    pub(crate) fn list(&self, after: Option<u64>, max: usize) -> Vec<Listed> {
        let mut found = self.entries();
        found.retain(|(number, ..)| after.is_none_or(|after| *number > after));
        found.sort_unstable_by_key(|(number, ..)| *number);
        let listed = found.into_iter().filter_map(|(number, seat, since)| {
            let seat = Weak::upgrade(&seat)?;
            seat.look(|session| session.listed(number, since))
        });
        listed.take(max).collect()
    }

    /// Sends a client away. Says whether it was there.
    pub(crate) fn kick(&self, number: u64) -> bool {
        let seat = self.find(number);
        if let Some(seat) = &seat {
            seat.stop_if(|_| true, Stop::close(KICKED, "kicked"));
        }
        seat.is_some()
    }
}

impl Session {
    fn listed(&self, number: u64, since: u64) -> Listed {
        let is_v1 = matches!(self.dialect, Dialect::V1 { .. });
        Listed {
            number,
            user: is_v1.then(|| Arc::clone(self.client.id())),
            name: self.client.user().map(|user| Arc::clone(&user.name)),
            address: self.rooms.address(),
            dialect: match self.dialect {
                Dialect::V1 { .. } => "v1",
                Dialect::Json => "json",
                Dialect::Text => "text",
            },
            rooms: self.rooms.names().map(Arc::clone).collect(),
            since,
        }
    }
}
