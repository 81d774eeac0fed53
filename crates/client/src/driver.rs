//! The task between an application and its connection.

use std::{
    future::{Future, pending},
    pin::pin,
    time::Duration,
};

use fullduplex::{CloseFrame, Message, Outcome, Overflow, ReadHalf, Reconnect, Sender, WebSocket};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep, sleep_until},
};

use crate::{
    Event, RequestError,
    client::{Options, ended},
    session::{Ask, FIRST_DELAY, MAX_DELAY, Session, Verdict},
    token::{Fetch, Source},
};

/// A connection that lasted so long is followed by the shortest wait: the protocol's.
const HEALTHY_AFTER: Duration = Duration::from_secs(30);

/// The close code after which another token is needed.
const TOKEN_EXPIRED: u16 = 4101;

/// Lives as long as the client does, and says in the end why it ended.
pub(crate) async fn run(
    options: Options,
    asks: mpsc::Receiver<Ask>,
    events: mpsc::Sender<Event>,
    ends: oneshot::Sender<RequestError>,
) {
    // Nobody needs to hear of a failure while the last one is not told.
    let (fails, failures) = mpsc::channel(1);
    let mut connections = options
        .client
        .reconnect()
        .first_delay(FIRST_DELAY)
        .max_delay(MAX_DELAY)
        .healthy_after(HEALTHY_AFTER)
        .on_retry(move |retrying| drop(fails.try_send(retrying.error.to_string())));
    let mut desk = Desk {
        session: Session::new(options.hello, jitter),
        tokens: options.tokens,
        asks,
        is_asked: true,
        events,
        failures,
    };
    let why = desk.live(&mut connections).await;
    desk.session.ended(&why);
    while let Some(event) = desk.session.next_event(Instant::now()) {
        if desk.events.send(event).await.is_err() {
            break;
        }
    }
    // Nobody need be there to be told.
    drop(ends.send(why));
}

/// The session, and both ways to the application.
struct Desk {
    session: Session,
    tokens: Option<Source>,
    asks: mpsc::Receiver<Ask>,
    /// Whether there is anybody who could ask.
    is_asked: bool,
    events: mpsc::Sender<Event>,
    /// Why a connection could not be opened.
    failures: mpsc::Receiver<String>,
}

/// How a connection ended.
enum Over {
    /// It is worth coming back.
    Lost(String),
    /// It is not.
    Ended(RequestError),
}

impl Desk {
    async fn live(&mut self, connections: &mut Reconnect) -> RequestError {
        loop {
            if let Err(why) = self.take_token().await {
                return why;
            }
            let opened = match self.meanwhile(connections.next()).await {
                Ok(opened) => opened,
                Err(why) => return why,
            };
            let (ws, _response) = match opened {
                Ok(opened) => opened,
                Err(error) => return RequestError::Ended(error.to_string().into()),
            };
            while let Ok(reason) = self.failures.try_recv() {
                self.session.tell_lost(reason);
            }
            let over = self.talk(ws).await;
            self.session.lost();
            match over {
                Over::Ended(why) => return why,
                Over::Lost(reason) => self.session.tell_lost(reason),
            }
            if let Some((least, spread)) = self.session.take_bye() {
                let wait = sleep(least + jitter(spread));
                if let Err(why) = self.meanwhile(wait).await {
                    return why;
                }
            }
        }
    }

    /// Gets a token for the next connection, where there is a source of them.
    async fn take_token(&mut self) -> Result<(), RequestError> {
        let Some(tokens) = self.tokens.clone() else {
            return Ok(());
        };
        let mut longest = FIRST_DELAY;
        loop {
            match self.meanwhile(tokens.fetch()).await? {
                Ok(token) => {
                    self.session.set_token(&token);
                    return Ok(());
                }
                Err(why) => self.session.tell_lost(format!("there is no token: {why}")),
            }
            let wait = sleep(jitter(longest));
            self.meanwhile(wait).await?;
            longest = (longest * 2).min(MAX_DELAY);
        }
    }

