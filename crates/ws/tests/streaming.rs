//! Goal: messages of any size pass, in bounded memory, both ways, whole only if they are whole.
//! Method: pairs in memory and scripted peers; futures dropped after every poll; an allocator that counts.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{future::Future, pin::pin, task::Poll, time::Duration};

use bytes::Bytes;
use common::{client, dropped_after_every_poll, poll_times, server};
use fullduplex::{
    Acceptor, Client, CloseCode, CloseFrame, Config, Deflate, Error, Message, MessageKind,
    WebSocket, corked,
};
use fullduplex_testkit::{Fault, pipe, wire};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// Lines that say where they are.
fn sample(len: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|n| format!("{n:07}\n").into_bytes())
        .take(len)
        .collect()
}

/// What arrives until the message ends.
async fn collect(reader: &mut fullduplex::MessageReader<'_>) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(chunk) = reader.chunk().await.unwrap() {
        assert!(!chunk.is_empty());
        all.extend_from_slice(&chunk);
    }
    assert_eq!(reader.chunk().await, Ok(None), "the end stays");
    all
}

/// A client and a server between which a pipe is, compressing if asked to.
async fn connected(deflate: Option<Deflate>) -> (WebSocket, WebSocket) {
    let (near, far) = pipe(64 << 10);
    let mut acceptor = Acceptor::new();
    let mut client = Client::new("ws://example.com/").unwrap();
    if let Some(deflate) = deflate {
        acceptor = acceptor.deflate(deflate);
        client = client.require_deflate(deflate);
    }
    let accepting = tokio::spawn(async move { acceptor.accept(far).await.unwrap() });
    let (client, _response) = client.connect_over(near).await.unwrap();
    (client, accepting.await.unwrap())
}

#[tokio::test]
async fn p43_a_message_in_fragments_is_read_by_chunks_by_bytes_and_by_lines() {
    let frames = || {
        [
            wire::text("").not_fin(),
            wire::continuation("first line\nsec").not_fin(),
            wire::ping("between"),
            wire::continuation("").not_fin(),
            wire::continuation("ond line\nth\u{e9}").not_fin(),
            wire::continuation("third"),
            wire::text("whole"),
        ]
    };
    for chunk in [1, 7, 1000] {
        for way in 0..3 {
            let (mut ws, wire) = server(Config::default()).await;
            wire.script.chunk_reads(chunk);
            wire.push(frames());
            let mut message = ws.recv_stream().await.unwrap().unwrap();
            assert_eq!(message.kind(), MessageKind::Text);
            let all = match way {
                0 => collect(&mut message).await,
                1 => {
                    let mut all = Vec::new();
                    let mut buf = [0; 3];
                    loop {
                        match message.read(&mut buf).await.unwrap() {
                            0 => break all,
                            n => all.extend_from_slice(&buf[..n]),
                        }
                    }
                }
                _ => {
                    let mut lines = String::new();
                    while message.read_line(&mut lines).await.unwrap() > 0 {}
                    lines.into_bytes()
                }
            };
            assert_eq!(
                String::from_utf8(all).unwrap(),
                "first line\nsecond line\nth\u{e9}third"
            );
            drop(message);
            assert_eq!(ws.recv().await, Ok(Some("whole".into())));
            assert_eq!(wire.frames(), [wire::pong("between")]);
        }
    }
}

#[tokio::test]
async fn row_14_a_read_of_512_bytes_leaves_the_rest_for_the_next() {
    let (mut ws, wire) = server(Config::default()).await;
    let payload = sample(1500);
    wire.push([wire::binary(&payload), wire::binary("")]);
    let mut message = ws.recv_stream().await.unwrap().unwrap();
    let mut buf = [0; 512];
    for part in payload.chunks(512) {
        assert_eq!(message.read(&mut buf).await.unwrap(), part.len());
        assert_eq!(&buf[..part.len()], part);
    }
    assert_eq!(message.read(&mut buf).await.unwrap(), 0);
    drop(message);
    let mut empty = ws.recv_stream().await.unwrap().unwrap();
    assert_eq!(collect(&mut empty).await, b"");
}

