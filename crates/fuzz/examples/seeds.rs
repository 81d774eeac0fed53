//! Writes the inputs that a fuzzer begins with into `fuzz/corpus`: the RFC's examples, and what each rule forbids.

#![expect(clippy::expect_used, reason = "whoever runs it sees why")]

use std::{fs, path::Path};

use fullduplex_testkit::{
    REQUEST,
    wire::{self, Frame, LengthForm},
};

const RESPONSES: [(&str, &str); 7] = [
    (
        "accepted",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
    ),
    (
        "after-interim",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\n\
         Connection: keep-alive, upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n",
    ),
    (
        "challenge",
        "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a, b\", Bearer scope=x\r\nContent-Length: 4\r\n\r\nno!!",
    ),
    (
        "redirect",
        "HTTP/1.1 307 Moved\r\nLocation: //b.example/y?z#f\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "chunked",
        "HTTP/1.1 503 Down\r\nRetry-After: 5\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n",
    ),
    (
        "versions",
        "HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13, 8\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\nContent-Length: 99\r\n\r\ncut",
    ),
    (
        "until-the-end",
        "HTTP/1.0 404 Not Found\r\n\r\nnothing here",
    ),
];

const EXTENSIONS: [(&str, &str); 9] = [
    ("chromium", "permessage-deflate; client_max_window_bits"),
    (
        "all",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10; client_max_window_bits=15",
    ),
    (
        "fallback",
        "permessage-deflate; server_max_window_bits=8, permessage-deflate; client_max_window_bits=\"9\", permessage-deflate",
    ),
    ("two-lines", "permessage-deflate\nx-webkit-deflate-frame"),
    ("bad-bits", "permessage-deflate; server_max_window_bits=16"),
    (
        "leading-zero",
        "permessage-deflate; client_max_window_bits=08",
    ),
    (
        "twice",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
    ),
    ("unknown", "permessage-deflate; unknown=1"),
    ("quoted-comma", "foo; a=\"b,c\";, ;bar = \"\\\"\""),
];

fn main() {
    for (name, frames) in streams() {
        for (role, flags) in [("server", 0), ("client", 1), ("limited", 2)] {
            let masked = flags != 1;
            let bytes: Vec<u8> = frames
                .iter()
                .flat_map(|frame| {
                    if masked {
                        frame.clone().masked().bytes()
                    } else {
                        frame.bytes()
                    }
                })
                .collect();
            let head = [flags, 0, 6, 0x8c];
            keep(
                "frames",
                &format!("{name}-{role}"),
                &[&head, &*bytes].concat(),
            );
        }
    }
    for (name, request) in requests() {
        for flags in [0, 3, 5] {
            let head = [flags, 0, 30, 0x87];
            let name = format!("{name}-{flags}");
            keep(
                "server_handshake",
                &name,
                &[&head, request.as_bytes()].concat(),
            );
        }
    }
    for (name, response) in RESPONSES {
        for flags in [0, 3] {
            let head = [flags, 0, 30, 0x87];
            let name = format!("{name}-{flags}");
            keep(
                "client_handshake",
                &name,
                &[&head, response.as_bytes()].concat(),
            );
        }
    }
    for (name, value) in EXTENSIONS {
        for deflate in [[0, 0], [3, 0], [0, 0x65]] {
            let name = format!("{name}-{}", deflate[0] + deflate[1]);
            keep(
                "extension_header",
                &name,
                &[&deflate, value.as_bytes()].concat(),
            );
        }
    }
    for (name, messages) in compressed() {
        for flags in [0x60, 0x62, 0x04, 0x0b] {
            let name = format!("{name}-{flags}");
            keep(
                "inflate",
                &name,
                &[&[flags, 0, 6, 0x8c], &*messages].concat(),
            );
        }
    }
    for (name, acts) in SESSIONS {
        keep("session", name, acts);
    }
}

/// See `session`: settings, then acts of which the lowest bit says who acts.
const SESSIONS: [(&str, &[u8]); 9] = [
    ("hello", &[0, 0, 0, 5, 10, 15, 1, 1, 7, 20]),
    ("big", &[1, 0, 7, 0x40, 0, 1, 6, 0x30, 0, 10, 15, 20]),
    (
        "full",
        &[
            2, 0, 5, 8, 0, 0, 5, 8, 0, 0, 5, 8, 0, 8, 0, 90, 13, 0, 50, 20,
        ],
    ),
    ("pings", &[4, 4, 4, 4, 4, 10, 15, 5, 11, 14, 20]),
    (
        "crossing-closes",
        &[
            0, 0, 2, 30, 6, 0, 1, 97, 98, 99, 1, 3, 9, 7, 11, 184, 100, 101, 102, 20,
        ],
    ),
    (
        "compressed",
        &[
            0x10, 0, 0, 0, 0, 0, 6, 11, 0, 0, 6, 11, 0, 1, 0, 5, 200, 2, 2, 9, 0, 20,
        ],
    ),
    (
        "small-windows",
        &[0x10, 7, 0x66, 3, 0x21, 130, 0, 4, 9, 0, 1, 4, 9, 0, 20],
    ),
    (
        "parts",
        &[
            0x30, 0, 0, 0, 0, 24, 1, 0, 10, 14, 24, 3, 0, 0, 4, 0xca, 2, 0, 0, 0, 4, 20,
        ],
    ),
    (
        "silence",
        &[
            8, 18, 200, 10, 18, 250, 20, 4, 8, 0, 3, 22, 0x55, 20, 18, 255,
        ],
    ),
];

