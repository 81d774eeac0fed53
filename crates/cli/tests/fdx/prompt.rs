//! `fdx connect` at a terminal.

use std::{
    fs::File,
    io::{Read, Write},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use fullduplex::{CloseCode, CloseFrame, Error, Message, WebSocket};
use rustix::{
    fs::{Mode, OFlags, open},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use tempfile::TempDir;

use crate::{peer, program::SOON};

/// The program at a terminal that the test types at and reads.
struct Terminal {
    keyboard: File,
    /// The program's end of it, kept open to look at its settings.
    device: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
    child: Child,
    _home: TempDir,
}

impl Terminal {
    /// With everything at the terminal.
    fn start(url: &str) -> Self {
        Self::spawn(&["connect", url], None)
    }

    /// With standard input elsewhere, or nowhere else.
    fn spawn(args: &[&str], stdin: Option<Stdio>) -> Self {
        let keyboard = File::from(openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap());
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let device = File::from(open(&*name, flags, Mode::empty()).unwrap());
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&device, size).unwrap();
        let stream = || Stdio::from(device.try_clone().unwrap());
        let home = TempDir::new().unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_fdx"))
            .args(args)
            // What stops it must not stop the tests.
            .process_group(0)
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", home.path())
            .env_remove("RUST_LOG")
            .stdin(stdin.unwrap_or_else(stream))
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap();
        let (write, screen) = channel();
        let mut output = keyboard.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = vec![0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                if write.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            keyboard,
            device,
            screen,
            seen: String::new(),
            child,
            _home: home,
        }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for output behind what was waited for before.
    fn shows(&mut self, text: &str) {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(error) => panic!("{text:?} is not shown, but {:?}: {error}", self.seen),
            }
        }
    }

    fn echoes_typing(&self) -> bool {
        tcgetattr(&self.device)
            .unwrap()
            .local_modes
            .contains(LocalModes::ECHO)
    }

    /// Waits for the end of the program, which must leave the terminal as it was.
    fn ends(&mut self) -> ExitStatus {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                assert!(self.echoes_typing(), "the terminal is left in raw mode");
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends everything back, and after `bye` closes.
async fn echo_until_bye(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        if message.as_text() == Some("bye") {
            let frame = CloseFrame::new(CloseCode::NORMAL_CLOSURE, "Goodbye, client!").unwrap();
            ws.close(frame).await;
            return Ok(());
        }
        ws.send(message).await?;
    }
    Ok(())
}

async fn at_a_terminal(test: impl FnOnce(Terminal) + Send + 'static) {
    let url = peer::serve(echo_until_bye).await;
    let testing = tokio::task::spawn_blocking(move || test(Terminal::start(&url)));
    testing.await.unwrap();
}

#[tokio::test]
async fn typed_lines_are_sent_and_what_comes_is_shown_harmless() {
    at_a_terminal(|mut terminal| {
        terminal.shows("connected to 127.0.0.1:");
        terminal.shows("> ");
        terminal.types("hello\r");
        terminal.shows("< hello");
        terminal.types("//not a command\r");
        terminal.shows("< /not a command");
        terminal.types("/binary 00 ff\r");
        terminal.shows("<b 2 bytes: 00 ff");
        terminal.types("/ping\r");
        terminal.shows("* pong after ");
        terminal.types("/nonsense\r");
        terminal.shows("* /nonsense is not known");
        terminal.types("/help\r");
        terminal.shows("/close [CODE [REASON]]");
        terminal.types("/close 1000 so long\r");
        terminal.shows("closed 1000 \"so long\" by us");
        assert_eq!(terminal.ends().code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn the_line_before_comes_back_with_the_arrow_key() {
    at_a_terminal(|mut terminal| {
        terminal.shows("> ");
        terminal.types("once\r");
        terminal.shows("< once");
        // Between two prompts the terminal itself would take the keys.
        terminal.shows("> ");
        terminal.types("\x1b[A and again\r");
        terminal.shows("< once and again");
        terminal.shows("> ");
        // Ctrl-D.
        terminal.types("\x04");
        terminal.shows("closed 1000 by us");
        assert_eq!(terminal.ends().code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn lines_that_come_in_one_burst_are_all_sent_and_shown_in_their_order() {
    at_a_terminal(|mut terminal| {
        terminal.shows("> ");
        let lines: Vec<_> = (100..200).map(|n| n.to_string()).collect();
        terminal.types(&(lines.join("\r") + "\r"));
        for line in lines {
            terminal.shows(&format!("< {line}\r\n"));
        }
    })
    .await;
}

#[tokio::test]
async fn all_that_came_before_a_close_is_shown_in_its_order() {
    const MESSAGES: usize = 100;
    let url = peer::serve(async |mut ws| {
        for n in 0..MESSAGES {
            ws.send(format!("message {n}")).await?;
        }
        ws.close(CloseFrame::normal()).await;
        Ok(())
    })
    .await;
    let testing = tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::start(&url);
        terminal.types("half a line");
        for n in 0..MESSAGES {
            terminal.shows(&format!("< message {n}\r\n"));
        }
        terminal.shows("closed 1000 by peer");
        assert_eq!(terminal.ends().code(), Some(0));
    });
    testing.await.unwrap();
}

#[tokio::test]
async fn ctrl_c_closes_with_1000() {
    at_a_terminal(|mut terminal| {
        terminal.shows("> ");
        terminal.types("half a li\x03");
        terminal.shows("closed 1000 by us");
        assert_eq!(terminal.ends().code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn ctrl_z_does_not_stop_it_with_the_terminal_in_raw_mode() {
    at_a_terminal(|mut terminal| {
        terminal.shows("> ");
        terminal.types("a\x1ab\r");
        terminal.shows("< ab");
    })
    .await;
}

/// Escapes, the one-byte CSI and a change of direction.
const HOSTILE: &str = "\x1b[2J\u{9b}2J\u{202e}x";
const HARMLESS: &str = r"\u{1b}[2J\u{9b}2J\u{202e}x";

#[tokio::test]
async fn what_comes_is_harmless_at_a_terminal_without_a_prompt_too() {
    let url = peer::serve(async |mut ws| {
        ws.send(format!("{HOSTILE}\nsecond line")).await?;
        while ws.recv().await?.is_some() {}
        Ok(())
    })
    .await;
    let testing = tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::spawn(&["connect", &url], Some(Stdio::null()));
        terminal.shows(&format!("{HARMLESS}\r\nsecond line\r\n"));
        let mut terminal = Terminal::spawn(&["connect", &url, "--json"], Some(Stdio::null()));
        terminal.shows(r#"{"text":"\u001b[2J\u009b2J\u202ex\nsecond line"}"#);
    });
    testing.await.unwrap();
}

#[tokio::test]
async fn lines_of_a_log_are_harmless_at_a_terminal() {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("app.log");
    std::fs::write(&log, format!("{HOSTILE}\n")).unwrap();
    let testing = tokio::task::spawn_blocking(move || {
        let args = ["tail", log.to_str().unwrap(), "--print", "--listen", "0"];
        let mut terminal = Terminal::spawn(&args, None);
        terminal.shows(&format!("{HARMLESS}\r\n"));
    });
    testing.await.unwrap();
}

#[tokio::test]
async fn a_close_by_the_server_ends_it_in_the_middle_of_a_line() {
    at_a_terminal(|mut terminal| {
        terminal.shows("> ");
        terminal.types("bye\rI was about to");
        terminal.shows("closed 1000 \"Goodbye, client!\" by peer");
        assert_eq!(terminal.ends().code(), Some(0));
    })
    .await;
}

#[tokio::test]
async fn what_comes_while_a_line_is_typed_is_shown_above_it() {
    let (lend, mut borrowed) = tokio::sync::mpsc::channel(1);
    let url = peer::serve(move |ws| {
        let lend = lend.clone();
        async move {
            lend.send(ws).await.unwrap();
            std::future::pending().await
        }
    })
    .await;
    let mut terminal = tokio::task::spawn_blocking(move || {
        let mut terminal = Terminal::start(&url);
        terminal.shows("> ");
        terminal.types("half a line");
        terminal.shows("half a line");
        terminal
    })
    .await
    .unwrap();
    let mut ws = borrowed.recv().await.unwrap();
    ws.send("\x1b[2Jnews\nof two lines").await.unwrap();
    let typing = tokio::task::spawn_blocking(move || {
        terminal.shows("< \\u{1b}[2Jnews\r\n  of two lines\r\n");
        // And the line is there again, whole.
        terminal.shows("> half a line");
        terminal.types(" is whole\r");
        terminal.shows("is whole");
        terminal
    });
    let _terminal = typing.await.unwrap();
    assert_eq!(
        ws.recv().await.unwrap(),
        Some(Message::text("half a line is whole"))
    );
}
