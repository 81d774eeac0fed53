//! `fdx.v1.json`: commands in, replies out.

use std::sync::Arc;

use serde::Serialize;

use super::{
    BAD_HELLO, Heartbeat, Session, Stop, encoder,
    joining::{self, Door, Outcome},
    standing::expires_ms,
};
use crate::{
    auth::Grant,
    core::{SessionId, User},
    hub::{Shared, now},
    wire::{
        command::{Command, Frame, Hello, Id, MAX_BACKLOG},
        reply,
    },
};

/// Who a client is, as far as it said. By default nobody: plain clients, which do not say.
#[derive(Debug, Default)]
pub(super) struct Client {
    user_id: Arc<str>,
    avatar: Arc<str>,
    /// Who it is to others, once it chose a name.
    user: Option<Arc<User>>,
    /// Whether the id is that of a guest, or of whom a token names.
    is_known: bool,
    /// The secret of a new guest, who is to be told.
    issued: Option<String>,
}

impl Client {
    pub(super) fn new(hub: &Shared, session: SessionId) -> Self {
        let user_id = hub.identities.stranger(session);
        Self {
            avatar: hub.identities.avatar(&user_id).into(),
            user_id: user_id.into(),
            user: None,
            is_known: false,
            issued: None,
        }
    }

    /// Which user it is, with or without a name.
    pub(super) const fn id(&self) -> &Arc<str> {
        &self.user_id
    }

    /// Who it is to others.
    pub(super) const fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Learns what `hello` says, and a token, which overrides it. What neither mentions stays.
    fn learn(&mut self, hello: &Hello<'_>, grant: &Grant, hub: &Shared) {
        if let Some(id) = grant.user_id() {
            self.become_user(Arc::clone(id), hub);
        } else if hello.guest.is_some() || !self.is_known {
            let secret = hello.guest.as_deref();
            let secret = secret.filter(|secret| hub.guests.accepts(secret));
            if secret.is_none() {
                self.issued = hub.guests.issue().ok();
            }
            if let Some(secret) = secret.or(self.issued.as_deref()) {
                self.become_user(hub.identities.guest(secret).into(), hub);
            }
        }
        let email = grant.email().or(hello.email.as_deref());
        if let Some(email) = email.filter(|email| !email.trim().is_empty()) {
            self.avatar = hub.identities.avatar(email).into();
        }
        let said = hello.name.as_ref().map(|name| Arc::from(&**name));
        let before = || self.user.as_ref().map(|user| Arc::clone(&user.name));
        if let Some(name) = grant.name().cloned().or(said).or_else(before) {
            let (id, avatar) = (Arc::clone(&self.user_id), Arc::clone(&self.avatar));
            self.user = Some(Arc::new(User { id, name, avatar }));
        }
    }

    fn become_user(&mut self, id: Arc<str>, hub: &Shared) {
        if self.user_id != id {
            self.avatar = hub.identities.avatar(&id).into();
            self.user_id = id;
        }
        self.is_known = true;
    }
}

impl Session {
    fn resumes_too_many(&self, hello: &Hello<'_>) -> bool {
        let max = self.hub.config.limits.rooms_per_connection;
        hello.resume.as_ref().is_some_and(|rooms| rooms.len() > max)
    }

