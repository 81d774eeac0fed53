//! Goal: what holds for any input, any cut of it, any use of the API and any transport.
//! Method: proptest; failures shrink and are kept as cases beside this file.

use std::{collections::HashSet, time::Duration};

use bytes::Bytes;
use fullduplex_proto::{
    CloseCode, CloseFrame, Config, Event, FrameHeader, HeaderRules, Limits, Message, Opcode,
    Outgoing, Prepared, Role, State, apply_mask,
};
use fullduplex_testkit::{
    Endpoint, Pair,
    wire::{self, Frame, LengthForm},
};
use proptest::{collection::vec, prelude::*};

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Client), Just(Role::Server)]
}

/// Payloads around the lengths where something changes.
fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => vec(any::<u8>(), 0..20),
        3 => vec(any::<u8>(), 120..130),
        1 => (any::<u8>(), 65_530..65_540_usize).prop_map(|(byte, len)| vec![byte; len]),
        1 => (any::<u8>(), 16_000..200_000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => ".{0,20}",
        1 => (any::<char>(), 1..30_000_usize).prop_map(|(c, n)| c.to_string().repeat(n)),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        text().prop_map(Message::from),
        payload().prop_map(Message::from),
    ]
}

/// Frames as a peer may send them: mostly right, each wrong in some way now and then.
fn frame() -> impl Strategy<Value = Frame> {
    let opcode = prop_oneof![8 => Just(0x2), 4 => Just(0x0), 4 => Just(0x1), 6 => Just(0x9),
        3 => Just(0xA), 1 => Just(0x8), 1 => 0x0..=0xF_u8];
    let form = prop_oneof![30 => Just(LengthForm::Shortest), 1 => Just(LengthForm::Sixteen),
        1 => Just(LengthForm::SixtyFour)];
    let fin = prop_oneof![3 => Just(true), 1 => Just(false)];
    let rsv = prop_oneof![40 => Just(0), 1 => 0..8_u8];
    (opcode, payload(), form, fin, rsv, any::<[u8; 4]>()).prop_map(
        |(opcode, mut payload, form, fin, rsv, key)| {
            if opcode >= 0x8 {
                payload.truncate(125);
            }
            if opcode == 0x8 {
                payload.splice(..payload.len().min(2), 1000_u16.to_be_bytes());
            }
            let mut frame = wire::frame(opcode, payload).length_form(form).rsv(rsv);
            frame.fin = fin || opcode >= 0x8;
            frame.mask(key)
        },
    )
}

/// Where a stream of bytes is cut, and whether big payloads are read straight into their buffer.
fn cuts() -> impl Strategy<Value = (Vec<usize>, bool)> {
    let piece = prop_oneof![3 => 1..5_usize, 2 => 1..2000_usize, 1 => 1..100_000_usize];
    (vec(piece, 1..40), any::<bool>())
}

