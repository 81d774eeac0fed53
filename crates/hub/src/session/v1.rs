//! `fdx.v1.json`: commands in, replies out.

use std::sync::Arc;

use serde::Serialize;

use super::{
    BAD_HELLO, Heartbeat, Session, Stop,
    joining::{self, Door, Outcome},
};
use crate::{
    core::{SessionId, User},
    hub::{Shared, now},
    wire::{
        command::{Command, Frame, Hello, Id, MAX_BACKLOG},
        reply,
    },
};

/// Who a client is, as far as it said.
#[derive(Debug)]
pub(super) struct Client {
    user_id: Arc<str>,
    avatar: Arc<str>,
    /// Who it is to others, once it chose a name.
    user: Option<Arc<User>>,
    /// Whether it is the same user after it came back.
    is_lasting: bool,
}

impl Client {
    pub(super) fn new(hub: &Shared, session: SessionId) -> Self {
        let user_id = hub.identities.stranger(session);
        Self {
            avatar: hub.identities.avatar(&user_id).into(),
            user_id: user_id.into(),
            user: None,
            is_lasting: false,
        }
    }

    /// Which user it is, with or without a name.
    pub(super) const fn id(&self) -> &Arc<str> {
        &self.user_id
    }

    /// Whether it is the same user after it came back.
    pub(super) const fn is_lasting(&self) -> bool {
        self.is_lasting
    }

    /// Who it is to others.
    pub(super) const fn user(&self) -> Option<&Arc<User>> {
        self.user.as_ref()
    }

    /// Learns what `hello` says. What it does not mention stays.
    fn learn(&mut self, hello: &Hello<'_>, hub: &Shared) {
        let mut avatar = None;
        if let Some(secret) = &hello.guest {
            self.user_id = hub.identities.guest(secret).into();
            self.is_lasting = true;
            avatar = Some(hub.identities.avatar(&self.user_id));
        }
        if let Some(email) = hello
            .email
            .as_ref()
            .filter(|email| !email.trim().is_empty())
        {
            avatar = Some(hub.identities.avatar(email));
        }
        if let Some(avatar) = avatar {
            self.avatar = avatar.into();
        }
        let name = hello.name.as_ref().map(|name| Arc::from(&**name));
        if let Some(name) = name.or_else(|| self.user.as_ref().map(|user| Arc::clone(&user.name))) {
            let (id, avatar) = (Arc::clone(&self.user_id), Arc::clone(&self.avatar));
            self.user = Some(Arc::new(User { id, name, avatar }));
        }
    }
}

impl Session {
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
            Ok(Command::Hello(hello)) => {
                self.hello(&hello, id);
                Ok(())
            }
            Ok(Command::Join(join)) => {
                self.join(Door::new(&join, false), id);
                Ok(())
            }
            Ok(Command::Sub(join)) => {
                self.join(Door::new(&join, true), id);
                Ok(())
            }
            Ok(Command::Leave { room }) => {
                if let Some(room) = self.rooms.leave(&room) {
                    self.catch_up.leave(room);
                    // What waits for its turn behind this one's page has it now.
                    self.ready.push_back(room);
                }
                self.reply(id, &reply::Done {});
                Ok(())
            }
            Ok(Command::Write(write)) => self.write(write, id),
            Ok(Command::Ask(ask)) => self.ask(ask, id),
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

    fn hello(&mut self, hello: &Hello<'_>, id: Option<&Id>) {
        self.hello_by = None;
        self.client.learn(hello, &self.hub);
        if let Some(user) = &self.client.user {
            self.rooms.rename(user);
        }
        if let Some(ms) = hello.hb_ms {
            self.heartbeat = Heartbeat::asked(ms);
        }
        if let Some(session) = &hello.session {
            self.take_over(session);
        }
        if self.client.is_lasting {
            let (users, seat) = (&self.hub.users, self.rooms.seat());
            // First out, then in: it may be the same user.
            self.present = None;
            self.present = Some(users.enter(&self.client.user_id, self.id, seat));
        }
        match &hello.resume {
            Some(rooms) => {
                let doors = rooms.iter().map(|(room, since)| Door::resumed(room, since));
                self.join_for_hello(doors.collect(), id);
            }
            None => self.welcome(id, None),
        }
    }

    /// Answers `hello`, with what came of the rooms that it was to go on in.
    pub(super) fn welcome(&mut self, id: Option<&Id>, rooms: Option<&[Outcome]>) {
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::interval);
        let limits = &self.hub.config.limits;
        let welcome = reply::Welcome {
            session: &self.hub.identities.session(self.id),
            user: reply::SelfForm {
                id: &self.client.user_id,
                name: self.client.user.as_ref().map(|user| &*user.name),
                avatar: &self.client.avatar,
            },
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
        let reply = reply::success(id, &welcome);
        self.outbox.extend(reply);
    }

    pub(super) fn reply<T: Serialize>(&mut self, id: Option<&Id>, ok: &T) {
        self.outbox.extend(reply::success(id, ok));
    }
}
