//! axum's `ws`, batched: tungstenite behind a router and hyper. It has no compression. The read buffer is chosen as in `tokio-tungstenite`, for the
//! same reason.

use std::io;

use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::any;
use axum::serve::ListenerExt;
use bench_servers::{Mode, batched, run, start};
use tokio::net::TcpListener;
use tokio::sync::broadcast::Sender;

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Large, Mode::Broadcast]);
    let room = Sender::new(batched::ROOM);
    let router = Router::new()
        .fallback(any(upgrade))
        .with_state((mode, room));
    run(async {
        let listener = TcpListener::from_std(listener)?.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        axum::serve(listener, router).await
    })?
}

async fn upgrade(
    ws: WebSocketUpgrade,
    State((mode, room)): State<(Mode, Sender<Message>)>,
) -> Response {
    let ws = match mode {
        Mode::Large => ws,
        _ => ws.read_buffer_size(8 << 10),
    };
    ws.on_upgrade(move |ws| {
        tokio::task::unconstrained(async move {
            // A connection that breaks is the generator's to report.
            let _ = match mode {
                Mode::Broadcast => batched::chat(ws, room, is_data).await,
                _ => batched::echo(ws, is_data).await,
            };
        })
    })
}

fn is_data(message: &Message) -> bool {
    matches!(message, Message::Text(_) | Message::Binary(_))
}
