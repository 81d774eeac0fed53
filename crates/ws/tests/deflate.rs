//! Goal: permessage-deflate through real connections: agreed on, required, and bounded against bombs.
//! Method: loopback sockets and pipes. What it costs in memory is in `memory.rs`.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use common::{
    raw::{Raw, acceptance, bound, echo, request, serves_the_next_client, within},
    server,
};
use fullduplex::{
    Acceptor, Client, CloseFrame, Config, ConnectError, Deflate, DeflateParams, Message, Role,
    WebSocket, handshake::ClientError,
};
use fullduplex_testkit::{Endpoint, Peer, pipe, wire};

/// Bytes that shrink to a quarter.
fn sample(len: usize) -> Vec<u8> {
    (0_u32..)
        .flat_map(|n| format!("{n:07}\n").into_bytes())
        .take(len)
        .collect()
}

async fn connected(client: Deflate, server: Deflate) -> (WebSocket, WebSocket) {
    let (near, far) = pipe(64 << 10);
    let acceptor = Acceptor::new().deflate(server);
    let accepting = tokio::spawn(async move { acceptor.accept(far).await.unwrap() });
    let client = Client::new("ws://example.com/").unwrap().deflate(client);
    let (client, _response) = client.connect_over(near).await.unwrap();
    (client, accepting.await.unwrap())
}

#[tokio::test]
async fn p59_both_ends_know_what_was_agreed_on_and_messages_go_both_ways() {
    for (offered, accepted) in [
        (Deflate::for_client(), Deflate::for_server()),
        (Deflate::for_client(), Deflate::for_client()),
        (Deflate::for_server(), Deflate::for_client()),
    ] {
        let (mut client, mut server) = connected(offered, accepted).await;
        let params = client.deflate().unwrap();
        assert_eq!(server.deflate(), Some(params));
        let forgets = offered.server_no_context_takeover || accepted.server_no_context_takeover;
        assert_eq!(params.server_no_context_takeover, forgets);
        let message = Message::binary(sample(30_000));
        for _ in 0..3 {
            client.send(message.clone()).await.unwrap();
            assert!(server.recv().await == Ok(Some(message.clone())));
            server.send(message.clone()).await.unwrap();
            assert!(client.recv().await == Ok(Some(message.clone())));
        }
        let (outcome, end) = tokio::join!(client.close(CloseFrame::normal()), server.recv());
        assert!(outcome.clean);
        assert_eq!(end, Ok(None));
    }
}

#[tokio::test]
async fn nothing_is_compressed_unless_both_sides_want_it() {
    let (ws, _wire) = server(Config::default()).await;
    assert_eq!(ws.deflate(), None);
    let (server, addr) = bound().await;
    tokio::spawn(server.serve(echo));
    let offering = Client::new(&format!("ws://{addr}/"))
        .unwrap()
        .deflate(Deflate::for_client());
    let (ws, response) = within(offering.connect()).await.unwrap();
    assert_eq!((ws.deflate(), response.deflate()), (None, None));
}

#[tokio::test]
async fn row_30_a_client_that_requires_compression_says_1010_to_a_server_without() {
    let (io, wire) = Peer::server();
    let client = Client::new("ws://example.com/")
        .unwrap()
        .require_deflate(Deflate::for_client());
    let peer = async {
        wire.accept("").await;
        wire.push([wire::close(1010, "permessage-deflate")]);
        wire.script.push_end();
    };
    let (connected, ()) = within(async { tokio::join!(client.connect_over(io), peer) }).await;
    let error = connected.unwrap_err();
    assert!(
        matches!(
            &error,
            ConnectError::Handshake(ClientError::ExtensionMissing("permessage-deflate"))
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("permessage-deflate"), "{error}");
    let said: Vec<_> = wire
        .frames()
        .into_iter()
        .map(wire::Frame::without_key)
        .collect();
    assert_eq!(said, [wire::close(1010, "permessage-deflate")]);

    // Where the server has it, all is well.
    let (server, addr) = bound().await;
    tokio::spawn(
        server
            .acceptor(Acceptor::new().deflate(Deflate::for_server()))
            .serve(echo),
    );
    let client = Client::new(&format!("ws://{addr}/"))
        .unwrap()
        .require_deflate(Deflate::for_client());
    assert!(
        within(client.connect())
            .await
            .unwrap()
            .0
            .deflate()
            .is_some()
    );
}

#[tokio::test]
async fn p54_a_bomb_is_answered_with_1009_and_others_live_on() {
    for accepted in [Deflate::for_client(), Deflate::for_server()] {
        let (server, addr) = bound().await;
        tokio::spawn(
            server
                .acceptor(Acceptor::new().deflate(accepted))
                .serve(echo),
        );
        let client = Client::new(&format!("ws://{addr}/"))
            .unwrap()
            .deflate(Deflate::for_client());
        let (mut neighbour, _) = within(client.connect()).await.unwrap();

        let mut bomber = Raw::connect(addr).await;
        bomber
            .send(request(
                addr,
                "Sec-WebSocket-Extensions: permessage-deflate\r\n",
            ))
            .await;
        let answer = if accepted.server_no_context_takeover {
            "; server_no_context_takeover; client_no_context_takeover"
        } else {
            ""
        };
        let line = format!("Sec-WebSocket-Extensions: permessage-deflate{answer}\r\n");
        assert_eq!(bomber.head().await, acceptance(&line));
        let bomb = bomb(&neighbour.deflate().unwrap(), 64 << 20);
        assert!(bomb.len() < 70_000, "{}", bomb.len());
        let mut frames = Vec::new();
        for (n, piece) in bomb.chunks(10_000).enumerate() {
            let frame = if n == 0 {
                wire::binary(piece).rsv(0b100)
            } else {
                wire::continuation(piece)
            };
            frames.push(frame.not_fin());
        }
        bomber.send_frames(frames).await;
        let close = bomber.frame().await;
        assert_eq!(close.payload[..2], 1009_u16.to_be_bytes());
        bomber.end().await;
        bomber.rest().await;

        within(neighbour.send("still there?")).await.unwrap();
        assert_eq!(
            within(neighbour.recv()).await,
            Ok(Some("still there?".into()))
        );
        serves_the_next_client(addr).await;
    }
}

/// So many zeros, compressed.
fn bomb(params: &DeflateParams, len: usize) -> Vec<u8> {
    let mut bomber = Endpoint::new(Role::Client, Config::default());
    bomber.connection = bomber.connection.with_deflate(params);
    bomber.send(vec![0; len]);
    bomber
        .transmit()
        .into_iter()
        .flat_map(|frame| frame.payload)
        .collect()
}
