//! Reads responses up to the first that is final, as a client of a server or of a proxy.

use std::error::Error;
use std::fmt;

use super::Progress;
use super::body::BodyReader;
use super::head::{HeadError, HeadLimits, HeadReader, ResponseHead};
use super::refused::Refused;

/// Most interim responses (100, 103) that are skipped before the final one: servers send one or two, and each costs
/// up to a whole head.
pub const MAX_INTERIM_RESPONSES: usize = 8;

/// How many bytes of the body of a refusing response are read by default: 64 KiB, enough for any page that says why.
pub const DEFAULT_MAX_BODY: usize = 64 * 1024;

/// Waits for a response with a status that was hoped for; of any other final one it reads the body.
#[derive(Debug)]
pub(super) struct ResponseReader {
    hoped_for: fn(u16) -> bool,
    max_body: usize,
    /// How many interim responses were skipped.
    interim: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waiting for the head of a response.
    Head(HeadReader),
    /// Waiting for the rest of a response that refuses.
    Body(ResponseHead, BodyReader),
}

impl ResponseReader {
    pub(super) fn new(hoped_for: fn(u16) -> bool, limits: HeadLimits, max_body: usize) -> Self {
        Self {
            hoped_for,
            max_body,
            interim: 0,
            state: State::Head(HeadReader::new(limits)),
        }
    }

    /// Takes bytes. What comes behind the head of a response that was hoped for is not taken.
    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
    ) -> Result<Progress<ResponseHead>, ResponseError> {
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            match &mut self.state {
                State::Body(_, body) => {
                    let ended = body.receive(rest);
                    return if ended {
                        Err(self.eof())
                    } else {
                        Ok(Progress::NeedMore)
                    };
                }
                State::Head(reader) => {
                    let Some((raw, used)) = reader.receive(rest).map_err(ResponseError::Head)?
                    else {
                        return Ok(Progress::NeedMore);
                    };
                    taken += used;
                    let head = raw.parse_response().map_err(ResponseError::Head)?;
                    if let Some(value) = self.take_head(head)? {
                        return Ok(Progress::Done { value, used: taken });
                    }
                }
            }
        }
    }

    /// No more bytes come.
    pub(super) fn eof(&mut self) -> ResponseError {
        match &mut self.state {
            State::Head(_) => ResponseError::Eof,
            State::Body(head, body) => {
                let (body, complete) = body.finish();
                ResponseError::Refused(Box::new(Refused::new(head.clone(), body, complete)))
            }
        }
    }

    fn take_head(&mut self, head: ResponseHead) -> Result<Option<ResponseHead>, ResponseError> {
        match head.status() {
            status if (self.hoped_for)(status) => Ok(Some(head)),
            // RFC 9110 §15.2: interim responses may come unasked, and the reader is ready for the next head. After a
            // 101 there would be none: it switches to another protocol.
            100 | 102..=199 if self.interim < MAX_INTERIM_RESPONSES => {
                self.interim += 1;
                Ok(None)
            }
            100 | 102..=199 => Err(ResponseError::TooManyInterim),
            _ => {
                let body = BodyReader::new(&head, self.max_body);
                self.state = State::Body(head, body);
                Ok(None)
            }
        }
    }
}

/// Why there is no response of the kind that was hoped for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ResponseError {
    /// The response is not well-formed HTTP/1, or too large.
    Head(HeadError),
    /// The connection ended before the response was complete.
    Eof,
    /// More than [`MAX_INTERIM_RESPONSES`] interim responses came.
    TooManyInterim,
    /// The response is another one.
    Refused(Box<Refused>),
}

impl ResponseError {
    /// Returns the response, if there was a whole one that refuses.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Refused(refused) => Some(refused),
            Self::Head(_) | Self::Eof | Self::TooManyInterim => None,
        }
    }
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(error) => write!(f, "the response is not usable: {error}"),
            Self::Eof => f.write_str("the connection ended before the response was complete"),
            Self::TooManyInterim => f.write_str("there were too many interim responses"),
            Self::Refused(refused) => {
                write!(
                    f,
                    "the answer was {} {}",
                    refused.status(),
                    refused.reason()
                )
            }
        }
    }
}

impl Error for ResponseError {}
