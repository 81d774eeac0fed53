//! What an application holds.

use std::{error::Error, future::Future, sync::Arc, time::Duration};

use fullduplex::ConnectError;
use serde_json::{Map, Value};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Event, Joined, PROTOCOL, Page, RequestError, Sent, Span, driver,
    session::{Ask, Done, Entry, Message},
    token::Source,
    wire::from,
};

/// What is asked for, and the task has not taken yet.
const ASKS: usize = 64;
/// Default of [`Options::heartbeat`].
const HEARTBEAT: Duration = Duration::from_secs(20);
/// The longest interval that the protocol has, in milliseconds.
const MAX_HEARTBEAT_MS: u64 = 300_000;

/// Where to connect to, and as whom.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) client: fullduplex::Client,
    pub(crate) hello: Map<String, Value>,
    pub(crate) tokens: Option<Source>,
}

impl Options {
    /// `url` is that of the server's `/ws`, `ws:` or `wss:`.
    ///
    /// # Errors
    ///
    /// The text is no such address.
    pub fn new(url: &str) -> Result<Self, ConnectError> {
        fullduplex::Client::new(url).and_then(Self::by)
    }

    /// Connects by this client, with its address, headers, proxy, certificates and limits.
    ///
    /// # Errors
    ///
    /// The client offers another protocol of the same name.
    pub fn by(client: fullduplex::Client) -> Result<Self, ConnectError> {
        let client = client.subprotocol(PROTOCOL)?.require_subprotocol(true);
        Ok(Self {
            client,
            hello: Map::new(),
            tokens: None,
        }
        .heartbeat(HEARTBEAT))
    }

    /// The name to be seen by. Without one nothing can be sent.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.field("name", name)
    }

    /// The e-mail address that the avatar is made from; it is not shown to anybody.
    #[must_use]
    pub fn email(self, email: &str) -> Self {
        self.field("email", email)
    }

    /// The secret by which the server knows this guest again. Without one, messages that are sent again after a lost connection may be
    /// stored twice, so one is made: for as long as this value lives.
    #[must_use]
    pub fn guest(self, secret: &str) -> Self {
        self.field("guest", secret)
    }

    /// The token that proves who this is. Once it has expired the client ends.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.field("token", token)
    }

    /// Where tokens come from that prove who this is: one for each connection, and another when half of the time is over that the server
    /// says is left of it. The source has 30 s each time. While it has none there is no connection, of which [`Event::Lost`] tells.
    #[must_use]
    pub fn tokens<F, Fut, E>(mut self, source: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.tokens = Some(Source::new(source));
        self
    }

    /// How often a server that has nothing to say gives a sign of life; it keeps to 5 s to 5 minutes. Default 20 s.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        let ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        self.hello
            .insert("hb_ms".into(), ms.min(MAX_HEARTBEAT_MS).into());
        self
    }

    fn field(mut self, key: &str, value: &str) -> Self {
        self.hello.insert(key.into(), value.into());
        self
    }
}

/// Asks for things; clones are the same client.
#[derive(Debug, Clone)]
pub struct Client {
    asks: mpsc::Sender<Ask>,
}

/// What happens. To be taken all the time, or dropped: joins wait for it.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
    end: oneshot::Receiver<RequestError>,
}

/// Begins to connect, in a task of its own that ends when all that it returned is dropped, or the server will not have this client.
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn connect(mut options: Options) -> (Client, Events) {
    let guest = || random_text().into();
    options.hello.entry("guest").or_insert_with(guest);
    let (asks, asked) = mpsc::channel(ASKS);
    let (happens, events) = mpsc::channel(1);
    let (ends, end) = oneshot::channel();
    tokio::spawn(driver::run(options, asked, happens, ends));
    (Client { asks }, Events { events, end })
}

impl Events {
    /// The next event. None when the client has ended; [`end`](Self::end) says why.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: no event is lost.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Waits for the client's end, and says why it came.
    ///
    /// # Cancel safety
    ///
    /// As good as never called, dropped before it returns; but for this value, which is gone.
    pub async fn end(mut self) -> RequestError {
        while self.events.recv().await.is_some() {}
        self.end.await.unwrap_or_else(|_| ended())
    }
}

impl Client {
    /// Joins a room, now and after every reconnect; at first with so many of its newest events, up to 200.
    ///
    /// # Errors
    ///
    /// The server refused, or the client has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the room may be joined or not.
    pub async fn join(&self, room: &str, backlog: usize) -> Result<Joined, RequestError> {
        self.enter(Entry::Join, room, backlog).await
    }

    /// Joins a room as a channel: who does so is not seen in it, sees nobody, and otherwise has what [`join`](Self::join) gives.
    ///
    /// # Errors
    ///
    /// As [`join`](Self::join).
    ///
    /// # Cancel safety
    ///
    /// As [`join`](Self::join).
    pub async fn subscribe(&self, room: &str, backlog: usize) -> Result<Joined, RequestError> {
        self.enter(Entry::Subscribe, room, backlog).await
    }

