//! The plain modes: one room, messages only.

use std::sync::Arc;

use fullduplex::{CloseCode, Prepared};

use super::{Encoder, HIGH_WATER, Parcel, Session, Stop, standing::FORBIDDEN};
use crate::{
    auth::Right,
    core::{
        Author, Batch, Begin, Claim, Form, JoinRefused, MAX_NAME_CHARS, User, Watch, What,
        shown_name,
    },
    log::AppendError,
    rooms::RoomRef,
    wire::{
        command::MAX_EMAIL_BYTES,
        event,
        plain::{self, Plain},
    },
};

/// Why a plain connection ends whose message the log did not take.
const NOT_STORED: &str = "a message is not stored; send it again later";
const MAY_NOT_BE_STORED: &str = "a message may not be stored";

impl Session {
    /// Joins the one room a plain session is in.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropped, the session is in no room.
    pub(crate) async fn enter(&mut self, room: &str, history: usize) -> Result<(), JoinRefused> {
        let name: Arc<str> = room.into();
        loop {
            let opening = self.hub.open_room(&name, self.payer(), history);
            let begin = Begin::Newest {
                count: history,
                from: opening.await?,
            };
            // Else it was forgotten between the two, as nobody was in it.
            if let Some((room, _)) = self.rooms.join(&name, None, false, Watch::Nothing, begin) {
                if self.rooms.gap(room).is_some() {
                    // What was said before it came it can't have been too slow for.
                    self.fall_behind(room);
                } else if history > 0 {
                    self.ready.push_back(room);
                }
                return Ok(());
            }
        }
    }

    pub(super) fn take_json(&mut self, text: &str) -> Result<(), Stop> {
        let Ok(Plain {
            email,
            username,
            message,
        }) = Plain::parse(text)
        else {
            let reason = "not an object of strings";
            return Err(Stop::close(CloseCode::INVALID_FRAME_PAYLOAD_DATA, reason));
        };
        if username.chars().count() > MAX_NAME_CHARS || email.len() > MAX_EMAIL_BYTES {
            let reason = "username or email too long";
            return Err(Stop::close(CloseCode::MESSAGE_TOO_BIG, reason));
        }
        let claim = self.claim(&email, &username);
        self.say(Author::PlainJson(claim), message.into())
    }

    /// What the client claims to be, most often the same as before.
    fn claim(&mut self, email: &str, username: &str) -> Arc<Claim> {
        let is_same = |claim: &&Arc<Claim>| *claim.email == *email && *claim.username == *username;
        if let Some(claim) = self.claim.as_ref().filter(is_same) {
            return Arc::clone(claim);
        }
        let seed = if email.trim().is_empty() {
            username
        } else {
            email
        };
        let claim = Arc::new(Claim {
            avatar: self.hub.identities.avatar(seed).into(),
            email: email.into(),
            username: username.into(),
        });
        self.claim = Some(Arc::clone(&claim));
        claim
    }

    pub(super) fn take_line(&mut self, text: &str) -> Result<(), Stop> {
        let line = plain::one_line(text);
        if line.is_empty() {
            return Ok(());
        }
        self.say(Author::PlainText, line.into())
    }

    fn say(&mut self, claimed: Author, body: Arc<str>) -> Result<(), Stop> {
        let Some(room) = self.rooms.only() else {
            return Ok(());
        };
        if let Some(place) = self.rooms.get(room) {
            let allowed = self.may(&place.name, Right::Write);
            allowed.map_err(|failure| Stop::close(FORBIDDEN, &failure.msg))?;
        }
        let from = self.author(claimed);
        self.publish(room, from, What::message(body), None, None);
        self.pace_plain(room);
        Ok(())
    }

