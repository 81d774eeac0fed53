//! Goal: a client reaches its server through every kind of proxy, and neither learns what is the other's.
//! Method: real loopback sockets, proxies and servers that keep what they were told.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::net::SocketAddr;

use common::{
    proxy::{early_proxy, http_proxy, proxy, read_head, socks_proxy},
    raw::{acceptance, echo_server, within},
};
use fullduplex::{
    Acceptor, Client, CloseFrame, ConnectError, Proxy, ProxyError, SocksError, WebSocket,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::{mpsc, oneshot},
};

async fn through(proxy: Proxy, uri: &str) -> Result<WebSocket, ConnectError> {
    let client = Client::new(uri).unwrap().proxy(proxy);
    within(client.connect()).await.map(|(ws, _response)| ws)
}

/// The server at the other end echoes, to a clean close.
async fn echoes(mut ws: WebSocket) {
    within(async {
        let big = "x".repeat(100_000);
        for text in ["through", &big] {
            ws.send(text).await.unwrap();
            assert_eq!(ws.recv().await, Ok(Some(text.into())));
        }
        assert!(ws.close(CloseFrame::normal()).await.clean);
    })
    .await;
}

/// A server that keeps the head of the first request, and never answers it.
async fn recording_server() -> (SocketAddr, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (told, heard) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_head(&mut stream).await;
        told.send(String::from_utf8(request).unwrap()).unwrap();
    });
    (addr, heard)
}

#[tokio::test]
async fn p32_ws_goes_through_an_http_proxy_and_the_target_has_a_port() {
    let server = echo_server(Acceptor::new()).await;
    let proxy = http_proxy().await;
    let address = Proxy::new(&format!("http://{}", proxy.addr)).unwrap();
    echoes(through(address, &format!("ws://{server}/")).await.unwrap()).await;
    assert_eq!(
        proxy.asked(),
        [format!(
            "CONNECT {server} HTTP/1.1\r\nHost: {server}\r\n\r\n"
        )]
    );
}

#[tokio::test]
async fn p32_neither_gets_the_others_credentials() {
    let (server, heard) = recording_server().await;
    let proxy = http_proxy().await;
    let address = format!("http://aladdin:open%20sesame@{}", proxy.addr);
    let client = Client::new(&format!("ws://origin:secret@{server}/"))
        .unwrap()
        .header("Cookie", "id=secret")
        .unwrap()
        .proxy(
            Proxy::new(&address)
                .unwrap()
                .header("X-Tunnel", "7")
                .unwrap(),
        );
    // "aladdin:open sesame" and "origin:secret" in base64.
    let (proxys, servers) = ("YWxhZGRpbjpvcGVuIHNlc2FtZQ==", "b3JpZ2luOnNlY3JldA==");
    let shown = format!("{client:?}");
    for secret in ["aladdin", "sesame", "secret", proxys, servers] {
        assert!(!shown.contains(secret), "{shown}");
    }
    let refused = within(client.connect()).await;
    assert!(matches!(refused, Err(ConnectError::Handshake(_))));
    let request = within(heard).await.unwrap();
    assert!(request.contains(&format!("Authorization: Basic {servers}\r\n")));
    assert!(!request.to_lowercase().contains("proxy"), "{request}");
    assert!(
        !request.contains("X-Tunnel") && !request.contains(proxys),
        "{request}"
    );
    let asked = proxy.asked().remove(0);
    assert!(asked.contains(&format!("\r\nProxy-Authorization: Basic {proxys}\r\n")));
    assert!(asked.contains("\r\nX-Tunnel: 7\r\n"));
    assert!(
        !asked.contains("secret") && !asked.contains(servers),
        "{asked}"
    );
}

#[tokio::test]
async fn p32_a_refusal_comes_with_status_headers_and_body() {
    let proxy = proxy(move |mut stream, _| async move {
        read_head(&mut stream).await;
        let answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\
            Proxy-Authenticate: Basic realm=\"here\"\r\nContent-Length: 12\r\n\r\nwho are you?";
        stream.write_all(answer).await.unwrap();
        // It would go on with the same connection.
        drop(stream.read_u8().await);
    })
    .await;
    let address = Proxy::new(&format!("http://a:secret@{}", proxy.addr)).unwrap();
    let error = through(address, "ws://server.example/").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the proxy answered 407 Proxy Authentication Required"
    );
    assert!(!format!("{error:?}").contains("secret"));
    let ConnectError::Proxy(error) = error else {
        panic!("{error}");
    };
    let refused = error.refused().unwrap();
    assert_eq!(refused.body(), b"who are you?");
    assert!(refused.headers().contains("Proxy-Authenticate"));
}

