//! Goal: a future dropped after any poll loses nothing beyond what its documentation says.
//! Method: a transport that moves one byte per poll, and futures dropped after every number of polls.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    collections::VecDeque,
    future::Future,
    pin::{Pin, pin},
};

use common::{client, dropped_after_every_poll, poll_times, server};
use fullduplex::{
    Acceptor, Client, CloseCode, CloseFrame, Config, Error, Event, HandshakeError, Message,
    ReadHalf, WebSocket, WriteHalf, handshake::Rejection,
};
use fullduplex_testkit::{Peer, wire};

fn sample() -> Vec<wire::Frame> {
    vec![
        wire::text("hello"),
        wire::ping("are you there"),
        wire::text("frag").not_fin(),
        wire::pong("unasked"),
        wire::continuation("mented é").not_fin(),
        wire::continuation(""),
        wire::binary(vec![7; 300]),
        wire::text(""),
    ]
}

fn sample_messages() -> Vec<Message> {
    vec![
        "hello".into(),
        "fragmented é".into(),
        vec![7; 300].into(),
        "".into(),
    ]
}

#[tokio::test]
async fn p86_recv_dropped_after_every_poll_loses_nothing() {
    for polls in 1..4 {
        let (mut ws, wire) = server(Config::default()).await;
        wire.push(sample());
        wire.push([wire::close(1000, "bye")]);
        wire.script.push_end();
        wire.script.chunk_reads(1);
        wire.script.single_steps();
        let mut messages = Vec::new();
        let end = loop {
            match poll_times(pin!(ws.recv()), polls).await {
                Some(Ok(Some(message))) => messages.push(message),
                Some(end) => break end,
                None => {}
            }
        };
        assert_eq!(end, Ok(None));
        assert_eq!(messages, sample_messages());
        assert_eq!(
            wire.frames(),
            [wire::pong("are you there"), wire::close(1000, "")]
        );
    }
}

#[tokio::test]
async fn p86_a_client_loses_nothing_either() {
    let (mut ws, wire) = client(Config::default()).await;
    wire.push(sample());
    wire.push([wire::close(1000, "bye")]);
    wire.script.push_end();
    wire.script.chunk_reads(1);
    wire.script.single_steps();
    let mut messages = Vec::new();
    let end = loop {
        match poll_times(pin!(ws.recv()), 1).await {
            Some(Ok(Some(message))) => messages.push(message),
            Some(end) => break end,
            None => {}
        }
    };
    assert_eq!(end, Ok(None));
    assert_eq!(messages, sample_messages());
}

#[tokio::test]
async fn p87_send_dropped_after_every_poll_is_all_or_nothing() {
    let payload: Vec<u8> = (0..=255).cycle().take(5000).collect();
    let mut completed = false;
    for polls in 0.. {
        let (mut ws, wire) = server(Config::default()).await;
        wire.script.chunk_writes(100);
        wire.script.single_steps();
        completed = poll_times(pin!(ws.send(payload.clone())), polls)
            .await
            .is_some();
        ws.send("the next").await.unwrap();
        let frames = wire.frames();
        let whole = [wire::binary(&payload), wire::text("the next")];
        assert!(
            frames == whole || (polls == 0 && frames == whole[1..]),
            "{polls} polls: {frames:?}"
        );
        if completed {
            break;
        }
    }
    assert!(completed);
}

#[tokio::test]
async fn p87_feed_that_waits_for_room_and_is_dropped_queues_nothing() {
    let mut config = Config::default();
    config.limits.soft_queue = 10;
    let (mut ws, wire) = server(config).await;
    wire.script.fault_writes_at(
        wire.script.written().len(),
        fullduplex_testkit::Fault::Stall,
    );
    ws.feed("more than the soft limit").await.unwrap();
    assert!(
        poll_times(pin!(ws.feed("lost with its future")), 3)
            .await
            .is_none()
    );
    wire.script.heal();
    ws.flush().await.unwrap();
    assert_eq!(wire.frames(), [wire::text("more than the soft limit")]);
}

