//! `fdx connect`: any WebSocket server, from a terminal or a pipe.
//!
//! [`dial`] opens the connection. What the user wants comes as [`Action`]s, typed at a [`terminal`] or read from a
//! [`pipe`], and [`session`] carries them out while it hands what arrives to the [`Printer`](crate::output::Printer).

mod action;
mod dial;
mod insecure;
mod listed;
mod pipe;
mod screen;
mod session;
mod terminal;

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use clap::Args;
use fullduplex::{Cause, CloseCode, Initiator, Outcome, handshake::Response};

use self::{
    action::Action,
    dial::Opened,
    pipe::Format,
    session::{Ended, Wait},
};
use crate::{
    exit::Failure, listen::PingArgs, output, seconds::Seconds, signal::Signals, visible::visible,
};

/// Longest message that is taken: what is worth looking at in a terminal or a pipe is smaller.
const MAX_MESSAGE: usize = 64 << 20;

const HELP: &str = "\
At a terminal, lines are sent as text messages; /help lists what else can be done. Ctrl-C and Ctrl-D close with 1000.

In a pipe, each line in is one text message and each message out is one line:
  - a line ends with a line feed, or carriage return and line feed; without --json they are no part of the message
  - text is written as it came, line feeds inside included; --json tells where a message ends
  - a binary message is written in base64; with --binary its bytes are written as they are
  - with --json, lines are {\"text\":\"...\"} or {\"binary\":\"BASE64\"}, both ways
At the end of the input it waits until nothing has come for --linger, at most for --max-wait, closes with 1000, and exits.

Examples:
  fdx connect wss://example.com/feed -H 'Authorization: Bearer ...'
  echo hello | fdx connect ws://127.0.0.1:9001
  fdx connect ws://127.0.0.1:8080/ws --subprotocol chat --json </dev/null --linger 60 | jq .text";

/// Talks to any WebSocket server from the terminal or a pipe
#[derive(Args, Debug)]
#[command(after_help = HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ConnectArgs {
    /// Where to: `ws://HOST[:PORT][/PATH]` or `wss://`
    url: String,
    /// Sends a header line with the request (repeatable)
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = dial::parse_header)]
    headers: Vec<(String, String)>,
    /// Offers a subprotocol (repeatable); the first one is preferred
    #[arg(long = "subprotocol", value_name = "P")]
    subprotocols: Vec<String>,
    /// Sends an Origin, as a browser's page would
    #[arg(long, value_name = "ORIGIN", value_parser = dial::parse_origin)]
    origin: Option<String>,
    /// Goes through this proxy, `[USER:PASSWORD@]HOST[:PORT]` after `http://`, `https://`, `socks5://` or `socks5h://`. By default
    /// through the one that the environment names: `wss_proxy` or `https_proxy`, `ws_proxy` or `http_proxy`, `all_proxy`; but not to
    /// this machine or to what `no_proxy` lists
    #[arg(long, value_name = "PROXY")]
    proxy: Option<String>,
    /// Offers to compress messages (permessage-deflate), and says what became of it
    #[arg(long)]
    deflate: bool,
    /// The longest message that is taken; longer ones close with 1009
    #[arg(long, value_name = "BYTES", default_value_t = MAX_MESSAGE)]
    max_message: usize,
    /// How long connecting may take: name, TCP, proxy, TLS and handshake together
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "30",
        help_heading = "Timeouts"
    )]
    connect_timeout: Seconds,
    #[command(flatten)]
    ping: PingArgs,
    /// After the end of the input: closes when nothing has come for this long, which on a live feed may be never
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "1",
        help_heading = "In a pipe"
    )]
    linger: Seconds,
    /// After the end of the input: closes after this long at the latest, whatever still comes (0: never)
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        help_heading = "In a pipe"
    )]
    max_wait: Seconds,
    /// Sends each line as a binary message, and writes those that come as they are
    #[arg(long, help_heading = "In a pipe", conflicts_with = "json")]
    binary: bool,
    /// Reads and writes messages as JSON, one object on each line
    #[arg(long, help_heading = "In a pipe")]
    json: bool,
    /// Trusts the authorities and self-signed servers in this file, PEM, and no others
    #[arg(long, value_name = "FILE", help_heading = "TLS")]
    ca: Option<PathBuf>,
    /// Trusts any certificate: whoever is in between can read and change everything
    #[arg(short = 'k', long, help_heading = "TLS", conflicts_with = "ca")]
    insecure: bool,
}

impl ConnectArgs {
    fn format(&self) -> Format {
        match (self.json, self.binary) {
            (true, _) => Format::Json,
            (false, true) => Format::Binary,
            (false, false) => Format::Text,
        }
    }

    fn wait(&self) -> Wait {
        Wait {
            silence: self.linger.0,
            at_most: self.max_wait.unless_zero(),
        }
    }

    /// The pipe's flags ask for the pipe's ways, even at a terminal.
    fn wants_prompt(&self) -> bool {
        self.format() == Format::Text && io::stdin().is_terminal() && io::stdout().is_terminal()
    }
}

/// Connects, talks, and says how it ended.
pub(crate) async fn run(args: ConnectArgs) -> Result<(), Failure> {
    let Opened {
        ws,
        response,
        proxy,
    } = dial::dial(&args).await?;
    // Until here they end the program at once.
    let signals = Signals::catch()?;
    let subprotocol = ws
        .subprotocol()
        .map(|name| format!(", subprotocol {}", visible(name)));
    let peer = match (proxy, ws.peer_addr()) {
        (Some(proxy), _) => format!(" through {proxy}"),
        (None, Some(peer)) => format!(" to {peer}"),
        (None, None) => String::new(),
    };
    let deflate = args.deflate.then(|| compression(&response));
    output::note(&format!(
        "connected{peer}{}{}",
        subprotocol.unwrap_or_default(),
        deflate.unwrap_or_default()
    ));
    let ended = if args.wants_prompt()
        && let Some(terminal) = terminal::open()
    {
        terminal.talk(ws, signals).await?
    } else {
        pipe::talk(ws, args.format(), args.wait(), signals).await?
    };
    output::note(&format!("closed {}", ended.outcome));
    judge(ended)
}

/// What became of the offer to compress. An accepted one is shown in the server's words.
fn compression(response: &Response) -> String {
    let answer = response.header("Sec-WebSocket-Extensions");
    match response.deflate().and(answer) {
        Some(words) => format!(", {}", visible(&String::from_utf8_lossy(words))),
        None => ", without permessage-deflate".to_owned(),
    }
}

/// What the end means for the exit code.
fn judge(ended: Ended) -> Result<(), Failure> {
    if let Some(failure) = ended.failure {
        return Err(failure);
    }
    if ended.is_unwatched {
        return Ok(());
    }
    let outcome = ended.outcome;
    if outcome.cause != Cause::Close {
        return Err(Failure::lost(format!("connection lost: {}", outcome.cause)));
    }
    if !outcome.clean {
        return Err(Failure::lost("the server did not answer the close"));
    }
    if outcome.initiator == Initiator::Peer && !is_fine(&outcome) {
        let code = outcome.code();
        return Err(Failure::closed(format!(
            "the server closed with {code}: {}",
            code.meaning()
        )));
    }
    Ok(())
}

/// Whether the peer's code says that all is well.
fn is_fine(outcome: &Outcome) -> bool {
    matches!(
        outcome.code(),
        CloseCode::NORMAL_CLOSURE | CloseCode::GOING_AWAY | CloseCode::NO_STATUS_RCVD
    )
}
