//! A prompt that can be typed at while messages come.

use std::{
    env,
    fmt::Write as _,
    fs,
    io::{self, Write},
    path::PathBuf,
};

use fullduplex::{Message, WebSocket};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::{Cmd, ColorMode, Config, Editor, KeyEvent, error::ReadlineError};
use tokio::sync::mpsc;

use super::{
    Action,
    action::{self, Typed},
    screen::{LineEditor, News, Screen},
    session::{ACTIONS, Ended, Session, Wait},
};
use crate::{
    exit::Failure,
    output::{self, Printer},
    signal::Signals,
    visible::{cut, visible},
};

const PROMPT: &str = "> ";

/// So many typed lines are remembered, from one time to the next.
const MAX_HISTORY: usize = 1000;

/// So much of a message is shown: some screens of text, some lines of bytes.
const MAX_TEXT: usize = 16 << 10;
const MAX_BINARY: usize = 64;

/// Erases the prompt, and no longer marks what is pasted: what an interrupted prompt leaves undone.
const LEAVE_PROMPT: &[u8] = b"\r\x1b[J\x1b[?2004l";

/// A terminal with a prompt. Dropped, it is as it was before.
pub(super) struct Terminal {
    editor: LineEditor,
    news: News,
    screen: Screen,
    saved: Saved,
}

/// Makes the terminal ready; `None` if it cannot do what a prompt needs.
pub(super) fn open() -> Option<Terminal> {
    let saved = Saved(tcgetattr(io::stdin()).ok()?);
    let config = Config::builder()
        .max_history_size(MAX_HISTORY)
        .ok()?
        // Whoever types a secret can keep it out of the history.
        .history_ignore_space(true)
        // Else it would not ask for the news.
        .color_mode(ColorMode::Forced)
        .build();
    let news = News::default();
    let mut editor = Editor::with_config(config).ok()?;
    editor.set_helper(Some(news.clone()));
    // Stopped, it would answer no ping. And the stop may come when the terminal is in raw mode again, because any
    // thread may take the signal; the shell would be left with that.
    editor.bind_sequence(KeyEvent::ctrl('Z'), Cmd::Noop);
    let printer = editor.create_external_printer().ok()?;
    let screen = Screen::new(news.clone(), printer).ok()?;
    Some(Terminal {
        editor,
        news,
        screen,
        saved,
    })
}

impl Terminal {
    /// Sends what is typed and shows what comes.
    pub(super) async fn talk(self, ws: WebSocket, signals: Signals) -> Result<Ended, Failure> {
        let cannot = |error: io::Error| Failure::run(format!("cannot start: {error}"));
        let Self {
            editor,
            news,
            screen,
            saved,
        } = self;
        let (actions, input) = mpsc::channel(ACTIONS);
        output::note("type a message, or /help");
        // Nothing ends its waiting for a key: when the connection ends first, the program goes and `saved` tidies up.
        std::thread::Builder::new()
            .name("prompt".to_owned())
            .spawn({
                let news = news.clone();
                move || prompt(editor, &news, &actions)
            })
            .map_err(cannot)?;
        let session = Session {
            input,
            printer: Printer::new(screen).map_err(cannot)?,
            render: |message: &Message| show(message).into_bytes(),
            wait: Wait::default(),
        };
        let ended = session.run(ws, signals).await;
        news.end();
        drop(saved);
        ended
    }
}

