//! Goal: compression changes nothing that an application sees, whatever was agreed on and however the bytes are cut.
//! Method: proptest, as in `properties.rs`.

mod common;

use bytes::{BufMut, Bytes};
use common::{Flush, Raw, agree, endpoint_with};
use fullduplex_proto::{
    Config, Deflate, DeflateParams, Event, Message, MessageKind, Outgoing, Prepared, Role, State,
};
use fullduplex_testkit::{
    Endpoint,
    wire::{self, Frame},
};
use proptest::{collection::vec, prelude::*};

/// Every combination that can be agreed on, and what each side adds to it.
fn params() -> impl Strategy<Value = DeflateParams> {
    let side = || (any::<bool>(), 9..=15_u8);
    let threshold = prop_oneof![2 => Just(0_usize), 1 => 1..600_usize];
    (side(), side(), 1..=9_u8, threshold).prop_map(|(server, client, level, threshold)| {
        let mut deflate = Deflate::for_client();
        (
            deflate.server_no_context_takeover,
            deflate.server_max_window_bits,
        ) = server;
        (
            deflate.client_no_context_takeover,
            deflate.client_max_window_bits,
        ) = client;
        deflate.level = level;
        deflate.threshold = threshold;
        agree(deflate, deflate)
    })
}

/// Payloads that shrink much, a little, and not at all, some longer than every window.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => vec(any::<u8>(), 0..300),
        3 => (0..3000_usize).prop_map(|len| common::text(len).into_bytes()),
        1 => (0..80_000_u64).prop_map(common::noise),
        1 => (any::<u8>(), 0..300_000_usize).prop_map(|(byte, len)| vec![byte; len]),
        1 => (0..100_000_usize).prop_map(|len| common::text(len).into_bytes()),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        payload().prop_map(Message::binary),
        ".{0,200}".prop_map(Message::text),
    ]
}

/// One message, in one of the ways in which it can be sent.
#[derive(Clone, Debug)]
enum Act {
    Send(Message),
    Uncompressed(Message),
    Prepared(Message),
    InParts(MessageKind, Vec<Vec<u8>>),
    Ping,
    /// So long that the compressor is dropped.
    Wait,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => message().prop_map(Act::Send),
        1 => message().prop_map(Act::Uncompressed),
        2 => message().prop_map(Act::Prepared),
        2 => vec(payload(), 1..5).prop_map(|parts| Act::InParts(MessageKind::Binary, parts)),
        1 => ".{0,50}".prop_map(|text| {
            let parts = text.as_bytes().chunks(1).map(<[u8]>::to_vec);
            Act::InParts(MessageKind::Text, parts.chain([Vec::new()]).collect())
        }),
        1 => Just(Act::Ping),
        1 => Just(Act::Wait),
    ]
}

/// Sends it, and returns the bytes that leave and the message that they carry.
fn play(endpoint: &mut Endpoint, act: &Act) -> (Vec<u8>, Option<Message>) {
    let now = endpoint.now;
    let mut send = |outgoing: Outgoing| {
        let queued = endpoint.connection.send(now, outgoing);
        assert!(queued.is_ok());
    };
    let carried = match act {
        Act::Send(message) => {
            send(message.clone().into());
            Some(message.clone())
        }
        Act::Uncompressed(message) => {
            send(message.clone().uncompressed());
            Some(message.clone())
        }
        Act::Prepared(message) => {
            send(Prepared::compressed(message, &common::no_takeover()).into());
            Some(message.clone())
        }
        Act::InParts(kind, parts) => {
            let mut bytes = Vec::new();
            for (n, part) in parts.iter().enumerate() {
                let part = Bytes::copy_from_slice(part);
                let fin = n + 1 == parts.len();
                let queued = endpoint.connection.send_part(now, *kind, part, fin);
                assert_eq!(queued, Ok(()));
                bytes.extend(endpoint.transmit_bytes());
            }
            let whole = parts.concat();
            let message = match kind {
                MessageKind::Text => Message::text(String::from_utf8_lossy(&whole).into_owned()),
                MessageKind::Binary => Message::binary(whole),
            };
            return (bytes, Some(message));
        }
        Act::Ping => {
            let _ = endpoint.connection.ping(now, Bytes::from_static(b"ping"));
            None
        }
        Act::Wait => {
            endpoint.wait(std::time::Duration::from_secs(31));
            endpoint.connection.handle_timeout(endpoint.now);
            None
        }
    };
    (endpoint.transmit_bytes(), carried)
}

/// Whole messages, put together where they came in parts; what is not complete is left out.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    messages: Vec<Message>,
    begun: Vec<u8>,
    controls: usize,
}