#[tokio::test]
async fn a_reader_that_is_dropped_anywhere_leaves_the_next_message_whole() {
    for deflate in [None, Some(Deflate::for_client())] {
        for chunks in 0..6 {
            let (mut near, mut far) = connected(deflate).await;
            let payload = sample(300_000);
            let sending = tokio::spawn(async move {
                near.send(payload).await.unwrap();
                near.send("next").await.unwrap();
                near.send("stream").await.unwrap();
                near.send("last").await.unwrap();
                near
            });
            let mut message = far.recv_stream().await.unwrap().unwrap();
            for _ in 0..chunks {
                message.chunk().await.unwrap();
            }
            drop(message);
            assert_eq!(far.recv().await, Ok(Some("next".into())));
            let mut message = far.recv_stream().await.unwrap().unwrap();
            assert_eq!(collect(&mut message).await, b"stream");
            drop(message);
            assert_eq!(far.recv().await, Ok(Some("last".into())));
            sending.await.unwrap();
        }
    }
}

#[tokio::test]
async fn p78_a_connection_that_ends_within_a_message_is_an_error_of_its_reader() {
    for clean in [true, false] {
        let (mut ws, wire) = server(Config::default()).await;
        wire.push([wire::text("half").not_fin()]);
        let mut message = ws.recv_stream().await.unwrap().unwrap();
        assert_eq!(message.chunk().await.unwrap().unwrap(), "half");
        if clean {
            wire.push([wire::close(1000, "")]);
        }
        wire.script.push_end();
        let error = message.chunk().await.unwrap_err();
        assert!(
            matches!(&error, Error::Ended(outcome) if outcome.clean == clean),
            "{error:?}"
        );
        let mut buf = [0; 8];
        assert!(message.read(&mut buf).await.is_err());
        drop(message);
        match ws.recv().await {
            Ok(None) => assert!(clean),
            Err(Error::Ended(_)) => assert!(!clean),
            other => panic!("{other:?}"),
        }
        assert_eq!(ws.recv_stream().await.is_ok_and(|end| end.is_none()), clean);
    }
}

#[tokio::test]
async fn p48_text_that_is_not_utf8_ends_the_stream_with_1007() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.push([
        wire::text("good \u{20ac}").not_fin(),
        wire::continuation(b"\xed\xa0").not_fin(),
    ]);
    wire.script.push_end();
    let mut message = ws.recv_stream().await.unwrap().unwrap();
    assert_eq!(message.chunk().await.unwrap().unwrap(), "good \u{20ac}");
    assert!(message.chunk().await.is_err());
    drop(message);
    assert_eq!(
        wire.frames().pop().unwrap().payload[..2],
        1007_u16.to_be_bytes()
    );
}

#[tokio::test]
async fn p86_reading_a_message_dropped_after_every_poll_loses_nothing() {
    let frames = || {
        [
            wire::text("one, ").not_fin(),
            wire::ping("p"),
            wire::continuation("two, ").not_fin(),
            wire::continuation("three"),
            wire::text("next"),
        ]
    };
    // The reader that comes of it in the end is dropped, too: the rest of the message goes with it, and no more.
    for halves in [false, true] {
        let (mut ws, wire) = server(Config::default()).await;
        wire.push(frames());
        wire.script.chunk_reads(1);
        wire.script.single_steps();
        let received = if halves {
            let (mut read, _write) = ws.split();
            while poll_times(pin!(read.recv_stream()), 1).await.is_none() {}
            read.recv().await
        } else {
            while poll_times(pin!(ws.recv_stream()), 1).await.is_none() {}
            ws.recv().await
        };
        assert_eq!(received, Ok(Some("next".into())));
    }
    // Chunks, each future dropped after each of its polls.
    let (mut ws, wire) = server(Config::default()).await;
    wire.push(frames());
    wire.script.chunk_reads(2);
    wire.script.single_steps();
    let mut message = ws.recv_stream().await.unwrap().unwrap();
    let mut all = Vec::new();
    loop {
        match poll_times(pin!(message.chunk()), 1).await {
            Some(Ok(Some(chunk))) => all.extend_from_slice(&chunk),
            Some(end) => {
                assert_eq!(end, Ok(None));
                break;
            }
            None => {}
        }
    }
    assert_eq!(all, b"one, two, three");
    drop(message);
    assert_eq!(ws.recv().await, Ok(Some("next".into())));
}

