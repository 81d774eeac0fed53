//! Who asks.

use std::sync::Arc;

use http::{HeaderMap, header};

use super::Problem;
use crate::{
    auth::{Grant, Right},
    core::{User, is_name},
    hub::Shared,
    wire::{command::GUEST_BYTES, event::PLAIN_NAME, reply::ErrorCode},
};

/// Whom a request is from, as far as it says, and what they may.
#[derive(Debug)]
pub(super) struct Caller<'a> {
    /// A guest's secret, as in `hello`.
    secret: Option<&'a str>,
    grant: Grant,
}

impl<'a> Caller<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let authorization = headers.get(header::AUTHORIZATION);
        let secret = authorization.map(|text| text.to_str().ok().and_then(bearer));
        if secret.is_some_and(|secret| !secret.is_some_and(is_guest)) {
            let why = "Authorization is Bearer and a guest's secret of 16 to 128 bytes";
            return Err(Problem::new(ErrorCode::Unauthorized, why));
        }
        Ok(Self {
            secret: secret.flatten(),
            grant: Grant::open(),
        })
    }

    /// Whether a room may be read.
    pub(super) fn may_read(&self, room: &str) -> bool {
        self.grant.may(room, Right::Read)
    }

    /// Refuses what may not be done in a room.
    pub(super) fn may(&self, room: &str, right: Right) -> Result<(), Problem> {
        if self.grant.may(room, right) {
            Ok(())
        } else {
            let why = "the Authorization does not give this right in this room";
            Err(Problem::new(ErrorCode::Forbidden, why))
        }
    }

    /// Whether all rooms may be read.
    pub(super) fn may_read_all(&self) -> Result<(), Problem> {
        if self.grant.may_everywhere(Right::Read) {
            Ok(())
        } else {
            let why = "name a room to search in, which the Authorization lets you read";
            Err(Problem::new(ErrorCode::Forbidden, why))
        }
    }

    /// Whether the server's own matters may be seen and changed.
    pub(super) fn may_administer(&self) -> Result<(), Problem> {
        if self.grant.may_administer() {
            return Ok(());
        }
        let code = if self.is_known() {
            ErrorCode::Forbidden
        } else {
            ErrorCode::Unauthorized
        };
        let why = "this is for who looks after the server";
        Err(Problem::new(code, why))
    }

    /// Whether what it sends now and what it sends again are known to be of the same user.
    pub(super) const fn is_known(&self) -> bool {
        self.secret.is_some()
    }

    /// The user's id, if it is one that lasts.
    pub(super) fn user_id(&self, hub: &Shared) -> Option<Arc<str>> {
        Some(hub.identities.guest(self.secret?).into())
    }

    /// Who it is to others, under this name.
    pub(super) fn user(&self, hub: &Shared, name: Option<&str>) -> Result<Arc<User>, Problem> {
        let name = name.map_or(PLAIN_NAME, str::trim);
        if !is_name(name) {
            let why = "name has 1 to 64 characters, none of them a control character";
            return Err(Problem::bad_request(why));
        }
        let stranger = || hub.identities.stranger(hub.next_session()).into();
        let id: Arc<str> = self.user_id(hub).unwrap_or_else(stranger);
        let avatar = hub.identities.avatar(&id).into();
        let name = name.into();
        Ok(Arc::new(User { id, name, avatar }))
    }
}

fn is_guest(secret: &str) -> bool {
    GUEST_BYTES.contains(&secret.len())
}

/// The token of `Bearer` credentials (RFC 6750 §2.1).
fn bearer(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