impl Heard {
    fn take(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Message(message) => self.messages.push(message),
                Event::Part { kind, payload, fin } => {
                    self.begun.extend(&payload);
                    if fin {
                        let whole = std::mem::take(&mut self.begun);
                        self.messages.push(match kind {
                            MessageKind::Text => {
                                Message::text(String::from_utf8_lossy(&whole).into_owned())
                            }
                            MessageKind::Binary => Message::binary(whole),
                        });
                    }
                }
                _ => self.controls += 1,
            }
        }
    }
}

/// Deflate data as a peer sends it.
fn data() -> impl Strategy<Value = Vec<u8>> {
    let level = prop_oneof![Just(0), Just(1), Just(6)];
    let flush = prop_oneof![3 => Just(Flush::SyncFlush), 1 => Just(Flush::Finish)];
    (payload(), level, flush).prop_map(|(data, level, flush)| {
        let raw = Raw::new(level, 9).push(&data, flush).bytes();
        let tail = [0, 0, 0xff, 0xff];
        raw.strip_suffix(&tail).unwrap_or(&raw).to_vec()
    })
}

/// Frames of which most carry deflate data, right or wrong.
fn frame() -> impl Strategy<Value = Frame> {
    let broken = (data(), any::<prop::sample::Index>(), any::<u8>());
    let broken = broken.prop_map(|(mut data, at, byte)| {
        let at = at.index(data.len() + 1);
        data.splice(at..(at + 1).min(data.len()), [byte]);
        data
    });
    let opcode = prop_oneof![8 => Just(0x2), 3 => Just(0x0), 1 => Just(0x1), 3 => Just(0x9)];
    let fin = prop_oneof![4 => Just(true), 1 => Just(false)];
    let payload = prop_oneof![8 => data(), 1 => broken];
    (opcode, payload, fin, any::<[u8; 4]>()).prop_map(|(opcode, mut payload, fin, key)| {
        if opcode == 0x9 {
            payload.truncate(125);
        }
        let mut frame = wire::frame(opcode, payload).mask(key);
        frame.fin = fin || opcode == 0x9;
        frame.rsv = if opcode == 0x2 || opcode == 0x1 {
            0b100
        } else {
            0
        };
        frame
    })
}

/// All that an application sees of these bytes.
fn observe(
    params: &DeflateParams,
    input: &[u8],
    pieces: &[usize],
    parts: bool,
) -> (Heard, Vec<u8>, State) {
    let mut config = Config::default();
    config.limits.max_message = 250_000;
    let mut server = endpoint_with(Role::Server, config, params);
    server.connection.receive_parts(server.now, parts);
    let mut heard = Heard::default();
    let mut rest = input;
    for piece in pieces.iter().cycle() {
        let (front, back) = rest.split_at((*piece).min(rest.len()));
        heard.take(server.receive_direct(front));
        rest = back;
        if rest.is_empty() {
            break;
        }
    }
    let output = server.transmit_bytes();
    // What came of a message before it turned out to be broken depends on where it was cut.
    heard.begun.clear();
    (heard, output, server.connection.state())
}

/// A message as a client sends it: compressed or not, in fragments, with pings between them.
fn fragmented() -> impl Strategy<Value = (Message, Vec<Frame>)> {
    let cuts = vec(any::<prop::sample::Index>(), 0..5);
    (message(), any::<bool>(), cuts).prop_map(|(message, compressed, cuts)| {
        let payload = if compressed {
            Raw::new(6, 9)
                .push(message.as_bytes(), Flush::FullFlush)
                .stripped()
        } else {
            message.as_bytes().to_vec()
        };
        let mut cuts: Vec<_> = cuts.iter().map(|at| at.index(payload.len() + 1)).collect();
        cuts.push(payload.len());
        cuts.sort_unstable();
        let mut frames = Vec::new();
        let mut start = 0;
        for (n, end) in cuts.iter().enumerate() {
            let opcode = match n {
                0 if message.kind() == MessageKind::Text => 0x1,
                0 => 0x2,
                _ => 0x0,
            };
            let mut frame = wire::frame(opcode, &payload[start..*end]).masked();
            frame.fin = n + 1 == cuts.len();
            frame.rsv = if n == 0 && compressed { 0b100 } else { 0 };
            frames.extend([frame, wire::ping("between").masked()]);
            start = *end;
        }
        (message, frames)
    })
}

