//! Goal: values go as JSON both ways, and bad JSON is told from a bad connection.
//! Method: scripted transports and two ends in memory.
#![cfg(feature = "json")]

mod common;

use std::{collections::HashMap, pin::pin};

use common::{poll_times, server};
use fullduplex::{Config, Error, JsonError, Overflow, Sent, WebSocket};
use fullduplex_testkit::{Fault, wire};

type Scores = HashMap<String, u32>;

fn scores(score: u32) -> Scores {
    HashMap::from([("ana".to_owned(), score)])
}

#[tokio::test]
async fn values_leave_as_text_from_the_whole_a_half_and_a_sender() {
    let (mut ws, wire) = server(Config::default()).await;
    ws.send_json(&scores(1)).await.unwrap();
    let (_read, mut write) = ws.split();
    write.send_json("żółw").await.unwrap();
    let sender = write.into_sender(Overflow::Wait);
    assert_eq!(sender.send_json(&[1, 2]).await.unwrap(), Sent::Queued);
    let expected = [r#"{"ana":1}"#, r#""żółw""#, "[1,2]"].map(wire::text);
    assert_eq!(wire.frames(), expected);
}

#[tokio::test]
async fn text_and_binary_are_read_and_bad_json_leaves_the_connection_usable() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push([
        wire::text(r#"{"ana":1}"#),
        wire::binary(r#"{"ana":2}"#),
        wire::text("{"),
        wire::text(r#"{"ana":"no number"}"#),
        wire::binary(b"\"\xff\""),
        wire::text("[".repeat(100_000)),
        wire::text(r#"{"ana":3}"#),
        wire::close(1000, ""),
    ]);
    wire.script.push_end();
    assert_eq!(ws.recv_json().await.unwrap(), Some(scores(1)));
    assert_eq!(ws.recv_json().await.unwrap(), Some(scores(2)));
    for _ in 0..4 {
        let error = ws.recv_json::<Scores>().await.unwrap_err();
        assert!(matches!(error, JsonError::Decode(_)), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("not the JSON that was expected: ")
        );
        assert!(std::error::Error::source(&error).is_some());
    }
    let (mut read, mut write) = ws.split();
    assert_eq!(read.recv_json().await.unwrap(), Some(scores(3)));
    write.send_json("still open").await.unwrap();
    assert_eq!(read.recv_json::<Scores>().await.unwrap(), None);
}

#[tokio::test]
async fn what_has_no_form_in_json_is_not_sent_and_a_dead_connection_is_told_as_such() {
    let (mut ws, wire) = server(Config::default()).await;
    let no_keys = HashMap::from([(vec![1], 2)]);
    let error = ws.send_json(&no_keys).await.unwrap_err();
    assert!(matches!(error, JsonError::Encode(_)), "{error}");
    assert_eq!(wire.frames(), []);
    wire.script.push_end();
    let error = ws.recv_json::<Scores>().await.unwrap_err();
    assert!(matches!(error, JsonError::Connection(Error::Ended(_))));
    let error = ws.send_json(&1).await.unwrap_err();
    assert!(matches!(error, JsonError::Connection(Error::Ended(_))));
}

#[tokio::test]
async fn p86_recv_json_dropped_after_every_poll_loses_nothing() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push((0..5).map(|i| wire::text(format!("{i}"))));
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    wire.script.chunk_reads(1);
    wire.script.single_steps();
    let mut received = Vec::new();
    loop {
        match poll_times(pin!(ws.recv_json::<u32>()), 1).await {
            Some(Ok(Some(number))) => received.push(number),
            Some(end) => break assert!(end.unwrap().is_none()),
            None => {}
        }
    }
    assert_eq!(received, [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn p87_send_json_dropped_while_it_waits_sends_nothing() {
    let mut config = Config::default();
    config.limits.soft_queue = 10;
    let (ws, wire) = server(config).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let (_read, write) = ws.split();
    let sender = write.into_sender(Overflow::Wait);
    sender.send_json("first").await.unwrap();
    let dropped = poll_times(pin!(sender.send_json("dropped")), 3).await;
    assert!(dropped.is_none());
    wire.script.heal();
    sender.flush().await.unwrap();
    assert_eq!(wire.frames(), [wire::text("\"first\"")]);
}

#[tokio::test]
async fn a_task_may_hold_the_futures() {
    let (mut client, mut server) = WebSocket::pair();
    let sending = tokio::spawn(async move {
        let value = scores(7);
        client.send_json(&value).await.unwrap();
        client
    });
    let receiving = tokio::spawn(async move { server.recv_json::<Scores>().await });
    assert_eq!(receiving.await.unwrap().unwrap(), Some(scores(7)));
    drop(sending.await.unwrap());
}