#[tokio::test]
async fn a_message_is_written_in_parts_and_arrives_as_one() {
    for deflate in [
        None,
        Some(Deflate::for_client()),
        Some(Deflate::for_server()),
    ] {
        let (mut near, mut far) = connected(deflate).await;
        let payload = sample(200_000);
        let expected = payload.clone();
        let sending = tokio::spawn(async move {
            let mut message = near.send_stream(MessageKind::Binary);
            message.write(payload[..10].to_vec()).await.unwrap();
            message.write(Bytes::new()).await.unwrap();
            message.write_all(&payload[10..50_000]).await.unwrap();
            message.flush().await.unwrap();
            message.write_all(&payload[50_000..150_000]).await.unwrap();
            message
                .write(payload[150_000..190_000].to_vec())
                .await
                .unwrap();
            message.write_all(&payload[190_000..]).await.unwrap();
            message.finish().await.unwrap();
            // By `shutdown`, with nothing at all, and a character over two parts.
            let mut empty = near.send_stream(MessageKind::Text);
            empty.shutdown().await.unwrap();
            assert!(empty.write(&b"more"[..]).await.is_err(), "it has ended");
            assert!(empty.write_all(b"more").await.is_err(), "it has ended");
            drop(empty);
            let mut text = near.send_stream(MessageKind::Text);
            text.write(&b"\xe2"[..]).await.unwrap();
            text.write_all(b"\x82\xac").await.unwrap();
            text.finish().await.unwrap();
            near.send("after").await.unwrap();
            near
        });
        assert!(far.recv().await == Ok(Some(Message::binary(expected))));
        for text in ["", "\u{20ac}", "after"] {
            let received = timeout(PATIENCE, far.recv()).await.unwrap();
            assert_eq!(received, Ok(Some(text.into())));
        }
        sending.await.unwrap();
    }
}

#[tokio::test]
async fn p49_text_that_is_not_utf8_is_refused_and_can_be_gone_on_from() {
    let (mut ws, wire) = server(Config::default()).await;
    let mut message = ws.send_stream(MessageKind::Text);
    assert_eq!(message.write(&b"\xff"[..]).await, Err(Error::NotUtf8));
    message.write(&b"\xe2\x82"[..]).await.unwrap();
    assert_eq!(message.write(&b"x"[..]).await, Err(Error::NotUtf8));
    message.write(&b"\xac"[..]).await.unwrap();
    message.finish().await.unwrap();
    let mut message = ws.send_stream(MessageKind::Text);
    message.write_all(b"\xe2\x82").await.unwrap();
    assert_eq!(
        message.finish().await,
        Err(Error::NotUtf8),
        "within a character"
    );
    ws.send("not disturbed").await.unwrap();
    let sent = wire.frames();
    let payload: Vec<u8> = sent
        .iter()
        .flat_map(|frame| frame.payload.clone())
        .collect();
    assert_eq!(String::from_utf8(payload).unwrap(), "\u{20ac}not disturbed");
}

#[tokio::test]
async fn a_writer_that_is_dropped_unfinished_ends_the_connection_with_1011_and_before_its_first_part_nothing()
 {
    let (mut near, mut far) = connected(None).await;
    drop(near.send_stream(MessageKind::Text));
    let mut unsent = near.send_stream(MessageKind::Text);
    unsent.write_all(b"gathered, and never sent").await.unwrap();
    drop(unsent);
    near.send("nothing happened").await.unwrap();
    assert_eq!(far.recv().await, Ok(Some("nothing happened".into())));

    let mut message = near.send_stream(MessageKind::Text);
    message.write(&b"half"[..]).await.unwrap();
    drop(message);
    assert_eq!(near.send("more").await, Err(Error::Closing));
    let (received, ended) = tokio::join!(far.recv(), near.recv());
    assert_eq!(received, Ok(None), "no message, and the end");
    let outcome = far.outcome().unwrap();
    assert_eq!(outcome.code(), CloseCode::INTERNAL_ERROR);
    assert_eq!(ended, Ok(None));
}

#[tokio::test]
async fn a_reader_that_waits_writes_the_close_of_a_message_that_was_abandoned() {
    // Nothing else wakes the reader.
    let mut config = Config::default();
    config.keepalive_interval = None;
    let (ws, wire) = server(config).await;
    let (mut read, mut write) = ws.split();
    let receiving = tokio::spawn(async move { read.recv().await });
    tokio::task::yield_now().await;
    let mut message = write.send_stream(MessageKind::Text);
    message.write("half").await.unwrap();
    drop(message);
    let closed = wire.script.until(|_| wire.frames().len() == 2);
    timeout(PATIENCE, closed).await.unwrap();
    assert_eq!(wire.frames()[1], wire::close(1011, "message abandoned"));
    receiving.abort();
}