/// Hands over one read, straight into the message where it can go there, and returns the first thing that it completes.
fn read(server: &mut Endpoint, mut bytes: &[u8]) -> Option<Event> {
    while !bytes.is_empty() {
        let Some(mut space) = server.connection.payload_space() else {
            return server
                .connection
                .handle_input(server.now, &mut bytes.to_vec());
        };
        let n = space.remaining_mut().min(bytes.len());
        let (front, rest) = bytes.split_at(n);
        space.put_slice(front);
        let event = server.connection.handle_payload(server.now, n);
        if event.is_some() {
            assert!(rest.is_empty() || server.connection.payload_space().is_none());
            // What is left comes with the next read.
            server.connection.hold_input(rest);
            return event;
        }
        bytes = rest;
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn p39_p54_p63_any_chunking_of_compressed_messages_gives_the_same_whole_or_in_parts(
        params in params(),
        frames in vec(frame(), 0..12),
        parts in any::<bool>(),
        pieces in vec(prop_oneof![1..20_usize, 1..3000_usize, 1..100_000_usize], 1..20),
    ) {
        let input: Vec<u8> = frames.iter().flat_map(Frame::bytes).collect();
        let whole = observe(&params, &input, &[usize::MAX], parts);
        let cut = observe(&params, &input, &pieces, parts);
        prop_assert!(whole == cut);
    }

    #[test]
    fn p57_p59_p64_p66_messages_arrive_as_they_were_sent_whatever_was_agreed_on(
        params in params(),
        acts in vec((any::<bool>(), act()), 1..15),
        parts in any::<bool>(),
        chunk in prop_oneof![1..50_usize, 1..5000_usize, Just(usize::MAX)],
    ) {
        let mut config = Config::default();
        config.keepalive_interval = None;
        let mut ends = [Role::Client, Role::Server]
            .map(|role| endpoint_with(role, config.clone(), &params));
        for end in &mut ends {
            end.connection.receive_parts(end.now, parts);
        }
        let (mut sent, mut heard) = ([vec![], vec![]], [Heard::default(), Heard::default()]);
        for (from_server, act) in &acts {
            let from = usize::from(*from_server);
            let (bytes, carried) = play(&mut ends[from], act);
            sent[from].extend(carried);
            let to = &mut ends[1 - from];
            for piece in bytes.chunks(chunk.max(bytes.len() / 2000 + 1)) {
                heard[from].take(to.receive_bytes(piece));
            }
            to.transmit();
        }
        for from in 0..2 {
            prop_assert!(heard[from].messages == sent[from], "{params:?}");
            prop_assert_eq!(ends[from].connection.state(), State::Open);
        }
    }

    #[test]
    fn whoever_changes_between_parts_and_whole_messages_gets_each_once_or_the_front_of_it(
        params in params(),
        messages in vec(fragmented(), 1..8),
        pieces in vec(prop_oneof![1..20_usize, 1..3000_usize, 1..100_000_usize], 1..20),
        wishes in vec(prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)], 1..40),
    ) {
        let mut server = endpoint_with(Role::Server, Config::default(), &params);
        let input: Vec<u8> = messages.iter().flat_map(|(_, frames)| frames).flat_map(Frame::bytes).collect();
        let mut wishes = wishes.iter().cycle();
        let (mut pings, mut next) = (0, messages.iter().map(|(message, _)| message));
        // What parts were handed out of the message that is arriving; and that no more of them are wanted.
        let (mut begun, mut front, mut abandoned) = (None::<&Message>, Vec::new(), false);
        let mut rest = &input[..];
        for piece in pieces.iter().cycle() {
            let (now, later) = rest.split_at((*piece).min(rest.len()));
            rest = later;
            let mut event = read(&mut server, now);
            loop {
                match event {
                    Some(Event::Message(message)) => {
                        prop_assert!(begun.is_none() || abandoned);
                        (begun, abandoned) = (None, false);
                        prop_assert_eq!(Some(&message), next.next());
                    }
                    Some(Event::Part { kind, payload, fin }) => {
                        if abandoned || begun.is_none() {
                            (begun, abandoned) = (next.next(), false);
                            front.clear();
                        }
                        front.extend(&payload);
                        let message = begun.unwrap();
                        prop_assert_eq!(kind, message.kind());
                        prop_assert!(message.as_bytes().starts_with(&front));
                        if fin {
                            prop_assert_eq!(message.len(), front.len());
                            begun = None;
                        }
                    }
                    Some(_) => pings += 1,
                    None => break,
                }
                if let Some(Some(on)) = wishes.next() {
                    server.connection.receive_parts(server.now, *on);
                    abandoned |= begun.is_some() && !on;
                }
                event = server.connection.poll_event(server.now);
            }
            if let Some(Some(on)) = wishes.next() {
                server.connection.receive_parts(server.now, *on);
                abandoned |= begun.is_some() && !on;
            }
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(server.connection.state(), State::Open);
        prop_assert_eq!(next.next(), None);
        prop_assert!(begun.is_none() || abandoned);
        prop_assert_eq!(pings, messages.iter().map(|(_, frames)| frames.len() / 2).sum::<usize>());
    }
}
