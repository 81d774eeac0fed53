//! Goal: the extractor makes a WebSocket of a route of axum's, over HTTP/1.1 and HTTP/2, and says no by the same rules.
//! Method: `axum::serve` on real loopback sockets, our clients, and requests by hand.
#![cfg(feature = "axum")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::net::SocketAddr;

use axum::{
    Extension, Router,
    extract::ConnectInfo,
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{any, get},
};
use common::raw::{Raw, echo, request, within};
use fullduplex::{
    Acceptor, Client, CloseCode, CloseFrame, Config, ConnectError, Deflate, Limits, WebSocket,
    axum::{Rejected, WebSocketUpgrade},
    handshake::{Origins, Refused, Rejection},
};
use tokio::net::TcpListener;

/// Serves these routes; where they are.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    addr
}

async fn echo_route(upgrade: WebSocketUpgrade) -> Response {
    upgrade.on_upgrade(echo)
}

/// The versions of HTTP by which a WebSocket is opened here.
#[derive(Clone, Copy, Debug)]
enum Over {
    Http1,
    #[cfg(feature = "http2")]
    Http2,
}

const BOTH: &[Over] = &[
    Over::Http1,
    #[cfg(feature = "http2")]
    Over::Http2,
];

impl Over {
    async fn open(
        self,
        client: Client,
    ) -> Result<(WebSocket, fullduplex::handshake::Response), ConnectError> {
        match self {
            Self::Http1 => within(client.connect()).await,
            #[cfg(feature = "http2")]
            Self::Http2 => {
                let session = within(fullduplex::http2::Session::connect(&client)).await?;
                within(session.open(&client)).await
            }
        }
    }

    async fn refused(self, client: Client) -> Refused {
        let Err(ConnectError::Handshake(error)) = self.open(client).await else {
            panic!("refused")
        };
        error.refused().expect("a status").clone()
    }
}

fn client(addr: SocketAddr, resource: &str) -> Client {
    Client::new(&format!("ws://{addr}{resource}")).unwrap()
}

#[tokio::test]
async fn a_route_echoes_over_both_versions() {
    let addr = serve(Router::new().route("/ws", any(echo_route))).await;
    for over in BOTH {
        let (mut ws, _response) = over.open(client(addr, "/ws?a=b")).await.unwrap();
        for length in [0, 5, 70_000, 1 << 20] {
            let message = vec![7; length];
            within(ws.send(message.clone())).await.unwrap();
            assert_eq!(within(ws.recv()).await, Ok(Some(message.into())));
        }
        assert!(
            within(ws.close(CloseFrame::normal())).await.clean,
            "{over:?}"
        );
    }
}

