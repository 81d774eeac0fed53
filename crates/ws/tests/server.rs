//! Goal: a server outlives whatever its handlers and clients do, and ends when it is told to.
//! Method: real loopback sockets; handlers that return, fail, panic, hang and hand their connection on.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{
    poll_times,
    raw::{PATIENCE, Raw, bound, echo, echo_server, serves_the_next_client, within},
};
use fullduplex::{Acceptor, CloseCode, CloseFrame, Config, Error, Message, WebSocket, connect};
use fullduplex_testkit::wire;
use tokio::{
    io::AsyncReadExt,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

async fn open(addr: SocketAddr) -> WebSocket {
    within(connect(&format!("ws://{addr}/"))).await.unwrap()
}

/// A server that can be told to end.
struct Stoppable {
    addr: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<()>,
}

impl Stoppable {
    async fn echo(config: Config) -> Self {
        let (server, addr) = bound().await;
        let (stop, stopped) = oneshot::channel();
        let server = server.acceptor(Acceptor::new().config(config));
        let ended = tokio::spawn(async move {
            server
                .serve_until(echo, async { stopped.await.unwrap() })
                .await;
        });
        Self { addr, stop, ended }
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        within(self.ended).await.unwrap();
    }
}

/// 000:139, row 31 of the seeds.
#[tokio::test]
async fn a_handler_that_fails_or_panics_closes_1011_and_the_others_go_on() {
    let (server, addr) = bound().await;
    tokio::spawn(server.serve(async |mut ws| -> Result<(), Error> {
        while let Some(message) = ws.recv().await? {
            match message.as_text() {
                Some("fail") => return Err(Error::Closing),
                Some("panic") => panic!("as the test wants"),
                _ => ws.send(message).await?,
            }
        }
        Ok(())
    }));
    let mut bystander = open(addr).await;
    for how in ["fail", "panic"] {
        let mut ws = open(addr).await;
        // The reply to what came before the failure is not lost, though it arrives in the same read.
        ws.feed("before").await.unwrap();
        ws.feed(how).await.unwrap();
        ws.flush().await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some("before".into())));
        assert_eq!(within(ws.recv()).await, Ok(None));
        let received = ws.outcome().unwrap().received.unwrap();
        assert_eq!(
            (received.code(), received.reason()),
            (CloseCode::INTERNAL_ERROR, "")
        );
        bystander.send("still here").await.unwrap();
        assert_eq!(
            within(bystander.recv()).await,
            Ok(Some("still here".into()))
        );
    }
    serves_the_next_client(addr).await;
}

#[tokio::test]
async fn a_handler_that_panics_before_there_is_a_future_closes_1011_too() {
    let (server, addr) = bound().await;
    let panics = |_: WebSocket| -> std::future::Ready<()> { panic!("as the test wants") };
    tokio::spawn(server.serve(panics));
    for _ in 0..2 {
        let mut ws = open(addr).await;
        assert_eq!(within(ws.recv()).await, Ok(None));
        assert_eq!(ws.outcome().unwrap().code(), CloseCode::INTERNAL_ERROR);
    }
}

#[tokio::test]
async fn a_handler_that_returns_closes_1000_behind_all_that_it_sent() {
    let (server, addr) = bound().await;
    tokio::spawn(server.serve(async |mut ws| {
        for i in 0..1000 {
            ws.send(format!("{i}")).await.unwrap();
        }
    }));
    let mut ws = open(addr).await;
    for i in 0..1000 {
        assert_eq!(within(ws.recv()).await, Ok(Some(format!("{i}").into())));
    }
    assert_eq!(within(ws.recv()).await, Ok(None));
    assert_eq!(ws.outcome().unwrap().code(), CloseCode::NORMAL_CLOSURE);
}

