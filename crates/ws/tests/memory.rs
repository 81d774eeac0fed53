//! Goal: an idle connection owns next to nothing, before traffic and after it, and no peer can make it own much.
//! Method: an allocator that counts what is live on a thread; transports that own nothing, and loopback sockets whose other
//! ends live on another thread.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests, which show what they measured"
)]

mod common;

use std::{
    cell::Cell,
    collections::VecDeque,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use allocation_counter::measure;
use common::{REQUEST, poll_times, raw::echo};
use fullduplex::{
    Acceptor, Config, Deflate, DeflateParams, Message, Outgoing, Prepared, Role, Server, WebSocket,
};
use fullduplex_testkit::{
    Endpoint,
    wire::{self, Frame, LengthForm},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    runtime::Runtime,
    sync::oneshot,
};

/// Connections that are measured together.
const CONNECTIONS: usize = 500;

thread_local! {
    /// What the next reads of any [`Bare`] on this thread find.
    static INPUT: Cell<&'static [u8]> = const { Cell::new(&[]) };
    /// How many bytes one read finds.
    static CHUNK: Cell<usize> = const { Cell::new(usize::MAX) };
    /// Bytes that any [`Bare`] on this thread was given.
    static WRITTEN: Cell<usize> = const { Cell::new(0) };
    /// Nobody reads what is written.
    static FULL: Cell<bool> = const { Cell::new(false) };
}

/// A transport without memory of its own. Only one connection at a time may have something to read.
struct Bare;

impl AsyncRead for Bare {
    fn poll_read(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let input = INPUT.get();
        if input.is_empty() {
            return Poll::Pending;
        }
        let n = buf.remaining().min(input.len()).min(CHUNK.get());
        buf.put_slice(&input[..n]);
        INPUT.set(&input[n..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bare {
    fn poll_write(
        self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if FULL.get() {
            return Poll::Pending;
        }
        WRITTEN.set(WRITTEN.get() + buf.len());
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A runtime on this thread, with what a thread makes once already made.
fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut ws = accept(Config::default()).await;
        arrives(&[wire::text("warm"), wire::binary(vec![1; 100_000])]);
        for _ in 0..2 {
            let message = ws.recv().await.unwrap().unwrap();
            ws.send(message).await.unwrap();
        }
        waits(&mut ws).await;
    });
    runtime
}

/// On a slow machine connections are idle for longer than they may be by default; the timer is there.
fn unhurried() -> Config {
    let mut config = Config::default();
    config.keepalive_interval = Some(std::time::Duration::from_secs(600));
    config
}

/// So many bytes live for each of so many connections.
fn for_each(bytes: i64, connections: usize) -> i64 {
    bytes / i64::try_from(connections).unwrap()
}

/// Frames of a client for the next connection that reads. They are never freed: the tests need few.
fn arrives(frames: &[Frame]) {
    let bytes: Vec<u8> = frames
        .iter()
        .flat_map(|frame| frame.clone().masked().bytes())
        .collect();
    INPUT.set(bytes.leak());
}

/// A client's request that offers to compress.
fn deflate_request() -> &'static str {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    [REQUEST.strip_suffix("\r\n").unwrap(), offer]
        .concat()
        .leak()
}

/// A client's message, compressed, as often as asked for.
fn compressed(params: &DeflateParams, message: &Message, times: usize) -> &'static [u8] {
    let mut client = Endpoint::new(Role::Client, Config::default());
    client.connection = client.connection.with_deflate(params);
    let bytes = (0..times).flat_map(|_| {
        client.send(message.clone());
        client.transmit_bytes()
    });
    bytes.collect::<Vec<_>>().leak()
}

async fn accept(config: Config) -> WebSocket {
    INPUT.set(REQUEST.as_bytes());
    Acceptor::new().config(config).accept(Bare).await.unwrap()
}

/// Receives until nothing is left to receive.
async fn waits(ws: &mut WebSocket) {
    assert!(poll_times(pin!(ws.recv()), 1).await.is_none());
}

#[test]
fn an_idle_connection_owns_less_than_720_bytes_before_and_after_traffic() {
    let runtime = runtime();
    let config = std::sync::Arc::new(unhurried());
    let mut connections = Vec::with_capacity(CONNECTIONS);
    let made = measure(|| {
        runtime.block_on(async {
            for _ in 0..CONNECTIONS {
                INPUT.set(REQUEST.as_bytes());
                let acceptor = Acceptor::new().config(std::sync::Arc::clone(&config));
                let mut ws = acceptor.accept(Bare).await.unwrap();
                waits(&mut ws).await;
                connections.push(ws);
            }
        });
    });
    let each = for_each(made.bytes_current, CONNECTIONS);
    println!(
        "idle: {each} bytes of heap and {} inline",
        size_of::<WebSocket>()
    );
    assert!(each < 720, "{each} bytes each");

    // One after the other receives and sends sixteen times 64 KiB, whole and in pieces, and pings.
    let message = wire::binary(vec![7; 64 << 10]);
    let mut frames = vec![
        wire::ping("p"),
        wire::text("frag").not_fin(),
        wire::continuation("ment"),
    ];
    frames.extend((0..16).map(|_| message.clone()));
    let bytes: &[u8] = frames
        .iter()
        .flat_map(|frame| frame.clone().masked().bytes())
        .collect::<Vec<_>>()
        .leak();
    CHUNK.set(50_000);
    // The traffic is the same for all, and costs seconds each hundred where nothing is optimised.
    let busy = CONNECTIONS / 10;
    let traffic = measure(|| {
        runtime.block_on(async {
            for ws in &mut connections[..busy] {
                INPUT.set(bytes);
                for _ in 0..17 {
                    let message = ws.recv().await.unwrap().unwrap();
                    ws.send(message).await.unwrap();
                }
                waits(ws).await;
            }
        });
    });
    let grown = for_each(traffic.bytes_current, busy);
    println!("after traffic: {grown} bytes more");
    assert!(grown <= 64, "grown by {grown} bytes each");
}

/// The client's side of a measured server, on a thread whose memory does not count.
fn client_open(addr: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(REQUEST.as_bytes()).unwrap();
    let mut head = [0; 129];
    stream.read_exact(&mut head).unwrap();
    assert!(head.starts_with(b"HTTP/1.1 101 ") && head.ends_with(b"\r\n\r\n"));
    stream
}

fn client_exchange(stream: &mut TcpStream, payload: usize) {
    let sent = wire::binary(vec![7; payload]);
    stream.write_all(&sent.clone().masked().bytes()).unwrap();
    let mut received = vec![0; sent.bytes().len()];
    stream.read_exact(&mut received).unwrap();
    assert_eq!(received, sent.bytes());
}

#[test]
fn a_servers_idle_connection_with_task_and_socket_costs_less_than_1400_bytes_before_and_after_traffic()
 {
    let runtime = runtime();
    let server = runtime.block_on(Server::bind("127.0.0.1:0")).unwrap();
    let addr = server.local_addr().unwrap();
    let acceptor = Acceptor::new().config(unhurried());
    runtime.spawn(server.acceptor(acceptor).serve(echo));
    // The first connection also pays for what the server makes once.
    let (opened, mut is_open) = oneshot::channel();
    let first = std::thread::spawn(move || opened.send(client_open(addr)).unwrap());
    let _first = runtime.block_on(&mut is_open).unwrap();
    first.join().unwrap();

    let (opened, mut is_open) = oneshot::channel();
    let opening = std::thread::spawn(move || {
        opened
            .send(
                (0..CONNECTIONS)
                    .map(|_| client_open(addr))
                    .collect::<Vec<_>>(),
            )
            .unwrap();
    });
    let mut clients = None;
    let made = measure(|| clients = Some(runtime.block_on(&mut is_open).unwrap()));
    opening.join().unwrap();
    let mut clients = clients.unwrap();
    let each = for_each(made.bytes_current, CONNECTIONS);
    println!("server: {each} bytes for a connection, its task and its socket");
    assert!(each < 1400, "{each} bytes each");

    let busy = CONNECTIONS / 10;
    let (done, mut is_done) = oneshot::channel();
    let exchanging = std::thread::spawn(move || {
        for client in &mut clients[..busy] {
            for _ in 0..16 {
                client_exchange(client, 64 << 10);
            }
        }
        done.send(clients).unwrap();
    });
    let mut clients = None;
    let traffic = measure(|| clients = Some(runtime.block_on(&mut is_done).unwrap()));
    exchanging.join().unwrap();
    let grown = for_each(traffic.bytes_current, busy);
    println!("after traffic: {grown} bytes more");
    assert!(grown <= 64, "grown by {grown} bytes each");
}

/// Lines that shrink to a quarter.
fn lines(len: usize) -> Message {
    let lines = (0_u32..).flat_map(|n| format!("{n:07}\n").into_bytes());
    Message::binary(lines.take(len).collect::<Vec<_>>())
}

#[test]
fn ten_thousand_idle_connections_that_compress_own_no_compressor_before_and_after_traffic() {
    const MANY: usize = 10_000;
    let runtime = runtime();
    let config = std::sync::Arc::new(unhurried());
    let acceptor = Acceptor::new()
        .config(config)
        .deflate(Deflate::for_server());
    let request = deflate_request();
    let message = lines(20_000);
    let mut connections = Vec::with_capacity(MANY);
    let mut open = async |count: usize| {
        for _ in 0..count {
            INPUT.set(request.as_bytes());
            let mut ws = acceptor.accept(Bare).await.unwrap();
            waits(&mut ws).await;
            connections.push(ws);
        }
    };
    let made = measure(|| runtime.block_on(open(MANY)));
    let each = for_each(made.bytes_current, MANY);
    println!("with deflate: {each} bytes");
    assert!(each < 1152, "{each} bytes each");

    let params = connections[0].deflate().unwrap();
    let bytes = compressed(&params, &message, 2);
    // What the thread shares is made with the first.
    let (shared, others) = connections.split_at_mut(1);
    let exchange = async |connections: &mut [WebSocket]| {
        for ws in connections {
            INPUT.set(bytes);
            for _ in 0..2 {
                let received = ws.recv().await.unwrap().unwrap();
                assert!(received == message);
                ws.send(received).await.unwrap();
            }
            waits(ws).await;
        }
    };
    let first = measure(|| runtime.block_on(exchange(shared)));
    println!("shared by the thread: {} bytes", first.bytes_current);
    assert!(first.bytes_current < 512 << 10);
    let busy = MANY / 20;
    let traffic = measure(|| runtime.block_on(exchange(&mut others[..busy])));
    let grown = for_each(traffic.bytes_current, busy);
    println!("after traffic: {grown} bytes more");
    assert!(grown <= 64, "grown by {grown} bytes each");
}

#[test]
fn a_compressor_with_takeover_is_gone_after_half_a_minute_and_what_the_peer_may_refer_to_stays() {
    for keepalive in [Some(std::time::Duration::from_secs(20)), None] {
        let runtime = runtime();
        runtime.block_on(async {
            tokio::time::pause();
            let mut config = Config::default();
            config.keepalive_interval = keepalive;
            let acceptor = Acceptor::new()
                .config(config)
                .deflate(Deflate::for_client());
            INPUT.set(deflate_request().as_bytes());
            let mut ws = acceptor.accept(Bare).await.unwrap();
            let params = ws.deflate().unwrap();
            let message = lines(200_000);
            let bytes = compressed(&params, &message, 1);
            let waker = std::task::Waker::noop();
            let mut exchanged = None;
            let busy = measure(|| {
                INPUT.set(bytes);
                let mut exchange = Box::pin(async {
                    let received = ws.recv().await.unwrap().unwrap();
                    ws.send(received).await.unwrap();
                });
                let polled = exchange.as_mut().poll(&mut Context::from_waker(waker));
                exchanged = Some(polled.is_ready());
            });
            assert_eq!(exchanged, Some(true));
            println!("with takeover: {} bytes", busy.bytes_current);
            assert!(busy.bytes_current > 200 << 10);
            // The keepalive's ping passes in this time, and the peer is no longer waited for.
            for _ in 0..31 {
                assert!(poll_times(pin!(ws.recv()), 1).await.is_none());
                tokio::time::advance(std::time::Duration::from_secs(1)).await;
            }
            let released = measure(|| {
                let receiving = pin!(ws.recv());
                assert!(receiving.poll(&mut Context::from_waker(waker)).is_pending());
            });
            println!("then: {} bytes", released.bytes_current);
            assert!(released.bytes_current < -(250 << 10));
            drop(ws);
        });
    }
}

#[test]
fn compressed_messages_in_the_queue_hold_what_they_count_for() {
    let runtime = runtime();
    runtime.block_on(async {
        INPUT.set(deflate_request().as_bytes());
        let acceptor = Acceptor::new().deflate(Deflate::for_server());
        let mut ws = acceptor.accept(Bare).await.unwrap();
        let message = Message::binary(vec![0; 900 << 10]);
        ws.send(message.clone()).await.unwrap();
        FULL.set(true);
        let waker = std::task::Waker::noop();
        let info = measure(|| {
            for _ in 0..20 {
                let feeding = pin!(ws.feed(message.clone()));
                assert!(feeding.poll(&mut Context::from_waker(waker)).is_ready());
            }
        });
        let queued = i64::try_from(ws.queued()).unwrap();
        println!("queued: {queued} bytes, held: {}", info.bytes_current);
        assert!(info.bytes_current <= 2 * queued + 4096);
        FULL.set(false);
    });
}

#[test]
fn p92_a_prepared_message_is_compressed_once_for_all_connections() {
    let runtime = runtime();
    runtime.block_on(async {
        let request = deflate_request();
        let acceptor = Acceptor::new().deflate(Deflate::for_server());
        let mut connections = Vec::new();
        for _ in 0..100 {
            INPUT.set(request.as_bytes());
            connections.push(acceptor.accept(Bare).await.unwrap());
        }
        let message = lines(1 << 20);
        let prepared = Prepared::compressed(&message, &Deflate::for_server());
        let waker = std::task::Waker::noop();
        let mut written = Vec::new();
        for (n, ws) in connections.iter_mut().enumerate() {
            let before = WRITTEN.get();
            let info = measure(|| {
                let sending = pin!(ws.send(prepared.clone()));
                assert!(sending.poll(&mut Context::from_waker(waker)).is_ready());
            });
            written.push(WRITTEN.get() - before);
            assert!(
                n == 0 || info.bytes_total < 4096,
                "{} bytes",
                info.bytes_total
            );
        }
        assert!(written[0] < 512 << 10, "{}", written[0]);
        assert!(written.iter().all(|len| *len == written[0]));
    });
}

#[test]
fn a_compressed_message_that_is_echoed_costs_its_text_and_its_reply_and_no_codec() {
    const ROUNDS: u64 = 100;
    let runtime = runtime();
    runtime.block_on(async {
        INPUT.set(deflate_request().as_bytes());
        let acceptor = Acceptor::new().deflate(Deflate::for_server());
        let mut ws = acceptor.accept(Bare).await.unwrap();
        let params = ws.deflate().unwrap();
        let bytes = compressed(&params, &lines(1024), 1);
        let mut exchange = async || {
            INPUT.set(bytes);
            let received = ws.recv().await.unwrap().unwrap();
            ws.send(received).await.unwrap();
        };
        // What the thread shares is made with the first.
        exchange().await;
        let waker = std::task::Waker::noop();
        let info = measure(|| {
            for _ in 0..ROUNDS {
                let exchanged = pin!(exchange()).poll(&mut Context::from_waker(waker));
                assert!(exchanged.is_ready());
            }
        });
        println!(
            "compressed echo: {} allocations and {} bytes for {ROUNDS} messages",
            info.count_total, info.bytes_total
        );
        assert!(info.count_total <= ROUNDS * 6, "{}", info.count_total);
        assert!(info.bytes_total <= ROUNDS * 2048, "{}", info.bytes_total);
    });
}

/// The most that was live at once while a server's connection received this, and tried to answer, until it waited or ended.
fn peak_of(config: &Config, chunk: usize, bytes: Vec<u8>) -> u64 {
    let runtime = runtime();
    runtime.block_on(async {
        let mut ws = accept(config.clone()).await;
        waits(&mut ws).await;
        CHUNK.set(chunk);
        INPUT.set(bytes.leak());
        let waker = std::task::Waker::noop();
        let info = measure(|| {
            let mut receiving = pin!(async { while let Ok(Some(_)) = ws.recv().await {} });
            // Also where the runtime's budget makes it wait, though there is more to read.
            while receiving
                .as_mut()
                .poll(&mut Context::from_waker(waker))
                .is_pending()
                && !INPUT.get().is_empty()
            {}
        });
        println!("peak: {} bytes", info.bytes_max);
        info.bytes_max
    })
}

#[test]
fn a_declared_length_costs_one_step_of_room_and_no_more() {
    let config = Config::default();
    // Room follows what has arrived; for one byte it is the least that a read of its own is worth, 16 KiB.
    for length in [126, 16 << 10, 1 << 20, 4 << 20] {
        let mut bytes = wire::binary("").masked().declaring(length).header();
        bytes.push(0);
        assert!(peak_of(&config, usize::MAX, bytes) <= (16 << 10) + 1024);
    }
    let huge = wire::binary("")
        .masked()
        .length_form(LengthForm::SixtyFour)
        .declaring(1 << 62)
        .header();
    assert!(peak_of(&config, usize::MAX, huge) <= 2048);
}

#[test]
fn a_message_in_single_bytes_costs_about_its_length() {
    let bytes = wire::binary(vec![7; 10_000]).masked().bytes();
    let cut = bytes[..9_000].to_vec();
    // The buffer doubles as it fills: at most twice the length, and half of that again while it moves.
    assert!(peak_of(&Config::default(), 1, cut) <= 3 * 9_000 + 1024);
}

#[test]
fn endless_empty_fragments_cost_nothing() {
    let mut bytes = wire::text("").not_fin().masked().bytes();
    bytes.extend(
        wire::continuation("")
            .not_fin()
            .masked()
            .bytes()
            .repeat(8_000),
    );
    assert!(peak_of(&Config::default(), 10_000, bytes) <= 2048);
}

#[test]
fn prepared_messages_sent_together_cost_no_allocation() {
    let runtime = runtime();
    runtime.block_on(async {
        let mut ws = accept(Config::default()).await;
        let prepared = Prepared::new(&Message::text("to all of a room"));
        let mut messages = VecDeque::with_capacity(16);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut send = || {
            messages.extend((0..16).map(|_| Outgoing::from(prepared.clone())));
            assert!(pin!(ws.send_many(&mut messages)).poll(&mut cx).is_ready());
        };
        send();
        assert_eq!(measure(send).count_total, 0);
    });
}

#[test]
fn endless_pings_of_a_peer_that_does_not_read_cost_a_bounded_queue() {
    let ping = wire::ping(vec![7; 125]).masked().bytes();
    let runtime = runtime();
    runtime.block_on(async {
        let mut ws = accept(Config::default()).await;
        waits(&mut ws).await;
        FULL.set(true);
        INPUT.set(ping.repeat(20_000).leak());
        let waker = std::task::Waker::noop();
        let info = measure(|| {
            let mut receiving = pin!(ws.recv());
            for _ in 0..1000 {
                assert!(
                    receiving
                        .as_mut()
                        .poll(&mut Context::from_waker(waker))
                        .is_pending()
                );
            }
        });
        println!(
            "pings: {} bytes live, {} at most, {} unread",
            info.bytes_current,
            info.bytes_max,
            INPUT.get().len()
        );
        assert!(info.bytes_max <= 128 << 10, "{} bytes", info.bytes_max);
        FULL.set(false);
    });
}

#[test]
fn messages_that_nobody_receives_are_not_read() {
    let runtime = runtime();
    runtime.block_on(async {
        let mut ws = accept(Config::default()).await;
        let bytes = wire::bytes(&vec![wire::binary(vec![7; 1000]).masked(); 1000]);
        let length = bytes.len();
        INPUT.set(bytes.leak());
        let info = measure(|| {
            let first = pin!(ws.recv()).poll(&mut Context::from_waker(std::task::Waker::noop()));
            assert!(first.is_ready());
        });
        // One read of 65 KiB, of which all but one message waits.
        assert!(INPUT.get().len() >= length - (65 << 10));
        assert!(
            info.bytes_current <= (65 << 10) + 2048,
            "{} bytes",
            info.bytes_current
        );
        INPUT.set(&[]);
    });
}

#[test]
fn an_endless_request_costs_its_limit_of_sixteen_kibibytes() {
    let runtime = runtime();
    for (chunk, unit) in [
        (usize::MAX, "X: y\r\n"),
        (
            1,
            "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
        ),
    ] {
        let mut request = REQUEST[..REQUEST.len() - 2].to_owned();
        request.push_str(&unit.repeat(20_000));
        let request: &[u8] = request.into_bytes().leak();
        CHUNK.set(chunk);
        INPUT.set(request);
        let info = measure(|| {
            let refused = runtime.block_on(async {
                tokio::time::timeout(std::time::Duration::ZERO, Acceptor::new().accept(Bare)).await
            });
            drop(refused);
        });
        println!("request: {} bytes at most", info.bytes_max);
        assert!(info.bytes_max <= 64 << 10, "{} bytes", info.bytes_max);
        assert!(info.bytes_current <= 0, "{} bytes stay", info.bytes_current);
    }
}