/// All that can be seen of an endpoint that is fed `input` in pieces, its output taken only at the end.
fn observe(
    role: Role,
    input: &[u8],
    pieces: &[usize],
    direct: bool,
) -> (Vec<Event>, Vec<u8>, State, usize) {
    let mut config = Config::default();
    config.limits.max_message = 300_000;
    let mut endpoint = Endpoint::new(role, config);
    let mut events = Vec::new();
    let mut rest = input;
    for piece in pieces.iter().cycle() {
        let (front, back) = rest.split_at((*piece).min(rest.len()));
        events.extend(if direct {
            endpoint.receive_direct(front)
        } else {
            endpoint.receive_bytes(front)
        });
        rest = back;
        if rest.is_empty() {
            break;
        }
    }
    let output = endpoint.transmit_bytes();
    // A reply to a ping and a Close are all that can be left to say.
    let state = endpoint.connection.state();
    (events, output, state, endpoint.connection.queued())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn p39_p86_any_chunking_of_a_stream_gives_the_same_events_and_the_same_output(
        role in role(),
        frames in vec(frame(), 0..20),
        (pieces, direct) in cuts(),
    ) {
        let input: Vec<u8> = frames
            .into_iter()
            .flat_map(|frame| match role {
                Role::Server => frame.bytes(),
                Role::Client => frame.without_key().bytes(),
            })
            .collect();
        let whole = observe(role, &input, &[usize::MAX], false);
        let cut = observe(role, &input, &pieces, direct);
        prop_assert!(whole == cut, "{:?}\n{:?}", whole.0, cut.0);
    }

    #[test]
    fn p44_arbitrary_bytes_never_panic_and_hold_no_more_than_they_brought(
        role in role(),
        input in vec(any::<u8>(), 0..3000),
        (pieces, direct) in cuts(),
    ) {
        let mut config = Config::default();
        config.limits = Limits::with_max_message(1 << 40);
        let mut endpoint = Endpoint::new(role, config);
        // A frame of a size that is never reached, so that what follows is payload too.
        let mut all = wire::binary("").declaring(1 << 39).sent_by(endpoint.peer()).bytes();
        if input.len() % 2 == 0 {
            all.clear();
        }
        all.extend(&input);
        let (mut rest, mut received) = (all.as_slice(), 0);
        for piece in pieces.iter().cycle() {
            let (front, back) = rest.split_at((*piece).min(rest.len()));
            if direct {
                endpoint.receive_direct(front);
            } else {
                endpoint.receive_bytes(front);
            }
            received += front.len();
            let buffered = endpoint.connection.buffered();
            prop_assert!(buffered <= 2 * received + (128 << 10), "{buffered} for {received}");
            let deadline = endpoint.connection.poll_timeout();
            prop_assert!(deadline.is_none_or(|at| at > endpoint.now));
            rest = back;
            if rest.is_empty() {
                break;
            }
        }
        endpoint.transmit();
        endpoint.connection.handle_eof(endpoint.now);
        prop_assert_eq!(endpoint.connection.state(), State::Closed);
    }

    #[test]
    fn headers_are_read_back_as_they_were_written(
        fin in any::<bool>(),
        opcode in 0..=0xF_u8,
        masking_key in any::<Option<[u8; 4]>>(),
        payload_len in prop_oneof![0..200_u64, 65_000..66_000_u64, 0..1_u64 << 63],
        behind in vec(any::<u8>(), 0..5),
    ) {
        let Some(opcode) = Opcode::from_bits(opcode) else {
            return Ok(());
        };
        let payload_len = if opcode.is_control() { payload_len % 126 } else { payload_len };
        let header = FrameHeader {
            fin: fin || opcode.is_control(),
            rsv1: false,
            opcode,
            masking_key,
            payload_len,
        };
        let rules = HeaderRules { masked: masking_key.is_some(), rsv1: false };
        let mut bytes = Vec::new();
        header.encode(&mut bytes);
        let len = bytes.len();
        prop_assert_eq!(len, header.encoded_len());
        for cut in 0..len {
            prop_assert_eq!(FrameHeader::decode(&bytes[..cut], rules), Ok(None));
        }
        bytes.extend(behind);
        prop_assert_eq!(FrameHeader::decode(&bytes, rules), Ok(Some((header, len))));
    }

    #[test]
    fn p46_masking_twice_is_masking_never_however_it_is_cut(
        bytes in vec(any::<u8>(), 0..300),
        key in any::<[u8; 4]>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let cut = cut.index(bytes.len() + 1);
        let mut copy = bytes.clone();
        apply_mask(&mut copy, key, 0);
        let (front, back) = copy.split_at_mut(cut);
        apply_mask(front, key, 0);
        apply_mask(back, key, cut);
        prop_assert_eq!(copy, bytes);
    }

    #[test]
    fn p49_any_reason_can_be_cut_to_fit(reason in ".{0,200}") {
        let cut = CloseFrame::truncated(CloseCode::NORMAL_CLOSURE, &reason).unwrap();
        prop_assert!(reason.starts_with(cut.reason()));
        prop_assert!(CloseFrame::new(cut.code(), cut.reason()).is_ok());
        let missing = reason[cut.reason().len()..].chars().next();
        let room = fullduplex_proto::MAX_REASON - cut.reason().len();
        prop_assert!(missing.is_none_or(|next| next.len_utf8() > room), "nothing cut in vain");
    }
}

/// One call of the API, or one act of the transport.
#[derive(Clone, Debug)]
enum Act {
    Send(Message),
    SendPrepared(Message),
    Ping(Vec<u8>),
    Pinged(Vec<u8>),
    Write(usize),
    Discard,
    Close(CloseFrame),
}

fn act() -> impl Strategy<Value = Act> {
    let write = prop_oneof![4 => 0..20_usize, 2 => 0..5000_usize, 1 => Just(usize::MAX)];
    prop_oneof![
        4 => message().prop_map(Act::Send),
        2 => message().prop_map(Act::SendPrepared),
        1 => vec(any::<u8>(), 0..130).prop_map(Act::Ping),
        2 => vec(any::<u8>(), 0..125).prop_map(Act::Pinged),
        8 => write.prop_map(Act::Write),
        1 => Just(Act::Discard),
        1 => prop_oneof![Just(1000_u16), 3000..5000_u16].prop_filter_map("allowed", |code| {
            CloseFrame::new(CloseCode::new(code), "end").ok().map(Act::Close)
        }),
    ]
}

/// What was accepted, in order.
#[derive(Debug, Default)]
struct Accepted {
    messages: Vec<Message>,
    pings: Vec<Bytes>,
    pongs: Vec<Bytes>,
    close: Option<CloseCode>,
}

