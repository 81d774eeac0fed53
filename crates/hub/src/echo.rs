//! `/echo`: everything comes back as it went.

use std::pin::pin;

use fullduplex::{CloseCode, WebSocket};
use tokio_util::sync::CancellationToken;

use crate::session::close_frame;

/// Sends every message back, until the client goes or the hub stops.
pub(crate) async fn echo(mut ws: WebSocket, stopping: CancellationToken) {
    let mut stopping = pin!(stopping.cancelled_owned());
    loop {
        let message = tokio::select! {
            biased;
            message = ws.recv() => message,
            () = &mut stopping => {
                ws.close(close_frame(CloseCode::GOING_AWAY, "the server stops")).await;
                return;
            }
        };
        let Ok(Some(message)) = message else { return };
        if ws.send(message).await.is_err() {
            return;
        }
    }
}
