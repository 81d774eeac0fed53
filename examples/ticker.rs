//! `cargo run -p fullduplex-examples --bin ticker -- follow ws://127.0.0.1:8080/ws prices`, and one with `feed` for `follow`
//!
//! Seed 000: a stream of prices to many, beside `fdx serve`. Stop one that follows with Ctrl-Z: the others do not notice, and nothing is
//! kept for it. Let it go on with `fg`: it gets what it missed from the server's log, or is told what is no longer there.
#![expect(clippy::print_stdout, reason = "shows prices")]

use std::{env, error::Error, time::Duration};

use fullduplex_client::{Client, Event, Events, Options, Resume, What, connect};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

/// Between two prices. One that comes while the last is not stored is left out.
const PERIOD: Duration = Duration::from_millis(100);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = env::args().skip(1).collect();
    let [what, url, channel] = &args[..] else {
        return Err("usage: ticker feed|follow URL CHANNEL".into());
    };
    let (client, events) = connect(Options::new(url)?.name(what));
    match &**what {
        "feed" => {
            // Its own prices would come back to it.
            drop(events);
            feed(&client, channel).await
        }
        "follow" => follow(&client, events, channel).await,
        other => Err(format!("{other} is neither feed nor follow").into()),
    }
}

/// Publishes prices until it may not.
async fn feed(client: &Client, channel: &str) -> Result<(), Box<dyn Error>> {
    client.subscribe(channel, 0).await?;
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut cents = 10_000;
    loop {
        ticks.tick().await;
        cents += rand::random_range(-5..=5);
        match client.publish(channel, json!({ "cents": cents })).await {
            Err(error) if !error.passes() => return Err(error.into()),
            Err(error) => println!("{cents} may be lost: {error}"),
            Ok(_) => {}
        }
    }
}

/// Shows prices, first the newest one there is, and what was missed.
async fn follow(client: &Client, mut events: Events, channel: &str) -> Result<(), Box<dyn Error>> {
    client.subscribe(channel, 1).await?;
    while let Some(event) = events.next().await {
        match event {
            Event::Placed(event) => {
                if let What::Data { data } = event.what {
                    println!("{} {}", event.seq, data["cents"]);
                }
            }
            Event::Gap(gap) => println!("missed {} to {}", gap.from, gap.to),
            Event::Joined(joined) if joined.resume == Some(Resume::Reset) => {
                println!("missed some: {}", joined.reason.unwrap_or_default());
            }
            Event::Lost { reason } => println!("offline: {reason}"),
            _ => {}
        }
    }
    Err(events.end().await.into())
}
