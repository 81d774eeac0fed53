//! `/echo`, and what a client may ask of it to try itself.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what goes wrong should stop it"
)]

mod support;

use fullduplex::Message;
use fullduplex_hub::Config;
use support::{Running, UPGRADE, within};

#[tokio::test]
async fn everything_comes_back_as_it_went() {
    let hub = Running::start(Config::default()).await;
    let mut ws = hub.connect("/echo").await;
    for message in [
        Message::text("ß"),
        Message::binary(vec![0, 255]),
        Message::text(""),
    ] {
        ws.send(message.clone()).await.unwrap();
        assert_eq!(within(ws.recv()).await.unwrap(), Some(message));
    }
    support::bye(&mut ws).await;
}

#[tokio::test]
async fn who_asks_for_it_is_closed_behind_the_first_message() {
    let hub = Running::start(Config::default()).await;
    let mut ws = hub.connect("/echo?delay=1&close=4321").await;
    ws.send("a").await.unwrap();
    ws.send("b").await.unwrap();
    assert_eq!(within(ws.recv()).await.unwrap(), Some(Message::text("a")));
    let end = within(ws.recv()).await;
    let code = ws
        .outcome()
        .and_then(|end| end.received)
        .map(|close| close.code().get());
    assert_eq!(code, Some(4321), "{end:?}");
}

#[tokio::test]
async fn what_can_not_be_asked_for_is_refused() {
    let hub = Running::start(Config::default()).await;
    for query in [
        "delay=60001",
        "delay=soon",
        "delay=-1",
        "close=1005",
        "close=999",
        "close=70000",
        "delay=1&delay=2",
    ] {
        let error = hub.client(&format!("/echo?{query}")).connect().await.err();
        assert!(
            error.is_some_and(|error| error.to_string().contains("400")),
            "{query}"
        );
    }
}

#[tokio::test]
async fn while_a_message_is_kept_pings_are_answered() {
    let hub = Running::start(Config::default()).await;
    let mut ws = hub.connect("/echo?delay=60000").await;
    ws.send("kept").await.unwrap();
    let (mut reader, mut writer) = ws.split();
    let pong = async { writer.ping("here").await.unwrap().await };
    tokio::select! {
        pong = within(pong) => assert!(pong.is_ok()),
        message = reader.recv() => panic!("{message:?}"),
    }
}

#[tokio::test]
async fn who_finds_no_place_is_told_which_limit_that_is_and_a_freed_place_is_used() {
    let mut config = Config::default();
    config.limits.echo_connections = 1;
    let hub = Running::start(config).await;
    let mut first = hub.connect("/echo").await;
    let refused = hub.get("/echo", UPGRADE).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("5"));
    assert!(refused.body.contains("limits.echo-connections"));
    let _elsewhere = hub.connect("/ws").await;
    support::bye(&mut first).await;
    within(async { while hub.client("/echo").connect().await.is_err() {} }).await;
}
