//! What rooms carry: events, their authors, and the frames they are encoded into.

use std::sync::{Arc, OnceLock};

/// A user who chose a name, as everybody may see them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The user's id, the same for all connections that share a guest secret.
    pub id: Arc<str>,
    /// The chosen name, trimmed.
    pub name: Arc<str>,
    /// The seed a client draws the avatar from.
    pub avatar: Arc<str>,
}

/// Who an event is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Author {
    /// A user of `fdx.v1.json`.
    User(Arc<User>),
    /// A plain JSON client.
    PlainJson(Arc<Claim>),
    /// A text mode client, which says nothing about itself.
    PlainText,
}

/// What a plain JSON client claims to be, passed on unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The e-mail address; shown to plain JSON clients only. Empty once the message was deleted.
    pub email: Box<str>,
    /// The name.
    pub username: Box<str>,
    /// The avatar's seed, made from the address.
    pub avatar: Box<str>,
}

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A message.
    Message {
        /// What was written. None once it was deleted.
        body: Option<Arc<str>>,
        /// The position of the message that it answers, as its author says: that may be gone.
        reply_to: Option<u64>,
        /// What the author's app has to add, an object as JSON. Gone with the body.
        meta: Option<Arc<str>>,
    },
    /// Another body for a message.
    Edit {
        /// The message's position.
        target: u64,
        /// What it says now. None once the message was deleted.
        body: Option<Arc<str>>,
    },
    /// The end of a message: its body is no longer kept anywhere.
    Delete {
        /// The message's position.
        target: u64,
    },
    /// A reaction to a message.
    React {
        /// The message's position.
        target: u64,
        /// Which.
        emoji: Arc<str>,
        /// Whether it is set, or taken back.
        on: bool,
    },
    /// What an app says that is no chat.
    Data {
        /// Any value as JSON. None once it was erased.
        json: Option<Arc<str>>,
    },
    /// What a newer version of this program says, and this one passes on as it is.
    Other {
        /// The event's name in `fdx.v1.json`.
        kind: Arc<str>,
        /// The keys that it has besides those of all events, an object as JSON. None once it was erased.
        json: Option<Arc<str>>,
    },
}

impl What {
    /// The longest [`meta`](What::Message::meta): names and numbers; what is bigger has a place elsewhere, and a link.
    pub const MAX_META_BYTES: usize = 4 << 10;

    /// A message that says this, and no more.
    pub fn message(body: impl Into<Arc<str>>) -> Self {
        Self::Message {
            body: Some(body.into()),
            reply_to: None,
            meta: None,
        }
    }

    /// The message that this is about, if it is about one.
    pub const fn target(&self) -> Option<u64> {
        match self {
            Self::Message { .. } | Self::Data { .. } | Self::Other { .. } => None,
            Self::Edit { target, .. } | Self::Delete { target } | Self::React { target, .. } => {
                Some(*target)
            }
        }
    }

    /// What was written, or chosen.
    pub fn text(&self) -> &str {
        match self {
            Self::Message { body, .. }
            | Self::Edit { body, .. }
            | Self::Data { json: body }
            | Self::Other { json: body, .. } => body.as_deref().unwrap_or_default(),
            Self::React { emoji, .. } => emoji,
            Self::Delete { .. } => "",
        }
    }

    /// All that its author chose.
    pub(crate) fn texts(&self) -> [&str; 2] {
        let second = match self {
            Self::Message { meta, .. } => meta.as_deref().unwrap_or_default(),
            Self::Other { kind, .. } => kind,
            _ => "",
        };
        [self.text(), second]
    }

    /// Bytes of all that its author chose.
    pub(crate) fn bytes(&self) -> usize {
        let [first, second] = self.texts();
        first.len() + second.len()
    }

    /// Whether this says what a message says that was deleted.
    pub(crate) const fn is_about(&self, seq: u64, message: u64) -> bool {
        match self {
            Self::Message { .. } => seq == message,
            Self::Edit { target, .. } => *target == message,
            Self::Delete { .. } | Self::React { .. } | Self::Data { .. } | Self::Other { .. } => {
                false
            }
        }
    }

