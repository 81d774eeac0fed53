//! The body of a response that refuses, read as far as it helps a person to see why.

use std::mem;

use super::grammar::has_element;
use super::head::ResponseHead;

/// Collects a body, whichever way its end is marked (RFC 9112 §6.3).
#[derive(Debug)]
pub(super) struct BodyReader {
    framing: Framing,
    collected: Vec<u8>,
    /// How many more bytes may come, marks of chunks included.
    budget: usize,
}

#[derive(Debug)]
enum Framing {
    /// So many more bytes.
    Length(u64),
    /// In chunks (RFC 9112 §7.1).
    Chunked(Chunk),
    /// Until the peer ends the connection.
    UntilEof,
    /// Nothing more; whether the body is whole.
    Ended { complete: bool },
}

/// Where in a chunk the next byte stands.
#[derive(Debug, Clone, Copy)]
enum Chunk {
    /// In the size, which was so far this; `None` before its first digit.
    Size(Option<u64>),
    /// Between the size and the end of its line.
    Extension(u64),
    /// In the data, of which so much is missing.
    Data(u64),
    /// In the line end after the data.
    DataEnd,
}

impl BodyReader {
    pub(super) fn new(head: &ResponseHead, max: usize) -> Self {
        let headers = head.headers();
        let framing = if matches!(head.status(), 204 | 304) {
            Framing::Ended { complete: true }
        } else if has_element(headers, "Transfer-Encoding", "chunked") {
            Framing::Chunked(Chunk::Size(None))
        } else {
            match headers.get_once("Content-Length") {
                Ok(None) => Framing::UntilEof,
                Ok(Some(value)) => {
                    length(value).map_or(Framing::Ended { complete: false }, Framing::Length)
                }
                Err(_) => Framing::Ended { complete: false },
            }
        };
        Self {
            framing,
            collected: Vec::new(),
            budget: max,
        }
    }

    /// Takes bytes; returns whether no more are wanted.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> bool {
        while !self.settle() && !bytes.is_empty() {
            bytes = self.step(bytes);
        }
        matches!(self.framing, Framing::Ended { .. })
    }

    /// The peer ended the connection. Returns the body and whether it is whole.
    pub(super) fn finish(&mut self) -> (Vec<u8>, bool) {
        let complete = matches!(
            self.framing,
            Framing::UntilEof | Framing::Ended { complete: true }
        );
        (mem::take(&mut self.collected), complete)
    }

    /// Ends the body if nothing is missing any more or no more may come. Returns whether it has ended.
    fn settle(&mut self) -> bool {
        if matches!(self.framing, Framing::Length(0)) {
            self.framing = Framing::Ended { complete: true };
        } else if self.budget == 0 && !matches!(self.framing, Framing::Ended { .. }) {
            self.framing = Framing::Ended { complete: false };
        }
        matches!(self.framing, Framing::Ended { .. })
    }

    /// Takes at least one byte; returns the rest.
    fn step<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match self.framing {
            Framing::Length(left) => {
                let (taken, rest) = self.collect(bytes, left);
                self.framing = Framing::Length(left - taken);
                rest
            }
            Framing::Chunked(Chunk::Data(left)) => {
                let (taken, rest) = self.collect(bytes, left);
                let chunk = if taken == left {
                    Chunk::DataEnd
                } else {
                    Chunk::Data(left - taken)
                };
                self.framing = Framing::Chunked(chunk);
                rest
            }
            Framing::Chunked(chunk) => {
                self.budget -= 1;
                self.framing = mark(chunk, bytes[0]);
                &bytes[1..]
            }
            Framing::UntilEof => self.collect(bytes, u64::MAX).1,
            Framing::Ended { .. } => &[],
        }
    }

    fn collect<'a>(&mut self, bytes: &'a [u8], most: u64) -> (u64, &'a [u8]) {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let (taken, rest) = bytes.split_at(bytes.len().min(most).min(self.budget));
        self.collected.extend_from_slice(taken);
        self.budget -= taken.len();
        (taken.len() as u64, rest)
    }
}

/// Reads one byte of a chunk's marks. The trailers after the last chunk are of no interest.
fn mark(chunk: Chunk, byte: u8) -> Framing {
    let next = match (chunk, byte) {
        (Chunk::Size(Some(0)) | Chunk::Extension(0), b'\n') => {
            return Framing::Ended { complete: true };
        }
        (Chunk::Size(Some(size)) | Chunk::Extension(size), b'\n') => Some(Chunk::Data(size)),
        (Chunk::Size(Some(size)), b'\r' | b' ' | b'\t' | b';') | (Chunk::Extension(size), _) => {
            Some(Chunk::Extension(size))
        }
        (Chunk::Size(size), digit) => char::from(digit)
            .to_digit(16)
            .and_then(|value| size.unwrap_or(0).checked_mul(16)?.checked_add(value.into()))
            .map(|size| Chunk::Size(Some(size))),
        (Chunk::DataEnd, b'\r') => Some(Chunk::DataEnd),
        (Chunk::DataEnd, b'\n') => Some(Chunk::Size(None)),
        (Chunk::DataEnd | Chunk::Data(_), _) => None,
    };
    next.map_or(Framing::Ended { complete: false }, Framing::Chunked)
}

/// Reads the value of `Content-Length`: digits only, which `parse` alone does not ask for.
fn length(value: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(value).ok()?;
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        digits.parse().ok()
    } else {
        None
    }
}
