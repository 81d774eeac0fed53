//! Goal: a connection is a stream of bytes as tokio's helpers expect one.
//! Method: two ends in memory, scripted transports, and a WebSocket inside a WebSocket.

mod common;

use std::{io::ErrorKind, pin::pin};

use common::{poll_times, raw::within, server};
use fullduplex::{
    Acceptor, Client, CloseFrame, Config, Error, Io, Message, MessageKind, WebSocket,
};
use fullduplex_testkit::{Fault, wire};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

async fn text_io() -> (Io, common::Wire) {
    let (ws, wire) = server(Config::default()).await;
    (ws.into_io(MessageKind::Text), wire)
}

#[tokio::test]
async fn a_short_read_leaves_the_rest_for_the_next_and_reads_run_on_over_messages() {
    let (ws, wire) = server(Config::default()).await;
    let long: Vec<u8> = (0..=255).cycle().take(1300).collect();
    wire.push([
        wire::binary(&long),
        wire::text(""),
        wire::text("short").not_fin(),
        wire::continuation("er"),
        wire::close(1000, ""),
    ]);
    wire.script.push_end();
    let mut io = ws.into_io(MessageKind::Binary);
    let mut buffer = [0; 512];
    let mut reads = Vec::new();
    loop {
        let n = within(io.read(&mut buffer)).await.unwrap();
        if n == 0 {
            break;
        }
        reads.push(buffer[..n].to_vec());
    }
    let lengths: Vec<usize> = reads.iter().map(Vec::len).collect();
    assert_eq!(lengths, [512, 512, 276, 7]);
    assert_eq!(reads.concat(), [&long[..], b"shorter"].concat());
    assert_eq!(io.read(&mut buffer).await.unwrap(), 0, "still at the end");
    assert!(io.get_ref().outcome().unwrap().clean);
}

#[tokio::test]
async fn lines_go_over_the_bounds_of_messages() {
    let (io, wire) = text_io().await;
    wire.push(["first l", "ine\nsecond line\nthi", "rd"].map(wire::text));
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    let mut lines = io.lines();
    for expected in ["first line", "second line", "third"] {
        assert_eq!(lines.next_line().await.unwrap().unwrap(), expected);
    }
    assert_eq!(lines.next_line().await.unwrap(), None);
}

#[tokio::test]
async fn an_end_without_close_is_an_error_that_tells_the_outcome() {
    let (mut io, wire) = text_io().await;
    wire.push([wire::text("cut")]);
    wire.script.push_end();
    let mut all = Vec::new();
    let error = io.read_to_end(&mut all).await.unwrap_err();
    assert_eq!(all, b"cut");
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
    let inner = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    assert_eq!(inner.outcome().unwrap().code().get(), 1006);
    let error = io.write_all(b"late").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn one_write_is_one_message_up_to_a_fragment() {
    let mut config = Config::default();
    config.limits.fragment = 10;
    let (ws, wire) = server(config).await;
    let mut io = ws.into_io(MessageKind::Binary);
    assert_eq!(io.write(b"one").await.unwrap(), 3);
    assert_eq!(wire.frames(), [wire::binary("one")], "written at once");
    assert_eq!(io.write(b"").await.unwrap(), 0);
    io.write_all(b"0123456789abc").await.unwrap();
    let parts = [&b"vec"[..], b"", b"tored", b"write"].map(std::io::IoSlice::new);
    assert_eq!(io.write_vectored(&parts).await.unwrap(), 10);
    let expected = ["one", "0123456789", "abc", "vectoredwr"].map(wire::binary);
    assert_eq!(wire.frames(), expected);
}

#[tokio::test]
async fn text_that_is_cut_inside_a_character_leaves_whole_and_bad_text_is_an_error() {
    let (mut io, wire) = text_io().await;
    for byte in "aé€😀!".bytes() {
        assert_eq!(io.write(&[byte]).await.unwrap(), 1);
    }
    let expected = ["a", "é", "€", "😀", "!"].map(wire::text);
    assert_eq!(wire.frames(), expected);
    let error = io.write(b"good \xff bad").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    assert_eq!(wire.frames().len(), 5, "nothing of it was sent");
    io.write_all(&"€".as_bytes()[..2]).await.unwrap();
    let error = io.shutdown().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidData);
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    within(io.shutdown()).await.unwrap();
    assert_eq!(wire.frames()[5..], [wire::close(1000, "")]);
}

#[tokio::test]
async fn copy_is_an_echo_server() {
    let (mut client, server) = WebSocket::pair();
    let echo = tokio::spawn(async move {
        let (mut read, mut write) = tokio::io::split(server.into_io(MessageKind::Text));
        tokio::io::copy(&mut read, &mut write).await
    });
    let long = "żółw ".repeat(20_000);
    for text in ["hello", long.as_str(), ""] {
        client.send(text).await.unwrap();
        let mut echoed = String::new();
        while echoed.len() < text.len() {
            let message = within(client.recv()).await.unwrap().unwrap();
            echoed.push_str(message.as_text().unwrap());
        }
        assert_eq!(echoed, text);
    }
    assert!(within(client.close(CloseFrame::normal())).await.clean);
    let copied = within(echo).await.unwrap().unwrap();
    assert_eq!(copied, 5 + long.len() as u64);
}