#[tokio::test]
async fn p87_send_many_dropped_after_every_poll_has_queued_what_it_has_taken() {
    let texts: Vec<_> = (0..20).map(|i| format!("message {i}")).collect();
    for polls in 0..3 {
        let mut config = Config::default();
        config.limits.soft_queue = 200;
        let (mut ws, wire) = server(config).await;
        wire.script.chunk_writes(7);
        wire.script.single_steps();
        let mut messages: VecDeque<_> = texts.iter().map(|text| text.as_str().into()).collect();
        while poll_times(pin!(ws.send_many(&mut messages)), polls)
            .await
            .is_none()
        {
            if polls == 0 {
                assert_eq!(messages.len(), 20);
                break;
            }
        }
        ws.send_many(&mut messages).await.unwrap();
        let frames: Vec<_> = texts.iter().map(wire::text).collect();
        assert_eq!(wire.frames(), frames, "{polls} polls");
    }
}

#[tokio::test]
async fn p88_flush_dropped_after_every_poll_goes_on_where_it_was() {
    let (mut ws, wire) = client(Config::default()).await;
    wire.script.chunk_writes(3);
    wire.script.single_steps();
    for i in 0..5 {
        ws.feed(format!("message {i}")).await.unwrap();
    }
    while poll_times(pin!(ws.flush()), 1).await.is_none() {}
    let texts: Vec<_> = wire
        .frames()
        .into_iter()
        .map(wire::Frame::without_key)
        .collect();
    assert_eq!(
        texts,
        (0..5)
            .map(|i| wire::text(format!("message {i}")))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn p88_close_dropped_after_every_poll_goes_on_where_it_was() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script.chunk_writes(1);
    wire.script.chunk_reads(1);
    wire.script.single_steps();
    wire.push([wire::text("thrown away"), wire::close(4000, "you too")]);
    wire.script.push_end();
    let frame = CloseFrame::new(CloseCode::GOING_AWAY, "going").unwrap();
    let outcome = loop {
        if let Some(outcome) = poll_times(pin!(ws.close(frame.clone())), 1).await {
            break outcome;
        }
    };
    assert!(outcome.clean);
    assert_eq!(outcome.code().get(), 4000);
    assert_eq!(wire.frames(), [wire::close(1001, "going")]);
    assert_eq!(
        ws.close(frame).await,
        outcome,
        "closing again says the same"
    );
}

#[tokio::test]
async fn p34_dropping_connect_closes_its_stream() {
    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    let client = Client::new("ws://example.com/").unwrap();
    assert!(poll_times(pin!(client.connect_over(io)), 5).await.is_none());
    assert!(script.is_dropped());
}

#[tokio::test]
async fn recv_after_the_end_says_the_same_again() {
    let (mut ws, wire) = server(Config::default()).await;
    wire.script.push_end();
    let first = ws.recv().await;
    assert!(
        matches!(&first, Err(Error::Ended(outcome)) if outcome.code() == CloseCode::ABNORMAL_CLOSURE)
    );
    assert_eq!(ws.recv().await, first);
}

#[tokio::test]
async fn settings_at_their_extremes_neither_panic_nor_spin() {
    let mut config = Config::default();
    config.limits.fragment = 0;
    config.limits.soft_queue = 0;
    let (mut ws, wire) = server(config).await;
    ws.send("ab").await.unwrap();
    assert_eq!(
        wire.frames(),
        [wire::text("a").not_fin(), wire::continuation("b")]
    );

    let (io, script) = fullduplex_testkit::ScriptedIo::new();
    script.push(common::REQUEST);
    let acceptor = Acceptor::new().handshake_timeout(std::time::Duration::MAX);
    acceptor.accept(io).await.unwrap();
}

/// One operation of an open connection.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Recv,
    RecvEvent,
    RecvStream,
    Send,
    Feed,
    Flush,
    Ping,
    Pong,
    Close,
}

const OPS: [Op; 9] = [
    Op::Recv,
    Op::RecvEvent,
    Op::RecvStream,
    Op::Send,
    Op::Feed,
    Op::Flush,
    Op::Ping,
    Op::Pong,
    Op::Close,
];

/// What a future is asked from.
enum Subject {
    Whole(WebSocket),
    Halves(ReadHalf, WriteHalf),
}

type Doing<'a> = Pin<Box<dyn Future<Output = Option<Message>> + 'a>>;

