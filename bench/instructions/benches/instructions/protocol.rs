//! The protocol alone, driven as a driver does: bytes of a read in, bytes of a write out.

use std::{hint::black_box, io::IoSlice, sync::Arc, time::Instant};

use bytes::BufMut;
use fullduplex_proto::{
    Batch, Config, Connection, Deflate, DeflateParams, Event, Message, Role,
    handshake::{Acceptance, Progress, ServerHandshake, ServerOptions},
};
use gungraun::{library_benchmark, library_benchmark_group};

use crate::{MESSAGES, WARM_UP, frames};

/// As much as a driver reads at once.
const READ: usize = 64 << 10;

/// A server's end, or a client's, and what was written is gone.
pub struct Endpoint {
    connection: Connection,
    batch: Batch,
    now: Instant,
}

impl Endpoint {
    fn new(role: Role, deflate: Option<&DeflateParams>) -> Self {
        let now = Instant::now();
        let connection = Connection::new(role, Arc::new(Config::default()), now);
        Self {
            connection: match deflate {
                Some(params) => connection.with_deflate(params),
                None => connection,
            },
            batch: Batch::default(),
            now,
        }
    }

    fn send(&mut self, message: Message) {
        assert!(self.connection.send(self.now, message).is_ok());
    }

    /// Writes all, and returns how much that was.
    fn write(&mut self) -> usize {
        let mut written = 0;
        while self
            .connection
            .poll_transmit(&mut self.batch, || [0x37, 0xfa, 0x21, 0x3d])
        {
            let mut slices = [IoSlice::new(&[]); 64];
            let used = self.batch.slices(&mut slices);
            let len = slices[..used].iter().map(|slice| slice.len()).sum();
            black_box(&slices[..used]);
            self.connection.transmitted(self.now, &self.batch, len);
            written += len;
        }
        self.batch.clear();
        written
    }

    /// Echoes what arrived together.
    fn echo(&mut self, mut input: &mut [u8]) -> usize {
        while !input.is_empty() {
            let mut event = if let Some(mut space) = self.connection.payload_space() {
                let n = space.remaining_mut().min(input.len());
                let (front, rest) = input.split_at_mut(n);
                space.put_slice(front);
                input = rest;
                self.connection.handle_payload(self.now, n)
            } else {
                let (front, rest) = input.split_at_mut(READ.min(input.len()));
                input = rest;
                self.connection.handle_input(self.now, front)
            };
            while let Some(Event::Message(message)) = event {
                self.send(message);
                event = self.connection.poll_event(self.now);
            }
        }
        self.write()
    }
}

fn echoed(server: &mut Endpoint, inputs: &mut [Vec<u8>]) -> usize {
    inputs.iter_mut().map(|input| server.echo(input)).sum()
}

fn plain(len: usize, at_once: usize) -> (Endpoint, Vec<Vec<u8>>) {
    let inputs = vec![frames::frames(len, at_once); (WARM_UP + MESSAGES) / at_once];
    warm(Endpoint::new(Role::Server, None), inputs, at_once)
}

fn deflated() -> (Endpoint, Vec<Vec<u8>>) {
    let mut deflate = Deflate::for_server();
    deflate.threshold = 0;
    let options = ServerOptions {
        deflate: Some(deflate),
        ..ServerOptions::default()
    };
    let params = accept(Arc::new(options), &frames::request(true)).deflate();
    let mut client = Endpoint::new(Role::Client, params.as_ref());
    client.send(Message::text(frames::json()));
    client
        .connection
        .poll_transmit(&mut client.batch, || [1; 4]);
    let mut slices = [IoSlice::new(&[]); 64];
    let used = client.batch.slices(&mut slices);
    let input: Vec<u8> = slices[..used]
        .iter()
        .flat_map(|slice| slice.iter().copied())
        .collect();
    assert!(input.len() < 600);
    let inputs = vec![input; WARM_UP + MESSAGES];
    warm(Endpoint::new(Role::Server, params.as_ref()), inputs, 1)
}

fn warm(
    mut server: Endpoint,
    mut inputs: Vec<Vec<u8>>,
    at_once: usize,
) -> (Endpoint, Vec<Vec<u8>>) {
    let measured = inputs.split_off(WARM_UP / at_once);
    assert!(echoed(&mut server, &mut inputs) > 0);
    (server, measured)
}

#[library_benchmark]
#[bench::b32(plain(32, 1))]
#[bench::b32_by_16(plain(32, 16))]
#[bench::kib_1(plain(1 << 10, 1))]
#[bench::kib_64(plain(64 << 10, 1))]
#[bench::json_kib_1_deflated(deflated())]
fn echo(case: (Endpoint, Vec<Vec<u8>>)) -> (usize, Endpoint, Vec<Vec<u8>>) {
    let (mut server, mut inputs) = case;
    (echoed(&mut server, &mut inputs), server, inputs)
}

fn client() -> (Endpoint, Vec<Message>) {
    let mut client = Endpoint::new(Role::Client, None);
    let message = Message::binary(vec![7; 32]);
    client.send(message.clone());
    client.write();
    (client, vec![message; MESSAGES])
}

#[library_benchmark]
#[bench::b32(client())]
fn client_send(case: (Endpoint, Vec<Message>)) -> Endpoint {
    let (mut client, messages) = case;
    for message in messages {
        client.send(message);
        black_box(client.write());
    }
    client
}

fn accept(options: Arc<ServerOptions>, request: &[u8]) -> Acceptance {
    match ServerHandshake::new(options).receive(request) {
        Ok(Progress::Done { value, .. }) => value.accept(),
        other => panic!("{other:?}"),
    }
}

fn options() -> Arc<ServerOptions> {
    Arc::new(ServerOptions {
        deflate: Some(Deflate::for_server()),
        ..ServerOptions::default()
    })
}

#[library_benchmark]
#[bench::of_a_browser(options(), frames::request(true))]
fn handshake(options: Arc<ServerOptions>, request: Vec<u8>) {
    for _ in 0..MESSAGES {
        let acceptance = accept(Arc::clone(&options), black_box(&request));
        black_box(acceptance.to_bytes());
    }
}

library_benchmark_group!(name = proto, benchmarks = [echo, client_send, handshake]);
