//! Goal: a ping is answered with the round trip or with the end; control frames are seen by who asks for them and disturb nobody else.
//! Method: pairs in memory and scripted peers, on tokio's clock held still.

mod common;

use std::{pin::pin, time::Duration};

use common::{poll_times, server};
use fullduplex::{CloseFrame, Config, Error, Event, PingError, WebSocket};
use fullduplex_testkit::wire;
use tokio::time::{Instant, advance, timeout};

/// How long, on the clock held still, anything may take that must happen.
const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test(start_paused = true)]
async fn p52_a_ping_resolves_with_its_round_trip_while_the_other_half_receives() {
    let (client, wire) = server(Config::default()).await;
    let (mut read, mut write) = client.split();
    let receiving = tokio::spawn(async move { read.recv().await });
    let pong = write.ping("a").await.unwrap();
    advance(Duration::from_millis(70)).await;
    wire.push([wire::pong("a"), wire::text("behind")]);
    assert_eq!(
        timeout(PATIENCE, pong).await.unwrap(),
        Ok(Duration::from_millis(70))
    );
    assert_eq!(write.latency(), Some(Duration::from_millis(70)));
    assert_eq!(receiving.await.unwrap(), Ok(Some("behind".into())));
}

#[tokio::test(start_paused = true)]
async fn p52_a_later_pong_answers_earlier_pings_and_an_unasked_one_none() {
    let (mut ws, wire) = server(Config::default()).await;
    let first = ws.ping("1").await.unwrap();
    drop(ws.ping("dropped").await.unwrap());
    let second = ws.ping("2").await.unwrap();
    let mut third = ws.ping("3").await.unwrap();
    wire.push([wire::pong("never asked"), wire::pong("2"), wire::text("m")]);
    assert_eq!(ws.recv().await, Ok(Some("m".into())));
    assert!(timeout(PATIENCE, first).await.unwrap().is_ok());
    assert!(timeout(PATIENCE, second).await.unwrap().is_ok());
    assert!(poll_times(pin!(&mut third), 1).await.is_none());
    wire.push([wire::pong("3"), wire::text("n")]);
    assert_eq!(ws.recv().await, Ok(Some("n".into())));
    assert!(timeout(PATIENCE, third).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn p52_the_pong_of_a_later_keepalive_ping_answers_a_ping_too() {
    let mut config = Config::default();
    config.keepalive_interval = Some(Duration::from_secs(3));
    let (mut ws, wire) = server(config).await;
    let pong = ws.ping("mine").await.unwrap();
    let begun = Instant::now();
    assert!(timeout(Duration::from_secs(4), ws.recv()).await.is_err());
    // RFC 6455 §5.5.3: a peer may answer the latest ping only.
    let latest = wire.frames().pop().unwrap();
    assert_eq!(
        (latest.opcode, begun.elapsed()),
        (0x9, Duration::from_secs(4))
    );
    wire.push([wire::pong(&latest.payload), wire::text("m")]);
    assert_eq!(ws.recv().await, Ok(Some("m".into())));
    assert!(timeout(PATIENCE, pong).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_ping_whose_connection_ends_says_so() {
    // Cleanly, abruptly, and by being dropped.
    let (mut ws, wire) = server(Config::default()).await;
    let pong = ws.ping("").await.unwrap();
    wire.push([wire::close(1000, "bye")]);
    wire.script.push_end();
    assert_eq!(ws.recv().await, Ok(None));
    assert!(
        matches!(timeout(PATIENCE, pong).await.unwrap(), Err(Error::Ended(outcome)) if outcome.clean)
    );
    assert!(matches!(ws.ping("").await, Err(Error::Ended(_))));

    let (mut ws, wire) = server(Config::default()).await;
    let pong = ws.ping("").await.unwrap();
    wire.script.push_end();
    assert!(ws.recv().await.is_err());
    assert!(
        matches!(timeout(PATIENCE, pong).await.unwrap(), Err(Error::Ended(outcome)) if !outcome.clean)
    );

    let (mut ws, _wire) = server(Config::default()).await;
    let pong = ws.ping("").await.unwrap();
    drop(ws);
    assert_eq!(timeout(PATIENCE, pong).await.unwrap(), Err(Error::Closing));
}

#[tokio::test(start_paused = true)]
async fn unanswered_pings_are_bounded_and_too_long_ones_refused() {
    let (mut ws, wire) = server(Config::default()).await;
    let mut pongs = Vec::new();
    for n in 0..16_u8 {
        pongs.push(ws.ping(vec![n]).await.unwrap());
    }
    assert!(matches!(
        ws.ping("one more").await,
        Err(Error::Ping(PingError::TooMany))
    ));
    assert!(matches!(
        ws.ping(vec![0; 126]).await,
        Err(Error::Ping(PingError::TooLong(126)))
    ));
    assert!(matches!(
        ws.pong(vec![0; 126]).await,
        Err(Error::Ping(PingError::TooLong(126)))
    ));
    assert_eq!(wire.frames().len(), 16);
    wire.push([wire::pong([15]), wire::text("m")]);
    assert_eq!(ws.recv().await, Ok(Some("m".into())));
    for pong in pongs {
        assert!(pong.await.is_ok());
    }
    assert!(ws.ping("again").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn p52_events_come_in_order_and_an_unasked_pong_is_seen_and_ignored() {
    let (mut client, mut server) = WebSocket::pair();
    let pong = server.ping("p").await.unwrap();
    server.send("first").await.unwrap();
    server.pong("unasked").await.unwrap();
    server.send("second").await.unwrap();
    assert_eq!(client.recv_event().await, Ok(Some(Event::Ping("p".into()))));
    assert_eq!(
        client.recv_event().await,
        Ok(Some(Event::Message("first".into())))
    );
    let unasked = Event::Pong {
        payload: "unasked".into(),
        latency: None,
    };
    assert_eq!(client.recv_event().await, Ok(Some(unasked)));
    // Neither is seen by who wants messages alone.
    server.pong("more").await.unwrap();
    assert_eq!(client.recv().await, Ok(Some("second".into())));
    client.send("third").await.unwrap();
    assert!(matches!(
        server.recv_event().await,
        Ok(Some(Event::Pong { payload, latency: Some(_) })) if payload == "p"
    ));
    assert!(pong.await.is_ok());
    assert_eq!(
        server.recv_event().await,
        Ok(Some(Event::Message("third".into())))
    );
    let (closed, received) = tokio::join!(client.close(CloseFrame::normal()), server.recv_event());
    assert!(closed.clean);
    assert_eq!(received, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn row_21_a_peer_that_owes_a_sign_of_life_is_late_then_back_or_gone() {
    let (mut ws, wire) = server(Config::default()).await;
    let begun = Instant::now();
    assert_eq!(ws.recv_event().await, Ok(Some(Event::Late)));
    assert_eq!(begun.elapsed(), Duration::from_secs(20 + 10));
    // Whatever comes makes it good: all begins again.
    wire.push([wire::text("back")]);
    assert_eq!(
        ws.recv_event().await,
        Ok(Some(Event::Message("back".into())))
    );
    let begun = Instant::now();
    assert_eq!(ws.recv_event().await, Ok(Some(Event::Late)));
    assert_eq!(begun.elapsed(), Duration::from_secs(30));
    // Told once, then the end. Nobody who receives messages alone is told.
    let ended = ws.recv_event().await;
    assert!(matches!(ended, Err(Error::Ended(_))), "{ended:?}");
    assert!(begun.elapsed() <= Duration::from_secs(46));
    let (mut ws, _wire) = server(Config::default()).await;
    assert!(matches!(ws.recv().await, Err(Error::Ended(_))));
}

#[tokio::test(start_paused = true)]
async fn p86_a_ping_dropped_after_its_first_poll_goes_out_once() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script.chunk_writes(1);
    wire.script.single_steps();
    assert!(poll_times(pin!(ws.ping("once")), 2).await.is_none());
    ws.flush().await.unwrap();
    assert_eq!(wire.frames(), [wire::ping("once")]);
}