/// Why the documentation says `any`.
#[cfg(feature = "http2")]
#[tokio::test]
async fn get_does_not_match_the_connect_of_http_2() {
    let addr = serve(Router::new().route("/ws", get(echo_route))).await;
    assert!(Over::Http1.open(client(addr, "/ws")).await.is_ok());
    let refused = Over::Http2.refused(client(addr, "/ws")).await;
    assert_eq!((refused.status(), refused.body()), (405, &b""[..]));
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn p93_axums_own_server_says_that_it_takes_websockets_over_http_2() {
    let addr = serve(Router::new().route("/", get(async || "a page"))).await;
    let client = client(addr, "/");
    let session = within(fullduplex::http2::Session::connect(&client)).await;
    assert!(!session.unwrap().is_ended());
}

#[tokio::test]
async fn requests_that_are_no_valid_ones_are_answered_as_anywhere() {
    let addr = serve(Router::new().route("/", any(echo_route))).await;
    let whole = request(addr, "");
    for (request, status) in [
        (whole.replacen("GET", "PUT", 1), "405 Method Not Allowed"),
        (
            whole.replacen("Upgrade: websocket", "Upgrade: h2c", 1),
            "426 Upgrade Required",
        ),
        (
            whole.replacen("Version: 13", "Version: 12", 1),
            "426 Upgrade Required",
        ),
        (whole.replacen("ZQ==", "Z===", 1), "400 Bad Request"),
        (
            request(addr, "Sec-WebSocket-Protocol: a, a\r\n"),
            "400 Bad Request",
        ),
        (
            request(addr, "Content-Length: 1\r\n") + "x",
            "400 Bad Request",
        ),
    ] {
        let mut raw = Raw::connect(addr).await;
        raw.send(&request).await;
        let answer = raw.rest_as_text().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{answer}"
        );
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert!(body.len() > 10 && body.ends_with('\n'), "{body}");
    }
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn p96_over_http_2_another_protocol_gets_501_and_a_get_405() {
    use axum::http::Method;
    let addr = serve(Router::new().route("/", any(echo_route))).await;
    let tcp = within(tokio::net::TcpStream::connect(addr)).await.unwrap();
    let raw = common::h2::RawClient::connect(tcp).await;
    let version = [("sec-websocket-version", "13")];
    let connect = raw.ask(Method::CONNECT, Some("connect-ip"), "/", &version);
    assert_eq!(connect.await.0.status(), 501);
    let get = raw.ask(Method::GET, None, "/", &version).await.0;
    assert_eq!(
        (get.status().as_u16(), &get.headers()["allow"]),
        (405, &"CONNECT".parse().unwrap())
    );
    raw.open("/").await;
}

#[tokio::test]
async fn p19_only_the_same_origin_may_unless_rules_or_handler_say_otherwise() {
    let elsewhere = || "http://elsewhere.example".parse().unwrap();
    let router = Router::new()
        .route("/default", any(echo_route))
        .route(
            "/handler",
            any(async |upgrade: WebSocketUpgrade| upgrade.origins(Origins::Any).on_upgrade(echo)),
        )
        .route(
            "/rules",
            any(echo_route).layer(Extension(
                Acceptor::new().origins(Origins::List(vec![elsewhere()])),
            )),
        )
        .route(
            "/stricter",
            any(async |upgrade: WebSocketUpgrade| {
                upgrade.acceptor(Acceptor::new()).on_upgrade(echo)
            })
            .layer(Extension(Acceptor::new().origins(Origins::Any))),
        );
    let addr = serve(router).await;
    for over in BOTH {
        for path in ["/default", "/stricter"] {
            let refused = over
                .refused(
                    client(addr, path)
                        .origin("http://elsewhere.example")
                        .unwrap(),
                )
                .await;
            assert_eq!(refused.status(), 403, "{over:?} {path}");
            let body = String::from_utf8_lossy(refused.body());
            assert!(
                body.contains("http://elsewhere.example may not connect"),
                "{body}"
            );
            let same = client(addr, path)
                .origin(&format!("http://{addr}"))
                .unwrap();
            assert!(over.open(same).await.is_ok());
        }
        for path in ["/handler", "/rules"] {
            let client = client(addr, path)
                .origin("http://elsewhere.example")
                .unwrap();
            assert!(over.open(client).await.is_ok(), "{over:?} {path}");
        }
    }
}

#[tokio::test]
async fn subprotocols_settings_and_peer_are_the_handlers_to_say() {
    let about = async |upgrade: WebSocketUpgrade, ConnectInfo(peer): ConnectInfo<SocketAddr>| {
        let mut config = Config::default();
        config.limits = Limits::with_max_message(100);
        let upgrade = upgrade
            .subprotocols(["v1", "v2"])
            .config(config)
            .peer_addr(peer);
        upgrade.on_upgrade(async |mut ws| {
            let about = format!("{:?} {:?}", ws.peer_addr().is_some(), ws.subprotocol());
            ws.send(about).await?;
            ws.recv().await.map(drop)
        })
    };
    let addr = serve(Router::new().route("/", any(about))).await;
    for over in BOTH {
        let client = client(addr, "/").subprotocol("v2").unwrap();
        let (mut ws, _response) = over.open(client).await.unwrap();
        let expected = r#"true Some("v2")"#;
        assert_eq!(
            within(ws.recv()).await,
            Ok(Some(expected.into())),
            "{over:?}"
        );
        within(ws.send(vec![0; 101])).await.unwrap();
        drop(within(ws.recv()).await);
        assert_eq!(ws.outcome().unwrap().code(), CloseCode::MESSAGE_TOO_BIG);
    }
}

#[tokio::test]
async fn compression_is_the_handlers_to_say_in_both_versions() {
    let route =
        async |upgrade: WebSocketUpgrade| upgrade.deflate(Deflate::for_server()).on_upgrade(echo);
    let addr = serve(Router::new().route("/", any(route))).await;
    for over in BOTH {
        let client = client(addr, "/").require_deflate(Deflate::for_client());
        let (mut ws, _response) = over.open(client).await.unwrap();
        assert!(ws.deflate().is_some(), "{over:?}");
        let message = vec![7; 100_000];
        within(ws.send(message.clone())).await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some(message.into())));
    }
}