/// The front of an interim response of the server: without it the rest would be no response.
#[tokio::test]
async fn p32_early_bytes_behind_the_200_are_the_servers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = String::from_utf8(read_head(&mut stream).await).unwrap();
        let (_, key) = head.split_once("Sec-WebSocket-Key: ").unwrap();
        let key = key.split("\r\n").next().unwrap();
        let accept = fullduplex::handshake::accept_for(key.as_bytes());
        let answer = acceptance("").replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept);
        let rest = format!("arly Hints\r\n\r\n{answer}\u{81}\u{2}hi");
        let bytes: Vec<u8> = rest.chars().map(|c| u8::try_from(c).unwrap()).collect();
        stream.write_all(&bytes).await.unwrap();
        drop(stream.read_u8().await);
    });
    let proxy = early_proxy(b"HTTP/1.1 103 E").await;
    let address = Proxy::new(&format!("http://{}", proxy.addr)).unwrap();
    let mut ws = through(address, &format!("ws://{server}/")).await.unwrap();
    assert_eq!(within(ws.recv()).await, Ok(Some("hi".into())));
}

#[tokio::test]
async fn p32_socks_with_a_password_by_address_and_by_name() {
    let server = echo_server(Acceptor::new()).await;
    let proxy = socks_proxy().await;
    let port = server.port();
    for (scheme, host, target) in [
        ("socks5", "127.0.0.1", "127.0.0.1"),
        ("socks5h", "127.0.0.1", "127.0.0.1"),
        ("socks5h", "localhost", "localhost"),
    ] {
        let address = format!("{scheme}://aladdin:open%20sesame@{}", proxy.addr);
        let address = Proxy::new(&address).unwrap();
        let uri = format!("ws://{host}:{port}/");
        echoes(through(address, &uri).await.unwrap()).await;
        assert_eq!(proxy.asked().pop(), Some(format!("{target}:{port}")));
    }
    for (user, expected) in [
        ("", SocksError::Method),
        ("aladdin:wrong@", SocksError::Credentials),
    ] {
        let address = Proxy::new(&format!("socks5h://{user}{}", proxy.addr)).unwrap();
        match through(address, &format!("ws://{server}/")).await {
            Err(ConnectError::Proxy(ProxyError::Socks(error))) => assert_eq!(error, expected),
            other => panic!("{other:?}"),
        }
    }
}

/// A name that this machine cannot resolve is still the proxy's to resolve.
#[tokio::test]
async fn p32_socks5_resolves_here_and_socks5h_there() {
    let proxy = socks_proxy().await;
    let uri = "ws://no-such-host.invalid/";
    let address = format!("socks5://aladdin:open%20sesame@{}", proxy.addr);
    let error = through(Proxy::new(&address).unwrap(), uri)
        .await
        .unwrap_err();
    assert!(
        matches!(error, ConnectError::Proxy(ProxyError::Resolve(_))),
        "{error}"
    );
    assert!(error.to_string().contains("no-such-host.invalid"));
    assert!(proxy.asked().is_empty());
    let address = address.replace("socks5:", "socks5h:");
    assert!(through(Proxy::new(&address).unwrap(), uri).await.is_err());
    assert_eq!(proxy.asked(), ["no-such-host.invalid:80"]);
}

#[tokio::test]
async fn p34_dropping_the_attempt_closes_the_connection_to_the_proxy() {
    let (told, mut heard) = mpsc::channel(2);
    let silent = proxy(move |mut stream, _| {
        let told = told.clone();
        async move {
            read_head(&mut stream).await;
            told.send("asked").await.unwrap();
            let end = stream.read_u8().await.unwrap_err();
            assert_eq!(end.kind(), std::io::ErrorKind::UnexpectedEof);
            told.send("ended").await.unwrap();
        }
    })
    .await;
    let address = Proxy::new(&format!("http://{}", silent.addr)).unwrap();
    let client = Client::new("ws://server.example/").unwrap().proxy(address);
    let connecting = tokio::spawn(async move { client.connect().await });
    assert_eq!(within(heard.recv()).await, Some("asked"));
    connecting.abort();
    assert_eq!(within(heard.recv()).await, Some("ended"));
}
