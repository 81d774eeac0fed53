//! Decompressing what is received, with a bound on every chunk (RFC 7692 §7.2.2).

use std::cell::Cell;

use bytes::Bytes;
use zlib_rs::{Inflate as Zlib, InflateFlush, Status};

use super::{
    DeflateParams, MAX_WINDOW_BITS,
    chunk::{self, CHUNK},
};
use crate::{role::Role, violation::Violation};

/// The tail that the sender has stripped, and behind it an empty last block. Only where a block has just ended can
/// that be read as what it is, so data that stops anywhere else is found out.
const END: [u8; 9] = [0x00, 0x00, 0xff, 0xff, 0x01, 0x00, 0x00, 0xff, 0xff];

thread_local! {
    /// A decompressor, and room for a history: lent to one message after the other. It has a window of 32 KiB, so a
    /// smaller one that was agreed on bounds what is remembered from message to message, not within one.
    static SHARED: Cell<Option<Box<Zlib>>> = const { Cell::new(None) };
    static ROOM: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// One direction of a connection whose peer compresses what it sends.
#[derive(Debug)]
pub(crate) struct Inflater {
    window_bits: u8,
    /// Messages may refer to earlier ones.
    takeover: bool,
    /// The end of what was decompressed, of this message and, with takeover, of those before.
    history: Vec<u8>,
    /// The message that is being decompressed.
    stream: Option<Stream>,
}

/// What receives the decompressed bytes, and says whether to go on at once.
pub(crate) type Sink<'a> = dyn FnMut(&[u8]) -> Result<bool, Violation> + 'a;

impl Inflater {
    /// The receiving direction of this role.
    pub(crate) fn new(role: Role, params: &DeflateParams) -> Self {
        let (window_bits, no_takeover) = match role {
            Role::Server => (
                params.client_max_window_bits,
                params.client_no_context_takeover,
            ),
            Role::Client => (
                params.server_max_window_bits,
                params.server_no_context_takeover,
            ),
        };
        Self {
            // Only an application's mistake can make it anything else than 8 to 15.
            window_bits: window_bits.clamp(8, MAX_WINDOW_BITS),
            takeover: !no_takeover,
            history: Vec::new(),
            stream: None,
        }
    }

    /// Decompresses the next bytes of a message into `sink`. If that stops, the rest waits for
    /// [`resume`](Self::resume), which has to come first.
    pub(crate) fn inflate(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Violation> {
        if input.is_empty() {
            return Ok(());
        }
        let left = self.run(input, sink)?;
        if let Some(stream) = &mut self.stream {
            stream.waiting = Bytes::copy_from_slice(left);
        }
        Ok(())
    }

    /// What [`inflate`](Self::inflate) has stopped before can go on.
    pub(crate) fn has_more(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(|stream| stream.full || !stream.waiting.is_empty())
    }

    /// Goes on where the sink stopped.
    pub(crate) fn resume(&mut self, sink: &mut Sink<'_>) -> Result<(), Violation> {
        let mut waiting = match &mut self.stream {
            Some(stream) => std::mem::take(&mut stream.waiting),
            None => return Ok(()),
        };
        let left = self.run(&waiting, sink)?.len();
        if let Some(stream) = &mut self.stream {
            stream.waiting = waiting.split_off(waiting.len() - left);
        }
        Ok(())
    }

    /// The message is complete. What still comes of it is little, and goes to `sink` whether it stops or not.
    pub(crate) fn finish(&mut self, sink: &mut Sink<'_>) -> Result<(), Violation> {
        // A message without a byte is empty, though it should have one (RFC 7692 §7.2.3.6).
        if self.stream.is_none() {
            return Ok(());
        }
        if !self.has_ended() {
            self.run(&END, &mut |piece| sink(piece).map(|_| true))?;
        }
        let ended = self.has_ended();
        if let Some(stream) = self.stream.take() {
            SHARED.set(Some(stream.zlib));
        }
        if !self.takeover {
            self.history.clear();
            ROOM.set(std::mem::take(&mut self.history));
        }
        if ended {
            Ok(())
        } else {
            Err(Violation::InvalidDeflate)
        }
    }

    /// Gives memory back that is not in use.
    pub(crate) fn release_idle(&mut self) {
        let beyond = self.history.len().saturating_sub(self.window());
        self.history.drain(..beyond);
        self.history.shrink_to_fit();
    }

    /// Bytes of heap held, but for what zlib has of its own while a message is being received.
    pub(crate) fn held(&self) -> usize {
        self.history.capacity()
            + self
                .stream
                .as_ref()
                .map_or(0, |stream| stream.waiting.len())
    }

    fn has_ended(&self) -> bool {
        self.stream.as_ref().is_some_and(|stream| stream.ended)
    }

    /// Decompresses until the sink stops or nothing more comes of the input, and returns what is left of that.
    fn run<'a>(&mut self, input: &'a [u8], sink: &mut Sink<'_>) -> Result<&'a [u8], Violation> {
        chunk::lend(|chunk| self.run_in(chunk, input, sink))
    }

    fn run_in<'a>(
        &mut self,
        chunk: &mut [u8; CHUNK],
        mut input: &'a [u8],
        sink: &mut Sink<'_>,
    ) -> Result<&'a [u8], Violation> {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            if !self.takeover {
                self.history = ROOM.take();
            }
            let shared = SHARED.take();
            self.begin(shared.unwrap_or_else(|| Box::new(Zlib::new(false, MAX_WINDOW_BITS))))?
        };
        loop {
            if stream.ended {
                if input.is_empty() {
                    break;
                }
                // RFC 7692 §7.2.3.5: more may follow a last block, and refer to what was before it.
                stream = self.begin(stream.zlib)?;
            }
            let made = stream.step(&mut input, chunk);
            let made = chunk.get(..made).unwrap_or_default();
            self.remember(made);
            // Behind a last block nothing comes of itself, however much it was.
            stream.full = made.len() == CHUNK && !stream.ended;
            let go_on = sink(made)?;
            // What came before is looked at first, or it would depend on the reads what is wrong with a message.
            if stream.broken {
                return Err(Violation::InvalidDeflate);
            }
            if !go_on || (input.is_empty() && !stream.full) {
                break;
            }
        }
        self.stream = Some(stream);
        Ok(input)
    }

    /// Makes a decompressor know the history and nothing else.
    fn begin(&self, mut zlib: Box<Zlib>) -> Result<Stream, Violation> {
        zlib.reset(false);
        let known = self.history.len().saturating_sub(self.window());
        if let Some(known) = self.history.get(known..)
            && !known.is_empty()
        {
            zlib.set_dictionary(known)
                .map_err(|_| Violation::InvalidDeflate)?;
        }
        Ok(Stream {
            zlib,
            waiting: Bytes::new(),
            full: false,
            ended: false,
            broken: false,
        })
    }

    /// Keeps the last window of what was decompressed. Half a window more, so that bytes are not moved each time.
    fn remember(&mut self, made: &[u8]) {
        let window = self.window();
        let most = window + window / 2;
        let made = made
            .get(made.len().saturating_sub(window)..)
            .unwrap_or_default();
        if self.history.len() + made.len() > most {
            let keep = (window - made.len()).min(self.history.len());
            self.history.drain(..self.history.len() - keep);
        }
        let len = self.history.len() + made.len();
        if len > self.history.capacity() {
            // Doubled, but never beyond what it can come to hold.
            let capacity = (2 * self.history.len()).max(len).min(most);
            self.history.reserve_exact(capacity - self.history.len());
        }
        self.history.extend_from_slice(made);
    }

    fn window(&self) -> usize {
        1 << self.window_bits
    }
}

