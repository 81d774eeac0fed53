//! Messages as lines: standard input and output where no person types.

use std::io::{self, BufRead, IsTerminal as _, Read as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use fullduplex::{Message, WebSocket};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{
    Action,
    session::{ACTIONS, Ended, Session, Wait},
};
use crate::{
    exit::Failure,
    output::{self, Printer},
    signal::Signals,
    visible::{visible_json, visible_lines},
};

/// Longest line that is taken, line end included. More than most servers take as a message.
const MAX_LINE: u64 = 64 << 20;

/// How messages are written as lines, both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// Text as it is, binary in base64.
    Text,
    /// Bytes as they are.
    Binary,
    /// Objects that tell one from the other.
    Json,
}

/// A message in [`Format::Json`].
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
enum Json {
    Text(String),
    /// In base64.
    Binary(String),
}

/// Sends what standard input has and prints what comes.
pub(super) async fn talk(
    ws: WebSocket,
    format: Format,
    wait: Wait,
    signals: Signals,
) -> Result<Ended, Failure> {
    let cannot = |error: io::Error| Failure::run(format!("cannot start: {error}"));
    let (actions, input) = mpsc::channel(ACTIONS);
    // Not one of the runtime's threads: nothing ends a read of standard input, and the program is to end anyway.
    std::thread::Builder::new()
        .name("input".to_owned())
        .spawn(move || read_lines(io::stdin().lock(), format, &actions))
        .map_err(cannot)?;
    let is_shown = io::stdout().is_terminal();
    let mut has_noted = false;
    let session = Session {
        input,
        printer: Printer::stdout().map_err(cannot)?,
        render: move |message: &Message| {
            let is_encoded = format == Format::Text && matches!(message, Message::Binary(_));
            if is_encoded && !has_noted {
                has_noted = true;
                output::note("binary messages are written in base64; see --binary and --json");
            }
            format.line(message, is_shown)
        },
        wait,
    };
    session.run(ws, signals).await
}

/// Turns lines into actions, until they end or nobody wants them any more.
fn read_lines(
    mut input: impl BufRead,
    format: Format,
    actions: &mpsc::Sender<Result<Action, String>>,
) {
    for number in 1_u64.. {
        let message = match read_line(&mut input) {
            Ok(None) => return,
            Ok(Some(line)) => format
                .message(line)
                .map_err(|why| format!("line {number} of the input {why}")),
            Err(error) => Err(format!("cannot read line {number} of the input: {error}")),
        };
        let is_over = message.is_err();
        if actions.blocking_send(message.map(Action::Send)).is_err() || is_over {
            return;
        }
    }
}

/// A line without its end; `None` at the end of the input.
fn read_line(input: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let n = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
    if n == 0 {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_some() {
        line.pop_if(|last| *last == b'\r');
    } else if line.len() as u64 == MAX_LINE {
        return Err(io::Error::other(format!(
            "it is longer than {MAX_LINE} bytes"
        )));
    }
    Ok(Some(line))
}

impl Format {
    /// The message that a line stands for, or what is wrong with it.
    fn message(self, line: Vec<u8>) -> Result<Message, String> {
        match self {
            Self::Binary => Ok(Message::binary(line)),
            Self::Text => String::from_utf8(line)
                .map(Message::from)
                .map_err(|_| "is not UTF-8; see --binary".to_owned()),
            Self::Json => match serde_json::from_slice(&line) {
                Ok(Json::Text(text)) => Ok(Message::from(text)),
                Ok(Json::Binary(base64)) => STANDARD
                    .decode(base64)
                    .map(Message::from)
                    .map_err(|error| format!("is not base64: {error}")),
                Err(error) => Err(format!(
                    "is neither {{\"text\":...}} nor {{\"binary\":...}}: {error}"
                )),
            },
        }
    }

    /// The line that stands for a message, line end included. Text that `is_shown` at a terminal must not act on it.
    fn line(self, message: &Message, is_shown: bool) -> Vec<u8> {
        let mut line = match (self, message) {
            (Self::Text, Message::Text(text)) if is_shown => visible_lines(text.as_str()).into(),
            (Self::Text, Message::Binary(bytes)) => STANDARD.encode(bytes).into_bytes(),
            (Self::Text | Self::Binary, message) => message.as_bytes().to_vec(),
            (Self::Json, Message::Text(text)) => json(&Json::Text(text.as_str().to_owned())),
            (Self::Json, Message::Binary(bytes)) => json(&Json::Binary(STANDARD.encode(bytes))),
        };
        line.push(b'\n');
        line
    }
}

/// Strings can always be written as JSON. It is harmless anywhere, as it is often looked at later.
fn json(message: &Json) -> Vec<u8> {
    let json = serde_json::to_string(message).unwrap_or_default();
    visible_json(&json).into_owned().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8]) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| read_line(&mut input).unwrap()).collect()
    }

    #[test]
    fn a_line_ends_with_a_line_feed_a_carriage_return_before_it_or_the_input() {
        assert_eq!(lines(b""), [b""; 0]);
        assert_eq!(
            lines(b"a\n\nb\r\n\r\nc\r"),
            [&b"a"[..], b"", b"b", b"", b"c\r"]
        );
        assert_eq!(lines(b"a\n"), [b"a"]);
    }

    #[test]
    fn json_carries_every_message_and_gives_it_back() {
        for message in [
            Message::text(""),
            Message::text("two\nlines \u{0} \u{9b} \u{202e} \"quoted\" 你好"),
            Message::binary(vec![]),
            Message::binary(vec![0, 10, 255]),
        ] {
            let mut line = Format::Json.line(&message, false);
            assert_eq!(line.pop(), Some(b'\n'));
            assert!(!line.contains(&b'\n'));
            assert_eq!(Format::Json.message(line), Ok(message));
        }
        for bad in [
            &b""[..],
            b"hello",
            b"{}",
            br#"{"text":1}"#,
            br#"{"binary":"*"}"#,
        ] {
            assert!(Format::Json.message(bad.into()).is_err());
        }
    }

    #[test]
    fn text_is_written_as_it_is_and_binary_in_base64_unless_it_is_wanted_as_it_is() {
        let (text, binary) = (Message::text("a\nb"), Message::binary(vec![0, 255]));
        assert_eq!(Format::Text.line(&text, false), b"a\nb\n");
        assert_eq!(Format::Text.line(&binary, false), b"AP8=\n");
        assert_eq!(Format::Binary.line(&text, true), b"a\nb\n");
        assert_eq!(Format::Binary.line(&binary, true), b"\x00\xff\n");
        assert_eq!(
            Format::Binary.message(vec![255]),
            Ok(Message::binary(vec![255]))
        );
        assert!(Format::Text.message(vec![255]).is_err());
    }
}
