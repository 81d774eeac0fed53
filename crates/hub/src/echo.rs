//! `/echo`: everything comes back as it went.

use fullduplex::{CloseCode, Outcome, WebSocket};
use tokio_util::sync::CancellationToken;

use crate::session::close_frame;

/// Sends every message back, until the client goes or the hub stops.
pub(crate) async fn echo(ws: WebSocket, stopping: CancellationToken) -> Outcome {
    let (mut reader, mut writer) = ws.split();
    let echoing = async {
        while let Ok(Some(message)) = reader.recv().await {
            if writer.send(message).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = echoing => {}
        () = stopping.cancelled() => {}
    }
    writer
        .close(close_frame(CloseCode::GOING_AWAY, "the server stops"))
        .await
}