    /// Leaves a room; messages for it that are not acknowledged fail, those that may be stored with [`RequestError::Timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the room may be left or not.
    pub async fn leave(&self, room: &str) {
        // Of an ended client all rooms are left.
        drop(self.asks.send(Ask::Leave { room: room.into() }).await);
    }

    /// Sends a message to a joined room and waits until the server has stored it. Messages to one room are stored in the order in which they were
    /// handed over, unless one is refused and tried again.
    ///
    /// # Errors
    ///
    /// The server refused, did not answer after several tries or before the client was out of the room, or the client has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the message may be sent or not; once it is handed over it is sent.
    pub async fn send(&self, room: &str, body: &str) -> Result<Sent, RequestError> {
        self.post("send", room, [("body", body.into())]).await
    }

    /// Publishes any JSON in a joined room, and otherwise does as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn publish(&self, room: &str, data: Value) -> Result<Sent, RequestError> {
        self.post("pub", room, [("data", data)]).await
    }

    /// Gives one's own message at a position another body, and otherwise does as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn edit(&self, room: &str, target: u64, body: &str) -> Result<Sent, RequestError> {
        let fields = [("target", target.into()), ("body", body.into())];
        self.post("edit", room, fields).await
    }

    /// Deletes one's own message at a position, and otherwise does as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn delete(&self, room: &str, target: u64) -> Result<Sent, RequestError> {
        self.post("delete", room, [("target", target.into())]).await
    }

    /// Sets a reaction to the message at a position, or takes it back, and otherwise does as [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub async fn react(
        &self,
        room: &str,
        target: u64,
        emoji: &str,
        on: bool,
    ) -> Result<Sent, RequestError> {
        let target = ("target", target.into());
        let fields = [target, ("emoji", emoji.into()), ("on", on.into())];
        self.post("react", room, fields).await
    }

    /// Messages of a joined room as they are now, at most so many, up to 200. Not repeated when the connection is lost.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Cancel safety
    ///
    /// Nothing changes by it.
    pub async fn history(
        &self,
        room: &str,
        span: Span,
        limit: usize,
    ) -> Result<Page, RequestError> {
        let mut fields = command("history", room, [("limit", limit.into())]);
        let (key, seq) = match span {
            Span::Newest => return self.page(fields).await,
            Span::Before(seq) => ("before", seq),
            Span::After(seq) => ("after", seq),
            Span::Around(seq) => ("around", seq),
        };
        fields.insert(key.into(), seq.into());
        self.page(fields).await
    }

    /// Any other command of the protocol, by its fields without `id`: `{"op": "history", …}`. It is not repeated.
    ///
    /// # Errors
    ///
    /// The server refused, the connection was lost meanwhile, there was no answer in a minute, or the client has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the command may be given or not.
    pub async fn call(&self, command: Map<String, Value>) -> Result<Value, RequestError> {
        self.ask(|done| Ask::Call { command, done }).await
    }

    /// Ends the client: the connection is closed with 1000, and what is not acknowledged fails, messages that may be stored with
    /// [`RequestError::Timeout`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it returns, the client may end or not.
    pub async fn close(&self) {
        // One that has ended need not be told.
        drop(self.asks.send(Ask::Close).await);
    }

    async fn page(&self, command: Map<String, Value>) -> Result<Page, RequestError> {
        from(self.call(command).await?).ok_or(RequestError::Answer)
    }

    async fn enter(
        &self,
        entry: Entry,
        room: &str,
        backlog: usize,
    ) -> Result<Joined, RequestError> {
        let room = room.into();
        self.ask(|done| Ask::Enter {
            entry,
            room,
            backlog,
            done,
        })
        .await
    }

    async fn post<const N: usize>(
        &self,
        op: &str,
        room: &str,
        fields: [(&str, Value); N],
    ) -> Result<Sent, RequestError> {
        let cid = random_text();
        let mut command = command(op, room, fields);
        command.insert("cid".into(), cid.clone().into());
        let room = room.into();
        self.ask(|done| {
            Ask::Send(Message {
                room,
                cid,
                command,
                done,
            })
        })
        .await
    }

    async fn ask<T>(&self, ask: impl FnOnce(Done<T>) -> Ask) -> Result<T, RequestError> {
        let (done, answer) = oneshot::channel();
        self.asks.send(ask(done)).await.map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

fn command<const N: usize>(op: &str, room: &str, fields: [(&str, Value); N]) -> Map<String, Value> {
    let fixed = [("op", op.into()), ("room", room.into())];
    let all = fixed.into_iter().chain(fields);
    all.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// 128 random bits.
fn random_text() -> String {
    format!("{:032x}", rand::random::<u128>())
}

pub(crate) fn ended() -> RequestError {
    RequestError::Ended(Arc::from("closed"))
}
