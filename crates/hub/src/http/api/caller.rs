//! Who asks.

use std::{net::IpAddr, sync::Arc};

use axum::extract::FromRequestParts;
use http::request::Parts;
use tokio::time::Instant;

use super::{super::bearer, Connection, Desk, Problem};
use crate::{
    auth::{Denied, Grant, Names, Refusal, Right, Subject, Who, end_of},
    core::{User, is_name},
    hub::Shared,
    traffic::Client,
    wire::{
        event::PLAIN_NAME,
        reply::{ErrorCode, Failure},
    },
};

/// Whom a request is from, as far as it says, and what they may.
#[derive(Debug)]
pub(super) struct Caller {
    /// The user's id, if it is one that lasts.
    user_id: Option<Arc<str>>,
    grant: Arc<Grant>,
    client: Client,
    hub: Arc<Shared>,
}

impl FromRequestParts<Arc<Desk>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, desk: &Arc<Desk>) -> Result<Self, Problem> {
        let Some(connection) = parts.extensions.get::<Connection>() else {
            return Err(Problem::bad_request("it came over no connection"));
        };
        let (client, newcomer) = (connection.client, Arc::clone(&connection.newcomer));
        let hub = Arc::clone(&desk.shared);
        let is_guest = !bearer::is_admin(desk, &parts.headers) && !hub.gate.asks_for_tokens();
        let (user_id, grant) = if is_guest {
            (guest(parts, &hub)?, hub.gate.initial())
        } else {
            let grant = bearer::grant(desk, &parts.uri, &parts.headers).await;
            let told = |denied: &Denied| hub.told.denied(client.address, *denied);
            let grant = grant.inspect_err(told)?;
            (grant.user_id().cloned(), grant)
        };
        let caller = Self {
            user_id,
            grant,
            client,
            hub,
        };
        caller.hub.let_in(caller.who())?;
        newcomer.let_in();
        Ok(caller)
    }
}

/// The guest who has this secret, as in `hello`, if there is one.
fn guest(parts: &Parts, hub: &Shared) -> Result<Option<Arc<str>>, Problem> {
    let secret = bearer::in_header(&parts.headers);
    let is_bad = match secret {
        Some(secret) => !hub.guests.accepts(secret),
        None => bearer::is_meant(&parts.headers),
    };
    if is_bad {
        let why = "Bearer is followed by a guest's secret: one that hello gave, or 16 to 128 bytes";
        return Err(Problem::new(ErrorCode::Unauthorized, why));
    }
    Ok(secret.map(|secret| hub.identities.guest(secret).into()))
}

impl Caller {
    /// Refuses who would not be let in any more. For after a wait, such as that for a body: meanwhile a ban may have been made, or a
    /// token have expired.
    pub(super) fn is_still_let_in(&self) -> Result<(), Problem> {
        self.hub.let_in(self.who())?;
        if self.end().is_some_and(|end| end <= Instant::now()) {
            return Err(Denied::Refused(Refusal::Expired).into());
        }
        Ok(())
    }

    /// The rooms that may be read.
    pub(super) fn readable(&self) -> impl Iterator<Item = &Names> {
        self.grant.names(Right::Read)
    }

    /// Refuses what may not be done in a room.
    pub(super) fn may(&self, room: &str, right: Right) -> Result<(), Problem> {
        let why = if !self.grant.may(room, right) {
            "the Authorization does not give this right in this room"
        } else if self.hub.bans.hold(self.who(), Some(room)) {
            "you are banned from this room"
        } else {
            return Ok(());
        };
        Err(Problem::new(ErrorCode::Forbidden, why))
    }

    /// Who it is to a ban.
    pub(super) fn who(&self) -> Who<'_> {
        Who {
            user: self.user_id.as_ref(),
            address: self.client.address,
        }
    }

    /// Whether it is this one itself, also where bans are not for it.
    pub(super) fn is(&self, whom: &Subject) -> bool {
        let own = self.user_id.clone().map(Subject::User);
        own.as_ref() == Some(whom) || Subject::of(self.client.address) == *whom
    }

    /// Refuses what is for who moderates a room, or, without one, for who looks after the server.
    pub(super) fn may_moderate(&self, room: Option<&str>) -> Result<(), Problem> {
        match room {
            Some(room) if self.may(room, Right::Admin).is_ok() => Ok(()),
            _ => self.may_administer(),
        }
    }

    /// Refuses who moderates too fast. Who looks after the server does so as fast as it takes.
    pub(super) fn may_go_on(&self) -> Result<(), Problem> {
        match &self.user_id {
            Some(user) if !self.grant.may_administer() => {
                let gone_on = self.hub.traffic.moderate(self.client, Arc::clone(user));
                Ok(gone_on.map_err(Failure::too_fast)?)
            }
            _ => Ok(()),
        }
    }

    /// Whether all rooms may be read.
    pub(super) fn may_read_all(&self) -> Result<(), Problem> {
        let is_banned_somewhere = !self.hub.bans.rooms(self.who()).is_empty();
        if self.grant.may_everywhere(Right::Read) && !is_banned_somewhere {
            Ok(())
        } else {
            let why = "name a room to search in, which the Authorization lets you read";
            Err(Problem::new(ErrorCode::Forbidden, why))
        }
    }

    /// Whether the server's own matters may be seen and changed.
    pub(super) fn may_administer(&self) -> Result<(), Problem> {
        let why = "this is for who looks after the server";
        self.refuse_unless(self.grant.may_administer(), why)
    }

    /// Whether what any user said may be erased for good.
    pub(super) fn may_erase(&self) -> Result<(), Problem> {
        let why = "this is for who has the administrator's token, or the right to erase";
        self.refuse_unless(self.grant.may_erase(), why)
    }

    /// Who is not known may come back with an Authorization.
    fn refuse_unless(&self, may: bool, why: &'static str) -> Result<(), Problem> {
        if may {
            return Ok(());
        }
        let code = if self.is_known() {
            ErrorCode::Forbidden
        } else {
            ErrorCode::Unauthorized
        };
        Err(Problem::new(code, why))
    }

    /// Whether what it sends now and what it sends again are known to be of the same user.
    pub(super) const fn is_known(&self) -> bool {
        self.user_id.is_some()
    }

    /// The user's id, if it is one that lasts.
    pub(super) fn user_id(&self) -> Option<Arc<str>> {
        self.user_id.clone()
    }

    /// At whose cost it makes rooms, if at anybody's.
    pub(super) fn payer(&self) -> Option<IpAddr> {
        self.client.payer(&self.grant)
    }

    /// Until when it may be answered.
    pub(super) fn end(&self) -> Option<Instant> {
        end_of(&self.grant)
    }

    /// Who it is to others: under this name, unless a token says another.
    pub(super) fn user(&self, hub: &Shared, name: Option<&str>) -> Result<Arc<User>, Problem> {
        let name = self.grant.name().map(|name| &**name).or(name);
        let name = name.map_or(PLAIN_NAME, str::trim);
        if !is_name(name) {
            let why = "name has 1 to 64 characters, none of them a control character";
            return Err(Problem::bad_request(why));
        }
        let stranger = || hub.identities.stranger(hub.next_session()).into();
        let id: Arc<str> = self.user_id.clone().unwrap_or_else(stranger);
        let avatar = hub.identities.avatar(self.grant.email().unwrap_or(&id));
        let (avatar, name) = (avatar.into(), name.into());
        Ok(Arc::new(User { id, name, avatar }))
    }
}