/// 003:278 and 003:286, row 34 of the seeds: code and reason, both ways.
#[tokio::test]
async fn close_codes_and_reasons_arrive_both_ways() {
    let (server, addr) = bound().await;
    let (outcomes, mut ended) = mpsc::unbounded_channel();
    tokio::spawn(server.serve(move |mut ws: WebSocket| {
        let outcomes = outcomes.clone();
        async move {
            if ws.resource() == "/goodbye" {
                let goodbye =
                    CloseFrame::new(CloseCode::NORMAL_CLOSURE, "Goodbye, client!").unwrap();
                ws.close(goodbye).await;
            }
            while let Ok(Some(_)) = ws.recv().await {}
            outcomes.send(ws.outcome().unwrap()).unwrap();
        }
    }));

    let mut ws = within(connect(&format!("ws://{addr}/goodbye")))
        .await
        .unwrap();
    assert_eq!(within(ws.recv()).await, Ok(None));
    assert_eq!(
        ws.outcome().unwrap().to_string(),
        "1000 \"Goodbye, client!\" by peer"
    );
    assert_eq!(
        within(ended.recv()).await.unwrap().to_string(),
        "1000 \"Goodbye, client!\" by us"
    );

    let mut ws = open(addr).await;
    let goodbye = CloseFrame::new(CloseCode::NORMAL_CLOSURE, "Goodbye, server!").unwrap();
    let outcome = within(ws.close(goodbye)).await;
    assert_eq!(outcome.to_string(), "1000 \"Goodbye, server!\" by us");
    assert_eq!(
        within(ended.recv()).await.unwrap().to_string(),
        "1000 \"Goodbye, server!\" by peer"
    );
}

#[tokio::test]
async fn a_reading_half_in_another_task_ends_when_its_handler_has_returned() {
    let (server, addr) = bound().await;
    let (ends, mut ended) = mpsc::unbounded_channel();
    tokio::spawn(server.serve(move |ws: WebSocket| {
        let ends = ends.clone();
        let (mut read, write) = ws.split();
        let reading = tokio::spawn(async move {
            while let Ok(Some(_)) = read.recv().await {}
            ends.send(read.outcome().unwrap().code()).unwrap();
        });
        async move {
            // The reader is waiting when the handler ends.
            tokio::task::yield_now().await;
            drop((write, reading));
        }
    }));
    let mut ws = open(addr).await;
    assert_eq!(within(ws.recv()).await, Ok(None));
    assert_eq!(within(ended.recv()).await, Some(CloseCode::NORMAL_CLOSURE));
}

#[tokio::test]
async fn a_connection_that_a_handler_kept_elsewhere_still_gets_what_is_sent_on_it() {
    let (server, addr) = bound().await;
    let (kept, mut taken) = mpsc::unbounded_channel();
    tokio::spawn(server.serve(move |ws: WebSocket| {
        let kept = kept.clone();
        async move {
            let (read, write) = ws.split();
            kept.send(write).unwrap();
            echo_half(read).await;
        }
    }));
    let mut ws = open(addr).await;
    let mut write = within(taken.recv()).await.unwrap();
    for i in 0..100 {
        write.send(format!("{i}")).await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some(format!("{i}").into())));
    }
    assert!(within(ws.close(CloseFrame::normal())).await.clean);
    assert!(write.send("too late").await.is_err());
}

async fn echo_half(mut read: fullduplex::ReadHalf) {
    while let Ok(Some(_)) = read.recv().await {}
}

#[tokio::test]
async fn connections_over_the_maximum_wait_until_one_ends() {
    let (server, addr) = bound().await;
    tokio::spawn(server.max_connections(2).serve(echo));
    let first = open(addr).await;
    let mut second = open(addr).await;
    let third = tokio::spawn(async move { open(addr).await });
    // Nothing tells that the third is waiting; but had it been let in, the round trip would follow its handshake.
    for _ in 0..50 {
        second.send("x").await.unwrap();
        assert_eq!(within(second.recv()).await, Ok(Some("x".into())));
    }
    assert!(!third.is_finished());
    drop(first);
    let mut third = within(third).await.unwrap();
    third.send("in").await.unwrap();
    assert_eq!(within(third.recv()).await, Ok(Some("in".into())));
}

#[tokio::test]
async fn a_server_that_is_dropped_accepts_nobody_and_its_connections_go_on() {
    for polls in 0..20 {
        let (server, addr) = bound().await;
        // They wait in the system's queue; each is accepted by one of the polls, or by none.
        let mut early = Vec::new();
        for _ in 0..3 {
            early.push(Raw::connect(addr).await);
        }
        assert!(
            poll_times(pin!(server.serve(echo)), polls).await.is_none(),
            "it never ends by itself"
        );
        assert!(connect(&format!("ws://{addr}/")).await.is_err());
        let mut answered = 0;
        for mut raw in early {
            // Those that it had accepted are answered; the others were reset when it stopped listening.
            raw.try_send(common::raw::request(addr, "")).await;
            if raw.stream.read_u8().await.is_ok() {
                raw.head().await;
                raw.send_frames([wire::text("x")]).await;
                assert_eq!(raw.frame().await, wire::text("x"));
                answered += 1;
            }
        }
        assert_eq!(answered, if polls == 0 { 0 } else { 3 }, "{polls} polls");
    }
}

