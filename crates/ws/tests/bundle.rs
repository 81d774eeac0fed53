//! Goal: what is forwarded leaves once, as it is and in its place, or not at all.
//! Method: scripted transports that take all, a part at every byte, nothing, or fail.

mod common;

use std::{cell::Cell, io::ErrorKind};

use common::{client, server};
use fullduplex::{Bundle, CloseFrame, Config, Deflate, Forwarded, Message, Prepared, corked};
use fullduplex_testkit::{Fault, wire};
use futures_util::FutureExt;

fn bundle(texts: &[&str]) -> Bundle {
    Bundle::new(
        texts
            .iter()
            .map(|text| Prepared::new(&Message::text(*text))),
    )
}

#[tokio::test]
async fn all_of_it_leaves_with_one_write_to_any_number_of_connections() {
    let bundle = bundle(&["a", "b", "c"]);
    for _ in 0..2 {
        let (mut ws, wire) = server(Config::default()).await;
        assert_eq!(ws.forward(&bundle), Forwarded::Written);
        assert_eq!(ws.queued(), 0);
        assert_eq!(wire.writes(), [["a", "b", "c"].map(wire::text)]);
        // And is behind what was sent before.
        ws.send("d").await.unwrap();
        assert_eq!(ws.forward(&bundle), Forwarded::Written);
        assert_eq!(wire.frames()[3..], ["d", "a", "b", "c"].map(wire::text));
    }
}

#[tokio::test]
async fn what_a_transport_does_not_take_leaves_later_and_nothing_twice() {
    let whole = bundle(&["first", "second"]);
    let len: usize = whole.frames().iter().map(Prepared::len).sum();
    for taken in 1..len {
        let (mut ws, wire) = server(Config::default()).await;
        let written = wire.script.written().len();
        wire.script.fault_writes_at(written + taken, Fault::Stall);
        assert_eq!(ws.forward(&whole), Forwarded::Queued);
        assert!(ws.queued() > 0);
        assert_eq!(ws.forward(&whole), Forwarded::Refused, "it would overtake");
        assert!(ws.recv().now_or_never().is_none());
        wire.script.heal();
        assert!(ws.recv().now_or_never().is_none());
        assert_eq!(wire.frames(), ["first", "second"].map(wire::text));
        assert_eq!(ws.forward(&whole), Forwarded::Written);
    }
}

#[tokio::test]
async fn where_nothing_is_taken_or_something_waits_nothing_is_sent() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    assert_eq!(ws.forward(&bundle(&["refused"])), Forwarded::Refused);
    assert_eq!(ws.queued(), 0);
    ws.feed("waits").await.unwrap();
    wire.script.heal();
    assert_eq!(ws.forward(&bundle(&["refused"])), Forwarded::Refused);
    ws.flush().await.unwrap();
    assert_eq!(wire.frames(), [wire::text("waits")]);
}

#[tokio::test]
async fn what_asks_for_more_than_copying_is_refused() {
    let (mut ws, wire) = server(Config::default()).await;
    assert_eq!(ws.forward(&bundle(&[])), Forwarded::Refused);
    let long = "x".repeat(64 << 10);
    assert_eq!(ws.forward(&bundle(&[&long])), Forwarded::Refused);
    assert_eq!(ws.forward(&bundle(&["x"; 1 << 10])), Forwarded::Refused);
    let message = Message::text("y".repeat(1 << 10));
    let compressed = Prepared::compressed(&message, &Deflate::for_server());
    assert_eq!(ws.forward(&Bundle::new([compressed])), Forwarded::Refused);
    let mut config = Config::default();
    config.limits.fragment = 100;
    let (mut fragments, _wire) = server(config).await;
    assert_eq!(
        fragments.forward(&bundle(&[&long[..99]])),
        Forwarded::Refused
    );
    let (mut masks, _wire) = client(Config::default()).await;
    assert_eq!(masks.forward(&bundle(&["a"])), Forwarded::Refused);
    assert_eq!(wire.frames(), []);
}

#[tokio::test]
async fn a_corked_handler_and_one_that_closes_are_refused() {
    let (ws, wire) = server(Config::default()).await;
    let before = Cell::new(None);
    corked(ws, async |mut ws| {
        ws.send("corked").await.unwrap();
        before.set(Some(ws.forward(&bundle(&["refused"]))));
    })
    .await;
    assert_eq!(before.get(), Some(Forwarded::Refused));
    assert_eq!(wire.frames(), [wire::text("corked")]);
    let (mut ws, wire) = server(Config::default()).await;
    assert!(ws.close(CloseFrame::normal()).now_or_never().is_none());
    assert_eq!(ws.forward(&bundle(&["refused"])), Forwarded::Refused);
    assert_eq!(wire.frames(), [wire::close(1000, "")]);
}

#[tokio::test]
async fn a_transport_that_fails_or_takes_zero_bytes_ends_the_connection() {
    for fault in [Fault::Error(ErrorKind::BrokenPipe), Fault::End] {
        let (mut ws, wire) = server(Config::default()).await;
        wire.script
            .fault_writes_at(wire.script.written().len(), fault);
        assert_eq!(ws.forward(&bundle(&["lost"])), Forwarded::Queued);
        assert!(ws.recv().await.is_err());
        assert_eq!(ws.forward(&bundle(&["lost"])), Forwarded::Refused);
    }
}

#[tokio::test]
async fn a_transport_that_buffers_is_flushed() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script.buffer_writes();
    assert_eq!(ws.forward(&bundle(&["a", "b"])), Forwarded::Written);
    assert_eq!(wire.frames(), ["a", "b"].map(wire::text));
}

#[tokio::test]
async fn a_flush_that_waits_needs_no_runtime_here_and_is_gone_on_with() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script.buffer_writes();
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let elsewhere = std::thread::spawn(move || (ws.forward(&bundle(&["a"])), ws));
    let (forwarded, mut ws) = elsewhere.join().unwrap();
    assert_eq!(forwarded, Forwarded::Queued);
    wire.script.heal();
    assert!(ws.recv().now_or_never().is_none());
    assert_eq!(wire.frames(), [wire::text("a")]);
}

#[tokio::test]
async fn what_was_sent_before_is_not_overtaken_after_an_inner_corked_handler() {
    let (ws, wire) = server(Config::default()).await;
    corked(ws, async |ws| {
        let mut ws = corked(ws, async |ws| ws).await;
        wire.push([wire::text("question")]);
        ws.recv().await.unwrap();
        ws.send("first").await.unwrap();
        assert_eq!(ws.forward(&bundle(&["second"])), Forwarded::Refused);
    })
    .await;
    assert_eq!(wire.frames(), [wire::text("first")]);
}
