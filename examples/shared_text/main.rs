//! `cargo run -p fullduplex-examples --bin shared_text -- ws://127.0.0.1:8080/ws notes Ana`
//!
//! Seed 000: several people edit one text, beside `fdx serve`. Type `0+ first line`, `1+ a line below line 1`, `2 another text for line 2`,
//! `2-`. Edits are kept in one order, so whoever makes them in that order has the same text, also after having been offline.
#![expect(clippy::print_stdout, reason = "shows the text")]

mod text;
mod typing;

use std::{env, error::Error, time::Duration};

use fullduplex_client::{Client, Event, Events, Options, RequestError, Resume, Span, connect};
use tokio::time::sleep;

use crate::text::Text;

/// Before what did not work out is tried again.
const PAUSE: Duration = Duration::from_millis(500);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).collect();
    let [url, channel, name] = &args[..] else {
        return Err("usage: shared_text URL CHANNEL NAME".into());
    };
    let (client, events) = connect(Options::new(url)?.name(name));
    client.subscribe(channel, 0).await?;
    tokio::spawn(typing::publish(client.clone(), channel.clone()));
    Err(follow(&client, events, channel).await.into())
}

/// Shows the text after each edit, until the client ends.
async fn follow(client: &Client, mut events: Events, channel: &str) -> RequestError {
    let mut text = Text::new();
    while let Some(event) = events.next().await {
        match event {
            // All that was missed follows.
            Event::Joined(joined) if joined.resume == Some(Resume::Ok) => continue,
            Event::Joined(_) | Event::Gap(_) => match load(client, channel).await {
                Ok(loaded) => text = loaded,
                Err(error) => return error,
            },
            Event::Placed(event) => text.apply(*event),
            Event::Lost { reason } => {
                println!("offline: {reason}");
                continue;
            }
            _ => continue,
        }
        println!("{text}");
    }
    events.end().await
}

/// Makes the text from all edits that are kept. Those that come meanwhile are events, some of which it has then.
async fn load(client: &Client, channel: &str) -> Result<Text, RequestError> {
    let mut text = Text::new();
    loop {
        match client.history(channel, Span::After(text.seq()), 200).await {
            Ok(page) => {
                for shown in page.events {
                    text.apply(shown.event);
                }
                if !page.more_after {
                    return Ok(text);
                }
            }
            Err(error) if error.passes() => sleep(PAUSE).await,
            Err(error) => return Err(error),
        }
    }
}
