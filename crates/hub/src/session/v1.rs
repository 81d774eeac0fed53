//! `fdx.v1.json`: commands in, replies out.

use std::sync::Arc;

use serde::Serialize;

use super::{
    BAD_HELLO, Heartbeat, Sending, Session, Stop,
    joining::{Entered, Joining},
};
use crate::{
    core::{Author, Bounds, Cursor, SessionId, User, What},
    entrance::Entrance,
    hub::{Shared, now},
    log::{Append, AppendError, Appended, Draft},
    rooms::RoomRef,
    wire::{
        command::{Command, Frame, Hello, Id, MAX_BACKLOG},
        reply::{self, ErrorCode, Failure},
    },
};

/// Who a client is, as far as it said.
#[derive(Debug)]
pub(super) struct Client {
    user_id: Arc<str>,
    avatar: Arc<str>,
    /// Who it is to others, once it chose a name.
    user: Option<Arc<User>>,
}

impl Client {
    pub(super) fn new(hub: &Shared, session: SessionId) -> Self {
        let user_id = hub.identities.stranger(session);
        Self {
            avatar: hub.identities.avatar(&user_id).into(),
            user_id: user_id.into(),
            user: None,
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

    /// Learns what `hello` says. What it does not mention stays.
    fn learn(&mut self, hello: &Hello<'_>, hub: &Shared) {
        let mut avatar = None;
        if let Some(secret) = &hello.guest {
            self.user_id = hub.identities.guest(secret).into();
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
        let result = match frame.command {
            Ok(Command::Hello(hello)) => {
                self.hello(&hello, id);
                Ok(())
            }
            Ok(Command::Join {
                room,
                backlog,
                since,
            }) => self.join(&room, backlog, since.as_deref(), id),
            Ok(Command::Leave { room }) => {
                if let Some(room) = self.rooms.leave(&room) {
                    self.catch_up.leave(room);
                    // What waits for its turn behind this one's page has it now.
                    self.ready.push_back(room);
                }
                self.reply(id, &reply::Done {});
                Ok(())
            }
            Ok(Command::Send { room, cid, body }) => self.send(&room, &cid, &body, id),
            Ok(Command::Ping) => {
                self.reply(id, &reply::Pong { now: now() });
                Ok(())
            }
            Ok(Command::Hb) => Ok(()),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = result {
            self.outbox.push(reply::refusal(id, &failure));
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
        };
        self.outbox.extend(reply::success(id, &welcome));
    }

    fn join(
        &mut self,
        name: &str,
        backlog: usize,
        since: Option<&str>,
        id: Option<&Id>,
    ) -> Result<(), Failure> {
        if let Some(room) = self.rooms.find(name) {
            // A joined room is there.
            if let Some(state) = self.rooms.state(room) {
                let resume = None;
                self.answer_join(name, id, Ok(Entered { state, resume }));
            }
            return Ok(());
        }
        if self.rooms.len() >= self.hub.config.limits.rooms_per_connection {
            let why = "too many rooms joined";
            return Err(Failure::new(ErrorCode::RateLimited, why));
        }
        let (room, address) = (name.into(), self.rooms.address());
        let since = since.map(str::parse);
        self.joining = Some(Box::new(Joining {
            id: id.cloned(),
            entrance: Entrance::new(&self.hub, &room, address, backlog, since),
        }));
        Ok(())
    }

    /// A join has been decided.
    pub(super) fn answer_join(
        &mut self,
        name: &str,
        id: Option<&Id>,
        result: Result<Entered, Failure>,
    ) {
        let Entered { state, resume } = match result {
            Ok(entered) => entered,
            Err(failure) => {
                self.outbox.push(reply::refusal(id, &failure));
                return;
            }
        };
        let Bounds { epoch, floor, head } = &state.bounds;
        let cursor = Cursor {
            epoch: Arc::clone(epoch),
            mark: *head,
        };
        let form = reply::RoomForm {
            room: name,
            resume,
            epoch,
            head: head.seq,
            floor: floor.seq + 1,
            cursor: cursor.to_string(),
            count: state.count,
            members: state.users.iter().map(|user| (&**user).into()).collect(),
        };
        self.outbox.extend(reply::success(id, &form));
    }

    fn send(&mut self, name: &str, cid: &str, body: &str, id: Option<&Id>) -> Result<(), Failure> {
        let Some(user) = &self.client.user else {
            return Err(Failure::new(ErrorCode::Forbidden, "choose a name first"));
        };
        let Some(room) = self.rooms.find(name) else {
            return Err(Failure::new(ErrorCode::NotJoined, "join the room first"));
        };
        let from = Author::User(Arc::clone(user));
        let append = self.publish(room, from, What::message(body), Some(cid.into()));
        self.sending.extend(append.map(|append| Sending {
            id: id.cloned(),
            room,
            append,
        }));
        Ok(())
    }

    /// Hands a message to the log.
    pub(super) fn publish(
        &self,
        room: RoomRef,
        from: Author,
        what: What,
        cid: Option<Arc<str>>,
    ) -> Option<Append> {
        let place = self.rooms.get(room)?;
        let draft = Draft {
            room: Arc::clone(&place.name),
            from,
            what,
            cid,
            now: now(),
        };
        Some(self.hub.log.append(draft))
    }

    pub(super) fn answer_send(&mut self, id: Option<&Id>, result: Result<Appended, AppendError>) {
        match result {
            Ok(Appended {
                seq,
                id: message,
                ts,
                duplicate,
            }) => {
                self.reply(
                    id,
                    &reply::Sent {
                        seq,
                        id: &message,
                        ts,
                        dup: duplicate,
                    },
                );
            }
            Err(error) => self.outbox.push(reply::refusal(id, &error.into())),
        }
    }

    fn reply<T: Serialize>(&mut self, id: Option<&Id>, ok: &T) {
        self.outbox.extend(reply::success(id, ok));
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        let code = match error {
            AppendError::Conflict => ErrorCode::Conflict,
            AppendError::NotFound => ErrorCode::NotFound,
            AppendError::Forbidden => ErrorCode::Forbidden,
            AppendError::Busy | AppendError::Unavailable => ErrorCode::Unavailable,
            AppendError::Timeout => ErrorCode::Timeout,
        };
        Self::new(code, error.to_string())
    }
}
