//! Goal: what is forwarded leaves once, as it is and in its place, or not at all.
//! Method: scripted transports that take all, a part at every byte, nothing, or fail.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{cell::Cell, io::ErrorKind};

use common::{client, server};
use fullduplex::{
    Acceptor, Bundle, CloseFrame, Config, Deflate, Forwarded, Message, Prepared, WebSocket, corked,
};
use fullduplex_testkit::{Fault, REQUEST, Script, ScriptedIo, wire};
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

/// A server's connection whose client offers to compress so, and what it writes.
async fn deflating(offer: &str, deflate: Deflate) -> (WebSocket, Script) {
    let (io, script) = ScriptedIo::new();
    let offer = format!("Sec-WebSocket-Extensions: permessage-deflate{offer}\r\n\r\n");
    script.push(REQUEST.replace("\r\n\r\n", &format!("\r\n{offer}")));
    let ws = Acceptor::new().deflate(deflate).accept(io).await.unwrap();
    assert!(ws.deflate().is_some());
    (ws, script)
}

/// Of three messages the second one and the third may be compressed.
fn compressible() -> Bundle {
    let texts = ["short".to_owned(), "y".repeat(600), "z".repeat(900)];
    Bundle::new(
        texts.map(|text| Prepared::compressed(&Message::text(text), &Deflate::for_server())),
    )
}

/// As that leaves, compressed or not.
fn bytes(is_compressed: bool) -> Vec<u8> {
    let bytes = compressible();
    let bytes = bytes.frames().iter().map(|frame| {
        if is_compressed {
            frame.compressed_frame()
        } else {
            frame.frame()
        }
    });
    bytes.flatten().collect()
}

#[tokio::test]
async fn who_agreed_to_it_gets_it_compressed_and_others_as_it_is() {
    let bundle = compressible();
    assert!(bytes(true).len() < bytes(false).len() / 10);
    assert_eq!(bytes(true)[..7], wire::text("short").bytes());
    let own = |change: fn(&mut Deflate)| {
        let mut deflate = Deflate::for_server();
        change(&mut deflate);
        deflate
    };
    let ours = Deflate::for_server();
    for (offer, deflate, is_compressed) in [
        ("", ours, Some(true)),
        ("; server_max_window_bits=15", ours, Some(true)),
        ("; server_max_window_bits=14", ours, Some(false)),
        (
            "",
            own(|d| d.server_no_context_takeover = false),
            Some(false),
        ),
        (
            "; server_no_context_takeover",
            Deflate::for_client(),
            Some(true),
        ),
        // By its own threshold it would compress neither, one or both.
        ("", own(|d| d.threshold = 901), Some(false)),
        ("", own(|d| d.threshold = 900), None),
        ("", own(|d| d.threshold = 600), Some(true)),
    ] {
        let (mut ws, script) = deflating(offer, deflate).await;
        let before = script.written().len();
        let forwarded = ws.forward(&bundle);
        let written = &script.written()[before..];
        match is_compressed {
            Some(is_compressed) => {
                assert_eq!(forwarded, Forwarded::Written);
                assert_eq!(written, bytes(is_compressed), "{offer} {deflate:?}");
            }
            None => assert_eq!((forwarded, written), (Forwarded::Refused, &[][..])),
        }
    }
    let (mut plain, wire) = server(Config::default()).await;
    assert_eq!(plain.forward(&bundle), Forwarded::Written);
    assert_eq!(wire::bytes(&wire.frames()), bytes(false));
}

#[tokio::test]
async fn what_a_transport_does_not_take_of_what_is_compressed_leaves_later_and_nothing_twice() {
    let bundle = compressible();
    for (offer, is_compressed) in [("", true), ("; server_max_window_bits=9", false)] {
        let whole = bytes(is_compressed);
        for taken in 1..whole.len() {
            let (mut ws, script) = deflating(offer, Deflate::for_server()).await;
            let before = script.written().len();
            script.fault_writes_at(before + taken, Fault::Stall);
            assert_eq!(ws.forward(&bundle), Forwarded::Queued);
            script.heal();
            assert!(ws.recv().now_or_never().is_none());
            assert_eq!(script.written()[before..], whole, "after {taken} bytes");
        }
    }
}