fn streams() -> Vec<(&'static str, Vec<Frame>)> {
    vec![
        (
            "rfc-5-7",
            vec![
                wire::text("Hello"),
                wire::text("Hel").not_fin(),
                wire::continuation("lo"),
                wire::ping("Hello"),
                wire::pong("Hello"),
            ],
        ),
        (
            "lengths",
            vec![
                wire::binary([1; 125]),
                wire::binary([2; 126]),
                wire::binary([3; 600]),
            ],
        ),
        (
            "sixty-four-bits",
            vec![wire::binary([5; 20]).declaring(65_536)],
        ),
        (
            "utf8-cut",
            vec![
                wire::text(&"κόσ".as_bytes()[..5]).not_fin(),
                wire::ping(""),
                wire::continuation(&"κόσμε".as_bytes()[5..]),
            ],
        ),
        ("utf8-surrogate", vec![wire::text(b"\xed\xa0\x80")]),
        ("utf8-overlong", vec![wire::text(b"a\xc0\xaf").not_fin()]),
        ("utf8-high", vec![wire::text(b"\xf4\x90\x80\x80")]),
        (
            "empty-fragments",
            vec![
                wire::text("").not_fin(),
                wire::continuation("").not_fin(),
                wire::continuation(""),
            ],
        ),
        (
            "many-fragments",
            std::iter::once(wire::binary("a").not_fin())
                .chain(vec![wire::continuation("b").not_fin(); 8])
                .collect(),
        ),
        ("close", vec![wire::close(1000, "bye"), wire::text("late")]),
        ("close-empty", vec![wire::close_empty()]),
        ("close-one-byte", vec![wire::frame(8, [3])]),
        ("close-codes", vec![wire::close(1005, "")]),
        ("close-utf8", vec![wire::close(1000, b"\xff")]),
        ("reserved-bits", vec![wire::text("x").rsv(0b100)]),
        ("reserved-opcode", vec![wire::frame(0xb, "x")]),
        ("ping-too-long", vec![wire::ping([0; 126])]),
        ("ping-fragment", vec![wire::ping("x").not_fin()]),
        ("continuation", vec![wire::continuation("x")]),
        (
            "interleaved",
            vec![wire::text("a").not_fin(), wire::binary("b")],
        ),
        (
            "not-minimal",
            vec![wire::text("abc").length_form(LengthForm::SixtyFour)],
        ),
        ("top-bit", vec![wire::binary("").declaring(1 << 63)]),
        ("promised", vec![wire::binary([9; 50]).declaring(1 << 30)]),
    ]
}

/// See `inflate`: each message with its kind and length. First the examples of RFC 7692 §7.2.3.
fn compressed() -> Vec<(&'static str, Vec<u8>)> {
    let message = |kind: u8, payload: &[u8]| {
        let len = u16::try_from(payload.len()).expect("a short payload");
        [&[kind], &len.to_be_bytes()[..], payload].concat()
    };
    let hello = b"\xf2\x48\xcd\xc9\xc9\x07\x00";
    let bomb = miniz_oxide::deflate::compress_to_vec(&vec![b'a'; 1 << 20], 9);
    let prose = miniz_oxide::deflate::compress_to_vec(include_bytes!("seeds.rs"), 9);
    vec![
        ("one-block", message(1, hello)),
        ("fragmented", message(5, hello)),
        (
            "again",
            [message(1, hello), message(1, b"\xf2\x00\x11\x00\x00")].concat(),
        ),
        ("stored", message(1, b"\x00\x05\x00\xfa\xffHello\x00")),
        (
            "last-block",
            [
                message(1, b"\xf3\x48\xcd\xc9\xc9\x07\x00\x00"),
                message(1, hello),
            ]
            .concat(),
        ),
        (
            "two-blocks",
            message(1, b"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"),
        ),
        (
            "empty",
            [message(0, b"\x00"), message(0, b""), message(2, b"")].concat(),
        ),
        ("not-utf8", message(1, b"\x00\x01\x00\xfe\xff\xff\x00")),
        ("too-far-back", message(0, b"\xf2\x00\x11\x00\x00")),
        ("cut", message(0, &hello[..4])),
        ("bomb", message(0, &bomb)),
        ("prose", message(4, &prose[..prose.len().min(3000)])),
    ]
}

fn requests() -> Vec<(&'static str, String)> {
    let with = |line: &str| REQUEST.replace("Upgrade\r\nSec", &format!("Upgrade\r\n{line}\r\nSec"));
    vec![
        ("rfc-1-2", REQUEST.to_owned()),
        ("frames-behind", format!("{REQUEST}\u{1}\u{0}")),
        ("same-origin", with("Origin: http://server.example.com")),
        ("other-origin", with("Origin: https://[::1]:8080")),
        (
            "subprotocols",
            with("Sec-WebSocket-Protocol: x, chat\r\nSec-WebSocket-Protocol: b"),
        ),
        (
            "extensions",
            with("Sec-WebSocket-Extensions: a; b=\"1\"; c, d; e=2"),
        ),
        ("body", with("Content-Length: 5")),
        ("chunked", with("Transfer-Encoding: chunked")),
        (
            "absolute",
            REQUEST.replace("/chat", "http://server.example.com/chat?x=y"),
        ),
        ("version", REQUEST.replace("13", "8")),
        (
            "two-keys",
            with("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
        ),
        ("post", REQUEST.replace("GET", "POST")),
        ("http-1-0", REQUEST.replace("HTTP/1.1", "HTTP/1.0")),
        ("http-2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".into()),
        ("fold", with("X: a\r\n b")),
        ("bare-lf", REQUEST.replace("\r\nHost", "\nHost")),
        ("tls", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".into()),
        ("not-websocket", "GET / HTTP/1.1\r\nHost: a\r\n\r\n".into()),
    ]
}

fn keep(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    fs::create_dir_all(&folder).expect("a folder for the inputs");
    fs::write(folder.join(name), bytes).expect("an input written");
}
