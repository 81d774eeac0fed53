//! The server's side of the opening handshake, one test or more per numbered requirement.
//! Requests are written as bytes, answers compared as bytes or by status and sentence.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test fail it by panicking"
)]

mod head;
mod negotiation;
mod origin;
mod request;
mod request_line;
mod response;
mod upgrade;
