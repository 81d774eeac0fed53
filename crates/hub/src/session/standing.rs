//! What a session may do, and until when.

use std::{
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use fullduplex::CloseCode;
use tokio::time::Instant;

use super::{Dialect, Ended, Session, Stop};
use crate::{
    auth::{Denied, Grant, Refusal, Right, end_of},
    log::Answer,
    traffic::Newcomer,
    wire::{
        command::{Command, Frame, Hello, Id},
        event,
        reply::{self, ErrorCode, Failure},
    },
};

/// The token is none, or not a good one.
const BAD_TOKEN: CloseCode = CloseCode::new(4001);
/// It was good, and does not allow what the client does.
pub(super) const FORBIDDEN: CloseCode = CloseCode::new(4003);
/// It was good.
const TOKEN_EXPIRED: CloseCode = CloseCode::new(4101);

/// What a session may, and the token by which it may more.
#[derive(Debug)]
pub(super) struct Standing {
    grant: Arc<Grant>,
    end: Option<Box<End>>,
    /// The token that came with the handshake, for a `hello` without one.
    at_door: Option<Box<str>>,
    /// Its place among those that are not let in yet.
    newcomer: Option<Arc<Newcomer>>,
    /// While it waits no command is taken.
    checking: Option<Box<Checking>>,
}

/// When a grant ends, and whether the client was told that it will.
#[derive(Debug)]
struct End {
    at: Instant,
    is_told: bool,
}

/// A token that is being checked.
#[derive(Debug)]
struct Checking {
    id: Option<Id>,
    /// The `hello` that it came with, as it was written.
    hello: Option<Box<str>>,
    answer: Answer<Arc<Grant>, Denied>,
}

impl Standing {
    pub(super) const fn new(initial: Arc<Grant>) -> Self {
        Self {
            grant: initial,
            end: None,
            at_door: None,
            newcomer: None,
            checking: None,
        }
    }

    pub(super) const fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    pub(super) const fn is_checking(&self) -> bool {
        self.checking.is_some()
    }
}

impl Session {
    /// Keeps the token that came with the handshake until there is a `hello`; until then its connection is a newcomer's.
    pub(crate) fn expect_hello(&mut self, token: Option<String>, newcomer: Arc<Newcomer>) {
        self.standing.at_door = token.map(Into::into);
        self.standing.newcomer = Some(newcomer);
    }

    /// It has said a good `hello`, and is let in.
    pub(super) fn is_greeted(&mut self) {
        if let Some(newcomer) = self.leave_newcomer() {
            newcomer.let_in();
        }
    }

    /// Its place among those that are not let in, if it is one of them: for as long as its connection goes on without it.
    pub(super) fn leave_newcomer(&mut self) -> Option<Arc<Newcomer>> {
        self.standing.newcomer.take()
    }

    /// Lets the session do this much from now on.
    pub(crate) fn set_grant(&mut self, grant: Arc<Grant>) {
        self.standing.end = end_of(&grant).map(|at| Box::new(End { at, is_told: false }));
        self.standing.grant = grant;
    }

    /// Refuses what a token does not allow.
    pub(super) fn may(&self, room: &str, right: Right) -> Result<(), Failure> {
        if self.standing.grant.may(room, right) {
            return Ok(());
        }
        let what = match right {
            Right::Read => "reading this room",
            Right::Write => "writing here",
            Right::Admin => "administering this room",
        };
        let why = format!("your token does not allow {what}");
        Err(Failure::new(ErrorCode::Forbidden, why))
    }

    /// Takes a `hello`, if need be once its token has been checked.
    pub(super) fn greet(
        &mut self,
        hello: &Hello<'_>,
        text: &str,
        id: Option<&Id>,
    ) -> Result<(), Stop> {
        self.hello_by = None;
        let at_door = self.standing.at_door.take();
        let token = hello.token.as_deref().or(at_door.as_deref());
        let asks = self.hub.gate.asks_for_tokens();
        let is_admin = token.is_some_and(|token| self.hub.is_admin(token));
        if !is_admin && (!asks || (token.is_none() && self.is_let_in())) {
            return self.hello(hello, id);
        }
        self.standing.checking = Some(Box::new(Checking {
            id: id.cloned(),
            hello: Some(text.into()),
            answer: self.hub.admit(token),
        }));
        Ok(())
    }

    /// Takes another token.
    pub(super) fn renew(&mut self, token: &str, id: Option<&Id>) -> Result<(), Failure> {
        if !self.hub.gate.asks_for_tokens() {
            let why = "no tokens are asked for here";
            return Err(Failure::new(ErrorCode::Unsupported, why));
        }
        self.standing.checking = Some(Box::new(Checking {
            id: id.cloned(),
            hello: None,
            answer: self.hub.admit(Some(token)),
        }));
        Ok(())
    }

    /// Goes on with the token that is being checked.
    pub(super) fn poll_checking(&mut self, cx: &mut Context<'_>) -> Result<(), Stop> {
        let Some(checking) = &mut self.standing.checking else {
            return Ok(());
        };
        let Poll::Ready(judged) = Pin::new(&mut checking.answer).poll(cx) else {
            return Ok(());
        };
        let Some(checking) = self.standing.checking.take() else {
            return Ok(());
        };
        let id = checking.id.as_ref();
        let judged = judged
            .inspect_err(|denied| self.hub.told.denied(self.rooms.address(), *denied))
            .map_err(Failed::Denied)
            .and_then(|grant| self.judge(grant));
        match judged {
            Ok(grant) => self.let_in(grant, checking.hello.as_deref(), id)?,
            Err(Failed::Denied(denied)) if !self.is_let_in() => return Err(stop(&denied)),
            Err(failed) => self.outbox.push(reply::refusal(id, &failed.into())),
        }
        Ok(())
    }

    /// Nobody becomes somebody else.
    fn judge(&self, grant: Arc<Grant>) -> Result<Arc<Grant>, Failed> {
        if self.is_let_in() && grant.user_id() != self.standing.grant.user_id() {
            return Err(Failed::OtherUser);
        }
        Ok(grant)
    }

    fn let_in(
        &mut self,
        grant: Arc<Grant>,
        hello: Option<&str>,
        id: Option<&Id>,
    ) -> Result<(), Stop> {
        self.set_grant(grant);
        self.check_streams();
        let frame = hello.map(|text| Frame::parse(text, self.hub.config.limits.body));
        if let Some(Ok(Command::Hello(hello))) = frame.map(|frame| frame.command) {
            return self.hello(&hello, id);
        }
        self.learn(&Hello::default())?;
        let expires = expires_ms(&self.standing.grant);
        self.reply(id, &reply::Renewed { expires });
        Ok(())
    }

    /// Whether it has shown a token.
    fn is_let_in(&self) -> bool {
        self.standing.grant.user_id().is_some()
    }

    /// At whose cost it makes rooms, if at anybody's.
    pub(super) fn payer(&self) -> Option<IpAddr> {
        self.rooms.client().payer(&self.standing.grant)
    }

    /// When something has to be done about the end of its grant.
    pub(super) fn end_due(&self) -> Option<Instant> {
        let End { at, is_told } = &**self.standing.end.as_ref()?;
        if *is_told || !self.tells_of_end() {
            return Some(*at);
        }
        Some(
            at.checked_sub(self.hub.config.timeouts.expiring)
                .unwrap_or(*at),
        )
    }

    /// Tells the client that its grant ends soon, or ends the session.
    pub(super) fn check_end(&mut self, now: Instant) -> Result<(), Stop> {
        let is_due = self.end_due().is_some_and(|due| due <= now);
        let Some(end) = self.standing.end.as_mut().filter(|_| is_due) else {
            return Ok(());
        };
        if end.at <= now {
            return Err(token_expired());
        }
        end.is_told = true;
        let left = end.at - now;
        self.outbox.push(event::expiring(left));
        Ok(())
    }

    /// Plain clients get nothing but messages.
    const fn tells_of_end(&self) -> bool {
        matches!(self.dialect, Dialect::V1 { .. })
    }
}

/// Why a token changes nothing.
enum Failed {
    Denied(Denied),
    OtherUser,
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::OtherUser => Self::new(ErrorCode::Forbidden, "the token is of another user"),
            Failed::Denied(denied) => denied.into(),
        }
    }
}