    /// Whom a message is from: who the client claims to be, unless a token says.
    fn author(&self, claimed: Author) -> Author {
        let grant = self.standing.grant();
        let Some(id) = grant.user_id() else {
            return claimed;
        };
        let username = match &claimed {
            Author::PlainJson(claim) => shown_name(&claim.username),
            Author::User(_) | Author::PlainText => "".into(),
        };
        let shown = [username, shown_name(id), event::PLAIN_NAME.into()];
        let shown = || shown.into_iter().find(|name| !name.is_empty());
        let name = grant.name().cloned();
        let avatar = self.hub.identities.avatar(grant.email().unwrap_or(id));
        Author::User(Arc::new(User {
            id: Arc::clone(id),
            name: name.unwrap_or_else(|| shown().unwrap_or_default().into()),
            avatar: avatar.into(),
        }))
    }

    /// The log has decided about a message. Nothing tells a plain client that one was not stored but the end of the
    /// connection, before which all that was stored comes back.
    pub(super) fn decided_plain(&mut self, room: RoomRef, error: Option<AppendError>) {
        match error {
            // It weighs more: of any that does not come back nobody knows.
            Some(AppendError::Timeout) => self.parting = Some(MAY_NOT_BE_STORED),
            Some(_) => _ = self.parting.get_or_insert(NOT_STORED),
            None => {}
        }
        if self.parting.is_some() && !self.ready.contains(&room) {
            self.ready.push_back(room);
        }
    }

    /// Ends a session that is to end and, as all it is owed is packed, may.
    pub(super) fn part(&self) -> Result<(), Stop> {
        let Some(reason) = self.parting else {
            return Ok(());
        };
        let room = self.rooms.only();
        if !self.writing.is_empty() || room.is_some_and(|room| self.catch_up.is_of(room)) {
            return Ok(());
        }
        Err(Stop::close(CloseCode::TRY_AGAIN_LATER, reason))
    }

    /// Packs a batch as lines, several to a frame. Returns how many.
    pub(super) fn pack_lines(
        &mut self,
        room: RoomRef,
        batch: &Batch<Prepared>,
        parcel: &mut Parcel,
    ) -> usize {
        let mut packed = 0;
        while packed < batch.entries.len() && !parcel.is_full() {
            let rest = &batch.entries[packed..];
            let lines = rest.iter().take_while(|e| Form::Text.says(&e.event.what));
            let frames: Vec<_> = lines.map(|entry| self.frame(entry)).collect();
            let count = if frames.is_empty() {
                // It is stepped over.
                1
            } else {
                let (frame, count) = in_lines_at_once(&frames, &self.hub.encoder);
                parcel.push(frame);
                count
            };
            packed += count;
            if let Some(place) = self.rooms.get_mut(room) {
                place.cursor = rest[count - 1].event.seq + 1;
            }
        }
        self.hub.rooms.delivered(packed);
        packed
    }
}

/// The texts of frames as lines, as few frames as hold them.
pub(super) fn in_lines(mut frames: &[Prepared], encoder: &Encoder) -> Vec<Prepared> {
    let mut packed = Vec::new();
    while !frames.is_empty() {
        let (frame, count) = in_lines_at_once(frames, encoder);
        packed.push(frame);
        frames = &frames[count..];
    }
    packed
}

/// The first of them, and how many lines it has.
fn in_lines_at_once(frames: &[Prepared], encoder: &Encoder) -> (Prepared, usize) {
    match fitting(frames) {
        1 => (frames[0].clone(), 1),
        count => (encoder.prepare(joined(&frames[..count])), count),
    }
}

/// How many of the first frames fit into one of [`HIGH_WATER`] bytes, their headers standing for
/// the newlines; at least one.
fn fitting(frames: &[Prepared]) -> usize {
    let mut bytes = 0;
    let fits = |frame: &&Prepared| {
        bytes += frame.len();
        bytes <= HIGH_WATER
    };
    frames.iter().take_while(fits).count().max(1)
}

/// The texts of several frames, a newline between two.
fn joined(frames: &[Prepared]) -> String {
    let mut text = Vec::new();
    for frame in frames {
        if !text.is_empty() {
            text.push(b'\n');
        }
        text.extend_from_slice(&frame.payload());
    }
    String::from_utf8_lossy(&text).into_owned()
}
