//! Goal: every deadline is kept by the driver, without anyone having to tick.
//! Method: scripted transports, and tokio's clock held still, which moves on when all wait.
#![allow(clippy::expect_used, clippy::panic, reason = "helpers of tests")]

mod common;

use std::time::Duration;

use common::{client, server};
use fullduplex::{Cause, Config, Deadline, Error, Life, corked};
use fullduplex_testkit::{Fault, wire};
use tokio::time::{Instant, sleep};

fn cause(result: Result<Option<fullduplex::Message>, Error>) -> Cause {
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
        let waited = tokio::time::timeout(Duration::from_secs(1), ws.recv()).await;
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
    let receiving = tokio::time::timeout(Duration::from_secs(21), ws.recv()).await;
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
