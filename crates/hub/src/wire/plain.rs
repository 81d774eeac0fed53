//! The tutorials' dialects: one JSON object of three strings, or bare text.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    event::{PLAIN_NAME, plain_name},
    from_json_object,
    text::lenient,
    to_json,
};
use crate::core::{Author, Event};

/// One message of a plain JSON client.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
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
    to_json(&plain)
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
