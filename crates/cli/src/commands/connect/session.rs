//! One connection, between what the user wants and what arrives.

use std::{cell::Cell, future::pending, io, time::Duration};

use fullduplex::{CloseFrame, Error, Message, Outcome, ReadHalf, WebSocket, WriteHalf};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::Action;
use crate::{
    exit::Failure,
    output::{self, NobodyReads, Printer},
    signal::Signals,
};

/// Actions that may wait while the connection takes no more; then no more input is read.
pub(super) const ACTIONS: usize = 64;

/// How often is looked whether a pong has come, and for how long. What is shown is measured more finely.
const PONG_LOOK: Duration = Duration::from_millis(10);
const PONG_TIMEOUT: Duration = Duration::from_secs(10);

/// After a signal, whoever reads our output gets so long to take what has come.
const PRINT_TIMEOUT: Duration = Duration::from_secs(1);

/// A close that takes longer is told of: most take a round trip.
const SLOW_CLOSE: Duration = Duration::from_millis(500);

/// What the user wants next, or why that can't be told. The end of the input is the end of the channel.
pub(super) type Input = mpsc::Receiver<Result<Action, String>>;

/// A connection's user: where actions come from and where messages go.
#[derive(Debug)]
pub(super) struct Session<R> {
    pub(super) input: Input,
    pub(super) printer: Printer,
    /// How a message is printed, line end included.
    pub(super) render: R,
    /// After the end of the input.
    pub(super) wait: Wait,
}

/// How long a connection is kept for what is still coming.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Wait {
    /// Until nothing has come for this long.
    pub(super) silence: Duration,
    /// Not longer than this, whatever comes; `None` is without end.
    pub(super) at_most: Option<Duration>,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    /// What went wrong on our side.
    pub(super) failure: Option<Failure>,
    /// Whoever read our output had enough; then it does not matter how the connection ended.
    pub(super) is_unwatched: bool,
}

/// Why a connection is closed.
enum Stop {
    /// It is over, or about to be.
    Over,
    NobodyReads,
    Wanted(CloseFrame),
    EndOfInput,
    BadInput(String),
    Signal,
}

impl<R: FnMut(&Message) -> Vec<u8>> Session<R> {
    /// Talks until either side closes, and sees the close through, if no signal cuts it short.
    ///
    /// # Errors
    ///
    /// A signal came while it was closing.
    pub(super) async fn run(
        mut self,
        ws: WebSocket,
        mut signals: Signals,
    ) -> Result<Ended, Failure> {
        let (mut reader, mut writer) = ws.split();
        let silence = Silence::default();
        let stop = {
            let receiving = receive(&mut reader, &self.printer, &mut self.render, &silence);
            let sending = async {
                let stop = send(&mut writer, &mut self.input, &self.printer).await;
                if let Stop::EndOfInput | Stop::BadInput(_) = stop {
                    // How it ended, if it has, is for the other side to see.
                    writer.flush().await.ok();
                    let at_most = self.wait.at_most.unwrap_or(Duration::MAX);
                    // Either is the end.
                    timeout(at_most, silence.lasts(self.wait.silence))
                        .await
                        .ok();
                }
                stop
            };
            tokio::select! {
                biased;
                stop = receiving => stop,
                stop = sending => stop,
                () = self.printer.failed() => Stop::NobodyReads,
                () = signals.any() => Stop::Signal,
            }
        };
        let printing = match stop {
            Stop::Signal => PRINT_TIMEOUT,
            _ => Duration::MAX,
        };
        let is_unwatched = matches!(stop, Stop::NobodyReads);
        let (frame, failure) = match stop {
            Stop::Wanted(frame) => (frame, None),
            Stop::BadInput(why) => (CloseFrame::normal(), Some(Failure::run(why))),
            Stop::Over | Stop::NobodyReads | Stop::EndOfInput | Stop::Signal => {
                (CloseFrame::normal(), None)
            }
        };
        let outcome = tokio::select! {
            biased;
            outcome = writer.close(frame) => outcome,
            () = haste(&mut signals) => {
                return Err(Failure::lost("ended before the server answered the close"));
            }
        };
        let printed = tokio::select! {
            biased;
            printed = timeout(printing, self.printer.finish()) => printed,
            () = signals.any() => return Err(Failure::run("ended before all was printed")),
        };
        let failure = failure.or_else(|| Some(cannot_write(&printed.ok()?.err()?)));
        Ok(Ended {
            outcome,
            failure,
            is_unwatched,
        })
    }
}

