//! Open connections as an operator sees them, and sends them away.

use std::{
    net::IpAddr,
    sync::{Arc, Weak},
};

use fullduplex::CloseCode;

use super::{Dialect, Open, Session, Stop, standing::FORBIDDEN};

/// The client was sent away.
const SENT_AWAY: CloseCode = CloseCode::new(4005);

/// Why a connection is ended from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The hub stops.
    Stopping,
    /// Whoever looks after the hub, or the room, sent the client away.
    Kicked,
    /// The same, and it is not to come back.
    Banned,
    /// The client's token does not allow it to go on.
    Forbidden,
}

impl Ended {
    /// It in words, for the client.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Stopping => "the server stops",
            Self::Kicked => "kicked",
            Self::Banned => "banned",
            Self::Forbidden => "forbidden",
        }
    }
}

impl From<Ended> for Stop {
    fn from(ended: Ended) -> Self {
        let code = match ended {
            Ended::Stopping => CloseCode::GOING_AWAY,
            Ended::Kicked | Ended::Banned => SENT_AWAY,
            Ended::Forbidden => FORBIDDEN,
        };
        Self::close(code, ended.reason())
    }
}

/// A connection as an operator sees it.
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
            seat.stop_if(|_| true, Ended::Kicked.into());
        }
        seat.is_some()
    }
}

impl Session {
    /// Which user it is for: of plain clients only a token says.
    pub(super) fn user_id(&self) -> Option<&Arc<str>> {
        match self.dialect {
            Dialect::V1 { .. } => Some(self.client.id()),
            Dialect::Json | Dialect::Text => self.standing.grant().user_id(),
        }
    }

    fn listed(&self, number: u64, since: u64) -> Listed {
        let name = self.client.user().map(|user| &user.name);
        let mut rooms: Vec<_> = self.rooms.names().map(Arc::clone).collect();
        rooms.sort_unstable();
        Listed {
            number,
            user: self.user_id().cloned(),
            name: name.or_else(|| self.standing.grant().name()).cloned(),
            address: self.rooms.address(),
            dialect: match self.dialect {
                Dialect::V1 { .. } => "v1",
                Dialect::Json => "json",
                Dialect::Text => "text",
            },
            rooms,
            since,
        }
    }
}
