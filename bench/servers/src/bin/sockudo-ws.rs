//! sockudo-ws, batched.

use std::io;
use std::sync::Arc;

use bench_servers::{Mode, batched, handshake, serve, start};
use futures_util::{SinkExt, StreamExt, stream::SplitSink};
use sockudo_ws::handshake::server_handshake;
use sockudo_ws::{
    CompressedWebSocketStream, Config, DeflateConfig, Error, Message, PubSub, WebSocketStream,
    init_clock,
};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const ROOM: &str = "room";

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Deflate, Mode::Broadcast]);
    init_clock(); // takes up to 200 ms, once
    let room = Arc::new(PubSub::new());
    serve(listener, move |stream| {
        let room = Arc::clone(&room);
        async move {
            // A connection that breaks is the generator's to report.
            let _ = match mode {
                Mode::Deflate => deflate(stream).await,
                Mode::Broadcast => chat(stream, room).await,
                _ => echo(stream).await,
            };
        }
    })
}

async fn echo(mut stream: TcpStream) -> Result<(), Error> {
    server_handshake(&mut stream).await?;
    batched::echo(WebSocketStream::server(stream, Config::default()), is_data).await
}

async fn deflate(mut stream: TcpStream) -> Result<(), Error> {
    let deflate = DeflateConfig {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        compression_threshold: 0,
        ..DeflateConfig::default()
    };
    handshake::accept(&mut stream, Some(&deflate.to_response_header())).await?;
    let ws = CompressedWebSocketStream::server(stream, Config::default(), deflate);
    batched::echo(ws, is_data).await
}

/// Its `PubSub` puts messages into a channel of each subscriber.
async fn chat(mut stream: TcpStream, room: Arc<PubSub>) -> Result<(), Error> {
    server_handshake(&mut stream).await?;
    let ws = WebSocketStream::server(stream, Config::default());
    let (sink, mut stream) = StreamExt::split(ws);
    let (queue, queued) = unbounded_channel();
    let me = room.create_subscriber(queue);
    room.subscribe(me, ROOM);
    tokio::spawn(tokio::task::unconstrained(listen(sink, queued)));
    while let Some(Ok(message)) = stream.next().await {
        if is_data(&message) {
            room.publish(ROOM, message);
        }
    }
    room.remove_subscriber(me);
    Ok(())
}

async fn listen(
    mut sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    mut queued: UnboundedReceiver<Message>,
) -> Result<(), Error> {
    while let Some(message) = queued.recv().await {
        sink.feed(message).await?;
        while let Ok(message) = queued.try_recv() {
            sink.feed(message).await?;
        }
        sink.flush().await?;
    }
    Ok(())
}

fn is_data(message: &Message) -> bool {
    matches!(message, Message::Text(_) | Message::Binary(_))
}
