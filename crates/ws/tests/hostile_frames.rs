//! Goal: whatever frames arrive are answered with the exact close code, and the next client is served.
//! Method: real loopback sockets against one echo server; a client that sends anything.

mod common;

use std::net::SocketAddr;

use common::raw::{Raw, echo_server, serves_the_next_client};
use fullduplex::{Acceptor, Config, Limits, handshake::ServerOptions};
use fullduplex_testkit::wire::{self, Frame, LengthForm};

/// Sends frames on an open connection and checks all that comes back, up to the end of TCP.
async fn fails(addr: SocketAddr, what: &str, bytes: impl AsRef<[u8]>, expected: &[Frame]) {
    let mut raw = Raw::open(addr).await;
    raw.send(bytes).await;
    assert_eq!(raw.rest_as_frames().await, expected, "{what}");
    drop(raw);
    serves_the_next_client(addr).await;
}

fn violation(reason: &str) -> Vec<Frame> {
    vec![wire::close(1002, reason)]
}

#[tokio::test]
async fn p35_reserved_bits_close_1002() {
    let addr = echo_server(Acceptor::new()).await;
    let expected = violation("reserved bit set");
    for bits in 1..=7 {
        for frame in [
            wire::text("x"),
            wire::binary("x"),
            wire::ping("x"),
            wire::close(1000, ""),
        ] {
            let frame = frame.rsv(bits).masked();
            fails(addr, &frame.to_string(), frame.bytes(), &expected).await;
        }
    }
}

#[tokio::test]
async fn p36_reserved_opcodes_close_1002_from_the_first_byte() {
    let addr = echo_server(Acceptor::new()).await;
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        let expected = violation(&format!("reserved opcode {opcode:#x}"));
        let whole = wire::frame(opcode, "x").masked().bytes();
        fails(addr, "whole", &whole, &expected).await;
        fails(addr, "one byte", &whole[..1], &expected).await;
    }
}

#[tokio::test]
async fn p37_frames_that_are_not_masked_close_1002_from_the_second_byte() {
    let addr = echo_server(Acceptor::new()).await;
    let expected = violation("client frame not masked");
    for frame in [
        wire::text("x"),
        wire::binary(vec![0; 70_000]),
        wire::ping(""),
        wire::close(1000, ""),
    ] {
        fails(addr, &frame.to_string(), frame.bytes(), &expected).await;
        fails(addr, "two bytes", &frame.bytes()[..2], &expected).await;
    }
    let zero_key = wire::text("x").mask([0; 4]).bytes();
    let mut raw = Raw::open(addr).await;
    raw.send(zero_key).await;
    assert_eq!(raw.frame().await, wire::text("x"));
}

#[tokio::test]
async fn p38_lengths_that_are_not_minimal_or_beyond_all_bounds_are_refused_before_any_payload() {
    let addr = echo_server(Acceptor::new()).await;
    let not_minimal = violation("payload length not in its shortest form");
    for (form, length) in [
        (LengthForm::Sixteen, 0),
        (LengthForm::Sixteen, 125),
        (LengthForm::SixtyFour, 0),
        (LengthForm::SixtyFour, 126),
        (LengthForm::SixtyFour, 65_535),
    ] {
        let header = wire::binary("")
            .masked()
            .length_form(form)
            .declaring(length)
            .header();
        fails(addr, &format!("{form:?} {length}"), header, &not_minimal).await;
    }
    let top_bit = violation("payload length above 2^63-1");
    for length in [1 << 63, u64::MAX, 1 << 63 | 5] {
        let header = wire::text("")
            .masked()
            .length_form(LengthForm::SixtyFour)
            .declaring(length)
            .header();
        fails(addr, &format!("{length}"), header, &top_bit).await;
    }
    let too_big = [wire::close(1009, "frame too big")];
    for length in [(4 << 20) + 1, 1 << 32, (1 << 63) - 1] {
        let header = wire::binary("")
            .masked()
            .length_form(LengthForm::SixtyFour)
            .declaring(length)
            .header();
        fails(addr, &format!("{length}"), header, &too_big).await;
    }
}

