//! Messages that are JSON.

use std::{fmt, future::Future};

use fullduplex_proto::Message;
use serde_core::{Serialize, de::DeserializeOwned};

use crate::{
    error::Error,
    sender::{Sender, Sent},
    split::{ReadHalf, WriteHalf},
    websocket::WebSocket,
};

/// Why a value could not be sent or received as JSON.
#[derive(Debug)]
#[non_exhaustive]
pub enum JsonError {
    /// The connection.
    Connection(Error),
    /// The value cannot be written as JSON: a map whose keys are no strings, for one. Nothing was sent.
    Encode(InvalidJson),
    /// What was received is no JSON, or not of the type that was asked for. The connection goes on: close it with 1007, or
    /// receive the next message.
    Decode(InvalidJson),
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(error) => error.fmt(f),
            Self::Encode(error) => write!(f, "cannot be written as JSON: {error}"),
            Self::Decode(error) => write!(f, "not the JSON that was expected: {error}"),
        }
    }
}

impl std::error::Error for JsonError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Connection(error) => Some(error),
            Self::Encode(error) | Self::Decode(error) => Some(error),
        }
    }
}

impl From<Error> for JsonError {
    fn from(error: Error) -> Self {
        Self::Connection(error)
    }
}

/// What is wrong, with line and column.
#[derive(Debug)]
pub struct InvalidJson(serde_json::Error);

impl fmt::Display for InvalidJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for InvalidJson {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Message, JsonError> {
    match serde_json::to_string(value) {
        Ok(text) => Ok(Message::text(text)),
        Err(error) => Err(JsonError::Encode(InvalidJson(error))),
    }
}

fn decode<T: DeserializeOwned>(
    received: Result<Option<Message>, Error>,
) -> Result<Option<T>, JsonError> {
    let Some(message) = received? else {
        return Ok(None);
    };
    match serde_json::from_slice(message.as_bytes()) {
        Ok(value) => Ok(Some(value)),
        Err(error) => Err(JsonError::Decode(InvalidJson(error))),
    }
}

impl WebSocket {
    /// Sends a value as JSON, in a text message. See [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// [`JsonError::Encode`], or [`JsonError::Connection`] with the error of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub fn send_json<'a, T: Serialize + ?Sized>(
        &'a mut self,
        value: &T,
    ) -> impl Future<Output = Result<(), JsonError>> + Send + use<'a, T> {
        let message = encode(value);
        async move { Ok(self.send(message?).await?) }
    }

    /// Receives the next message, text or binary, and reads it as JSON; `None` once the connection has been closed
    /// cleanly. See [`recv`](Self::recv).
    ///
    /// # Errors
    ///
    /// [`JsonError::Decode`], after which the connection goes on, or [`JsonError::Connection`] with the error of
    /// [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, JsonError> {
        decode(self.recv().await)
    }
}

impl ReadHalf {
    /// Receives the next message and reads it as JSON. See [`WebSocket::recv_json`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::recv_json`].
    ///
    /// # Cancel safety
    ///
    /// Cancel-safe.
    pub async fn recv_json<T: DeserializeOwned>(&mut self) -> Result<Option<T>, JsonError> {
        decode(self.recv().await)
    }
}

impl WriteHalf {
    /// Sends a value as JSON. See [`WebSocket::send_json`].
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_json`].
    ///
    /// # Cancel safety
    ///
    /// As [`WebSocket::send`].
    pub fn send_json<'a, T: Serialize + ?Sized>(
        &'a mut self,
        value: &T,
    ) -> impl Future<Output = Result<(), JsonError>> + Send + use<'a, T> {
        let message = encode(value);
        async move { Ok(self.send(message?).await?) }
    }
}

impl Sender {
    /// Sends a value as JSON, in a text message. See [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// [`JsonError::Encode`], or [`JsonError::Connection`] with the error of [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As [`send`](Self::send).
    pub fn send_json<'a, T: Serialize + ?Sized>(
        &'a self,
        value: &T,
    ) -> impl Future<Output = Result<Sent, JsonError>> + Send + use<'a, T> {
        let message = encode(value);
        async move { Ok(self.send(message?).await?) }
    }
}