#[tokio::test]
async fn shutting_down_closes_all_with_1001_and_waits_for_their_answers() {
    let server = Stoppable::echo(Config::default()).await;
    let addr = server.addr;
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut ws = open(addr).await;
        ws.send("hello").await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some("hello".into())));
        clients.push(tokio::spawn(async move {
            assert_eq!(ws.recv().await, Ok(None));
            ws.outcome().unwrap()
        }));
    }
    server.stop().await;
    for client in clients {
        let outcome = within(client).await.unwrap();
        assert_eq!(outcome.code(), CloseCode::GOING_AWAY);
        assert!(outcome.clean);
    }
    let refused = within(connect(&format!("ws://{addr}/"))).await.unwrap_err();
    assert!(
        matches!(refused, fullduplex::ConnectError::Connect(_)),
        "{refused}"
    );
}

#[tokio::test]
async fn shutting_down_for_a_restart_says_1012_where_the_server_wants_it() {
    let (server, addr) = bound().await;
    let (stop, stopped) = oneshot::channel();
    let restart = CloseFrame::new(CloseCode::SERVICE_RESTART, "back soon").unwrap();
    let serving = server.farewell(restart).serve_until(echo, async {
        stopped.await.unwrap();
    });
    let ended = tokio::spawn(serving);
    let mut ws = open(addr).await;
    stop.send(()).unwrap();
    assert_eq!(within(ws.recv()).await, Ok(None));
    assert_eq!(
        ws.outcome().unwrap().to_string(),
        "1012 \"back soon\" by peer"
    );
    within(ended).await.unwrap();
}

#[tokio::test]
async fn shutting_down_ends_though_a_handler_never_returns_and_a_client_never_answers() {
    let mut config = Config::default();
    config.close_timeout = Duration::from_millis(200);
    let (server, addr) = bound().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (begins, mut begun) = mpsc::unbounded_channel();
    let server = server.acceptor(Acceptor::new().config(config));
    let ended = tokio::spawn(async move {
        let hang = move |mut ws: WebSocket| {
            begins.send(()).unwrap();
            async move {
                ws.send("never heard of again").await.unwrap();
                std::future::pending::<()>().await;
                drop(ws);
            }
        };
        server
            .serve_until(hang, async { stopped.await.unwrap() })
            .await;
    });
    let mut raw = Raw::open(addr).await;
    within(begun.recv()).await.unwrap();
    assert_eq!(raw.frame().await, wire::text("never heard of again"));
    stop.send(()).unwrap();
    within(ended).await.unwrap();
    // It was told, and then cut off.
    assert_eq!(raw.rest_as_frames().await, [wire::close(1001, "")]);
}