#[tokio::test]
async fn flushes_that_are_dropped_do_not_make_a_later_write_take_nothing() {
    let mut config = Config::default();
    config.limits.soft_queue = 1;
    config.limits.fragment = 16;
    let (mut ws, wire) = server(config).await;
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
    let mut message = ws.send_stream(MessageKind::Binary);
    // The first part fills the queue, the second waits for room, and a whole fragment is gathered behind it.
    for part in [[1; 10], [2; 10]] {
        message.write_all(&part).await.unwrap();
        assert!(poll_times(pin!(message.flush()), 1).await.is_none());
    }
    message.write_all(&[3; 16]).await.unwrap();
    assert!(poll_times(pin!(message.write_all(&[4])), 1).await.is_none());
    wire.script.heal();
    let rest = timeout(PATIENCE, message.write_all(&[4; 40])).await;
    rest.unwrap().unwrap();
    timeout(PATIENCE, message.finish()).await.unwrap().unwrap();
    let sent = wire
        .frames()
        .iter()
        .flat_map(|frame| frame.payload.clone())
        .collect::<Vec<_>>();
    assert_eq!(
        sent,
        [[1; 10].as_slice(), &[2; 10], &[3; 16], &[4; 40]].concat()
    );
}

#[tokio::test]
async fn p90_a_ping_is_answered_and_messages_are_received_while_64_mib_are_sent() {
    const PART: usize = 1 << 20;
    let (near, far) = connected(None).await;
    let (mut read, mut write) = near.split();
    let sending = tokio::spawn(async move {
        let part = Bytes::from(vec![7; PART]);
        let mut message = write.send_stream(MessageKind::Binary);
        for _ in 0..64 {
            message.write(part.clone()).await.unwrap();
        }
        message.finish().await.unwrap();
        write
    });
    let (mut far_read, mut far_write) = far.split();
    let taking = tokio::spawn(async move {
        let mut message = far_read.recv_stream().await.unwrap().unwrap();
        let (mut received, mut most) = (0, 0);
        while let Some(chunk) = message.chunk().await.unwrap() {
            received += chunk.len();
            most = most.max(chunk.len());
            // Pongs come through in between.
            tokio::task::yield_now().await;
        }
        (received, most)
    });
    let echoing = tokio::spawn(async move { read.recv().await });
    timeout(PATIENCE, async {
        for _ in 0..10 {
            let pong = far_write.ping("during").await.unwrap();
            pong.await.unwrap();
        }
        assert!(!taking.is_finished(), "the message is still under way");
        far_write.send("during").await.unwrap();
        assert_eq!(echoing.await.unwrap(), Ok(Some("during".into())));
        let (received, most) = taking.await.unwrap();
        assert_eq!(received, 64 * PART);
        assert!(most <= 65 << 10, "{most}");
        sending.await.unwrap();
    })
    .await
    .unwrap();
}

#[tokio::test(start_paused = true)]
async fn p85_a_peer_that_does_not_read_makes_the_writer_wait_and_then_fail() {
    for in_parts in [false, true] {
        let (mut ws, wire) = client(Config::default()).await;
        wire.script
            .fault_writes_at(wire.script.written().len(), Fault::Stall);
        let mut message = ws.send_stream(MessageKind::Binary);
        let mut taken = 0;
        let begun = tokio::time::Instant::now();
        let error = loop {
            let part = vec![7; 16 << 10];
            let sent = if in_parts {
                message.write(part).await.map_err(Into::into)
            } else {
                message.write_all(&part).await
            };
            match sent {
                Ok(()) => taken += 1,
                Err(error) => break error,
            }
            assert!(taken < 20, "the queue is bounded");
        };
        assert_eq!(begun.elapsed(), Config::default().write_timeout);
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionAborted);
        drop(message);
        assert!(matches!(ws.send("more").await, Err(Error::Ended(_))));
    }
}

