//! What a user can want of a connection, and how that is typed.

use fullduplex::{CloseCode, CloseFrame, Message};

/// Something to do with the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Send(Message),
    /// With this payload.
    Ping(Vec<u8>),
    Close(CloseFrame),
}

/// What a typed line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Do(Action),
    Help,
    /// Enter alone: too easily hit to be a message.
    Nothing,
}

/// What `/help` says.
pub(super) const HELP: &str = "\
What can be typed:
  TEXT                   sends a text message
  //TEXT                 sends a text message that begins with /
  /binary HEX            sends a binary message: /binary 00 ff
  /ping [TEXT]           sends a ping and shows how long the pong took
  /close [CODE [REASON]] closes; without a code the close frame is empty
  /quit                  closes with 1000, as Ctrl-C and Ctrl-D do
  /help                  shows this";

/// Bytes that a ping can carry (RFC 6455 §5.5).
const MAX_PING: usize = 125;

/// Reads a typed line.
pub(super) fn parse(line: &str) -> Result<Typed, String> {
    let Some(command) = line.strip_prefix('/') else {
        let is_blank = line.is_empty();
        return Ok(if is_blank { Typed::Nothing } else { send(line) });
    };
    if command.starts_with('/') {
        return Ok(send(command));
    }
    let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    match name {
        "help" | "?" => Ok(Typed::Help),
        "quit" | "exit" => Ok(Typed::Do(Action::Close(CloseFrame::normal()))),
        "ping" => ping(rest),
        "close" => close(rest).map(|frame| Typed::Do(Action::Close(frame))),
        "binary" => bytes(rest).map(|bytes| Typed::Do(Action::Send(Message::binary(bytes)))),
        _ => Err(format!(
            "/{name} is not known; /help lists what is, and //{name} would be sent as text"
        )),
    }
}

fn send(text: &str) -> Typed {
    Typed::Do(Action::Send(Message::text(text)))
}

fn ping(payload: &str) -> Result<Typed, String> {
    if payload.len() > MAX_PING {
        return Err(format!("a ping carries at most {MAX_PING} bytes"));
    }
    Ok(Typed::Do(Action::Ping(payload.into())))
}

fn close(arguments: &str) -> Result<CloseFrame, String> {
    if arguments.is_empty() {
        return Ok(CloseFrame::empty());
    }
    let (code, reason) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let code = code
        .parse()
        .map_err(|_| format!("{code} is not a close code; write /close 1000 bye"))?;
    CloseFrame::new(CloseCode::new(code), reason.trim()).map_err(|error| error.to_string())
}

fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    let digits: Option<Vec<u32>> = hex
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| c.to_digit(16))
        .collect();
    let pairs = digits.filter(|digits| digits.len() % 2 == 0);
    let pairs = pairs.ok_or("write bytes as pairs of hexadecimal digits: /binary 00 ff")?;
    let bytes = pairs.chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(16 * high + low).unwrap_or_default(),
        _ => 0,
    });
    Ok(bytes.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closes(code: u16, reason: &'static str) -> Typed {
        let frame = CloseFrame::new(CloseCode::new(code), reason).unwrap();
        Typed::Do(Action::Close(frame))
    }

    #[test]
    fn a_line_is_a_text_message_unless_it_begins_with_one_slash() {
        for (line, text) in [
            ("hello", "hello"),
            (" /help", " /help"),
            ("//help me", "/help me"),
            ("///", "//"),
        ] {
            assert_eq!(parse(line), Ok(send(text)), "{line}");
        }
        assert_eq!(parse(""), Ok(Typed::Nothing));
    }

    #[test]
    fn commands_are_read() {
        assert_eq!(parse("/help"), Ok(Typed::Help));
        assert_eq!(parse("/quit"), Ok(closes(1000, "")));
        assert_eq!(
            parse("/close"),
            Ok(Typed::Do(Action::Close(CloseFrame::empty())))
        );
        assert_eq!(parse("/close 4001"), Ok(closes(4001, "")));
        assert_eq!(
            parse("/close 1000 so long,  friend "),
            Ok(closes(1000, "so long,  friend"))
        );
        assert_eq!(parse("/ping"), Ok(Typed::Do(Action::Ping(Vec::new()))));
        assert_eq!(parse("/ping ä"), Ok(Typed::Do(Action::Ping("ä".into()))));
        let binary = Message::binary(vec![0, 255, 16]);
        assert_eq!(
            parse("/binary 00 fF10"),
            Ok(Typed::Do(Action::Send(binary)))
        );
    }

    #[test]
    fn mistakes_are_explained_and_nothing_is_sent() {
        for line in [
            "/",
            "/hello",
            "/close x",
            "/close 1005",
            "/close 999",
            "/close 70000",
            "/binary 0",
            "/binary xx",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse(&format!("/ping {}", "x".repeat(126))).is_err());
        assert!(parse(&format!("/close 1000 {}", "x".repeat(124))).is_err());
    }
}