    fn erase(&mut self) {
        if let Self::Message { meta, .. } = self {
            *meta = None;
        }
        match self {
            Self::Message { body, .. }
            | Self::Edit { body, .. }
            | Self::Data { json: body }
            | Self::Other { json: body, .. } => *body = None,
            Self::React { on, .. } => *on = false,
            Self::Delete { .. } => {}
        }
    }
}

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The room's name.
    pub room: Arc<str>,
    /// The position in the log: grows strictly within a room, may have holes.
    pub seq: u64,
    /// The position of the room's event before this one; 0 for the first.
    pub prev: u64,
    /// The server-made id, a ULID.
    pub id: Arc<str>,
    /// Milliseconds since 1970 by the server's clock; never goes back within a room.
    pub ts: u64,
    /// Who wrote it.
    pub from: Author,
    /// What it says.
    pub what: What,
    /// The client's own id of the event.
    pub cid: Option<Arc<str>>,
}

impl Event {
    /// Forgets what was written, or chosen, and the address that came with it. Says whether that was anything.
    pub(crate) fn erase(&mut self) -> bool {
        let was = self.clone();
        self.what.erase();
        self.from.forget_address();
        *self != was
    }
}

/// The dialects an event is encoded for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// `fdx.v1.json`.
    V1,
    /// Plain JSON.
    Json,
    /// Plain text.
    Text,
}

impl Form {
    /// Whether it can say this: the plain ones know nothing but messages.
    pub(crate) const fn says(self, what: &What) -> bool {
        matches!(self, Self::V1) || matches!(what, What::Message { body: Some(_), .. })
    }
}

/// An event in a room's ring, with its frames.
///
/// `F` is a frame ready to be sent. Each form is encoded at most once, by the first session that
/// needs it: a room without text viewers never encodes text.
#[derive(Debug)]
pub(crate) struct Entry<F> {
    pub(crate) event: Event,
    weight: usize,
    frames: [OnceLock<F>; 3],
}

impl<F> Entry<F> {
    /// Memory an entry needs besides what clients wrote: itself, its `Arc`s, and the headers, keys
    /// and numbers of its frames.
    const OVERHEAD: usize = 1024;

    pub(crate) fn new(event: Event) -> Self {
        Self {
            weight: Self::weigh(&event),
            event,
            frames: [const { OnceLock::new() }; 3],
        }
    }

    /// The frame of `form`, encoded on first use.
    pub(crate) fn frame(&self, form: Form, encode: impl FnOnce(&Self) -> F) -> &F {
        self.frames[form as usize].get_or_init(|| encode(self))
    }

    /// The bytes this entry is charged with: what clients wrote and, because they may be made at
    /// any time, its three frames.
    pub(crate) const fn weight(&self) -> usize {
        self.weight
    }

    fn weigh(event: &Event) -> usize {
        let [first, second, third] = event.from.texts();
        let cid = event.cid.as_deref().unwrap_or_default();
        let [text, more] = event.what.texts();
        let texts = [&*event.room, text, more, cid, first, second, third];
        let written = |text: &str| text.len() + 3 * longest_encoding(text);
        Self::OVERHEAD + texts.into_iter().map(written).sum::<usize>()
    }
}

impl Author {
    /// Whether it is this user.
    pub(crate) fn is(&self, user: &str) -> bool {
        matches!(self, Self::User(author) if *author.id == *user)
    }

    /// Names of users stay with what they said.
    fn forget_address(&mut self) {
        if let Self::PlainJson(claim) = self
            && !claim.email.is_empty()
        {
            let (email, username) = (Box::default(), claim.username.clone());
            let avatar = claim.avatar.clone();
            *claim = Arc::new(Claim {
                email,
                username,
                avatar,
            });
        }
    }

    /// What the author says about itself.
    pub(crate) fn texts(&self) -> [&str; 3] {
        match self {
            Self::User(user) => [&user.id, &user.name, &user.avatar],
            Self::PlainJson(claim) => [&claim.email, &claim.username, &claim.avatar],
            Self::PlainText => [""; 3],
        }
    }
}

/// The most bytes any of our encodings makes of a text: six for a character that JSON or HTML
/// escapes (`\u001f`, `&quot;`), and each other byte is itself.
fn longest_encoding(text: &str) -> usize {
    let escaped = |byte: u8| usize::from(IS_ESCAPED[usize::from(byte)]);
    text.len() + 5 * text.bytes().map(escaped).sum::<usize>()
}

/// A table, because every byte that is written is looked up.
static IS_ESCAPED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = u8::MAX;
    loop {
        table[byte as usize] =
            byte.is_ascii_control() || matches!(byte, b'"' | b'\\' | b'&' | b'<' | b'>' | b'\'');
        match byte.checked_sub(1) {
            Some(next) => byte = next,
            None => break table,
        }
    }
};