/// Plays the acts, then writes all that is left; returns what left and what had been accepted.
fn play(role: Role, acts: &[Act], fragment: usize) -> (Endpoint, Vec<u8>, Accepted) {
    let mut config = Config::default();
    config.limits.fragment = fragment;
    config.limits.max_pongs = usize::MAX;
    let mut endpoint = Endpoint::new(role, config);
    let mut sent = Vec::new();
    let mut accepted = Accepted::default();
    for act in acts {
        let now = endpoint.now;
        let connection = &mut endpoint.connection;
        match act {
            Act::Send(message) => {
                if connection.send(now, message.clone()).is_ok() {
                    accepted.messages.push(message.clone());
                }
            }
            Act::SendPrepared(message) => {
                let prepared = Outgoing::from(Prepared::new(message));
                if connection.send(now, prepared).is_ok() {
                    accepted.messages.push(message.clone());
                }
            }
            Act::Ping(payload) => {
                let payload = Bytes::copy_from_slice(payload);
                if connection.ping(now, payload.clone()).is_ok() {
                    accepted.pings.push(payload);
                }
            }
            Act::Pinged(payload) => {
                if connection.state() == State::Open {
                    accepted.pongs.push(Bytes::copy_from_slice(payload));
                }
                endpoint.receive(&[wire::ping(payload)]);
            }
            Act::Write(max) => sent.extend(endpoint.write(*max)),
            Act::Discard => {
                // A driver may frame a batch and not write it.
                connection.poll_transmit(&mut fullduplex_proto::Batch::default(), || [9; 4]);
            }
            Act::Close(frame) => {
                accepted.close.get_or_insert_with(|| frame.code());
                connection.close(now, frame.clone());
            }
        }
        endpoint.wait(Duration::from_millis(1));
    }
    sent.extend(endpoint.transmit_bytes());
    (endpoint, sent, accepted)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn p72_p87_any_calls_and_any_short_writes_give_the_peer_exactly_what_was_accepted(
        role in role(),
        acts in vec(act(), 0..40),
        fragment in prop_oneof![1..20_usize, Just(65_536)],
        chunk in prop_oneof![1..10_usize, Just(usize::MAX)],
    ) {
        // Fragments of a few bytes make many frames of the biggest messages; one size of both suffices.
        let fragment = if acts.iter().any(is_big) { 65_536 } else { fragment };
        let (endpoint, sent, accepted) = play(role, &acts, fragment);
        prop_assert_eq!(endpoint.connection.queued(), 0);
        prop_assert_eq!(endpoint.connection.buffered(), 0);

        let mut peer = Endpoint::new(endpoint.peer(), Config::default());
        let events: Vec<Event> = sent
            .chunks(chunk.max(sent.len() / 5000 + 1))
            .flat_map(|piece| peer.receive_bytes(piece))
            .collect();
        let mut heard = Accepted::default();
        for event in events {
            prop_assert!(heard.close.is_none(), "something came after a Close");
            match event {
                Event::Message(message) => heard.messages.push(message),
                Event::Ping(payload) => heard.pings.push(payload),
                Event::Pong { payload, .. } => heard.pongs.push(payload),
                Event::Close(frame) => heard.close = Some(frame.code()),
                other => prop_assert!(false, "{other:?}"),
            }
        }
        prop_assert!(heard.messages == accepted.messages);
        prop_assert_eq!(heard.pings, accepted.pings);
        prop_assert_eq!(heard.pongs, accepted.pongs);
        prop_assert_eq!(heard.close, accepted.close);

        let frames = wire::frames(&sent);
        if accepted.close.is_some() {
            prop_assert!(frames.last().is_some_and(|frame| frame.opcode == 0x8));
        }
        if role == Role::Client {
            let keys: HashSet<_> = frames.iter().filter_map(|frame| frame.mask).collect();
            prop_assert_eq!(keys.len(), frames.len(), "a key of its own for each frame");
        }
    }

    #[test]
    fn two_ends_that_talk_at_once_lose_nothing_and_part_cleanly_and_idle_without_buffers(
        from_client in vec(message(), 0..10),
        from_server in vec(message(), 0..10),
        closer in role(),
        chunk in prop_oneof![1..100_usize, Just(usize::MAX)],
    ) {
        let total: usize = from_client.iter().chain(&from_server).map(Message::len).sum();
        let mut pair = Pair::default().chunked(chunk.max(total / 5000 + 1));
        for message in &from_client {
            pair.client.endpoint.connection.send(pair.client.endpoint.now, message.clone()).unwrap();
        }
        for message in &from_server {
            pair.server.endpoint.connection.send(pair.server.endpoint.now, message.clone()).unwrap();
        }
        pair.exchange();
        prop_assert!(pair.server.messages() == from_client);
        prop_assert!(pair.client.messages() == from_server);
        for side in [&pair.client, &pair.server] {
            prop_assert_eq!(side.endpoint.connection.buffered(), 0);
            prop_assert_eq!(side.endpoint.connection.queued(), 0);
        }
        let side = pair.side(closer);
        side.endpoint.connection.close(side.endpoint.now, CloseFrame::normal());
        pair.exchange();
        fullduplex_testkit::assert_clean_close(&pair, CloseCode::NORMAL_CLOSURE, "");
    }
}

fn is_big(act: &Act) -> bool {
    match act {
        Act::Send(message) | Act::SendPrepared(message) => message.len() > 1000,
        _ => false,
    }
}
