//! Compressed messages, right or wrong, in pieces.

use std::time::Instant;

use fullduplex_proto::{Cause, CloseCode, Config, Deflate, Event, Limits, Message, Role};
use fullduplex_testkit::{Endpoint, wire};
use miniz_oxide::{DataFormat, MZError, MZFlush, MZStatus, inflate::stream::InflateState};

use crate::{
    agreement::agree,
    input::{Input, pieces},
};

/// What a message may have in the tests that limit it.
const LIMIT: usize = 1000;

/// What a connection holds beyond the message and what has arrived: the window, a part, a compressor for its pongs.
const SLACK: usize = 512 << 10;

/// The tail that a sender has stripped (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// A connection takes compressed messages in one piece, in pieces, and byte by byte: it has to give the same messages each time,
/// those that another decompressor makes of them, and may hold no more than its limits say.
///
/// Input: role and settings, three sizes of pieces, messages.
pub fn inflate(data: &[u8]) {
    let mut input = Input(data);
    let flags = input.byte();
    let cuts = input.cuts();
    let mut sent = Vec::new();
    while !input.is_empty() {
        sent.push(Sent::new(&mut input));
    }
    let whole = observe(flags, &sent, &[usize::MAX]);
    for cuts in [&cuts[..], &[1]] {
        let cut = observe(flags, &sent, cuts);
        assert_eq!(whole, cut, "in pieces of {cuts:?}");
    }
    if takes_over(flags) {
        judge(&mut Model::default(), &sent, &whole.messages);
    } else {
        for (sent, heard) in sent.iter().zip(&whole.messages) {
            let (sent, heard) = (std::slice::from_ref(sent), std::slice::from_ref(heard));
            judge(&mut Model::default(), sent, heard);
        }
    }
}

/// A message as it stands on the wire, compressed or not.
struct Sent {
    text: bool,
    compressed: bool,
    fragmented: bool,
    payload: Vec<u8>,
}

impl Sent {
    fn new(input: &mut Input<'_>) -> Self {
        let flags = input.byte();
        let len = input.short();
        Self {
            text: flags & 1 != 0,
            compressed: flags & 2 == 0,
            fragmented: flags & 4 != 0,
            payload: input.take(len).to_vec(),
        }
    }

    fn bytes(&self, by: Role) -> Vec<u8> {
        let cut = if self.fragmented {
            self.payload.len() / 2
        } else {
            self.payload.len()
        };
        let (front, back) = self.payload.split_at(cut);
        let mut first = wire::frame(if self.text { 0x1 } else { 0x2 }, front);
        first.rsv = u8::from(self.compressed) << 2;
        if !self.fragmented {
            return first.sent_by(by).bytes();
        }
        let frames = [first.not_fin(), wire::ping(""), wire::continuation(back)];
        frames.map(|frame| frame.sent_by(by).bytes()).concat()
    }
}

fn takes_over(flags: u8) -> bool {
    flags & 2 != 0
}

#[derive(Debug, PartialEq)]
struct Seen {
    messages: Vec<Message>,
    failed: bool,
}

fn observe(flags: u8, sent: &[Sent], cuts: &[usize]) -> Seen {
    let role = if flags & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let mut config = Config::default();
    if flags & 4 != 0 {
        config.limits = Limits::with_max_message(LIMIT);
    }
    let most = config.limits.max_message;
    let parts = flags & 8 != 0;
    let mut endpoint = Endpoint::at(Instant::now(), role, config);
    let mut deflate = Deflate::for_client();
    deflate.client_no_context_takeover = !takes_over(flags);
    deflate.server_no_context_takeover = !takes_over(flags);
    deflate.client_max_window_bits = 9 + (flags >> 4) % 7;
    deflate.server_max_window_bits = deflate.client_max_window_bits;
    let params = agree(deflate, deflate);
    endpoint.connection = endpoint.connection.with_deflate(&params);
    if parts {
        endpoint.connection.receive_parts(endpoint.now, true);
    }

    let stream: Vec<u8> = sent
        .iter()
        .flat_map(|message| message.bytes(endpoint.peer()))
        .collect();
    let mut messages = Vec::new();
    let mut begun = Vec::new();
    let mut received = 0;
    for piece in pieces(&stream, cuts) {
        received += piece.len();
        for event in endpoint.receive_bytes(piece) {
            match event {
                Event::Message(message) => {
                    assert!(message.len() <= most && !parts);
                    messages.push(message);
                }
                Event::Part { payload, fin, .. } => {
                    assert!(parts);
                    begun.extend(payload);
                    if fin {
                        messages.push(std::mem::take(&mut begun).into());
                    }
                }
                _ => {}
            }
        }
        let buffered = endpoint.connection.buffered();
        let bound = 2 * (received + most.min(1100 * received)) + SLACK;
        assert!(buffered <= bound, "{buffered} bytes are held of {received}");
    }
    endpoint.transmit();
    endpoint.finish();
    let outcome = endpoint.outcome();
    let failed = matches!(outcome.cause, Cause::Violation(_));
    if failed {
        let code = outcome.sent.map(|close| close.code());
        let allowed = [
            CloseCode::INVALID_FRAME_PAYLOAD_DATA,
            CloseCode::MESSAGE_TOO_BIG,
        ];
        assert!(code.is_some_and(|code| allowed.contains(&code)), "{code:?}");
    }
    Seen { messages, failed }
}

/// Holds what was heard of the first messages against another decompressor, which remembers what it has seen.
fn judge(model: &mut Model, sent: &[Sent], heard: &[Message]) {
    for (sent, heard) in sent.iter().zip(heard) {
        if !sent.compressed {
            assert_eq!(heard.as_bytes(), sent.payload);
        } else if let Some(expected) = model.inflate(&sent.payload) {
            assert!(heard.as_bytes() == expected, "not what was compressed");
        }
    }
}

/// Another decompressor.
struct Model {
    state: Box<InflateState>,
    /// A last block has come, behind which it does not read on.
    ended: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            state: InflateState::new_boxed(DataFormat::Raw),
            ended: false,
        }
    }
}

impl Model {
    /// `None` if it cannot tell.
    fn inflate(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        if payload.is_empty() {
            return Some(Vec::new());
        }
        let bytes = [payload, &TAIL].concat();
        let mut input = bytes.as_slice();
        let mut all = Vec::new();
        let mut chunk = vec![0; 64 << 10];
        while !self.ended {
            let step = miniz_oxide::inflate::stream::inflate(
                &mut self.state,
                input,
                &mut chunk,
                MZFlush::None,
            );
            all.extend_from_slice(chunk.get(..step.bytes_written).unwrap_or_default());
            input = input.get(step.bytes_consumed..).unwrap_or_default();
            match step.status {
                Ok(MZStatus::StreamEnd) => self.ended = true,
                Ok(_) if step.bytes_written == chunk.len() => {}
                Ok(_) | Err(MZError::Buf) if input.is_empty() => return Some(all),
                status => unreachable!("{status:?} of what was heard"),
            }
        }
        None
    }
}