#[tokio::test]
async fn shutting_down_closes_with_1000_behind_what_was_written() {
    let (mut client, server) = WebSocket::pair();
    let writing = tokio::spawn(async move {
        let mut io = server.into_io(MessageKind::Binary);
        io.write_all(b"the last words").await.unwrap();
        io.shutdown().await
    });
    assert_eq!(
        within(client.recv()).await,
        Ok(Some(b"the last words"[..].into()))
    );
    assert_eq!(within(client.recv()).await, Ok(None));
    assert_eq!(client.outcome().unwrap().code().get(), 1000);
    within(writing).await.unwrap().unwrap();
}

#[tokio::test]
async fn p87_a_write_that_waits_and_is_dropped_has_written_nothing() {
    let mut config = Config::default();
    config.limits.soft_queue = 10;
    let (ws, wire) = server(config).await;
    let start = wire.script.written().len();
    wire.script.fault_writes_at(start, Fault::Stall);
    let mut io = ws.into_io(MessageKind::Binary);
    assert_eq!(io.write(b"fills the queue").await.unwrap(), 15);
    for polls in 1..4 {
        assert!(
            poll_times(pin!(io.write(b"dropped")), polls)
                .await
                .is_none()
        );
        assert!(poll_times(pin!(io.flush()), polls).await.is_none());
    }
    wire.script.heal();
    within(io.flush()).await.unwrap();
    assert_eq!(wire.frames(), [wire::binary("fills the queue")]);
}

#[tokio::test]
async fn p86_reads_dropped_after_every_poll_lose_nothing() {
    let (mut io, wire) = text_io().await;
    wire.push(["one ", "two ", "three"].map(wire::text));
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    wire.script.chunk_reads(1);
    wire.script.single_steps();
    let mut all = Vec::new();
    let mut buffer = [0; 2];
    loop {
        match poll_times(pin!(io.read(&mut buffer)), 1).await {
            Some(Ok(0)) => break,
            Some(n) => all.extend_from_slice(&buffer[..n.unwrap()]),
            None => {}
        }
    }
    assert_eq!(all, b"one two three");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_tasks_share_it_by_tokios_split_and_miss_no_wake_up() {
    const BYTES: usize = 1 << 20;
    // A pipe that is nearly always full.
    let (near, far) = tokio::io::duplex(600);
    let accepting = tokio::spawn(async move { Acceptor::new().accept(far).await });
    let client = Client::new("ws://example.com/").unwrap();
    let client = within(client.connect_over(near)).await.unwrap().0;
    let server = accepting.await.unwrap().unwrap();
    let both = [client, server].map(|ws| {
        let (mut read, mut write) = tokio::io::split(ws.into_io(MessageKind::Binary));
        let writing = tokio::spawn(async move {
            write.write_all(&vec![7; BYTES]).await.unwrap();
            write.flush().await.unwrap();
            write
        });
        let reading = tokio::spawn(async move {
            let mut all = vec![0; BYTES];
            read.read_exact(&mut all).await.unwrap();
            assert!(all.iter().all(|byte| *byte == 7));
            read
        });
        async move { (writing.await.unwrap(), reading.await.unwrap()) }
    });
    let [client, server] = both;
    within(async { tokio::join!(client, server) }).await;
}

#[tokio::test]
async fn a_websocket_runs_inside_a_websocket_inside_a_websocket() {
    let (mut near, mut far) = WebSocket::pair();
    for _ in 0..2 {
        let accepting = tokio::spawn(async move {
            let io = far.into_io(MessageKind::Binary);
            Acceptor::new().accept(io).await.unwrap()
        });
        let io = near.into_io(MessageKind::Binary);
        let client = Client::new("ws://inner.example/").unwrap();
        near = within(client.connect_over(io)).await.unwrap().0;
        far = within(accepting).await.unwrap();
    }
    let echo = tokio::spawn(async move {
        while let Some(message) = far.recv().await? {
            far.send(message).await?;
        }
        Ok::<_, Error>(())
    });
    for len in [0, 1, 200, 70_000, 1 << 20] {
        let message = Message::binary(vec![7; len]);
        let (sent, received) =
            within(async { (near.send(message.clone()).await, near.recv().await) }).await;
        sent.unwrap();
        assert_eq!(received, Ok(Some(message)));
    }
    assert!(within(near.close(CloseFrame::normal())).await.clean);
    assert_eq!(within(echo).await.unwrap(), Ok(()));
}
