//! The tutorials' dialects: one JSON object of three strings, or bare text.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    event::{PLAIN_NAME, plain_name},
    from_json_object,
    text::lenient,
    to_json,
};
use crate::core::{Author, Event};

/// One message of a plain JSON client.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Plain<'a> {
    #[serde(borrow, deserialize_with = "lenient")]
    pub(crate) email: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "lenient")]
    pub(crate) username: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "lenient")]
    pub(crate) message: Cow<'a, str>,
}

impl Default for Plain<'_> {
    fn default() -> Self {
        let empty = || Cow::Borrowed("");
        Self {
            email: empty(),
            username: empty(),
            message: empty(),
        }
    }
}

impl<'a> Plain<'a> {
    /// Reads one. Missing strings are empty, other keys are dropped; anything else is an error.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        from_json_object(text)
    }

    pub(super) fn to_json(&self) -> String {
        let Self {
            email,
            username,
            message,
        } = self;
        let mut json = String::with_capacity(email.len() + username.len() + message.len() + 64);
        for (key, text) in [
            (r#"{"email":"#, email),
            (r#","username":"#, username),
            (r#","message":"#, message),
        ] {
            json.push_str(key);
            push_string(&mut json, text);
        }
        json.push('}');
        json
    }

    fn of(event: &'a Event) -> Self {
        let (email, username) = match &event.from {
            Author::User(user) => ("", &*user.name),
            Author::PlainJson(claim) => (&*claim.email, &*claim.username),
            Author::PlainText => ("", PLAIN_NAME),
        };
        Self {
            email: email.into(),
            username: username.into(),
            message: event.what.text().into(),
        }
    }
}

/// A message for plain JSON clients, its strings as they were sent or, for pages that insert them
/// as HTML, with HTML's special characters escaped.
pub(crate) fn json(event: &Event, escape_html: bool) -> String {
    let mut plain = Plain::of(event);
    if escape_html {
        for field in [&mut plain.email, &mut plain.username, &mut plain.message] {
            *field = Cow::Owned(escaped(field));
        }
    }
    plain.to_json()
}

/// Adds a text as JSON. Most is added as it is, for a fifth of what it takes to write it byte by byte.
fn push_string(json: &mut String, text: &str) {
    if has_escapes(text) {
        json.push_str(&to_json(&text));
    } else {
        json.push('"');
        json.push_str(text);
        json.push('"');
    }
}

/// Whether JSON escapes something in a text: quotes, backslashes and what is below the blank. Looks at eight bytes at once.
fn has_escapes(text: &str) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST: u64 = ONES << 7;
    // Has a high bit where a byte is below another one, and perhaps behind that.
    let below = |word: u64, byte: u8| word.wrapping_sub(ONES * u64::from(byte)) & !word;
    let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    let any = |bytes: [u8; 8]| {
        let word = u64::from_le_bytes(bytes);
        (below(word, b' ') | is(word, b'"') | is(word, b'\\')) & HIGHEST != 0
    };
    let (words, rest) = text.as_bytes().as_chunks();
    let mut last = [b' '; 8];
    last[..rest.len()].copy_from_slice(rest);
    words.iter().any(|word| any(*word)) || any(last)
}

/// A message for text clients: one line.
pub(crate) fn text(event: &Event) -> String {
    let name = match &event.from {
        Author::User(user) => Cow::Borrowed(&*user.name),
        Author::PlainJson(claim) => plain_name(&claim.username),
        Author::PlainText => return one_line(event.what.text()),
    };
    one_line(&format!("{name}: {}", event.what.text()))
}

/// A text client's message as one line: newlines become spaces and the ends are trimmed.
pub(crate) fn one_line(text: &str) -> String {
    text.replace("\r\n", " ")
        .replace(['\n', '\r'], " ")
        .trim()
        .to_owned()
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::core::{Claim, Entry, User, What};

    fn event(from: Author, body: &str) -> Event {
        Event {
            room: "general".into(),
            seq: 1,
            prev: 0,
            id: "x".into(),
            ts: 0,
            from,
            what: What::message(body),
            cid: None,
        }
    }

    fn json_author(email: &str, username: &str) -> Author {
        Author::PlainJson(Arc::new(Claim {
            email: email.into(),
            username: username.into(),
            avatar: "9c1d2e3f".into(),
        }))
    }

    proptest! {
        #[test]
        fn a_string_is_written_as_any_json_writer_does(text in "([a-z0-9]{0,20}|\\PC{0,10}|.{0,3}|[\"\\\\\u{1f} !\u{7f}\u{80}é]{0,3}){0,4}") {
            let mut json = String::new();
            push_string(&mut json, &text);
            prop_assert_eq!(json, serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn each_byte_that_json_escapes_is_found_wherever_it_stands() {
        for byte in 0..0x80 {
            let text = char::from(byte).to_string();
            let is_escaped = serde_json::to_string(&text).unwrap().len() > 3;
            for at in 0..20 {
                let text = ["x".repeat(at), text.clone(), "y".repeat(20 - at)].concat();
                assert_eq!(has_escapes(&text), is_escaped, "{text:?}");
            }
        }
    }

    #[test]
    fn missing_strings_are_empty_and_other_keys_are_dropped() {
        let plain = Plain::parse(r#"{"message":"hi","extra":[1,{}],"username":"Ana"}"#).unwrap();
        let from = json_author(&plain.email, &plain.username);
        assert_eq!(
            json(&event(from, &plain.message), false),
            r#"{"email":"","username":"Ana","message":"hi"}"#
        );
    }

    #[test]
    fn what_is_not_an_object_of_strings_is_refused() {
        for bad in [
            "hi",
            "null",
            "[]",
            r#"["a","b","c"]"#,
            "{",
            r#"{"message":1}"#,
            r#"{"email":[104,105]}"#,
            r#"{"message":"a"} x"#,
            "",
        ] {
            assert!(Plain::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn null_is_empty_and_half_a_character_is_replaced() {
        let plain = Plain::parse(
            r#"{"email":null,"username":"a\ud83db\n","message":"\ud83d\udc4b\ude00\ud83d"}"#,
        )
        .unwrap();
        assert_eq!(plain.email, "");
        assert_eq!(plain.username, "a\u{fffd}b\n");
        assert_eq!(plain.message, "\u{1f44b}\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_claimed_name_is_cleaned_where_names_have_rules() {
        let claimed = event(json_author("", "A\u{202e}na\n"), "hi");
        assert_eq!(text(&claimed), "Ana: hi");
        let entry: Entry<()> = Entry::new(claimed);
        let msg = super::super::event::durable(&entry.event);
        assert!(msg.contains(r#""name":"Ana""#), "{msg}");
        assert!(json(&entry.event, false).contains("A\u{202e}na\\n"));
        assert_eq!(text(&event(json_author("", "\u{200b}"), "hi")), "guest: hi");
    }

    #[test]
    fn each_dialect_shows_the_others_messages() {
        let from_json = event(json_author("a@x", "Ana"), "hi\r\nyou\n");
        assert_eq!(text(&from_json), "Ana: hi you");
        let from_text = event(Author::PlainText, "hello");
        assert_eq!(text(&from_text), "hello");
        assert_eq!(
            json(&from_text, false),
            r#"{"email":"","username":"guest","message":"hello"}"#
        );
    }

    #[test]
    fn an_entry_weighs_at_least_what_its_frames_do() {
        for text in [
            "",
            "plain",
            "\u{1}\u{7f}\n",
            "\"\\&<>'",
            "\u{1f44b}\u{2028}é",
        ] {
            let long = text.repeat(1_000);
            let user = User {
                id: text.into(),
                name: text.into(),
                avatar: text.into(),
            };
            let from_user = Author::User(Arc::new(user));
            for from in [from_user, json_author(&long, &long), Author::PlainText] {
                let event = Event {
                    cid: Some(text.repeat(10).into()),
                    room: text.into(),
                    seq: u64::MAX,
                    prev: u64::MAX,
                    ts: u64::MAX,
                    ..event(from, &long)
                };
                let kept = event.what.text().len();
                let entry: Entry<()> = Entry::new(event);
                let frames = [
                    super::super::event::durable(&entry.event),
                    json(&entry.event, true),
                    super::text(&entry.event),
                ];
                let frames: usize = frames.iter().map(String::len).sum();
                assert!(entry.weight() >= kept + frames, "{text:?}");
            }
        }
    }

    #[test]
    fn markup_is_passed_on_unless_escaping_is_asked_for() {
        let event = event(json_author("", "<b>"), r#"<img src='x' alt="&">"#);
        assert_eq!(
            json(&event, false),
            r#"{"email":"","username":"<b>","message":"<img src='x' alt=\"&\">"}"#
        );
        assert_eq!(
            json(&event, true),
            concat!(
                r#"{"email":"","username":"&lt;b&gt;","#,
                r#""message":"&lt;img src=&#39;x&#39; alt=&quot;&amp;&quot;&gt;"}"#
            )
        );
    }
}
