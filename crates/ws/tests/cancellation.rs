//! Goal: a future dropped after any poll loses nothing beyond what its documentation says.
//! Method: a transport that moves one byte per poll, and futures dropped after every number of polls.

mod common;

use std::pin::pin;

use common::{client, poll_times, server};
use fullduplex::{CloseCode, CloseFrame, Config, Error, Message};
use fullduplex_testkit::wire;

fn sample() -> Vec<wire::Frame> {
    vec![
        wire::text("hello"),
        wire::ping("are you there"),
        wire::text("frag").not_fin(),
        wire::pong("unasked"),
        wire::continuation("mented é").not_fin(),
        wire::continuation(""),
        wire::binary(vec![7; 300]),
        wire::text(""),
    ]
}

fn sample_messages() -> Vec<Message> {
    vec![
        "hello".into(),
        "fragmented é".into(),
        vec![7; 300].into(),
        "".into(),
    ]
}

#[tokio::test]
async fn p86_recv_dropped_after_every_poll_loses_nothing() {
    for polls in 1..4 {
        let (mut ws, wire) = server(Config::default()).await;
        wire.push(sample());
        wire.push([wire::close(1000, "bye")]);
        wire.script.push_end();
        wire.script.chunk_reads(1);
        wire.script.single_steps();
        let mut messages = Vec::new();
        let end = loop {
            match poll_times(pin!(ws.recv()), polls).await {
                Some(Ok(Some(message))) => messages.push(message),
                Some(end) => break end,
                None => {}
            }
        };
        assert_eq!(end, Ok(None));
        assert_eq!(messages, sample_messages());
        assert_eq!(
            wire.frames(),
            [wire::pong("are you there"), wire::close(1000, "")]
        );
    }
}

#[tokio::test]
async fn p86_a_client_loses_nothing_either() {
    let (mut ws, wire) = client(Config::default()).await;
    wire.push(sample());
    wire.push([wire::close(1000, "bye")]);
    wire.script.push_end();
    wire.script.chunk_reads(1);
    wire.script.single_steps();
    let mut messages = Vec::new();
    let end = loop {
        match poll_times(pin!(ws.recv()), 1).await {
            Some(Ok(Some(message))) => messages.push(message),
            Some(end) => break end,
            None => {}
        }
    };
    assert_eq!(end, Ok(None));
    assert_eq!(messages, sample_messages());
}

#[tokio::test]
async fn p87_send_dropped_after_every_poll_is_all_or_nothing() {
    let payload: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let mut completed = false;
    for polls in 0.. {
        let (mut ws, wire) = server(Config::default()).await;
        wire.script.chunk_writes(100);
        wire.script.single_steps();
        completed = poll_times(pin!(ws.send(payload.clone())), polls)
            .await
            .is_some();
        ws.send("the next").await.unwrap();
        let frames = wire.frames();
        let whole = [wire::binary(&payload), wire::text("the next")];
        assert!(
            frames == whole || (polls == 0 && frames == whole[1..]),
            "{polls} polls: {frames:?}"
        );
        if completed {
            break;
        }
    }
    assert!(completed);
}

#[tokio::test]
async fn p87_feed_that_waits_for_room_and_is_dropped_queues_nothing() {
    let mut config = Config::default();
    config.limits.soft_queue = 10;
    let (mut ws, wire) = server(config).await;
    wire.script.fault_writes_at(
        wire.script.written().len(),
        fullduplex_testkit::Fault::Stall,
    );
    ws.feed("more than the soft limit").await.unwrap();
    assert!(
        poll_times(pin!(ws.feed("lost with its future")), 3)
            .await
            .is_none()
    );
    wire.script.heal();
    ws.flush().await.unwrap();
    assert_eq!(wire.frames(), [wire::text("more than the soft limit")]);
}

#[tokio::test]
async fn p88_flush_dropped_after_every_poll_goes_on_where_it_was() {
    let (mut ws, wire) = client(Config::default()).await;
    wire.script.chunk_writes(3);
    wire.script.single_steps();
    for i in 0..5 {
        ws.feed(format!("message {i}")).await.unwrap();
    }
    while poll_times(pin!(ws.flush()), 1).await.is_none() {}
    let texts: Vec<_> = wire
        .frames()
        .into_iter()
        .map(wire::Frame::without_key)
        .collect();
    assert_eq!(
        texts,
        (0..5)
            .map(|i| wire::text(format!("message {i}")))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn p88_close_dropped_after_every_poll_goes_on_where_it_was() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script.chunk_writes(1);
    wire.script.chunk_reads(1);
    wire.script.single_steps();
    wire.push([wire::text("thrown away"), wire::close(4000, "you too")]);
    wire.script.push_end();
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "going").unwrap();
    let outcome = loop {
        if let Some(outcome) = poll_times(pin!(ws.close(frame.clone())), 1).await {
            break outcome;
        }
    };
    assert!(outcome.clean);
    assert_eq!(outcome.code().get(), 4000);
    assert_eq!(wire.frames(), [wire::close(1001, "going")]);
    assert_eq!(
        ws.close(frame).await,
        outcome,
        "closing again says the same"
    );
}

#[tokio::test]
async fn p34_dropping_connect_closes_its_stream() {
    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    let client = fullduplex::Client::new("ws://example.com/").unwrap();
    assert!(poll_times(pin!(client.connect_over(io)), 5).await.is_none());
    assert!(script.is_dropped());
}

#[tokio::test]
async fn recv_after_the_end_says_the_same_again() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script.push_end();
    let first = ws.recv().await;
    assert!(
        matches!(&first, Err(Error::Ended(outcome)) if outcome.code() == CloseCode::ABNORMAL_CLOSURE)
    );
    assert_eq!(ws.recv().await, first);
}

#[tokio::test]
async fn settings_at_their_extremes_neither_panic_nor_spin() {
    let mut config = Config::default();
    config.limits.fragment = 0;
    config.limits.soft_queue = 0;
    let (mut ws, wire) = server(config).await;
    ws.send("ab").await.unwrap();
    assert_eq!(
        wire.frames(),
        [wire::text("a").not_fin(), wire::continuation("b")]
    );

    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    script.push(common::REQUEST);
    let acceptor = fullduplex::Acceptor::new().handshake_timeout(std::time::Duration::MAX);
    acceptor.accept(io).await.unwrap();
}
