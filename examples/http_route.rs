//! `cargo run -p fullduplex-examples --bin http_route -- 127.0.0.1:8080`, then open <http://127.0.0.1:8080/>.
//!
//! Seed 000: an HTTP server, one of whose routes is upgraded. A page, a JSON route and a WebSocket that answers.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{env, io};

use axum::{
    Json, Router,
    response::{Html, Response},
    routing::{any, get},
};
use fullduplex::{Error, WebSocket, axum::WebSocketUpgrade};
use tokio::net::TcpListener;

const PAGE: &str = r#"<!doctype html><title>http_route</title><input id="line" autofocus><ul id="list"></ul>
<script>
const ws = new WebSocket(`ws://${location.host}/ws`);
ws.onmessage = event => { const li = document.createElement("li"); li.textContent = event.data; list.append(li); };
line.onchange = () => { ws.send(line.value); line.value = ""; };
</script>"#;

#[tokio::main]
async fn main() -> io::Result<()> {
    let addr = env::args().nth(1);
    let listener = TcpListener::bind(addr.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    let router = Router::new()
        .route("/", get(async || Html(PAGE)))
        .route(
            "/api/hello",
            get(async || Json(serde_json::json!({ "hello": "world" }))),
        )
        // Not `get`: over HTTP/2 the method is CONNECT.
        .route("/ws", any(websocket));
    // It lets a client take its time over a request: on the open net, build connections with hyper's header timeout.
    axum::serve(listener, router).await
}

async fn websocket(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(answer)
}

async fn answer(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        let count = message.as_text().map_or(0, |text| text.chars().count());
        ws.send(format!("{count} characters")).await?;
    }
    Ok(())
}
