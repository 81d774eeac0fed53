//! Goal: what RFC 6455 wants unpredictable is drawn afresh each time, in the driver too.
//! Method: what a client wrote, compared with what it and others wrote.

mod common;

use std::collections::HashSet;

use common::client;
use fullduplex::Config;

#[tokio::test]
async fn p47_each_frame_of_each_client_is_masked_with_a_key_of_its_own() {
    let mut keys = HashSet::new();
    for _ in 0..4 {
        let (mut ws, wire) = client(Config::default()).await;
        for _ in 0..16 {
            ws.send("the same").await.unwrap();
        }
        keys.extend(
            wire.frames()
                .into_iter()
                .map(|frame| frame.mask.expect("masked")),
        );
    }
    // 64 draws from 2^32: two alike would be a one in two million accident.
    assert_eq!(keys.len(), 64);
}

#[tokio::test]
async fn p08_each_request_of_a_client_has_a_key_of_its_own() {
    let mut keys = HashSet::new();
    for _ in 0..8 {
        let (_ws, wire) = client(Config::default()).await;
        let written = String::from_utf8_lossy(&wire.script.written()).into_owned();
        let key = written.split("Sec-WebSocket-Key: ").nth(1).expect("a key");
        keys.insert(key.split("\r\n").next().expect("a line").to_owned());
    }
    assert_eq!(keys.len(), 8);
}