#[tokio::test]
async fn p40_fragmented_and_oversized_control_frames_close_1002_from_their_header() {
    let addr = echo_server(Acceptor::new()).await;
    for opcode in [8, 9, 10] {
        let fragmented = wire::frame(opcode, "").not_fin().masked();
        fails(
            addr,
            "fragmented",
            fragmented.bytes(),
            &violation("control frame without FIN"),
        )
        .await;
        for length in [126, 65_536] {
            let header = wire::frame(opcode, "").masked().declaring(length).header();
            fails(
                addr,
                "oversized",
                header,
                &violation("control frame over 125 bytes"),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn p42_stray_continuations_and_messages_inside_messages_close_1002() {
    let addr = echo_server(Acceptor::new()).await;
    let stray = violation("continuation without a message");
    let inside = violation("new message inside a message");
    for (what, frames, expected) in [
        ("first", vec![wire::continuation("x")], stray.clone()),
        (
            "first fragment",
            vec![wire::continuation("x").not_fin()],
            stray.clone(),
        ),
        (
            "behind a message",
            vec![wire::text("whole"), wire::continuation("x")],
            [vec![wire::text("whole")], stray.clone()].concat(),
        ),
        (
            "behind a fragmented message",
            vec![
                wire::text("a").not_fin(),
                wire::continuation("b"),
                wire::continuation("c"),
            ],
            [vec![wire::text("ab")], stray].concat(),
        ),
        (
            "text in text",
            vec![wire::text("a").not_fin(), wire::text("b")],
            inside.clone(),
        ),
        (
            "binary in text",
            vec![wire::text("a").not_fin(), wire::binary("b")],
            inside.clone(),
        ),
        (
            "behind a ping",
            vec![
                wire::binary("a").not_fin(),
                wire::ping("p"),
                wire::text("b").not_fin(),
            ],
            [vec![wire::pong("p")], inside].concat(),
        ),
    ] {
        let frames: Vec<_> = frames.into_iter().map(Frame::masked).collect();
        fails(addr, what, wire::bytes(&frames), &expected).await;
    }
}

/// Bad at the first byte of the text, in its middle, at its end, and each way to be bad.
const NOT_UTF8: &[&[u8]] = &[
    b"\xff",
    b"\x80",
    b"abc\xc0\x80",
    b"\xc1\xbf",
    b"\xe0\x80\x80",
    b"ab\xed\xa0\x80cd",
    b"\xed\xbf\xbf",
    b"\xf0\x80\x80\x80",
    b"\xf4\x90\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xe2\x28\xa1",
    b"truncated \xe2\x82",
    b"truncated \xf0\x9f\x92",
    b"\xc3",
];

#[tokio::test]
async fn p48_text_that_is_not_utf8_closes_1007_wherever_it_is_bad_and_however_it_is_cut() {
    let addr = echo_server(Acceptor::new()).await;
    let expected = [wire::close(1007, "text is not UTF-8")];
    for bad in NOT_UTF8 {
        fails(addr, "whole", wire::text(bad).masked().bytes(), &expected).await;
        // Far into a long message, so that checking in blocks is tried too.
        let long = [vec![b'a'; 5000], bad.to_vec()].concat();
        fails(addr, "long", wire::text(&long).masked().bytes(), &expected).await;
        for cut in 0..=bad.len() {
            let fragments = [
                wire::text(&bad[..cut]).not_fin().masked(),
                wire::ping("between").masked(),
                wire::continuation(&bad[cut..]).masked(),
            ];
            let mut raw = Raw::open(addr).await;
            raw.send(wire::bytes(&fragments)).await;
            let frames = raw.rest_as_frames().await;
            assert_eq!(frames.last(), expected.first(), "{bad:?} cut at {cut}");
            assert!(
                frames[..frames.len() - 1]
                    .iter()
                    .all(|frame| *frame == wire::pong("between"))
            );
        }
    }
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p48_a_bad_byte_closes_1007_before_the_rest_of_its_frame_has_arrived() {
    let addr = echo_server(Acceptor::new()).await;
    let header = wire::text("").masked().declaring(100_000).header();
    let mut raw = Raw::open(addr).await;
    raw.send(&header).await;
    // Masked with the key of the literals, of which the fourth byte is the fourth of the payload.
    let payload: Vec<u8> = b"abc\xff"
        .iter()
        .zip(wire::KEY)
        .map(|(byte, key)| byte ^ key)
        .collect();
    raw.send(payload).await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::close(1007, "text is not UTF-8")]
    );
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p48_text_that_looks_odd_but_is_utf8_is_echoed() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::open(addr).await;
    for good in [
        "",
        "\0",
        "\u{feff}",
        "\u{fffe}\u{ffff}\u{10ffff}",
        "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}",
    ] {
        let bytes = good.as_bytes();
        for cut in 0..=bytes.len() {
            raw.send_frames([
                wire::text(&bytes[..cut]).not_fin(),
                wire::continuation(&bytes[cut..]),
            ])
            .await;
            assert_eq!(raw.frame().await, wire::text(good));
        }
    }
}

#[tokio::test]
async fn p69_p70_p71_bad_close_frames_are_answered_with_their_own_code() {
    let addr = echo_server(Acceptor::new()).await;
    let one_byte = wire::frame(8, [3]).masked().bytes();
    fails(
        addr,
        "one byte",
        one_byte,
        &violation("close frame with one byte"),
    )
    .await;
    for code in [
        0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65_535,
    ] {
        let expected = violation(&format!("close code {code} not allowed"));
        fails(
            addr,
            "code",
            wire::close(code, "").masked().bytes(),
            &expected,
        )
        .await;
    }
    for reason in NOT_UTF8 {
        let expected = [wire::close(1007, "text is not UTF-8")];
        fails(
            addr,
            "reason",
            wire::close(1000, reason).masked().bytes(),
            &expected,
        )
        .await;
    }
    for code in [
        1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999,
    ] {
        let expected = [wire::close(code, "")];
        fails(
            addr,
            "allowed",
            wire::close(code, "why").masked().bytes(),
            &expected,
        )
        .await;
    }
    fails(
        addr,
        "empty",
        wire::close_empty().masked().bytes(),
        &[wire::close_empty()],
    )
    .await;
}

#[tokio::test]
async fn p45_messages_over_the_limit_close_1009_and_at_the_limit_are_echoed() {
    let mut config = Config::default();
    config.limits = Limits::with_max_message(1000);
    let addr = echo_server(Acceptor::new().config(config)).await;
    let mut raw = Raw::open(addr).await;
    raw.send_frames([wire::binary(vec![1; 1000])]).await;
    assert_eq!(raw.frame().await, wire::binary(vec![1; 1000]));
    raw.send_frames([
        wire::binary(vec![1; 999]).not_fin(),
        wire::continuation("x"),
    ])
    .await;
    assert_eq!(raw.frame().await.payload.len(), 1000);
    raw.send_frames([
        wire::binary(vec![1; 999]).not_fin(),
        wire::continuation("xy"),
    ])
    .await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::close(1009, "message too big")]
    );
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p43_endless_empty_fragments_close_1009() {
    let addr = echo_server(Acceptor::new()).await;
    let mut bytes = wire::text("").not_fin().masked().bytes();
    bytes.extend(
        wire::continuation("")
            .not_fin()
            .masked()
            .bytes()
            .repeat(8192),
    );
    fails(
        addr,
        "empty fragments",
        bytes,
        &[wire::close(1009, "too many fragments")],
    )
    .await;
}

#[tokio::test]
async fn p50_after_a_violation_nothing_more_is_done_though_it_has_arrived() {
    let addr = echo_server(Acceptor::new()).await;
    let frames = [
        wire::text("before").masked(),
        wire::frame(3, "").masked(),
        wire::text("after").masked(),
        wire::ping("after").masked(),
        wire::close(1000, "").masked(),
    ];
    let expected = [
        wire::text("before"),
        wire::close(1002, "reserved opcode 0x3"),
    ];
    fails(addr, "then more", wire::bytes(&frames), &expected).await;
}

#[tokio::test]
async fn p80_a_peer_that_sends_on_after_a_violation_can_read_why() {
    let addr = echo_server(Acceptor::new()).await;
    let mut raw = Raw::open(addr).await;
    let huge = wire::binary("")
        .masked()
        .length_form(LengthForm::SixtyFour)
        .declaring(8 << 20)
        .header();
    raw.send(huge).await;
    raw.send(vec![0; 512 << 10]).await;
    assert_eq!(
        raw.rest_as_frames().await,
        [wire::close(1009, "frame too big")]
    );
    serves_the_next_client(addr).await;
}

/// 002:133 and 003:197, row 25 of the seeds.
#[tokio::test]
async fn the_dialogue_of_fragments_is_played_frame_for_frame() {
    let acceptor = Acceptor::new().options(ServerOptions::default());
    let server = fullduplex::Server::bind("127.0.0.1:0")
        .await
        .unwrap()
        .acceptor(acceptor);
    let addr = server.local_addr().unwrap();
    tokio::spawn(server.serve(async |mut ws| {
        while let Some(message) = ws.recv().await? {
            match message.as_text() {
                Some("hello") => ws.send("Hi.").await?,
                Some("and ahappy newyear!") => ws.send("Happy new year to you too!").await?,
                other => ws.send(format!("what? {other:?}")).await?,
            }
        }
        Ok::<_, fullduplex::Error>(())
    }));
    let mut raw = Raw::open(addr).await;
    raw.send_frames([wire::text("hello")]).await;
    assert_eq!(raw.frame().await, wire::text("Hi."));
    raw.send_frames([wire::text("and a").not_fin()]).await;
    raw.send_frames([wire::continuation("happy new").not_fin()])
        .await;
    // A pong shows that the server is listening and has said nothing in between.
    raw.send_frames([wire::ping("listening?")]).await;
    assert_eq!(raw.frame().await, wire::pong("listening?"));
    raw.send_frames([wire::continuation("year!")]).await;
    assert_eq!(raw.frame().await, wire::text("Happy new year to you too!"));
}