impl From<Denied> for Failure {
    fn from(denied: Denied) -> Self {
        let code = match denied {
            Denied::Refused(Refusal::Expired) => ErrorCode::TokenExpired,
            Denied::NoToken | Denied::Refused(_) => ErrorCode::Unauthorized,
            Denied::Banned => ErrorCode::Forbidden,
            Denied::Unavailable => ErrorCode::Unavailable,
        };
        Self::new(code, denied.to_string())
    }
}

/// How a connection ends that nobody is let in over.
pub(super) fn stop(denied: &Denied) -> Stop {
    let code = match denied {
        Denied::Refused(Refusal::Expired) => TOKEN_EXPIRED,
        Denied::NoToken | Denied::Refused(_) => BAD_TOKEN,
        Denied::Banned => return Ended::Banned.into(),
        Denied::Unavailable => CloseCode::TRY_AGAIN_LATER,
    };
    Stop::close(code, &denied.to_string())
}

/// A token's time is over.
pub(crate) fn token_expired() -> Stop {
    Stop::close(TOKEN_EXPIRED, "the token has expired")
}

/// When a grant ends, as the protocol has it.
pub(super) fn expires_ms(grant: &Grant) -> Option<u64> {
    /// Whatever is later is not told exactly: numbers stay below 2^53.
    const LAST: u64 = (1 << 53) - 1;
    let seconds = grant.expires()?;
    Some(seconds.saturating_mul(1_000).min(LAST))
}
