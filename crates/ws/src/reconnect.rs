//! Connecting again, and again, without becoming a burden (RFC 6455 §7.2.3).

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use fullduplex_proto::handshake::Response;
use futures_core::Stream;
use tokio::time::{Instant, Sleep, sleep};

use crate::{
    client::{Client, ConnectError, Retry},
    websocket::WebSocket,
};

/// The longest first wait, which RFC 6455 §7.2.3 suggests: clients that a server has lost all at once come back spread over it.
const FIRST_DELAY: Duration = Duration::from_secs(5);

/// The longest wait: a server that is back is found within a minute, and one that is not is asked twice a minute on average.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// How long a connection has to last for the waits to start small again. As long as the longest wait, so that a server which accepts
/// and drops is asked no more often than one that cannot be reached.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);

/// The longest `Retry-After` that is kept to. A server may well be away for an hour; a client that a wrong number sends away for
/// a year is lost.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);

type Opened = Result<(WebSocket, Response), ConnectError>;
type Observer = Box<dyn FnMut(&Retrying<'_>) + Send>;
type Connecting = Pin<Box<dyn Future<Output = Opened> + Send>>;

/// Opens one connection after the other: a new one each time the last is done with.
///
/// The first attempt is made at once. Before each later one there is a wait, drawn evenly from nothing up to a longest one
/// (full jitter), which is at first [`first_delay`](Self::first_delay) and doubles with each failure up to
/// [`max_delay`](Self::max_delay). A connection that has lasted for [`healthy_after`](Self::healthy_after) brings it back to the first; one
/// that has not counts as a failure. How long it has lasted is measured from when it was given out until the next is asked for.
///
/// Errors that may pass ([`ConnectError::retry`]) are met by trying again. If the server says when (`Retry-After`), it is not asked
/// earlier, for at most an hour.
///
/// Whether to come back at all after a Close is the caller's choice: not to call [`next`](Self::next). What a server has
/// to be told each time, such as subscriptions, stands at the top of the loop:
///
/// ```no_run
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut connections = fullduplex::Client::new("wss://example.org/feed")?.reconnect();
/// loop {
///     let (mut ws, _response) = connections.next().await?;
///     if ws.send(r#"{"subscribe":"prices"}"#).await.is_err() {
///         continue;
///     }
///     while let Ok(Some(message)) = ws.recv().await {
///         println!("{message:?}");
///     }
///     // 1008: we have done something that the server will not have. Again would be no better.
///     if ws.outcome().is_some_and(|outcome| outcome.code().get() == 1008) {
///         return Ok(());
///     }
/// }
/// # }
/// ```
///
/// It is a [`Stream`] too, of the same results, which ends after the first error that [`next`](Self::next) would return.
pub struct Reconnect {
    connect: Box<dyn FnMut() -> Connecting + Send>,
    first_delay: Duration,
    max_delay: Duration,
    healthy_after: Duration,
    max_attempts: Option<u32>,
    max_elapsed: Option<Duration>,
    on_retry: Option<Observer>,
    /// Anything from nothing up to this, by chance.
    jitter: Box<dyn FnMut(Duration) -> Duration + Send>,
    state: State,
    /// How often the longest wait has doubled.
    failures: u32,
    /// Attempts in a row that have failed.
    attempts: u32,
    /// When the first of them began.
    since: Option<Instant>,
}

enum State {
    /// Nothing was tried yet.
    New,
    Connecting(Connecting),
    Waiting(Pin<Box<Sleep>>),
    /// A connection was given out.
    Open(Instant),
    /// An error was returned.
    GivenUp,
}

/// An attempt that failed, and will be followed by another.
#[derive(Debug)]
#[non_exhaustive]
pub struct Retrying<'a> {
    /// Why it failed.
    pub error: &'a ConnectError,
    /// How many attempts in a row have failed.
    pub attempts: u32,
    /// How long it is until the next.
    pub wait: Duration,
}

impl Client {
    /// Connects, and connects again each time it is asked to, with waits that spare the server.
    pub fn reconnect(&self) -> Reconnect {
        let client = self.clone();
        Reconnect::new(move || {
            let client = client.clone();
            async move { client.connect().await }
        })
    }
}

impl Reconnect {
    /// Connects by this function: for streams of one's own, by [`Client::connect_over`], or when something has to be done
    /// before each attempt, such as getting a token.
    ///
    /// ```no_run
    /// # #[cfg(unix)]
    /// # async fn run() -> Result<(), fullduplex::ConnectError> {
    /// use fullduplex::{Client, ConnectError, Reconnect};
    /// use tokio::net::UnixStream;
    ///
    /// let mut connections = Reconnect::new(async || {
    ///     let stream = UnixStream::connect("/run/feed.sock").await.map_err(ConnectError::Connect)?;
    ///     Client::new("ws://localhost/")?.connect_over(stream).await
    /// });
    /// let (ws, _response) = connections.next().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<F, Fut>(mut connect: F) -> Self
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = Opened> + Send + 'static,
    {
        Self {
            connect: Box::new(move || Box::pin(connect())),
            first_delay: FIRST_DELAY,
            max_delay: MAX_DELAY,
            healthy_after: HEALTHY_AFTER,
            max_attempts: None,
            max_elapsed: None,
            on_retry: None,
            jitter: Box::new(|longest| longest.mul_f64(rand::random())),
            state: State::New,
            failures: 0,
            attempts: 0,
            since: None,
        }
    }

