//! Goal: TLS to the server, to the proxy, or one inside the other; each end is who it should be.
//! Method: real loopback sockets, each end certified by an authority of its own.
#![cfg(feature = "tls")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{net::SocketAddr, sync::Arc};

use common::{
    authority::Authority,
    proxy::{self, Proxy as Listening, early_proxy, http_proxy, proxy, socks_proxy},
    raw::{bound, echo, echo_server, within},
};
use fullduplex::{Acceptor, Client, CloseFrame, ConnectError, Proxy, ProxyError, tls::rustls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

async fn secure_echo_server(authority: &Authority) -> SocketAddr {
    let (server, addr) = bound().await;
    tokio::spawn(server.tls(Arc::clone(&authority.server)).serve(echo));
    addr
}

/// `CONNECT` over TLS.
async fn https_proxy(authority: &Authority) -> Listening {
    let acceptor = TlsAcceptor::from(Arc::clone(&authority.server));
    proxy(move |stream, asked| {
        let accepting = acceptor.accept(stream);
        async move {
            if let Ok(tls) = accepting.await {
                proxy::connect(tls, &asked, b"").await;
            }
        }
    })
    .await
}

async fn echoes(client: Client) {
    within(async {
        let (mut ws, _response) = client.connect().await.unwrap();
        let big = "x".repeat(200_000);
        for text in ["through", &big] {
            ws.send(text).await.unwrap();
            assert_eq!(ws.recv().await, Ok(Some(text.into())));
        }
        assert!(ws.close(CloseFrame::normal()).await.clean);
    })
    .await;
}

async fn error(client: Client) -> ConnectError {
    match within(client.connect()).await {
        Err(error) => error,
        Ok(_) => panic!("connected"),
    }
}

#[tokio::test]
async fn p32_wss_through_proxies_without_tls() {
    let authority = Authority::new();
    let server = secure_echo_server(&authority).await;
    let client = || {
        let uri = format!("wss://localhost:{}/", server.port());
        Client::new(&uri)
            .unwrap()
            .tls(Arc::clone(&authority.client))
    };
    let http = http_proxy().await;
    let address = Proxy::new(&format!("http://{}", http.addr)).unwrap();
    echoes(client().proxy(address)).await;
    assert!(http.asked()[0].starts_with(&format!("CONNECT localhost:{} ", server.port())));
    let socks = socks_proxy().await;
    let address = format!("socks5h://aladdin:open%20sesame@{}", socks.addr);
    echoes(client().proxy(Proxy::new(&address).unwrap())).await;
}

#[tokio::test]
async fn p32_tls_inside_tls_each_end_checked_by_its_own_roots() {
    let (servers, proxys) = (Authority::new(), Authority::new());
    let server = secure_echo_server(&servers).await;
    let listening = https_proxy(&proxys).await;
    let address =
        || Proxy::new(&format!("https://a:b@localhost:{}", listening.addr.port())).unwrap();
    let client = || {
        let uri = format!("wss://localhost:{}/", server.port());
        Client::new(&uri).unwrap().tls(Arc::clone(&servers.client))
    };
    echoes(client().proxy(address().tls(Arc::clone(&proxys.client)))).await;
    assert!(listening.asked()[0].contains("Proxy-Authorization: Basic YTpi\r\n"));

    // The server's roots are not the proxy's, and nothing is said to a proxy that is not the right one.
    for stranger in [address(), address().tls(Arc::clone(&servers.client))] {
        let error = error(client().proxy(stranger)).await;
        assert!(
            matches!(error, ConnectError::Proxy(ProxyError::Tls(_))),
            "{error}"
        );
    }
    assert_eq!(listening.asked().len(), 1);

    let client = client().tls(Arc::clone(&proxys.client));
    let error = error(client.proxy(address().tls(Arc::clone(&proxys.client)))).await;
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
}

#[tokio::test]
async fn p32_ws_through_an_https_proxy() {
    let authority = Authority::new();
    let server = echo_server(Acceptor::new()).await;
    let listening = https_proxy(&authority).await;
    // A configuration that is shared with HTTP/2 must not lead to an h2 proxy.
    let mut shared = (*authority.client).clone();
    shared.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let address = Proxy::new(&format!("https://localhost:{}", listening.addr.port()))
        .unwrap()
        .tls(Arc::new(shared));
    echoes(
        Client::new(&format!("ws://{server}/"))
            .unwrap()
            .proxy(address),
    )
    .await;
}

/// Dropped, they would let whoever stands between speak as if TLS had begun.
#[tokio::test]
async fn p32_early_bytes_behind_the_200_reach_tls() {
    let authority = Authority::new();
    let server = secure_echo_server(&authority).await;
    let listening = early_proxy(b"HTTP/1.1 101 Switching Protocols\r\n").await;
    let client = Client::new(&format!("wss://localhost:{}/", server.port()))
        .unwrap()
        .tls(Arc::clone(&authority.client))
        .proxy(Proxy::new(&format!("http://{}", listening.addr)).unwrap());
    let ConnectError::Tls(error) = error(client).await else {
        panic!("no error of TLS");
    };
    let error = error.get_ref().unwrap().downcast_ref::<rustls::Error>();
    assert!(
        matches!(error, Some(rustls::Error::InvalidMessage(_))),
        "{error:?}"
    );
}

#[tokio::test]
async fn p33_an_https_proxy_that_speaks_no_tls_is_an_error() {
    let authority = Authority::new();
    for answer in [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b""] {
        let listening = proxy(move |mut stream, _| async move {
            drop(stream.read_u8().await);
            stream.write_all(answer).await.unwrap();
        })
        .await;
        let address = Proxy::new(&format!("https://localhost:{}", listening.addr.port())).unwrap();
        let client = Client::new("ws://server.example/")
            .unwrap()
            .proxy(address.tls(Arc::clone(&authority.client)));
        let error = error(client).await;
        assert!(
            matches!(error, ConnectError::Proxy(ProxyError::Tls(_))),
            "{error}"
        );
    }
}