    /// Waits without a connection, and serves the application meanwhile.
    async fn meanwhile<T>(&mut self, wait: impl Future<Output = T>) -> Result<T, RequestError> {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                done = &mut wait => return Ok(done),
                why = self.serve_application() => if let Some(why) = why { return Err(why) },
            }
        }
    }

    /// Takes, gives or tells one thing. Cancel safe. Says why the application is done with this client, if it is.
    async fn serve_application(&mut self) -> Option<RequestError> {
        tokio::select! {
            ask = self.asks.recv(), if self.is_asked && self.session.has_room() => match ask {
                Some(Ask::Close) => return Some(ended()),
                Some(ask) => self.session.ask(ask, Instant::now()),
                None => self.is_asked = false,
            },
            permit = self.events.reserve(), if self.session.has_event() => {
                let event = self.session.next_event(Instant::now());
                // Without anybody who takes them, events are passed over.
                if let (Ok(permit), Some(event)) = (permit, event) {
                    permit.send(event);
                }
            },
            Some(reason) = self.failures.recv() => self.session.tell_lost(reason),
            () = self.events.closed(), if !self.is_asked => return Some(ended()),
            else => pending().await,
        }
        None
    }

    /// Lives on one connection.
    async fn talk(&mut self, ws: WebSocket) -> Over {
        let (mut read, write) = ws.split();
        let write = write.into_sender(Overflow::Wait);
        self.session.opened(Instant::now());
        let over = self.exchange(&mut read, &write).await;
        // A peer that does not answer is not waited for.
        if let Over::Ended(_) = &over {
            write.close(CloseFrame::normal()).await;
        }
        over
    }

    async fn exchange(&mut self, read: &mut ReadHalf, write: &Sender) -> Over {
        // The token that follows the present one.
        let mut next_token: Option<Fetch> = None;
        loop {
            let deadline = self.session.deadline();
            let due = sleep_until(deadline.unwrap_or_else(Instant::now));
            let verdict = tokio::select! {
                message = read.recv(), if self.session.may_read() => match message {
                    Ok(Some(Message::Text(text))) => self.session.received(text.as_str(), Instant::now()),
                    Ok(Some(Message::Binary(_))) => Verdict::GoOn,
                    Ok(None) | Err(_) => return self.over(read.outcome().as_ref()),
                },
                permit = write.reserve(), if self.session.has_command() => {
                    if let (Ok(permit), Some(command)) = (permit, self.session.next_command()) {
                        // Refused only by a connection that is ending, which the next read tells.
                        drop(permit.send(command));
                    }
                    Verdict::GoOn
                },
                token = fetched(&mut next_token) => {
                    next_token = None;
                    // Without one the connection ends with the present one, and another is asked for then.
                    if let Ok(token) = token {
                        self.session.renew(&token, Instant::now());
                    }
                    Verdict::GoOn
                }
                () = due, if deadline.is_some() => self.session.handle_deadline(Instant::now()),
                why = self.serve_application() => match why {
                    Some(why) => return Over::Ended(why),
                    None => Verdict::GoOn,
                },
            };
            if let Some(left) = self.session.take_token_left()
                && let Some(tokens) = &self.tokens
            {
                next_token = Some(tokens.fetch_within(left));
            }
            match verdict {
                Verdict::GoOn => {}
                Verdict::Lost(why) => return Over::Lost(why),
                Verdict::Refused(why) => return Over::Ended(RequestError::Ended(why.into())),
            }
        }
    }

    /// What the end of a connection means for coming back.
    fn over(&self, outcome: Option<&Outcome>) -> Over {
        let Some(outcome) = outcome else {
            return Over::Lost("it has ended".into());
        };
        let code = outcome.code().get();
        let why = format!("{code} {}", outcome.reason());
        let why = why.trim_end();
        let has_no_token = code == TOKEN_EXPIRED && self.tokens.is_none();
        if has_no_token || stops_for(code) {
            Over::Ended(RequestError::Ended(why.into()))
        } else {
            Over::Lost(why.into())
        }
    }
}

/// A random part of a wait, so that many do not come at once.
fn jitter(longest: Duration) -> Duration {
    longest.mul_f64(rand::random())
}

/// The token that is on its way; pending while there is none.
async fn fetched(fetch: &mut Option<Fetch>) -> Result<String, String> {
    match fetch {
        Some(fetch) => fetch.await,
        None => pending().await,
    }
}

/// Whether a client must stay away after this close code: what ended as it should is over, protocol errors would only repeat, and 4000
/// to 4099 say so.
const fn stops_for(code: u16) -> bool {
    matches!(code, 1000 | 1002 | 1003 | 1007 | 1009 | 4000..=4099)
}