    /// The longest wait before the first attempt to come back. It doubles with each failure. Default 5 s (RFC 6455 §7.2.3).
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// The longest wait of all, but for `Retry-After`. Default 60 s.
    #[must_use]
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay;
        self
    }

    /// How long a connection has to last for the waits to start small again. Default 60 s, as the longest wait: a server that
    /// accepts and drops should be asked no more often than one that cannot be reached.
    #[must_use]
    pub fn healthy_after(mut self, time: Duration) -> Self {
        self.healthy_after = time;
        self
    }

    /// How many attempts in a row may fail before the last one's error is returned, at least one. No limit by default.
    #[must_use]
    pub fn max_attempts(mut self, max: u32) -> Self {
        self.max_attempts = Some(max);
        self
    }

    /// How long attempts may fail, from when the first of them began. An error after which the wait would end later than that
    /// is returned. No limit by default.
    #[must_use]
    pub fn max_elapsed(mut self, time: Duration) -> Self {
        self.max_elapsed = Some(time);
        self
    }

    /// Told of each attempt that fails and will be followed by another, when its wait begins.
    #[must_use]
    pub fn on_retry(mut self, observer: impl FnMut(&Retrying<'_>) + Send + 'static) -> Self {
        self.on_retry = Some(Box::new(observer));
        self
    }

    /// The next connection, after whatever wait is due and as many attempts as it takes. The one before is taken to have ended
    /// when this is first called; drop it, or several are open.
    ///
    /// # Errors
    ///
    /// The first error that will not pass by itself, or the one at which [`max_attempts`](Self::max_attempts) or
    /// [`max_elapsed`](Self::max_elapsed) was reached. Called again, it waits and tries again.
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe: the wait or the attempt goes on with the next call, and the waits keep growing. An attempt that is left
    /// alone for longer than its [`timeout`](Client::timeout) fails.
    pub async fn next(&mut self) -> Result<(WebSocket, Response), ConnectError> {
        poll_fn(|cx| self.poll_connection(cx)).await
    }

    fn poll_connection(&mut self, cx: &mut Context<'_>) -> Poll<Opened> {
        loop {
            match &mut self.state {
                State::New => self.attempt(),
                State::Waiting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.attempt();
                }
                State::Connecting(connecting) => match ready!(connecting.as_mut().poll(cx)) {
                    Ok(opened) => {
                        self.attempts = 0;
                        self.since = None;
                        self.state = State::Open(Instant::now());
                        return Poll::Ready(Ok(opened));
                    }
                    Err(error) => self.failed(error)?,
                },
                State::Open(opened) => {
                    if opened.elapsed() >= self.healthy_after {
                        self.failures = 0;
                    }
                    let wait = self.delay();
                    self.wait(wait);
                }
                State::GivenUp => {
                    let wait = self.delay();
                    self.wait(wait);
                }
            }
        }
    }

    fn attempt(&mut self) {
        self.since.get_or_insert_with(Instant::now);
        self.state = State::Connecting((self.connect)());
    }

    fn wait(&mut self, wait: Duration) {
        self.state = State::Waiting(Box::pin(sleep(wait)));
    }

    /// Prepares the next attempt; the error back if there is to be none.
    fn failed(&mut self, error: ConnectError) -> Result<(), ConnectError> {
        self.attempts = self.attempts.saturating_add(1);
        let Some(wait) = self.delay_after(&error) else {
            self.attempts = 0;
            self.since = None;
            self.state = State::GivenUp;
            return Err(error);
        };
        if let Some(observer) = &mut self.on_retry {
            observer(&Retrying {
                error: &error,
                attempts: self.attempts,
                wait,
            });
        }
        self.wait(wait);
        Ok(())
    }

    /// How long to wait after an error; `None` to give up.
    fn delay_after(&mut self, error: &ConnectError) -> Option<Duration> {
        let asked = match error.retry() {
            Retry::Never => return None,
            Retry::Later => Duration::ZERO,
            Retry::After(asked) => asked.min(MAX_RETRY_AFTER),
        };
        if self.max_attempts.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        // The jitter comes on top: others were told the same time.
        let wait = asked.saturating_add(self.delay());
        let elapsed = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        let in_time = self
            .max_elapsed
            .is_none_or(|max| elapsed.saturating_add(wait) <= max);
        in_time.then_some(wait)
    }

    /// The wait that is due now. The next will be longer.
    fn delay(&mut self) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        let longest = self.first_delay.saturating_mul(doubled).min(self.max_delay);
        self.failures = self.failures.saturating_add(1);
        (self.jitter)(longest)
    }
}

impl Stream for Reconnect {
    type Item = Opened;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Opened>> {
        if matches!(self.state, State::GivenUp) {
            return Poll::Ready(None);
        }
        self.poll_connection(cx).map(Some)
    }
}

impl fmt::Debug for Reconnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnect")
            .field("first_delay", &self.first_delay)
            .field("max_delay", &self.max_delay)
            .field("healthy_after", &self.healthy_after)
            .field("max_attempts", &self.max_attempts)
            .field("max_elapsed", &self.max_elapsed)
            .field("attempts", &self.attempts)
            .finish_non_exhaustive()
    }
}
