//! Goal: every deadline is kept by the driver, without anyone having to tick.
//! Method: scripted transports, and tokio's clock held still, which moves on when all wait.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use common::{client, raw, server};
use fullduplex::{
    Acceptor, Cause, Client, Config, Deadline, Error, Life, Message, WebSocket, corked,
};
use fullduplex_testkit::{Fault, wire};
use tokio::{
    io::AsyncWriteExt,
    sync::oneshot,
    time::{Instant, sleep, timeout},
};

fn cause(result: Result<Option<Message>, Error>) -> Cause {
    match result {
        Err(Error::Ended(outcome)) => outcome.cause,
        other => panic!("expected an abnormal end: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn p83_a_silent_peer_is_pinged_after_twenty_seconds_and_given_up_twenty_later() {
    let (mut ws, wire) = server(Config::default()).await;
    let begun = Instant::now();
    assert_eq!(cause(ws.recv().await), Cause::Timeout(Deadline::Keepalive));
    // Then our Close is drained for five more.
    assert_eq!(begun.elapsed().as_secs(), 45);
    let frames = wire.frames();
    assert_eq!(frames.len(), 2);
    assert_eq!(frames[0].opcode, 0x9);
    assert_eq!(frames[1], wire::close(1011, "keepalive timeout"));
}

#[tokio::test(start_paused = true)]
async fn p83_a_peer_that_answers_pings_stays_and_its_latency_is_known() {
    let (mut ws, wire) = client(Config::default()).await;
    let answering = async {
        for n in 1..=50 {
            wire.script.until(|_| wire.frames().len() == n).await;
            sleep(Duration::from_millis(30)).await;
            wire.push([wire::pong(&wire.frames()[n - 1].payload)]);
        }
        wire.push([wire::text("still here")]);
    };
    let (received, ()) = tokio::join!(ws.recv(), answering);
    assert_eq!(received, Ok(Some("still here".into())));
    assert_eq!(ws.latency(), Some(Duration::from_millis(30)));
}

#[tokio::test(start_paused = true)]
async fn p83_a_ping_that_may_stay_unanswered_for_long_does_not_put_off_the_ping_after_its_pong() {
    let mut config = Config::default();
    config.keepalive_interval = Some(Duration::from_secs(5));
    config.keepalive_timeout = Duration::from_secs(600);
    for corking in [false, true] {
        let (mut ws, wire) = server(config.clone()).await;
        let begun = Instant::now();
        let receiving = async {
            if corking {
                corked(ws, async |mut ws| ws.recv().await).await
            } else {
                ws.recv().await
            }
        };
        let answering = async {
            for n in 1..=5 {
                wire.script.until(|_| wire.frames().len() == n).await;
                wire.push([wire::pong(&wire.frames()[n - 1].payload)]);
            }
            wire.push([wire::text("done")]);
        };
        let (received, ()) = tokio::join!(receiving, answering);
        assert_eq!(received, Ok(Some("done".into())));
        assert_eq!(begun.elapsed().as_secs(), 25, "corked: {corking}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_was_set_for_one_task_wakes_the_one_that_waits_now() {
    let (mut ws, wire) = server(Config::default()).await;
    // The first waits a while, and is gone before anything is due.
    let first = tokio::spawn(async move {
        let waited = timeout(Duration::from_secs(1), ws.recv()).await;
        assert!(waited.is_err());
        ws
    });
    let mut ws = first.await.expect("the task ends");
    let second = tokio::spawn(async move { cause(ws.recv().await) });
    assert_eq!(
        second.await.expect("the task ends"),
        Cause::Timeout(Deadline::Keepalive)
    );
    assert_eq!(wire.frames().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn p83_an_application_that_was_away_finds_a_peer_that_answered_meanwhile_alive() {
    let (mut ws, wire) = server(Config::default()).await;
    // One ping leaves, then nobody receives for a long time; the pong waits in the transport.
    let receiving = timeout(Duration::from_secs(21), ws.recv()).await;
    assert!(receiving.is_err());
    let ping = wire.frames().remove(0);
    wire.push([wire::pong(&ping.payload)]);
    sleep(Duration::from_secs(3600)).await;
    wire.push([wire::text("alive")]);
    assert_eq!(ws.recv().await, Ok(Some("alive".into())));
}

#[tokio::test(start_paused = true)]
async fn p84_keepalive_does_not_fire_while_a_message_trickles_in_but_its_own_deadline_does() {
    let (mut ws, wire) = server(Config::default()).await;
    let begun = Instant::now();
    let trickling = async {
        let bytes = wire::binary(vec![0; 1000]).masked().bytes();
        for byte in bytes {
            wire.script.push([byte]);
            sleep(Duration::from_secs(1)).await;
        }
    };
    let result = tokio::select! {
        result = ws.recv() => result,
        () = trickling => panic!("given up before"),
    };
    assert_eq!(cause(result), Cause::Timeout(Deadline::Message));
    assert_eq!(
        begun.elapsed().as_secs(),
        65,
        "sixty for the message, five to drain"
    );
    assert_eq!(wire.frames(), [wire::close(1008, "message timeout")]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_peer_is_closed_with_1001_and_may_answer() {
    let mut config = Config::default();
    config.idle_timeout = Some(Duration::from_secs(30));
    config.idle_life = Life::Strict;
    let (mut ws, wire) = server(config).await;
    let peer = async {
        // Pongs are no data.
        wire.script.until(|_| wire.frames().len() == 1).await;
        wire.push([wire::pong(&wire.frames()[0].payload)]);
        wire.script.until(|_| wire.frames().len() == 2).await;
        wire.push([wire::close(1001, "")]);
        wire.script.push_end();
    };
    let begun = Instant::now();
    let (received, ()) = tokio::join!(ws.recv(), peer);
    assert_eq!(received, Ok(None));
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(wire.frames()[1], wire::close(1001, "idle"));
    assert_eq!(ws.outcome().unwrap().cause, Cause::Timeout(Deadline::Idle));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_ends_a_send_after_the_write_timeout() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let begun = Instant::now();
    let sent = ws.send("anyone?").await;
    let Err(Error::Ended(outcome)) = sent else {
        panic!("nobody reads: {sent:?}")
    };
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(outcome.cause, Cause::Timeout(Deadline::Write));
    assert!(ws.recv().await.is_err());
    assert!(wire.script.is_dropped());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_reads_is_noticed_by_recv_too() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    wire.push([wire::ping("answer me")]);
    let begun = Instant::now();
    assert_eq!(cause(ws.recv().await), Cause::Timeout(Deadline::Write));
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_that_reads_a_little_now_and_then_is_not_cut_off() {
    let (mut ws, wire) = server(Config::default()).await;
    let start = wire.script.written().len();
    wire.script.fault_writes_at(start, Fault::Stall);
    let reading = async {
        for i in 1..=20 {
            sleep(Duration::from_secs(9)).await;
            wire.script.fault_writes_at(start + i * 100, Fault::Stall);
        }
        wire.script.heal();
    };
    let (sent, ()) = tokio::join!(ws.send(vec![0; 5000]), reading);
    assert_eq!(sent, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn the_write_timeout_counts_also_what_the_transport_took_and_holds_back() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script.buffer_writes();
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let begun = Instant::now();
    let sent = ws.send("anyone?").await;
    let Err(Error::Ended(outcome)) = sent else {
        panic!("nobody reads: {sent:?}")
    };
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(outcome.cause, Cause::Timeout(Deadline::Write));
}

#[tokio::test(start_paused = true)]
async fn p84_a_large_frame_on_its_way_is_life_even_where_only_pongs_count() {
    let mut config = Config::default();
    config.keepalive_life = Life::Strict;
    config.message_timeout = None;
    let (mut ws, wire) = server(config).await;
    let message = wire::binary(vec![0; 200]).masked().bytes();
    let trickling = async {
        for byte in message {
            wire.script.push([byte]);
            sleep(Duration::from_secs(1)).await;
        }
    };
    let (received, ()) = tokio::join!(ws.recv(), trickling);
    assert_eq!(received, Ok(Some(vec![0; 200].into())));
}

#[tokio::test(start_paused = true)]
async fn p77_a_flood_does_not_put_off_the_close_timeout_or_the_end_of_a_message() {
    for closing in [true, false] {
        let (mut ws, wire) = server(Config::default()).await;
        let flooding = async {
            wire.push([wire::text("begun").not_fin()]);
            loop {
                // More than one read's worth at every moment at which the task looks.
                wire.push([wire::pong("noise"), wire::pong("noise")]);
                sleep(Duration::from_millis(1)).await;
            }
        };
        let begun = Instant::now();
        let ending = async {
            if closing {
                drop(ws.close(fullduplex::CloseFrame::normal()).await);
            } else {
                while let Ok(Some(_)) = ws.recv().await {}
            }
        };
        tokio::select! {
            () = ending => {}
            () = flooding => {}
        }
        // The message's minute, and five seconds to part.
        assert_eq!(begun.elapsed().as_secs(), if closing { 5 } else { 65 });
    }
}

/// Tokio gives each poll of a task a budget, and without it a timer notes neither its time nor who asks.
#[tokio::test(start_paused = true)]
async fn p83_a_connection_that_first_waits_when_its_task_has_no_budget_left_is_pinged_all_the_same()
{
    let (mut ws, wire) = server(Config::default()).await;
    let waiting = tokio::spawn(async move {
        let mut receiving = pin!(ws.recv());
        let mut first = true;
        poll_fn(move |cx| {
            if std::mem::take(&mut first) {
                while pin!(tokio::task::consume_budget()).poll(cx).is_ready() {}
            }
            receiving.as_mut().poll(cx)
        })
        .await
    });
    let received = timeout(Duration::from_secs(60), waiting).await;
    let received = received.expect("a deadline is kept").expect("no panic");
    assert_eq!(cause(received), Cause::Timeout(Deadline::Keepalive));
    assert_eq!(wire.frames().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn p83_a_peer_that_floods_and_falls_silent_is_given_up() {
    let receive_all = async |mut ws: WebSocket| {
        loop {
            match ws.recv().await {
                Ok(Some(_)) => {}
                end => return cause(end),
            }
        }
    };
    for corking in [false, true] {
        let (mut near, far) = tokio::io::duplex(64 << 20);
        let request = raw::request("127.0.0.1:80".parse().expect("an address"), "");
        let message = wire::binary(vec![7; 60_000]).masked().bytes();
        near.write_all(request.as_bytes()).await.expect("room");
        for _ in 0..300 {
            near.write_all(&message).await.expect("room");
        }
        let ws = Acceptor::new().accept(far).await.expect("a handshake");
        let receiving = tokio::spawn(async move {
            if corking {
                corked(ws, receive_all).await
            } else {
                receive_all(ws).await
            }
        });
        let end = timeout(Duration::from_secs(60), receiving).await;
        let end = end.expect("a deadline is kept").expect("no panic");
        assert_eq!(
            end,
            Cause::Timeout(Deadline::Keepalive),
            "corked: {corking}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn p83_a_client_that_says_a_lot_before_it_listens_notices_that_nobody_answers() {
    let (near, far) = tokio::io::duplex(64 << 10);
    let silent = tokio::spawn(async move {
        let mut config = Config::default();
        config.keepalive_interval = None;
        let acceptor = Acceptor::new().config(config);
        let mut ws = acceptor.accept(far).await.expect("a handshake");
        for _ in 0..1000 {
            ws.recv().await.expect("open").expect("a message");
        }
        std::future::pending::<()>().await;
    });
    let client = Client::new("ws://server.example/").expect("a URL");
    let (mut ws, _) = client.connect_over(near).await.expect("a connection");
    let talking = tokio::spawn(async move {
        for _ in 0..1000 {
            ws.send("hello").await.expect("open");
        }
        ws.recv().await
    });
    let received = timeout(Duration::from_secs(60), talking).await;
    let received = received.expect("a deadline is kept").expect("no panic");
    assert_eq!(cause(received), Cause::Timeout(Deadline::Keepalive));
    silent.abort();
}

/// Lets time pass within one poll, as work does that blocks.
fn be_busy(time: Duration) {
    let mut advancing = pin!(tokio::time::advance(time));
    let _ = advancing
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
}

#[tokio::test(start_paused = true)]
async fn a_write_has_all_its_time_after_a_handler_that_was_busy_for_longer() {
    for size in [40_000, 4_000] {
        let (ws, wire) = server(Config::default()).await;
        let start = wire.script.written().len();
        wire.script.fault_writes_at(start + 100, Fault::Stall);
        wire.push([wire::text("go")]);
        let handling = tokio::spawn(corked(ws, async move |mut ws| {
            ws.recv().await?;
            be_busy(Duration::from_secs(15));
            ws.send(Message::binary(vec![1; size])).await?;
            ws.recv().await
        }));
        sleep(Duration::from_secs(9)).await;
        wire.script.heal();
        let script = &wire.script;
        script
            .until(|_| script.written().len() > start + size)
            .await;
        wire.push([wire::text("thanks")]);
        let received = handling.await.expect("no panic");
        assert_eq!(received, Ok(Some("thanks".into())), "{size} bytes");
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talked_while_a_handler_was_busy_is_not_idle() {
    let mut config = Config::default();
    config.keepalive_interval = None;
    config.idle_timeout = Some(Duration::from_secs(30));
    let (ws, wire) = server(config).await;
    let told = wire.script.clone();
    wire.push([wire::text("one")]);
    let handling = tokio::spawn(corked(ws, async move |mut ws| {
        ws.recv().await?;
        be_busy(Duration::from_secs(20));
        told.push(wire::text("two").masked().bytes());
        ws.recv().await?;
        ws.recv().await
    }));
    sleep(Duration::from_secs(25)).await;
    wire.push([wire::text("three")]);
    let received = handling.await.expect("no panic");
    assert_eq!(received, Ok(Some("three".into())));
}

/// Somebody waits, lets another look, and waits again: it is still the one to be woken.
#[tokio::test]
async fn who_waits_again_after_another_has_looked_is_told_of_the_end() {
    let mut config = Config::default();
    config.keepalive_interval = None;
    config.close_timeout = Duration::from_secs(1);
    let (server, addr) = raw::bound().await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (waits, mut is_waiting) = tokio::sync::mpsc::unbounded_channel();
    let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |mut ws: WebSocket| {
        let (waits, ended) = (waits.clone(), ended.clone());
        async move {
            ws.recv().await?;
            {
                let mut receiving = pin!(ws.recv());
                poll_fn(|cx| {
                    assert!(receiving.as_mut().poll(cx).is_pending());
                    let mut other = Context::from_waker(Waker::noop());
                    assert!(receiving.as_mut().poll(&mut other).is_pending());
                    Poll::Ready(())
                })
                .await;
            }
            waits.send(()).ok();
            let end = ws.recv().await.map(|_| ());
            ended.send(()).ok();
            end
        }
    };
    let stopped = async { stopped.await.unwrap_or_default() };
    let server = server.acceptor(Acceptor::new().config(config));
    let serving = tokio::spawn(server.serve_until(handler, stopped));
    let mut peer = raw::Raw::open(addr).await;
    // A message in two pieces has a deadline, and with it comes the timer.
    let bytes = wire::text("hello").masked().bytes();
    peer.send(&bytes[..8]).await;
    sleep(Duration::from_millis(50)).await;
    peer.send(&bytes[8..]).await;
    is_waiting.recv().await.expect("it waits");
    sleep(Duration::from_millis(50)).await;
    stop.send(()).expect("it serves");
    let told = timeout(raw::PATIENCE, has_ended.recv()).await;
    assert!(told.is_ok(), "it was not told");
    serving.abort();
}