#[tokio::test]
async fn corked_and_split_handlers_stream_as_any_other() {
    let (client, server) = connected(None).await;
    // Sends back in parts what comes in parts.
    let handler = tokio::spawn(corked(server, async |ws| {
        let (mut read, mut write) = ws.split();
        while let Some(mut message) = read.recv_stream().await? {
            let mut answer = write.send_stream(message.kind());
            while let Some(chunk) = message.chunk().await? {
                answer.write(chunk).await?;
            }
            answer.finish().await?;
        }
        Ok::<_, Error>(())
    }));
    let (mut read, mut write) = client.split();
    let sending = tokio::spawn(async move {
        for len in [0, 10, 3 << 20, 70_000] {
            write.send(sample(len)).await.unwrap();
        }
        write
    });
    for len in [0, 10, 3 << 20, 70_000] {
        let received = timeout(PATIENCE, read.recv()).await.unwrap();
        assert!(received == Ok(Some(Message::binary(sample(len)))), "{len}");
    }
    let mut write = sending.await.unwrap();
    let (outcome, end) = tokio::join!(write.close(CloseFrame::normal()), read.recv());
    assert!(outcome.clean);
    assert_eq!(end, Ok(None));
    assert_eq!(handler.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn p87_writing_dropped_after_every_poll_sends_each_part_at_most_once_and_goes_on() {
    for gathered in [false, true] {
        dropped_after_every_poll(async |polls| {
            let mut config = Config::default();
            config.limits.soft_queue = 8;
            config.limits.fragment = 4;
            let (mut ws, wire) = server(config).await;
            wire.script.chunk_writes(1);
            wire.script.single_steps();
            let mut message = ws.send_stream(MessageKind::Text);
            message.write(&b"<"[..]).await.unwrap();
            let done = if gathered {
                poll_times(pin!(message.write_all(b"0123456789")), polls)
                    .await
                    .is_some()
            } else {
                poll_times(pin!(message.write(&b"0123456789"[..])), polls)
                    .await
                    .is_some()
            };
            message.write(&b">"[..]).await.unwrap();
            message.finish().await.unwrap();
            let frames = wire.frames();
            assert!(frames.last().unwrap().fin);
            let sent: Vec<u8> = frames
                .iter()
                .flat_map(|frame| frame.payload.clone())
                .collect();
            let sent = String::from_utf8(sent).unwrap();
            let inner = sent.strip_prefix('<').unwrap().strip_suffix('>').unwrap();
            if gathered {
                assert!("0123456789".starts_with(inner), "{polls} polls: {sent}");
            } else {
                assert!(["", "0123456789"].contains(&inner), "{polls} polls: {sent}");
            }
            assert!(!done || inner.len() == 10, "{polls} polls: {sent}");
            done
        })
        .await;
    }
}

#[tokio::test]
async fn finishing_dropped_before_it_is_done_abandons_the_message_or_has_sent_it() {
    dropped_after_every_poll(async |polls| {
        let (mut ws, wire) = server(Config::default()).await;
        wire.script.chunk_writes(1);
        wire.script.single_steps();
        let mut message = ws.send_stream(MessageKind::Text);
        message.write(&b"a"[..]).await.unwrap();
        message.write_all(b"b").await.unwrap();
        let done = poll_times(pin!(message.finish()), polls).await.is_some();
        let flushed = ws.flush().await;
        let frames = wire.frames();
        let whole = frames.iter().any(|frame| frame.opcode == 0 && frame.fin);
        let closed = frames.iter().any(|frame| frame.opcode == 8);
        assert_ne!(whole, closed, "{polls} polls: {frames:?}, {flushed:?}");
        assert!(!done || whole);
        done
    })
    .await;
}

#[tokio::test]
async fn sixty_four_mebibytes_pass_each_way_in_little_memory() {
    const PARTS: usize = 256;
    for deflate in [
        None,
        Some(Deflate::for_client()),
        Some(Deflate::for_server()),
    ] {
        let (mut near, mut far) = connected(deflate).await;
        let part = Bytes::from(sample(256 << 10));
        let len = part.len();
        let sending = async {
            let mut message = near.send_stream(MessageKind::Binary);
            for _ in 0..PARTS {
                message.write(part.clone()).await.unwrap();
            }
            message.finish().await.unwrap();
        };
        let receiving = async {
            let mut message = far.recv_stream().await.unwrap().unwrap();
            let mut received = 0;
            while let Some(chunk) = message.chunk().await.unwrap() {
                received += chunk.len();
            }
            received
        };
        let mut both = pin!(async { tokio::join!(sending, receiving).1 });
        // In one task, and polled by hand, so that nothing else on this thread is counted.
        let mut most = 0;
        let received = std::future::poll_fn(|cx| {
            let mut polled = Poll::Pending;
            let info = allocation_counter::measure(|| polled = both.as_mut().poll(cx));
            most = most.max(info.bytes_max);
            polled
        })
        .await;
        assert_eq!(received, PARTS * len);
        assert!(most <= 2 << 20, "{most} bytes, {deflate:?}");
    }
}
