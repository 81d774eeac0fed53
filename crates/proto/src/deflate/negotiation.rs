//! Which parameters both sides agree on (RFC 7692 §5, §7.1).

use std::{error::Error, fmt};

use super::{Deflate, MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use crate::handshake::{Offer, Param};

/// The registered name of the extension.
pub const EXTENSION: &str = "permessage-deflate";

const SERVER_NO_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_BITS: &str = "server_max_window_bits";
const CLIENT_BITS: &str = "client_max_window_bits";

/// What both sides have agreed on, and how this one compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeflateParams {
    /// The server forgets what it compressed from one message to the next.
    pub server_no_context_takeover: bool,
    /// The client forgets what it compressed from one message to the next.
    pub client_no_context_takeover: bool,
    /// The server's window is at most two to the power of this many bytes.
    pub server_max_window_bits: u8,
    /// The client's window is at most two to the power of this many bytes.
    pub client_max_window_bits: u8,
    /// The effort: see [`Deflate::level`].
    pub level: u8,
    /// Shorter messages are not compressed: see [`Deflate::threshold`].
    pub threshold: usize,
}

/// What a response says about permessage-deflate that a client cannot accept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeflateError {
    /// The parameter is not one of RFC 7692 §7.1, stands twice, or has a value that it may not have.
    Parameter(String),
    /// The parameter was not offered so, or had to be answered and was not.
    NotAsOffered(&'static str),
}

impl fmt::Display for DeflateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Parameter(param) => write!(f, "permessage-deflate with the parameter {param:?}"),
            Self::NotAsOffered(name) => {
                write!(
                    f,
                    "permessage-deflate with {name} other than it was offered"
                )
            }
        }
    }
}

impl Error for DeflateError {}

/// The parameters of one offer or answer, read.
#[derive(Debug, Default)]
struct Read {
    server_no_takeover: bool,
    client_no_takeover: bool,
    server_bits: Option<u8>,
    client_bits: Option<ClientBits>,
}

/// `client_max_window_bits`, which may have no value in an offer.
#[derive(Clone, Copy, Debug)]
enum ClientBits {
    Any,
    AtMost(u8),
}

impl Read {
    /// RFC 7692 §7.1: an unknown parameter, a repeated one, or a wrong value spoils the whole.
    fn new(offer: &Offer) -> Result<Self, DeflateError> {
        let mut read = Self::default();
        for param in &offer.params {
            if !read.take(param) {
                let shown = Offer {
                    name: param.name.clone(),
                    params: Vec::new(),
                };
                return Err(DeflateError::Parameter(match &param.value {
                    Some(value) => format!("{shown}={value}"),
                    None => shown.name,
                }));
            }
        }
        Ok(read)
    }

    /// False if it is none of those known, stands twice, or has a wrong value.
    fn take(&mut self, param: &Param) -> bool {
        let value = param.value.as_deref();
        let flag = |slot: &mut bool| value.is_none() && !std::mem::replace(slot, true);
        match param.name.as_str() {
            SERVER_NO_TAKEOVER => flag(&mut self.server_no_takeover),
            CLIENT_NO_TAKEOVER => flag(&mut self.client_no_takeover),
            SERVER_BITS => match value.and_then(window_bits) {
                Some(bits) => self.server_bits.replace(bits).is_none(),
                None => false,
            },
            CLIENT_BITS => {
                let bits = match value.map(window_bits) {
                    None => ClientBits::Any,
                    Some(Some(bits)) => ClientBits::AtMost(bits),
                    Some(None) => return false,
                };
                self.client_bits.replace(bits).is_none()
            }
            _ => false,
        }
    }
}

/// RFC 7692 §7.1.2: a decimal number from 8 to 15 without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    (8..=MAX_WINDOW_BITS).find(|bits| bits.to_string() == value)
}

fn clamped(bits: u8) -> u8 {
    bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS)
}

/// What a client asks for.
pub(crate) fn offer(deflate: &Deflate) -> Offer {
    let mut params = Vec::new();
    if deflate.server_no_context_takeover {
        params.push(flag(SERVER_NO_TAKEOVER));
    }
    if deflate.client_no_context_takeover {
        params.push(flag(CLIENT_NO_TAKEOVER));
    }
    if clamped(deflate.server_max_window_bits) < MAX_WINDOW_BITS {
        params.push(bits(SERVER_BITS, clamped(deflate.server_max_window_bits)));
    }
    // Always there: it allows the server to ask for a smaller window.
    params.push(match clamped(deflate.client_max_window_bits) {
        MAX_WINDOW_BITS => flag(CLIENT_BITS),
        smaller => bits(CLIENT_BITS, smaller),
    });
    extension(params)
}

