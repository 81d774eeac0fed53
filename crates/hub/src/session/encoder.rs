//! What is said, as the frames that leave.
//!
//! Those of an event are made once for all who get it, each form by whoever is first to need it, and compressed once, too, where somebody agreed to that
//! (permessage-deflate) and it is [long enough](Deflate::threshold): a message of a few lines, of which a third would be gained, goes
//! as it is. What one client alone gets is compressed by its connection. Nothing is remembered from one message to the next.

use std::sync::Arc;

use fullduplex::{Bundle, Deflate, Message, Outgoing, Prepared};

use super::plain;
use crate::{
    config::Config,
    core::{Entry, Form, Notice},
    wire::{self, event},
};

/// How frames are made.
#[derive(Debug)]
pub(crate) struct Encoder {
    escape_html: bool,
    deflate: Option<Deflate>,
}

impl Encoder {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            escape_html: config.escape_html,
            deflate: config.compression(),
        }
    }

    /// The frame of an entry, made if nobody needed it before.
    pub(crate) fn frame(&self, entry: &Entry<Prepared>, form: Form) -> Prepared {
        let encode = |entry: &Entry<Prepared>| {
            self.prepare(match form {
                Form::V1 => event::durable(&entry.event),
                Form::Json => wire::plain::json(&entry.event, self.escape_html),
                Form::Text => wire::plain::text(&entry.event),
            })
        };
        entry.frame(form, encode).clone()
    }

    /// The frame of a notice, made if nobody needed it before.
    pub(super) fn notice(&self, notice: &Notice<Prepared>) -> Prepared {
        let encode = |notice: &Notice<Prepared>| self.prepare(event::notice(notice));
        notice.frame(encode).clone()
    }

    /// Entries as all sessions of a dialect get them.
    pub(crate) fn bundle(&self, entries: &[Arc<Entry<Prepared>>], form: Form) -> Bundle {
        let said = entries.iter().filter(|entry| form.says(&entry.event.what));
        let frames = said.map(|entry| self.frame(entry, form));
        match form {
            Form::V1 | Form::Json => Bundle::new(frames),
            Form::Text => Bundle::new(plain::in_lines(&frames.collect::<Vec<_>>(), self)),
        }
    }

    pub(super) fn prepare(&self, text: String) -> Prepared {
        let message = Message::Text(text.into());
        match &self.deflate {
            Some(deflate) => Prepared::compressed(&message, deflate),
            None => Prepared::new(&message),
        }
    }
}

/// What is never compressed, as it says in one what is secret and what others chose: who sees how long it gets could find out the one by
/// trying the other.
pub(super) fn uncompressed(text: String) -> Outgoing {
    Message::Text(text.into()).uncompressed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Author, Changes, Event, News, User, What};

    fn compressing() -> Encoder {
        Encoder::new(&Config {
            deflate: true,
            ..Config::default()
        })
    }

    #[test]
    fn what_an_entry_comes_to_with_all_its_frames_compressed_is_what_a_ring_charges_it_with() {
        let encoder = compressing();
        let noise = (0..9000_u32).map(|n| char::from_u32(0x4e00 + n * n % 20_000));
        let noise: String = noise.flatten().collect();
        for body in ["short".to_owned(), "one like the other ".repeat(50), noise] {
            let entry = Entry::new(Event {
                room: "general".into(),
                seq: u64::MAX,
                prev: u64::MAX,
                id: "x".repeat(26).into(),
                ts: u64::MAX,
                from: Author::PlainText,
                what: What::message(&*body),
                cid: None,
            });
            let frames = [Form::V1, Form::Json, Form::Text].map(|form| encoder.frame(&entry, form));
            assert!(
                frames
                    .iter()
                    .all(|frame| frame.may_be_compressed() == (body.len() > 500))
            );
            let both = |frame: &Prepared| frame.len() + frame.compressed_frame().len();
            let made: usize = frames.iter().map(both).sum();
            assert!(body.len() + made < 2 * entry.weight(), "{made}");
        }
    }

    #[test]
    fn many_who_came_at_once_are_told_compressed() {
        for (people, is_long) in [(1, false), (20, true)] {
            let user = |n: usize| {
                Arc::new(User {
                    id: format!("u_{n}").into(),
                    name: "Ana".into(),
                    avatar: "9c1d2e3f".into(),
                })
            };
            let changes = Changes {
                came: (0..people).map(user).collect(),
                ..Changes::default()
            };
            let notice = Notice::new("general".into(), News::Presence(changes), 1);
            let frame = compressing().notice(&notice);
            assert_eq!(frame.compressed_frame() != frame.frame(), is_long);
        }
    }
}