/// Reads lines until the user has enough or nobody wants them any more.
fn prompt(mut editor: LineEditor, news: &News, actions: &mpsc::Sender<Result<Action, String>>) {
    let history = history_file();
    if let Some(path) = &history {
        // There is none the first time.
        editor.load_history(path).ok();
    }
    loop {
        let line = match news.readline(&mut editor, PROMPT) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted | ReadlineError::Eof) => return,
            Err(error) => {
                let why = format!("cannot read from the terminal: {error}");
                // The session may be over.
                actions.blocking_send(Err(why)).ok();
                return;
            }
        };
        remember(&mut editor, &line, history.as_ref());
        let action = match action::parse(&line) {
            Ok(Typed::Do(action)) => action,
            Ok(Typed::Help) => {
                output::line(action::HELP);
                continue;
            }
            Ok(Typed::Nothing) => continue,
            Err(why) => {
                output::line(&format!("* {}", visible(&why)));
                continue;
            }
        };
        let is_last = matches!(action, Action::Close(_));
        if actions.blocking_send(Ok(action)).is_err() || is_last {
            return;
        }
    }
}

/// At once, as the connection may end while the next line is typed. A history that cannot be kept is no reason to
/// stop.
fn remember(editor: &mut LineEditor, line: &str, history: Option<&PathBuf>) {
    if let (Ok(true), Some(path)) = (editor.add_history_entry(line), history)
        && let Err(error) = editor.append_history(path)
    {
        tracing::debug!(%error, "the history is not kept");
    }
}

/// Where state goes that is worth keeping and not worth saving.
fn history_file() -> Option<PathBuf> {
    let folder = |name| {
        env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(".local/state")))?;
    let ours = state.join("fdx");
    fs::create_dir_all(&ours).ok()?;
    Some(ours.join("history"))
}

/// A message as it is shown. Each line of a text but the first is indented, so that none passes for a message.
fn show(message: &Message) -> String {
    match message {
        Message::Text(text) => show_text(text.as_str()),
        Message::Binary(bytes) => show_binary(bytes),
    }
}

fn show_text(text: &str) -> String {
    let (shown, left_out) = cut(text, MAX_TEXT);
    let mut out = String::with_capacity(shown.len() + 16);
    for (number, line) in shown.split('\n').enumerate() {
        out.push_str(if number == 0 { "< " } else { "\n  " });
        out.push_str(&visible(line.strip_suffix('\r').unwrap_or(line)));
    }
    if left_out > 0 {
        // Writing to a String does not fail.
        write!(out, "\n  … and {left_out} bytes more").ok();
    }
    out.push('\n');
    out
}

fn show_binary(bytes: &[u8]) -> String {
    let mut out = format!("<b {} bytes:", bytes.len());
    for byte in bytes.iter().take(MAX_BINARY) {
        // Writing to a String does not fail.
        write!(out, " {byte:02x}").ok();
    }
    out.push_str(if bytes.len() > MAX_BINARY {
        " …\n"
    } else {
        "\n"
    });
    out
}

/// The terminal's settings before the prompt changed them.
struct Saved(Termios);

impl Drop for Saved {
    fn drop(&mut self) {
        let mut out = io::stdout().lock();
        out.write_all(LEAVE_PROMPT).and_then(|()| out.flush()).ok();
        if let Err(error) = tcsetattr(io::stdin(), OptionalActions::Now, &self.0) {
            tracing::debug!(%error, "the terminal's settings are not restored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_of_a_text_passes_for_another_message() {
        assert_eq!(show(&Message::text("hello")), "< hello\n");
        assert_eq!(show(&Message::text("")), "< \n");
        assert_eq!(show(&Message::text("a\r\n< b\n")), "< a\n  < b\n  \n");
        assert_eq!(show(&Message::text("\x1b[2J\r> ")), "< \\u{1b}[2J\\r> \n");
    }

    #[test]
    fn bytes_are_shown_in_hexadecimal_and_long_messages_in_part() {
        assert_eq!(show(&Message::binary(vec![0, 255])), "<b 2 bytes: 00 ff\n");
        assert_eq!(show(&Message::binary(vec![])), "<b 0 bytes:\n");
        assert!(show(&Message::binary(vec![7; 65])).ends_with(" 07 …\n"));
        let long = show(&Message::text("x".repeat(MAX_TEXT + 5)));
        assert!(long.ends_with("x\n  … and 5 bytes more\n"));
    }
}
