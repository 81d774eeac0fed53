//! Endpoints on which permessage-deflate was agreed, and deflate data as other implementations make it.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use fullduplex_proto::{
    Config, Deflate, DeflateParams, Role,
    handshake::{ClientRequest, Progress, ServerHandshake, ServerOptions},
};
use fullduplex_testkit::{Endpoint, wire::Frame};
pub(crate) use zlib_rs::DeflateFlush as Flush;
use zlib_rs::{Deflate as Zlib, DeflateConfig};

/// What both sides agree on when they are set up like this.
pub(crate) fn agree(client: Deflate, server: Deflate) -> DeflateParams {
    let request = ClientRequest::new("ws://example.com/".parse().unwrap()).deflate(client);
    let mut client = request.start([1; 16]);
    let options = ServerOptions {
        deflate: Some(server),
        ..ServerOptions::default()
    };
    let mut server = ServerHandshake::new(options);
    let Ok(Progress::Done { value, .. }) = server.receive(client.request()) else {
        panic!("the request is whole");
    };
    let acceptance = value.accept();
    let Ok(Progress::Done { value, .. }) = client.receive(&acceptance.to_bytes()) else {
        panic!("the response is whole");
    };
    assert_eq!(value.deflate(), acceptance.deflate());
    value.deflate().unwrap()
}

pub(crate) fn takeover() -> Deflate {
    let mut deflate = Deflate::for_client();
    deflate.threshold = 0;
    deflate
}

pub(crate) fn no_takeover() -> Deflate {
    let mut deflate = Deflate::for_server();
    deflate.threshold = 0;
    deflate
}

/// With takeover in both directions, and without it in either.
pub(crate) fn both() -> [DeflateParams; 2] {
    [
        agree(takeover(), takeover()),
        agree(takeover(), no_takeover()),
    ]
}

pub(crate) fn endpoint(role: Role, params: &DeflateParams) -> Endpoint {
    endpoint_with(role, Config::default(), params)
}

pub(crate) fn endpoint_with(role: Role, config: Config, params: &DeflateParams) -> Endpoint {
    let mut endpoint = Endpoint::new(role, config);
    endpoint.connection = endpoint.connection.with_deflate(params);
    endpoint
}

pub(crate) fn pair(params: &DeflateParams) -> (Endpoint, Endpoint) {
    (
        endpoint(Role::Client, params),
        endpoint(Role::Server, params),
    )
}

/// Lines of a log, which shrink to about a quarter.
pub(crate) fn text(len: usize) -> String {
    (0..)
        .map(|n: u32| format!("line {n} of the log\n"))
        .flat_map(|line| line.chars().collect::<Vec<_>>())
        .take(len)
        .collect()
}

/// Bytes that do not shrink.
pub(crate) fn noise(len: u64) -> Vec<u8> {
    (0..len)
        .map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .map(|n| {
            (n ^ (n >> 29))
                .wrapping_mul(0xbf58_476d_1ce4_e5b9)
                .to_be_bytes()[0]
        })
        .collect()
}

/// Raw deflate data, made by zlib alone.
pub(crate) struct Raw {
    zlib: Zlib,
    out: Vec<u8>,
}

impl Raw {
    pub(crate) fn new(level: i32, window_bits: i32) -> Self {
        let config = DeflateConfig {
            window_bits: -window_bits,
            ..DeflateConfig::new(level)
        };
        Self {
            zlib: Zlib::new_with_config(config),
            out: Vec::new(),
        }
    }

    /// Compresses this, and ends as `flush` says.
    pub(crate) fn push(mut self, data: &[u8], flush: Flush) -> Self {
        let mut room = vec![0; data.len() * 2 + 1000];
        let before = self.zlib.total_out();
        self.zlib.compress(data, &mut room, flush).unwrap();
        let made = usize::try_from(self.zlib.total_out() - before).unwrap();
        assert!(made < room.len());
        self.out.extend(&room[..made]);
        self
    }

    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.out
    }

    /// Without the four octets at its end that a sender strips.
    pub(crate) fn stripped(self) -> Vec<u8> {
        let bytes = self.out;
        bytes.strip_suffix(&[0, 0, 0xff, 0xff]).unwrap().to_vec()
    }
}

/// Whether the only thing sent is a Close with this code.
#[track_caller]
pub(crate) fn assert_closed_with(sent: &[Frame], code: u16, what: &str) {
    assert!(
        matches!(sent, [close] if close.opcode == 0x8 && close.payload.starts_with(&code.to_be_bytes())),
        "{what}: {sent:?}"
    );
}
