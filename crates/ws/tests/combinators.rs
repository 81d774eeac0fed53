//! Goal: a connection and its halves are streams and sinks as the combinators expect them.
//! Method: combinators of futures-util, and polls made one by one over scripted transports.

mod common;

use std::{future::poll_fn, pin::pin};

use common::{poll_times, raw::PATIENCE, server};
use fullduplex::{CloseFrame, Config, Error, Message, WebSocket};
use fullduplex_testkit::{Fault, wire};
use futures_util::{Sink as _, SinkExt, Stream, StreamExt, TryStreamExt as _};
use tokio::time::timeout;

fn next<S>(stream: &mut S) -> impl Future<Output = Option<S::Item>>
where
    S: Stream + Unpin,
{
    StreamExt::next(stream)
}

#[tokio::test]
async fn a_stream_ends_with_a_clean_close_and_stays_ended() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push([
        wire::text("one"),
        wire::binary("two"),
        wire::close(1000, ""),
    ]);
    wire.script.push_end();
    assert_eq!(next(&mut ws).await, Some(Ok("one".into())));
    assert_eq!(next(&mut ws).await, Some(Ok(b"two"[..].into())));
    assert_eq!(next(&mut ws).await, None);
    assert_eq!(next(&mut ws).await, None);
}

#[tokio::test]
async fn a_stream_yields_its_error_once_and_then_ends() {
    let (ws, wire) = server(Config::default()).await;
    let (mut read, _write) = ws.split();
    wire.push([wire::text("one")]);
    wire.script.push_end();
    assert_eq!(next(&mut read).await, Some(Ok("one".into())));
    assert!(matches!(next(&mut read).await, Some(Err(Error::Ended(_)))));
    assert_eq!(next(&mut read).await, None);
    assert_eq!(next(&mut read).await, None);
    assert!(read.recv().await.is_err(), "asked itself, it tells again");
}

#[tokio::test]
async fn forward_echoes_to_the_end_and_parts_in_good_order() {
    let (mut client, server) = WebSocket::pair();
    let (read, write) = server.split();
    let echo = tokio::spawn(read.forward(write));
    for i in 0..100 {
        client.feed(format!("{i}")).await.unwrap();
    }
    client.flush().await.unwrap();
    for i in 0..100 {
        assert_eq!(client.recv().await, Ok(Some(format!("{i}").into())));
    }
    assert!(client.close(CloseFrame::normal()).await.clean);
    assert_eq!(echo.await.unwrap(), Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_split_of_the_combinators_works_in_two_tasks_through_a_small_pipe() {
    const MESSAGES: usize = 200;
    let (client, server) = WebSocket::pair();
    let both = [client, server].map(|ws| {
        // Not the inherent method.
        let (mut sink, stream) = StreamExt::split::<Message>(ws);
        let sending = tokio::spawn(async move {
            for i in 0..MESSAGES {
                let message = Message::binary(vec![u8::try_from(i).unwrap(); 3000]);
                sink.send(message).await.unwrap();
            }
            sink
        });
        let receiving = tokio::spawn(async move {
            let received: Vec<_> = stream.take(MESSAGES).try_collect().await.unwrap();
            for (i, message) in received.iter().enumerate() {
                assert_eq!(message.as_bytes(), vec![u8::try_from(i).unwrap(); 3000]);
            }
        });
        async move {
            receiving.await.unwrap();
            sending.await.unwrap()
        }
    });
    let [client, server] = both;
    let both = async { tokio::join!(client, server) };
    drop(timeout(PATIENCE, both).await.expect("no lost wake-up"));
}

#[tokio::test]
async fn a_sink_is_ready_while_its_queue_has_room_and_takes_what_it_promised() {
    let mut config = Config::default();
    config.limits.soft_queue = 60;
    config.limits.hard_queue = 60;
    let (mut ws, wire) = server(config).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let mut sink = pin!(&mut ws);
    poll_fn(|cx| sink.as_mut().poll_ready(cx)).await.unwrap();
    // More than the queue ever takes, but it said that it was ready.
    sink.as_mut()
        .start_send(Message::binary(vec![1; 100]))
        .unwrap();
    let mut ready = pin!(poll_fn(|cx| sink.as_mut().poll_ready(cx)));
    assert!(poll_times(ready.as_mut(), 3).await.is_none());
    wire.script.heal();
    timeout(PATIENCE, ready).await.expect("room").unwrap();
    assert_eq!(wire.frames(), [wire::binary([1; 100])]);
}

#[tokio::test]
async fn feed_waits_for_flush_and_send_does_not() {
    let (mut ws, wire) = server(Config::default()).await;
    SinkExt::feed(&mut ws, "one".into()).await.unwrap();
    SinkExt::feed(&mut ws, "two".into()).await.unwrap();
    assert_eq!(wire.frames(), []);
    SinkExt::flush(&mut ws).await.unwrap();
    SinkExt::send(&mut ws, "three".into()).await.unwrap();
    let texts = ["one", "two", "three"].map(wire::text);
    assert_eq!(wire.writes(), [texts[..2].to_vec(), texts[2..].to_vec()]);
}

#[tokio::test(start_paused = true)]
async fn closing_a_sink_is_the_closing_handshake_with_its_bound() {
    let (mut ws, wire) = server(Config::default()).await;
    SinkExt::feed(&mut ws, "before".into()).await.unwrap();
    wire.push([wire::text("thrown away"), wire::close(1000, "")]);
    wire.script.push_end();
    while poll_times(pin!(SinkExt::close(&mut ws)), 1).await.is_none() {}
    assert_eq!(SinkExt::close(&mut ws).await, Ok(()));
    assert_eq!(wire.frames(), [wire::text("before"), wire::close(1000, "")]);
    assert!(SinkExt::send(&mut ws, "late".into()).await.is_err());

    let (ws, wire) = server(Config::default()).await;
    let (_read, mut write) = ws.split();
    let begun = tokio::time::Instant::now();
    let closed = SinkExt::close(&mut write).await;
    assert!(matches!(closed, Err(Error::Ended(_))), "{closed:?}");
    assert_eq!(begun.elapsed(), Config::default().close_timeout);
    assert!(wire.script.is_dropped());
}

#[tokio::test]
async fn items_and_futures_dropped_after_every_poll_lose_nothing() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push((0..5).map(|i| wire::text(format!("{i}"))));
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    wire.script.chunk_reads(1);
    wire.script.single_steps();
    let mut received = Vec::new();
    loop {
        match poll_times(pin!(next(&mut ws)), 1).await {
            Some(Some(message)) => received.push(message.unwrap()),
            Some(None) => break,
            None => {}
        }
    }
    let expected: Vec<_> = (0..5).map(|i| Message::text(format!("{i}"))).collect();
    assert_eq!(received, expected);
}
