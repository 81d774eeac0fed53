//! The application's say in a handshake, before it is answered.

use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    time::Duration,
};

use fullduplex_proto::handshake::{Acceptance, Rejection, Request};

use crate::{accept::Handshake, deadline::within, error::HandshakeError, websocket::WebSocket};

/// Lets the application judge a request, and answers as it says. It gets so long for that; a judgement that panics is a 500,
/// one that takes too long a 503.
pub(super) async fn answer<Judging, T>(
    handshake: Handshake,
    limit: Duration,
    judge: impl FnOnce(Request) -> Judging,
) -> Result<(WebSocket, T), HandshakeError>
where
    Judging: Future<Output = Result<(Acceptance, T), Rejection>>,
{
    let request = handshake.request().clone();
    let judged = {
        let mut judging = pin!(async { judge(request).await });
        let caught = poll_fn(|cx| {
            let polled = catch_unwind(AssertUnwindSafe(|| judging.as_mut().poll(cx)));
            // The panic's hook has reported it.
            polled.unwrap_or_else(|_| Err(Rejection::new(500, "Something went wrong.")).into())
        });
        within(limit, caught)
            .await
            .unwrap_or_else(|| Err(Rejection::new(503, "The answer took too long.")))
    };
    match judged {
        Ok((acceptance, identity)) => Ok((handshake.accept_with(acceptance).await?, identity)),
        Err(rejection) => Err(handshake.reject(rejection).await),
    }
}