impl Subject {
    /// The operation's future. Its output is a message that the application keeps.
    fn start(&mut self, op: Op) -> Doing<'_> {
        /// The same calls on the whole and on its halves.
        macro_rules! start {
            ($reader:expr, $writer:expr) => {
                match op {
                    Op::Recv => Box::pin(async { $reader.recv().await.unwrap() }),
                    Op::RecvEvent => Box::pin(async {
                        match $reader.recv_event().await.unwrap() {
                            Some(Event::Message(message)) => Some(message),
                            _ => None,
                        }
                    }),
                    Op::RecvStream => Box::pin(async {
                        let opened = $reader.recv_stream().await.unwrap();
                        assert!(opened.is_some());
                        // Dropped, it gives the message up.
                        Some(sample_messages().remove(0))
                    }),
                    Op::Send => {
                        Box::pin(async { $writer.send(SENT).await.map(|()| None).unwrap() })
                    }
                    Op::Feed => {
                        Box::pin(async { $writer.feed(SENT).await.map(|()| None).unwrap() })
                    }
                    Op::Flush => Box::pin(async { $writer.flush().await.map(|()| None).unwrap() }),
                    Op::Ping => Box::pin(async { $writer.ping("op").await.map(|_| None).unwrap() }),
                    Op::Pong => {
                        Box::pin(async { $writer.pong("op").await.map(|()| None).unwrap() })
                    }
                    Op::Close => Box::pin(async {
                        $writer.close(going_away()).await;
                        None
                    }),
                }
            };
        }
        match self {
            Self::Whole(ws) => start!(ws, ws),
            Self::Halves(read, write) => start!(read, write),
        }
    }

    /// Receives to the end, which is a clean one.
    async fn rest(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        loop {
            let received = match self {
                Self::Whole(ws) => ws.recv().await,
                Self::Halves(read, _) => read.recv().await,
            };
            match received.unwrap() {
                Some(message) => messages.push(message),
                None => return messages,
            }
        }
    }
}

const QUEUED: &str = "queued before";
const SENT: &str = "sent by the future";

fn going_away() -> CloseFrame {
    CloseFrame::new(CloseCode::GOING_AWAY, "going").unwrap()
}

/// Drops the operation's future after so many polls, and has fresh futures go on to the end. Says whether it was done by then.
async fn drop_after(op: Op, halves: bool, as_client: bool, polls: usize) -> bool {
    let (ws, wire) = if as_client {
        client(Config::default()).await
    } else {
        server(Config::default()).await
    };
    let mut subject = if halves {
        let (read, write) = ws.split();
        Subject::Halves(read, write)
    } else {
        Subject::Whole(ws)
    };
    match &mut subject {
        Subject::Whole(ws) => ws.feed(QUEUED).await.unwrap(),
        Subject::Halves(_, write) => write.feed(QUEUED).await.unwrap(),
    }
    wire.push(sample());
    wire.push([wire::close(1000, "bye")]);
    wire.script.push_end();
    wire.script.chunk_reads(5);
    wire.script.chunk_writes(3);
    wire.script.single_steps();

    let done = poll_times(subject.start(op).as_mut(), polls).await;
    let mut messages: Vec<_> = done.iter().flatten().cloned().collect();
    messages.extend(subject.rest().await);

    let place = format!("{op:?} after {polls} polls, halves: {halves}, client: {as_client}");
    let begun = polls > 0;
    let mut data = vec![wire::text(QUEUED)];
    if begun && matches!(op, Op::Send | Op::Feed) {
        data.push(wire::text(SENT));
    }
    let mut control = Vec::new();
    match op {
        Op::Ping if begun => control.push(wire::ping("op")),
        Op::Pong if begun => control.push(wire::pong("op")),
        _ => {}
    }
    if begun && op == Op::Close {
        assert_eq!(messages, [], "{place}");
        control.push(wire::close(1001, "going"));
    } else {
        assert_eq!(messages, sample_messages(), "{place}");
        control.push(wire::pong("are you there"));
        control.push(wire::close(1000, ""));
    }
    let frames = wire.frames().into_iter().map(wire::Frame::without_key);
    let (mut said, told): (Vec<_>, Vec<_>) = frames.partition(wire::Frame::is_control);
    assert_eq!(told, data, "{place}");
    assert_eq!(said.last(), control.last(), "{place}: the Close is last");
    // Pongs go before pings, whichever was first.
    let by_payload = |frame: &wire::Frame| (frame.opcode, frame.payload.clone());
    said.sort_by_key(by_payload);
    control.sort_by_key(by_payload);
    assert_eq!(said, control, "{place}");
    done.is_some()
}

#[tokio::test]
async fn p86_p87_p88_any_future_dropped_after_any_poll_loses_nothing_and_says_nothing_twice() {
    for op in OPS {
        for (halves, as_client) in [(false, false), (false, true), (true, false), (true, true)] {
            dropped_after_every_poll(async |polls| drop_after(op, halves, as_client, polls).await)
                .await;
        }
    }
}