/// The first of the client's offers that a server can accept, and its answer (RFC 7692 §5.1).
pub(crate) fn answer(offers: &[Offer], deflate: &Deflate) -> Option<(DeflateParams, Offer)> {
    offers
        .iter()
        .filter(|offer| offer.name == EXTENSION)
        .find_map(|offer| answer_one(&Read::new(offer).ok()?, deflate))
}

fn answer_one(offered: &Read, deflate: &Deflate) -> Option<(DeflateParams, Offer)> {
    // An answer of 9 to an offer of 8 would exceed it (RFC 7692 §7.1.2.1), and 8 we cannot keep.
    if offered
        .server_bits
        .is_some_and(|bits| bits < MIN_WINDOW_BITS)
    {
        return None;
    }
    let server_bits =
        clamped(deflate.server_max_window_bits).min(offered.server_bits.unwrap_or(MAX_WINDOW_BITS));
    // A client that does not offer to limit its window uses any (RFC 7692 §7.1.2.2).
    let most = clamped(deflate.client_max_window_bits);
    let client_bits = match offered.client_bits {
        None => MAX_WINDOW_BITS,
        Some(ClientBits::Any) => most,
        Some(ClientBits::AtMost(bits)) => most.min(bits),
    };
    let agreed = DeflateParams {
        server_no_context_takeover: offered.server_no_takeover
            || deflate.server_no_context_takeover,
        client_no_context_takeover: offered.client_no_takeover
            || deflate.client_no_context_takeover,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits,
        level: deflate.level,
        threshold: deflate.threshold,
    };
    let mut params = Vec::new();
    if agreed.server_no_context_takeover {
        params.push(flag(SERVER_NO_TAKEOVER));
    }
    if agreed.client_no_context_takeover {
        params.push(flag(CLIENT_NO_TAKEOVER));
    }
    if offered.server_bits.is_some() {
        params.push(bits(SERVER_BITS, server_bits));
    }
    if client_bits < MAX_WINDOW_BITS {
        params.push(bits(CLIENT_BITS, client_bits));
    }
    Some((agreed, extension(params)))
}

/// Holds a server's answer against what was offered (RFC 7692 §5.2, §7.1).
pub(crate) fn judge_answer(
    answer: &Offer,
    deflate: &Deflate,
) -> Result<DeflateParams, DeflateError> {
    let answered = Read::new(answer)?;
    let offered_server_bits = clamped(deflate.server_max_window_bits);
    if deflate.server_no_context_takeover && !answered.server_no_takeover {
        return Err(DeflateError::NotAsOffered(SERVER_NO_TAKEOVER));
    }
    let server_bits = answered.server_bits.unwrap_or(MAX_WINDOW_BITS);
    if server_bits > offered_server_bits {
        return Err(DeflateError::NotAsOffered(SERVER_BITS));
    }
    let offered_client_bits = clamped(deflate.client_max_window_bits);
    let client_bits = match answered.client_bits {
        None => offered_client_bits,
        // In an answer it says what to do, so it needs a value (RFC 7692 §7.1.2.2).
        Some(ClientBits::Any) => return Err(DeflateError::Parameter(CLIENT_BITS.to_owned())),
        Some(ClientBits::AtMost(bits)) if bits > offered_client_bits => {
            return Err(DeflateError::NotAsOffered(CLIENT_BITS));
        }
        Some(ClientBits::AtMost(bits)) => bits,
    };
    Ok(DeflateParams {
        server_no_context_takeover: answered.server_no_takeover,
        client_no_context_takeover: answered.client_no_takeover
            || deflate.client_no_context_takeover,
        server_max_window_bits: server_bits,
        client_max_window_bits: client_bits,
        level: deflate.level,
        threshold: deflate.threshold,
    })
}

fn extension(params: Vec<Param>) -> Offer {
    Offer {
        name: EXTENSION.to_owned(),
        params,
    }
}

fn flag(name: &str) -> Param {
    Param {
        name: name.to_owned(),
        value: None,
    }
}

fn bits(name: &str, bits: u8) -> Param {
    Param {
        name: name.to_owned(),
        value: Some(bits.to_string()),
    }
}