/// The message that is being decompressed.
struct Stream {
    /// Boxed, as connections that inflate nothing right now are many.
    zlib: Box<Zlib>,
    /// Compressed bytes behind those after which the sink stopped.
    waiting: Bytes,
    /// The last chunk was full: there may be more without further input.
    full: bool,
    /// A last block has ended, and nothing has come behind it.
    ended: bool,
    /// What comes next is no deflate data.
    broken: bool,
}

impl Stream {
    /// Decompresses once, and says how much came of it.
    fn step(&mut self, input: &mut &[u8], chunk: &mut [u8]) -> usize {
        let (read, written) = (self.zlib.total_in(), self.zlib.total_out());
        let status = self.zlib.decompress(input, chunk, InflateFlush::SyncFlush);
        self.ended = status == Ok(Status::StreamEnd);
        let read = usize::try_from(self.zlib.total_in() - read).unwrap_or(usize::MAX);
        let written = usize::try_from(self.zlib.total_out() - written).unwrap_or(usize::MAX);
        // Where nothing is read and nothing made, it would never come to an end.
        let stuck = read == 0 && written == 0 && !input.is_empty() && !self.ended;
        self.broken = status.is_err() || stuck;
        *input = input.get(read..).unwrap_or_default();
        written
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stream")
            .field("waiting", &self.waiting.len())
            .finish_non_exhaustive()
    }
}