#[tokio::test]
async fn a_handshake_dropped_after_any_poll_closes_its_stream_and_has_said_the_front_of_its_answer()
{
    let accepted = common::raw::acceptance("");
    let rejected = String::from_utf8(rejection().to_bytes()).unwrap();
    for (answer, accept) in [(&accepted, true), (&rejected, false)] {
        dropped_after_every_poll(async |polls| {
            let (io, peer) = Peer::client();
            peer.script.push_end();
            peer.script.chunk_reads(9);
            peer.script.chunk_writes(9);
            peer.script.single_steps();
            let acceptor = Acceptor::new();
            let done = {
                let whole = async {
                    let handshake = acceptor.handshake(io).await?;
                    if accept {
                        return handshake.accept().await;
                    }
                    Err(handshake.reject(rejection()).await)
                };
                poll_times(pin!(whole), polls).await
            };
            let written = peer.script.written();
            let is_done = done.is_some();
            assert!(answer.as_bytes().starts_with(&written), "{polls} polls");
            if is_done {
                assert_eq!(written.len(), answer.len());
                assert_eq!(matches!(done, Some(Ok(_))), accept);
                assert!(accept || matches!(done, Some(Err(HandshakeError::Rejected(_)))));
            }
            drop(done);
            assert!(peer.script.is_dropped(), "{polls} polls");
            is_done
        })
        .await;
    }
}

fn rejection() -> Rejection {
    Rejection::new(401, "Log in first.")
}

#[tokio::test]
async fn p34_connecting_dropped_after_any_poll_closes_its_stream_and_has_asked_once_at_most() {
    dropped_after_every_poll(async |polls| {
        let (io, peer) = Peer::server();
        peer.script.chunk_reads(9);
        peer.script.chunk_writes(9);
        peer.script.single_steps();
        let client = Client::new("ws://server.example.com/chat").unwrap();
        let done = {
            let connecting = async { tokio::join!(client.connect_over(io), peer.accept("")).0 };
            poll_times(pin!(connecting), polls).await
        };
        let asked = String::from_utf8(peer.script.written()).unwrap();
        assert!(asked.matches("GET ").count() <= 1, "{polls} polls: {asked}");
        let is_done = done.is_some();
        if let Some(connected) = done {
            connected.unwrap();
        }
        assert!(peer.script.is_dropped(), "{polls} polls");
        is_done
    })
    .await;
}

/// An echo that is corked or handled is dropped after each poll: what has left are whole frames of the front of what was
/// to be said, but for the last, and the transport goes with the future.
async fn helper_dropped(handled: bool) {
    let expected = {
        let (ws, wire) = scripted_echo().await;
        echoing(ws, handled).await;
        wire.script.written()
    };
    dropped_after_every_poll(async |polls| {
        let (ws, wire) = scripted_echo().await;
        let done = poll_times(pin!(echoing(ws, handled)), polls)
            .await
            .is_some();
        let written = wire.script.written();
        assert!(expected.starts_with(&written), "{polls} polls");
        assert!(!done || written.len() == expected.len());
        assert!(wire.script.is_dropped(), "{polls} polls");
        done
    })
    .await;
}

async fn scripted_echo() -> (WebSocket, Peer) {
    let (ws, wire) = server(Config::default()).await;
    wire.push([wire::text("one"), wire::ping("p"), wire::binary([2; 40])]);
    wire.push([wire::close(1000, "")]);
    wire.script.push_end();
    wire.script.chunk_reads(7);
    wire.script.chunk_writes(5);
    wire.script.single_steps();
    (ws, wire)
}

async fn echoing(ws: WebSocket, handled: bool) {
    let echo = async |mut ws: WebSocket| {
        while let Some(message) = ws.recv().await? {
            ws.send(message).await?;
        }
        Ok::<_, Error>(())
    };
    if handled {
        assert!(fullduplex::handled(ws, echo).await.clean);
    } else {
        fullduplex::corked(ws, echo).await.unwrap();
    }
}

#[tokio::test]
async fn a_corked_handler_dropped_after_any_poll_takes_its_connection_along() {
    helper_dropped(false).await;
}

#[tokio::test]
async fn a_handled_connection_dropped_after_any_poll_goes_with_its_handler() {
    helper_dropped(true).await;
}