/// Says what it waits for, if that takes long, and is ready when the user wants to wait no more.
async fn haste(signals: &mut Signals) {
    tokio::select! {
        biased;
        () = signals.any() => return,
        () = sleep(SLOW_CLOSE) => {}
    }
    output::note("closing, but the server does not answer yet; Ctrl-C ends at once");
    signals.any().await;
}

fn cannot_write(error: &io::Error) -> Failure {
    Failure::run(format!("cannot write: {error}"))
}

/// Prints what comes, no faster than it is read.
async fn receive(
    reader: &mut ReadHalf,
    printer: &Printer,
    show: &mut impl FnMut(&Message) -> Vec<u8>,
    silence: &Silence,
) -> Stop {
    loop {
        silence.begins();
        // How it ended is known to the connection.
        let Ok(Some(message)) = reader.recv().await else {
            return Stop::Over;
        };
        silence.ends();
        if let Err(NobodyReads) = printer.print(show(&message)).await {
            return Stop::NobodyReads;
        }
    }
}

/// Does what is wanted, until nothing more is.
async fn send(writer: &mut WriteHalf, input: &mut Input, printer: &Printer) -> Stop {
    let mut pong = Pong::default();
    loop {
        let action = tokio::select! {
            biased;
            action = input.recv() => action,
            news = pong.comes(writer) => {
                if let Err(NobodyReads) = printer.print(news).await {
                    return Stop::NobodyReads;
                }
                continue;
            }
        };
        let done = match action {
            None => return Stop::EndOfInput,
            Some(Err(why)) => return Stop::BadInput(why),
            Some(Ok(Action::Close(frame))) => return Stop::Wanted(frame),
            Some(Ok(Action::Send(message))) => feed(writer, message, input.is_empty()).await,
            Some(Ok(Action::Ping(payload))) => {
                pong.awaits(writer);
                writer.ping(payload).await.map(drop)
            }
        };
        match done {
            Ok(()) => {}
            Err(Error::Ping(error)) => {
                if let Err(NobodyReads) = printer.print(format!("* {error}\n")).await {
                    return Stop::NobodyReads;
                }
            }
            // The receiving side will see the end.
            Err(_) => return pending().await,
        }
    }
}

/// Messages that come together leave together.
async fn feed(writer: &mut WriteHalf, message: Message, is_last: bool) -> Result<(), Error> {
    writer.feed(message).await?;
    if is_last {
        writer.flush().await
    } else {
        Ok(())
    }
}

/// Since when nothing has come; not while something that came is still being printed.
#[derive(Default)]
struct Silence(Cell<Option<Instant>>);

impl Silence {
    fn begins(&self) {
        self.0.set(Some(Instant::now()));
    }

    fn ends(&self) {
        self.0.set(None);
    }

    /// Waits until it has lasted so long, beginning now at the earliest.
    async fn lasts(&self, long: Duration) {
        let mut due = Instant::now() + long;
        loop {
            sleep_until(due).await;
            match self.0.get() {
                Some(since) if since + long <= due => return,
                Some(since) => due = since + long,
                None => due = Instant::now() + long,
            }
        }
    }
}

/// A pong that was asked for.
#[derive(Default)]
struct Pong(Option<Awaited>);

struct Awaited {
    /// The round trip that was known before.
    known: Option<Duration>,
    since: Instant,
}

impl Pong {
    fn awaits(&mut self, writer: &WriteHalf) {
        let known = writer.latency();
        let since = Instant::now();
        self.0 = Some(Awaited { known, since });
    }

    /// What there is to say, once there is.
    ///
    /// Cancel-safe.
    async fn comes(&mut self, writer: &WriteHalf) -> String {
        let Some(Awaited { known, since }) = self.0 else {
            return pending().await;
        };
        let news = loop {
            match writer.latency() {
                Some(latency) if Some(latency) != known => {
                    break format!("* pong after {latency:.1?}\n");
                }
                _ if since.elapsed() > PONG_TIMEOUT => break "* no pong so far\n".to_owned(),
                _ => sleep(PONG_LOOK).await,
            }
        };
        self.0 = None;
        news
    }
}
