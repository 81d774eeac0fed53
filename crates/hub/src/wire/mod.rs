//! The wire: what `docs/hub-protocol.md` says, as types. Nothing here knows rooms or sockets.

pub(crate) mod asking;
pub(crate) mod banned;
pub(crate) mod command;
pub(crate) mod event;
pub(crate) mod following;
pub(crate) mod log;
pub(crate) mod people;
pub(crate) mod plain;
pub(crate) mod posted;
pub(crate) mod reply;
pub(crate) mod shown;
mod snippet;
mod text;
pub(crate) mod writing;

use serde::Serialize;

/// The subprotocol of the hub's own protocol.
pub(crate) const SUBPROTOCOL_V1: &str = "fdx.v1.json";

/// The subprotocol that stands for plain JSON.
pub(crate) const SUBPROTOCOL_CHAT: &str = "chat";

/// The JSON of one frame.
#[expect(
    clippy::expect_used,
    reason = "our types have string keys and no failing serializers"
)]
pub(crate) fn to_json<T: Serialize>(frame: &T) -> String {
    serde_json::to_string(frame).expect("plain structs always serialize")
}

/// Reads a JSON object. `serde_json` alone would also take an array for a struct.
pub(crate) fn from_json_object<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    if !text
        .trim_start_matches([' ', '\t', '\r', '\n'])
        .starts_with('{')
    {
        return Err("a frame must be one JSON object".to_owned());
    }
    serde_json::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod document_tests;
#[cfg(test)]
mod names_tests;