#[tokio::test]
async fn the_end_of_a_handler_is_that_of_the_connection() {
    let router = Router::new()
        .route(
            "/returns",
            any(async |upgrade: WebSocketUpgrade| upgrade.on_upgrade(async |_ws| ())),
        )
        .route(
            "/fails",
            any(async |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async |_ws| Err::<(), _>("as the test wants"))
            }),
        )
        .route(
            "/panics",
            any(async |upgrade: WebSocketUpgrade| {
                upgrade.on_upgrade(async |_ws| -> () { panic!("as the test wants") })
            }),
        );
    let addr = serve(router).await;
    for over in BOTH {
        for (path, code) in [("/returns", 1000), ("/fails", 1011), ("/panics", 1011)] {
            let (mut ws, _response) = over.open(client(addr, path)).await.unwrap();
            assert_eq!(within(ws.recv()).await, Ok(None));
            assert_eq!(ws.outcome().unwrap().code().get(), code, "{over:?} {path}");
        }
    }
}

/// A page for those who look, a WebSocket for those who ask for one; with a header of its own, for those who are logged in.
async fn page_or_websocket(
    upgrade: Result<WebSocketUpgrade, Rejected>,
    headers: HeaderMap,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejected) if rejected.rejection().status() == 426 => return "a page".into_response(),
        Err(rejected) => return rejected.into_response(),
    };
    if headers.get("cookie").is_none_or(|cookie| cookie != "id=7") {
        let rejection = Rejection::new(401, "Log in first.");
        return upgrade.reject(rejection.header("WWW-Authenticate", "Basic").unwrap());
    }
    let handshake = match upgrade.handshake() {
        Ok(handshake) => handshake,
        Err(rejected) => return rejected.into_response(),
    };
    let acceptance = handshake.request().accept().header("X-Greeting", "hello");
    let (response, upgrade) = handshake.accept_with(&acceptance.unwrap());
    tokio::spawn(async move { echo(upgrade.await.unwrap()).await });
    response
}

#[tokio::test]
async fn a_handler_can_see_the_request_refuse_it_and_answer_with_headers() {
    let addr = serve(Router::new().route("/", any(page_or_websocket))).await;
    let mut raw = Raw::connect(addr).await;
    raw.send(format!(
        "GET / HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n"
    ))
    .await;
    assert!(raw.rest_as_text().await.ends_with("\r\n\r\na page"));
    for over in BOTH {
        let refused = over.refused(client(addr, "/")).await;
        assert_eq!(
            (refused.status(), refused.body()),
            (401, &b"Log in first.\n"[..])
        );
        assert_eq!(refused.headers().get_str("WWW-Authenticate"), Some("Basic"));
        let client = client(addr, "/").header("Cookie", "id=7").unwrap();
        let (mut ws, response) = over.open(client).await.unwrap();
        assert_eq!(response.header("X-Greeting"), Some(&b"hello"[..]));
        within(ws.send("hi")).await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some("hi".into())));
    }
}
