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
        tracing::debug!(%error, attempts = self.attempts, ?wait, "connecting again later");
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use fullduplex_proto::handshake::{ClientError, ClientRequest};
    use fullduplex_testkit::Peer;
    use tokio::time::timeout;

    use super::*;

    /// What an attempt comes to, after this time.
    struct Attempt(Duration, Option<fn() -> ConnectError>);

    const OPENS: Attempt = Attempt(Duration::ZERO, None);

    const fn fails(error: fn() -> ConnectError) -> Attempt {
        Attempt(Duration::ZERO, Some(error))
    }

    /// One that may pass.
    const TRANSIENT: Attempt = fails(|| ConnectError::Timeout);
    /// One that will not.
    const FATAL: Attempt = fails(|| ConnectError::NoTls);

    /// When attempts were made, in seconds after the start.
    #[derive(Clone)]
    struct Log(Instant, Arc<Mutex<Vec<u64>>>);

    impl Log {
        fn take(&self) -> Vec<u64> {
            std::mem::take(&mut self.1.lock().unwrap())
        }
    }

    /// Reconnects by these attempts, the last of them for ever, with every wait as long as it may be.
    fn reconnect(attempts: Vec<Attempt>) -> (Reconnect, Log) {
        let log = Log(Instant::now(), Arc::default());
        let seen = log.clone();
        let attempts = Arc::new(attempts);
        let mut made = 0;
        let mut reconnect = Reconnect::new(move || {
            seen.1.lock().unwrap().push(seen.0.elapsed().as_secs());
            let n = made;
            made += 1;
            let attempts = Arc::clone(&attempts);
            async move {
                let Attempt(takes, error) = &attempts[n.min(attempts.len() - 1)];
                sleep(*takes).await;
                match error {
                    Some(error) => Err(error()),
                    None => open().await,
                }
            }
        });
        reconnect.jitter = Box::new(|longest| longest);
        (reconnect, log)
    }

    async fn open() -> Opened {
        let (io, peer) = Peer::server();
        let client = Client::new("ws://example.com/")?;
        let (opened, ()) = tokio::join!(client.connect_over(io), peer.accept(""));
        opened
    }

    fn refused(head: &str) -> ConnectError {
        let mut attempt = ClientRequest::new("ws://a/".parse().unwrap()).start([0; 16]);
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
        match attempt.receive(answer.as_bytes()) {
            Err(refused @ ClientError::Refused(_)) => ConnectError::Handshake(refused),
            other => panic!("{other:?}"),
        }
    }

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn p91_the_first_attempt_is_made_at_once_and_waits_double_from_5_s_to_a_minute() {
        let mut attempts: Vec<_> = (0..7).map(|_| TRANSIENT).collect();
        attempts.push(OPENS);
        let (mut reconnect, log) = reconnect(attempts);
        assert!(reconnect.next().await.is_ok());
        assert_eq!(log.take(), [0, 5, 15, 35, 75, 135, 195, 255]);
    }

    #[tokio::test(start_paused = true)]
    async fn p91_waits_of_ones_own_are_kept_to_at_their_extremes_too() {
        let (never_waits, log) = reconnect(vec![TRANSIENT, TRANSIENT, OPENS]);
        let mut never_waits = never_waits.first_delay(Duration::ZERO);
        assert!(never_waits.next().await.is_ok());
        assert_eq!(log.take(), [0, 0, 0]);
        let (waits_long, log) = reconnect(vec![TRANSIENT]);
        let mut waits_long = waits_long
            .first_delay(Duration::MAX)
            .max_delay(Duration::MAX);
        waits_long.jitter = Box::new(|longest| longest.mul_f64(1.0 - f64::EPSILON));
        assert!(timeout(secs(1_000_000), waits_long.next()).await.is_err());
        assert_eq!(log.take(), [0]);
    }

    #[test]
    fn p91_waits_are_spread_evenly_from_nothing_to_the_longest() {
        let mut reconnect = Reconnect::new(open);
        let mut parts = [0; 5];
        for _ in 0..5000 {
            let wait = (reconnect.jitter)(FIRST_DELAY);
            parts[usize::try_from(wait.as_secs()).unwrap()] += 1;
        }
        // A thousand each, give or take far more than chance does.
        assert!(parts.iter().all(|&n| (700..1300).contains(&n)), "{parts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn p91_a_connection_that_lasted_brings_the_first_wait_back_and_a_short_one_does_not() {
        let (mut reconnect, log) = reconnect(vec![OPENS]);
        for lasts in [0, 0, 59, 60, 0, 3600] {
            let connected = reconnect.next().await;
            sleep(secs(lasts)).await;
            drop(connected);
        }
        assert!(reconnect.next().await.is_ok());
        // 5, 10 and 20 s after short ones, 5 s after a minute, 10 after a short one, 5 after an hour.
        let expected = [
            0,
            5,
            15,
            15 + 59 + 20,
            94 + 60 + 5,
            159 + 10,
            169 + 3600 + 5,
        ];
        assert_eq!(log.take(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn p28_retry_after_is_kept_to_with_the_jitter_on_top_and_for_an_hour_at_most() {
        let (mut reconnect, log) = reconnect(vec![
            fails(|| refused("503 Service Unavailable\r\nRetry-After: 7")),
            fails(|| refused("429 Too Many Requests\r\nRetry-After: 99999999999999999999")),
            fails(|| refused("502 Bad Gateway")),
            OPENS,
        ]);
        assert!(reconnect.next().await.is_ok());
        assert_eq!(log.take(), [0, 12, 12 + 3610, 3622 + 20]);
    }

    #[tokio::test(start_paused = true)]
    async fn p91_an_error_that_will_not_pass_is_returned_at_once_and_ends_the_stream() {
        for head in [
            "401 Unauthorized",
            "403 Forbidden\r\nRetry-After: 1",
            "404 Not Found",
            "302 Found",
        ] {
            let error = refused(head);
            assert_eq!(error.retry(), Retry::Never, "{error}");
        }
        let (mut reconnect, log) = reconnect(vec![TRANSIENT, FATAL, OPENS]);
        let error = reconnect.next().await.unwrap_err();
        assert!(matches!(error, ConnectError::NoTls));
        assert_eq!(log.take(), [0, 5]);
        let mut stream = Pin::new(&mut reconnect);
        let end = poll_fn(|cx| stream.as_mut().poll_next(cx)).await;
        assert!(end.is_none());
        // Who insists gets another attempt, but not at once.
        assert!(reconnect.next().await.is_ok());
        assert_eq!(log.take(), [15]);
    }

    #[tokio::test(start_paused = true)]
    async fn p91_as_a_stream_it_yields_connections_until_it_gives_up() {
        let (mut reconnect, log) = reconnect(vec![OPENS, TRANSIENT, OPENS, FATAL]);
        let mut stream = Pin::new(&mut reconnect);
        let mut yielded = Vec::new();
        while let Some(opened) = poll_fn(|cx| stream.as_mut().poll_next(cx)).await {
            yielded.push(opened.is_ok());
        }
        assert_eq!(yielded, [true, true, false]);
        assert_eq!(log.take(), [0, 5, 15, 35]);
    }

    #[tokio::test(start_paused = true)]
    async fn p91_attempts_and_time_may_be_limited() {
        let (limited, log) = reconnect(vec![TRANSIENT]);
        let mut limited = limited.max_attempts(3);
        assert!(limited.next().await.is_err());
        assert_eq!(log.take(), [0, 5, 15]);
        // The next call counts anew, with waits that have grown.
        assert!(limited.next().await.is_err());
        assert_eq!(log.take().len(), 3);

        let (limited, log) = reconnect(vec![TRANSIENT]);
        let mut limited = limited.max_elapsed(secs(34));
        assert!(limited.next().await.is_err());
        // The next attempt would be at 35.
        assert_eq!((log.take(), log.0.elapsed()), (vec![0, 5, 15], secs(15)));
        // What was connected before does not count.
        let (limited, log) = reconnect(vec![OPENS, TRANSIENT, OPENS]);
        let mut limited = limited.max_elapsed(secs(34)).max_attempts(2);
        assert!(limited.next().await.is_ok());
        sleep(secs(100)).await;
        assert!(limited.next().await.is_ok());
        assert_eq!(log.take(), [0, 105, 115]);
        let (mut once, log) = reconnect(vec![TRANSIENT]);
        once.max_attempts = Some(0);
        assert!(once.next().await.is_err());
        assert_eq!(log.take(), [0]);
    }

    #[tokio::test(start_paused = true)]
    async fn p91_an_observer_is_told_of_each_attempt_that_will_be_followed_by_another() {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&told);
        let (reconnect, _log) = reconnect(vec![TRANSIENT, TRANSIENT, OPENS, TRANSIENT, FATAL]);
        let mut reconnect = reconnect.on_retry(move |retrying| {
            let Retrying {
                error,
                attempts,
                wait,
            } = retrying;
            let line = format!("{attempts}: {error}, again in {wait:?}");
            kept.lock().unwrap().push(line);
        });
        assert!(reconnect.next().await.is_ok());
        assert!(reconnect.next().await.is_err());
        assert_eq!(
            *told.lock().unwrap(),
            [
                "1: connecting took too long, again in 5s",
                "2: connecting took too long, again in 10s",
                "1: connecting took too long, again in 40s",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn p91_next_dropped_again_and_again_goes_on_where_it_was() {
        let slow = |error| Attempt(secs(3), error);
        let (mut reconnect, log) = reconnect(vec![
            slow(Some(|| ConnectError::Timeout)),
            slow(Some(|| ConnectError::Timeout)),
            slow(None),
        ]);
        let mut dropped = 0;
        while timeout(Duration::from_millis(700), reconnect.next())
            .await
            .is_err()
        {
            dropped += 1;
        }
        // Three attempts of 3 s with 5 and 10 s between, none of them begun twice.
        assert_eq!(log.take(), [0, 8, 21]);
        assert_eq!(dropped, 24_000 / 700);
        // Dropped while nobody asks: the wait is over when somebody does.
        assert!(timeout(secs(1), reconnect.next()).await.is_err());
        sleep(secs(100)).await;
        let asked = log.0.elapsed().as_secs();
        assert!(reconnect.next().await.is_ok());
        assert_eq!(log.take(), [asked]);
    }
}