#[tokio::test]
async fn shutting_down_in_the_middle_of_a_handshake_ends_in_time() {
    let mut config = Config::default();
    config.close_timeout = Duration::from_millis(200);
    let server = Stoppable::echo(config).await;
    let mut raw = Raw::connect(server.addr).await;
    raw.send("GET / HTTP/1.1\r\n").await;
    serves_the_next_client(server.addr).await;
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_says_a_word_does_not_hold_up_the_shutdown() {
    let mut config = Config::default();
    config.close_timeout = Duration::from_secs(3600);
    let server = Stoppable::echo(config).await;
    let mut silent = Raw::connect(server.addr).await;
    serves_the_next_client(server.addr).await;
    server.stop().await;
    assert!(silent.rest().await.is_empty());
}

#[tokio::test]
async fn a_client_whose_handshake_ends_during_the_shutdown_is_closed_with_1001() {
    let server = Stoppable::echo(Config::default()).await;
    let addr = server.addr;
    let mut slow = Raw::connect(addr).await;
    let request = common::raw::request(addr, "");
    let (front, rest) = request.split_at(40);
    slow.send(front).await;
    serves_the_next_client(addr).await;
    let stopping = tokio::spawn(server.stop());
    // Once nobody accepts any more, the shutdown has begun.
    while connect(&format!("ws://{addr}/")).await.is_ok() {}
    slow.send(rest).await;
    slow.head().await;
    assert_eq!(slow.frame().await, wire::close(1001, ""));
    slow.send_frames([wire::close(1001, "")]).await;
    assert!(slow.rest().await.is_empty());
    within(stopping).await.unwrap();
}

#[tokio::test]
async fn a_peer_that_stops_reading_costs_its_own_connection_and_no_other() {
    let mut config = Config::default();
    config.write_timeout = Duration::from_millis(300);
    let (server, addr) = bound().await;
    let (ends, mut ended) = mpsc::unbounded_channel();
    let server = server.acceptor(Acceptor::new().config(config));
    tokio::spawn(server.serve(move |mut ws: WebSocket| {
        let ends = ends.clone();
        async move {
            if ws.resource() == "/flood" {
                let flood = vec![7; 64 << 10];
                let end = loop {
                    if let Err(error) = ws.send(flood.clone()).await {
                        break error;
                    }
                };
                ends.send(end.outcome().unwrap().to_string()).unwrap();
            } else {
                echo(ws).await.unwrap();
            }
        }
    }));
    let mut raw = Raw::connect(addr).await;
    raw.send(common::raw::request(addr, "").replacen("GET / ", "GET /flood ", 1))
        .await;
    raw.head().await;
    serves_the_next_client(addr).await;
    assert_eq!(
        within(ended.recv()).await.unwrap(),
        "1006 by us: write timeout"
    );
    serves_the_next_client(addr).await;
}

/// How many descriptors this process has open; `None` where the system does not tell.
fn descriptors() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

/// Resident memory of this process in KiB; `None` where the system does not tell.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// One connection in each way that connections are made and lost.
async fn one_cycle(addr: SocketAddr, i: usize) {
    match i % 5 {
        // Closed in good order.
        0 => {
            let mut ws = connect(&format!("ws://{addr}/")).await.unwrap();
            ws.send("x").await.unwrap();
            assert_eq!(ws.recv().await, Ok(Some(Message::text("x"))));
            assert!(ws.close(CloseFrame::normal()).await.clean);
        }
        // Dropped without a Close.
        1 => drop(connect(&format!("ws://{addr}/")).await.unwrap()),
        // Reset.
        2 => {
            let ws = Raw::connect(addr).await;
            ws.stream.set_zero_linger().unwrap();
        }
        // Left in the middle of a request.
        3 => {
            let mut raw = Raw::connect(addr).await;
            raw.send("GET / HTTP/1.1\r\nHost:").await;
        }
        // Left in the middle of a message.
        _ => {
            let mut raw = Raw::open(addr).await;
            raw.send(&wire::binary(vec![1; 1000]).masked().bytes()[..500])
                .await;
            raw.end().await;
        }
    }
}

/// 003:25, row 35 of the seeds. 20,000 cycles, and as many as `FULLDUPLEX_CYCLES` says: `FULLDUPLEX_CYCLES=100000 cargo test
/// -p fullduplex --release --test server cycles` for the full count.
#[tokio::test]
async fn twenty_thousand_cycles_of_connecting_and_losing_leave_nothing_behind() {
    let cycles = std::env::var("FULLDUPLEX_CYCLES").map_or(20_000, |n| n.parse().unwrap());
    let addr = echo_server(Acceptor::new()).await;
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let live = Arc::new(AtomicUsize::new(0));

    let run = async |from: usize, to: usize| {
        for i in from..to {
            live.fetch_add(1, Ordering::Relaxed);
            tokio::time::timeout(PATIENCE, one_cycle(addr, i))
                .await
                .expect("in time");
        }
    };
    // What is made once: the allocator's pools, the scratch buffers, the semaphore's and the registry's room.
    run(0, 2000).await;
    settles(|| tasks() <= 2).await;
    let (before, memory) = (descriptors(), resident());
    run(2000, cycles).await;
    assert_eq!(live.load(Ordering::Relaxed), cycles);
    settles(|| tasks() <= 2 && descriptors() <= before).await;
    // In KiB: allocators keep some, a leak of even one byte for each cycle and its layers would show as much more.
    let growth = resident()
        .zip(memory)
        .map_or(0, |(now, then)| now.saturating_sub(then));
    println!(
        "{cycles} cycles: descriptors {before:?} then {:?}, grown by {growth} KiB",
        descriptors()
    );
    assert!(growth < 2048, "grown by {growth} KiB");
}

/// Waits until a condition holds that nothing announces.
async fn settles(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