    pub(super) fn take_command(&mut self, text: &str) -> Result<(), Stop> {
        let frame = Frame::parse(text, self.hub.config.limits.body);
        let id = frame.id.as_ref();
        if self.hello_by.is_some() && !matches!(frame.command, Ok(Command::Hello(_))) {
            let reason = frame
                .command
                .map_or_else(|bad| bad.msg, |_| "hello comes first".into());
            return Err(Stop::close(BAD_HELLO, &reason));
        }
        let command = self.admit().and(frame.command);
        let result = match command {
            Ok(Command::Hello(hello)) if self.resumes_too_many(&hello) => Err(reply::Failure::new(
                reply::ErrorCode::BadRequest,
                "resume has more rooms than may be joined",
            )),
            Ok(Command::Hello(hello)) => {
                self.greet(&hello, text, id)?;
                Ok(())
            }
            Ok(Command::Auth { token }) => self.renew(&token, id),
            Ok(Command::Join(join)) => {
                self.join(Door::new(&join, false), id);
                Ok(())
            }
            Ok(Command::Sub(join)) => {
                self.join(Door::new(&join, true), id);
                Ok(())
            }
            Ok(Command::Members {
                room,
                limit,
                cursor,
            }) => self.members(&room, limit, cursor.as_deref(), id),
            Ok(Command::Typing { room, on }) => self.typing(&room, on),
            Ok(Command::Leave { room }) => {
                self.leave(&room);
                self.reply(id, &reply::Done {});
                Ok(())
            }
            Ok(Command::Write(write)) => self.write(write, id),
            Ok(Command::Ask(ask)) => self.ask(ask, id),
            Ok(Command::Follow(follow)) => self.follow_log(follow, id),
            Ok(Command::Ping) => {
                self.reply(id, &reply::Pong { now: now() });
                Ok(())
            }
            Ok(Command::Hb) => Ok(()),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = result {
            self.outbox.push(reply::refusal(id, &failure));
            self.count_refusal(&failure)?;
        }
        Ok(())
    }

    pub(super) fn leave(&mut self, room: &str) {
        if let Some(room) = self.rooms.leave(room) {
            self.catch_up.leave(room);
            // What waits for its turn behind this one's page has it now.
            self.ready.push_back(room);
        }
    }

    /// Learns who the client is, and shows it to others where it may still be.
    pub(super) fn learn(&mut self, hello: &Hello<'_>) -> Result<(), Stop> {
        self.client.learn(hello, self.standing.grant(), &self.hub);
        self.check_banned()?;
        if let Some(user) = &self.client.user {
            self.rooms.rename(user);
        }
        Ok(())
    }

    pub(super) fn hello(&mut self, hello: &Hello<'_>, id: Option<&Id>) -> Result<(), Stop> {
        self.learn(hello)?;
        self.is_greeted();
        if let Some(ms) = hello.hb_ms {
            self.heartbeat = Heartbeat::asked(ms);
        }
        if let Some(session) = &hello.session {
            self.take_over(session);
        }
        let (users, seat) = (&self.hub.users, self.rooms.seat());
        // First out, then in: it may be the same user.
        self.present = None;
        self.present = Some(users.enter(&self.client.user_id, self.id, seat));
        match &hello.resume {
            Some(rooms) => {
                let doors = rooms.iter().map(|(room, since)| Door::resumed(room, since));
                self.join_for_hello(doors.collect(), id);
            }
            None => self.welcome(id, None),
        }
        Ok(())
    }

    /// Answers `hello`, with what came of the rooms that it was to go on in.
    pub(super) fn welcome(&mut self, id: Option<&Id>, rooms: Option<&[Outcome]>) {
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::interval);
        let limits = &self.hub.config.limits;
        let issued = self.client.issued.take();
        let welcome = reply::Welcome {
            session: &self.hub.identities.session(self.id),
            user: reply::SelfForm {
                id: &self.client.user_id,
                name: self.client.user.as_ref().map(|user| &*user.name),
                avatar: &self.client.avatar,
            },
            guest: issued.as_deref(),
            expires: expires_ms(self.standing.grant()),
            now: now(),
            hb: u64::try_from(heartbeat.unwrap_or_default().as_millis()).unwrap_or(0),
            limits: reply::Limits {
                frame: limits.frame,
                body: limits.body,
                rooms: limits.rooms_per_connection,
                backlog: MAX_BACKLOG,
            },
            features: [],
            rooms: rooms.map(joining::forms),
        };
        // It may have a guest's secret, beside names that others chose.
        let reply = reply::success(id, &welcome).map(encoder::uncompressed);
        self.outbox.extend(reply);
    }

    pub(super) fn reply<T: Serialize>(&mut self, id: Option<&Id>, ok: &T) {
        self.outbox.extend(reply::success(id, ok));
    }
}
