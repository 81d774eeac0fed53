//! Goal: wss in both roles, with a certificate authority of our own.
//! Method: real loopback sockets; peers in bare rustls where the fault lies below the WebSocket.
#![cfg(feature = "tls")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests"
)]

mod common;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use common::raw::{Raw, bound, echo, plain_refusal, request, within};
use fullduplex::{
    Acceptor, Cause, Client, CloseCode, CloseFrame, ConnectError, Error, WebSocket,
    tls::{
        client_config_with_ca,
        rustls::{ClientConfig, ServerConfig, pki_types::ServerName},
        server_config,
    },
};
use fullduplex_testkit::wire;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate for `localhost` and loopback, and the authority that signed it.
struct Authority {
    ca: String,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Authority {
    fn new() -> Self {
        Self::certifying(["localhost", "127.0.0.1"])
    }

    fn certifying<const N: usize>(names: [&str; N]) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let key = KeyPair::generate().unwrap();
        let names = names.map(str::to_owned);
        let certificate = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let server =
            server_config(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).unwrap();
        let client = client_config_with_ca(ca.as_bytes()).unwrap();
        Self { ca, server, client }
    }

    async fn echo_server(&self, acceptor: Acceptor) -> SocketAddr {
        let (server, addr) = bound().await;
        tokio::spawn(
            server
                .acceptor(acceptor)
                .tls(Arc::clone(&self.server))
                .serve(echo),
        );
        addr
    }

    async fn connect(&self, uri: &str) -> Result<WebSocket, ConnectError> {
        let client = Client::new(uri).unwrap().tls(Arc::clone(&self.client));
        within(client.connect()).await.map(|(ws, _response)| ws)
    }

    /// A client by both names is served, to a clean close.
    async fn serves_the_next_client(&self, addr: SocketAddr) {
        for host in ["127.0.0.1", "localhost"] {
            let mut ws = self
                .connect(&format!("wss://{host}:{}/", addr.port()))
                .await
                .unwrap();
            ws.send("over TLS").await.unwrap();
            assert_eq!(within(ws.recv()).await, Ok(Some("over TLS".into())));
            assert!(within(ws.close(CloseFrame::normal())).await.clean);
        }
    }
}

/// 000:20 and 003:18, row 10 of the seeds.
#[tokio::test]
async fn messages_of_every_size_are_echoed_over_tls() {
    let authority = Authority::new();
    let addr = authority.echo_server(Acceptor::new()).await;
    let mut ws = authority
        .connect(&format!("wss://localhost:{}/", addr.port()))
        .await
        .unwrap();
    assert_eq!(ws.peer_addr(), Some(addr));
    for length in [0, 1, 125, 126, 16_384, 65_535, 65_536, 1 << 20] {
        let message = vec![7; length];
        within(ws.send(message.clone())).await.unwrap();
        assert_eq!(within(ws.recv()).await, Ok(Some(message.into())));
    }
    authority.serves_the_next_client(addr).await;
}

#[tokio::test]
async fn an_unknown_authority_a_wrong_name_and_no_tls_at_all_are_tls_errors() {
    let authority = Authority::new();
    let addr = authority.echo_server(Acceptor::new()).await;
    let stranger = Authority::new();
    let uri = format!("wss://{addr}/");
    let error = stranger.connect(&uri).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    // What Mozilla trusts does not include us.
    let error = within(fullduplex::connect(&uri)).await.unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    let elsewhere = Authority::certifying(["elsewhere.example"]);
    let other = elsewhere.echo_server(Acceptor::new()).await;
    let error = elsewhere
        .connect(&format!("wss://{other}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    // This server speaks no TLS.
    let plain = common::raw::echo_server(Acceptor::new()).await;
    let error = authority
        .connect(&format!("wss://{plain}/"))
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Tls(_)), "{error}");
    authority.serves_the_next_client(addr).await;
}

#[tokio::test]
async fn plain_http_noise_and_silence_on_a_tls_port_harm_nobody() {
    let authority = Authority::new();
    let acceptor = Acceptor::new().handshake_timeout(Duration::from_millis(300));
    let addr = authority.echo_server(acceptor).await;
    let mut plain = Raw::connect(addr).await;
    plain.send(request(addr, "")).await;
    // An alert in the record layer, then the end.
    assert!(plain.rest().await.starts_with(b"\x15\x03"));
    let mut silent = Raw::connect(addr).await;
    assert_eq!(silent.rest().await, b"");
    let mut cut = Raw::connect(addr).await;
    cut.send(b"\x16\x03\x01\x02\x00\x01\x00").await;
    cut.end().await;
    let _alert = cut.rest().await;
    authority.serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p19_over_tls_the_scheme_of_the_origin_counts() {
    let authority = Authority::new();
    let addr = authority.echo_server(Acceptor::new()).await;
    let with_origin = async |origin: String| {
        let client = Client::new(&format!("wss://{addr}/")).unwrap();
        let client = client
            .tls(Arc::clone(&authority.client))
            .origin(&origin)
            .unwrap();
        within(client.connect()).await
    };
    assert!(with_origin(format!("https://{addr}")).await.is_ok());
    let Err(ConnectError::Handshake(error)) = with_origin(format!("http://{addr}")).await else {
        panic!("a page without TLS is another origin")
    };
    assert_eq!(error.refused().unwrap().status(), 403);
}

#[tokio::test]
async fn p31_a_client_configuration_shared_with_http2_does_not_offer_it() {
    let authority = Authority::new();
    let mut server = ServerConfig::clone(&authority.server);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("wss://{}/", listener.local_addr().unwrap());
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let tls = TlsAcceptor::from(Arc::new(server))
            .accept(tcp)
            .await
            .unwrap();
        let agreed = tls.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        let mut ws = Acceptor::new().accept(tls).await.unwrap();
        assert_eq!(ws.recv().await, Ok(None));
        agreed
    });
    let mut shared = ClientConfig::clone(&authority.client);
    shared.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let client = Client::new(&uri).unwrap().tls(Arc::new(shared));
    let (mut ws, _response) = within(client.connect()).await.unwrap();
    assert!(within(ws.close(CloseFrame::normal())).await.clean);
    assert_eq!(
        within(serving).await.unwrap().as_deref(),
        Some(&b"http/1.1"[..])
    );
}

#[tokio::test]
async fn p31_a_server_configuration_shared_with_http2_does_not_agree_to_it() {
    let mut authority = Authority::new();
    let server = Arc::make_mut(&mut authority.server);
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let addr = authority.echo_server(Acceptor::new()).await;
    for (offered, agreed) in [
        (vec!["h2", "http/1.1"], Some(Some(&b"http/1.1"[..]))),
        (vec![], Some(None)),
        (vec!["h2"], None),
    ] {
        let mut client = ClientConfig::clone(&authority.client);
        client.alpn_protocols = offered
            .iter()
            .map(|name| name.as_bytes().to_vec())
            .collect();
        let tcp = TcpStream::connect(addr).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = within(TlsConnector::from(Arc::new(client)).connect(name, tcp)).await;
        let found = tls.as_ref().ok().map(|tls| tls.get_ref().1.alpn_protocol());
        assert_eq!(found, agreed, "{offered:?}");
    }
    authority.serves_the_next_client(addr).await;
}

#[tokio::test]
async fn p18_a_refusal_over_tls_arrives_whole_with_close_notify() {
    let authority = Authority::new();
    let addr = authority.echo_server(Acceptor::new()).await;
    let tcp = TcpStream::connect(addr).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::clone(&authority.client));
    let mut tls = within(connector.connect(name, tcp)).await.unwrap();
    tls.write_all(request(addr, "").replacen("Host", "Most", 1).as_bytes())
        .await
        .unwrap();
    let mut answer = String::new();
    // Without close_notify this would fail as truncated.
    within(tls.read_to_string(&mut answer)).await.unwrap();
    let sentence = "the request needs one Host header with the name of a host";
    assert_eq!(answer, plain_refusal("400 Bad Request", sentence));
}

#[tokio::test]
async fn over_tls_an_address_over_its_limit_is_cut_off_without_a_word() {
    let authority = Authority::new();
    let (server, addr) = bound().await;
    let server = server.tls(Arc::clone(&authority.server)).max_per_address(1);
    tokio::spawn(server.serve(echo));
    let mut ws = authority.connect(&format!("wss://{addr}/")).await.unwrap();
    let mut raw = Raw::connect(addr).await;
    assert!(raw.rest().await.is_empty());
    ws.send("still here").await.unwrap();
    assert_eq!(within(ws.recv()).await, Ok(Some("still here".into())));
}

#[tokio::test]
async fn p10_the_total_deadline_covers_the_handshake_of_tls_too() {
    let limit = Duration::from_secs(2);
    let authority = Authority::new();
    let addr = authority
        .echo_server(Acceptor::new().handshake_timeout(limit))
        .await;
    let tcp = TcpStream::connect(addr).await.unwrap();
    // More than half of the time before TLS, and again before the request.
    tokio::time::sleep(limit * 6 / 10).await;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::clone(&authority.client));
    let mut tls = within(connector.connect(name, tcp)).await.unwrap();
    tokio::time::sleep(limit * 6 / 10).await;
    tls.write_all(request(addr, "").as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    within(tls.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

/// A connection to a server in bare rustls that sends these frames and then ends TCP without `close_notify`.
async fn truncated(
    frames: Vec<wire::Frame>,
) -> (Result<Option<fullduplex::Message>, Error>, WebSocket) {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("wss://{}/", listener.local_addr().unwrap());
    let config = Arc::clone(&authority.server);
    let serving = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut tls = TlsAcceptor::from(config).accept(tcp).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tls.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        let key = head
            .split("Sec-WebSocket-Key: ")
            .nth(1)
            .unwrap()
            .split("\r\n")
            .next()
            .unwrap();
        let accept = fullduplex::handshake::accept_for(key.as_bytes());
        let answer = common::raw::acceptance("").replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept);
        tls.write_all(&[answer.into_bytes(), wire::bytes(&frames)].concat())
            .await
            .unwrap();
        tls.flush().await.unwrap();
        let (mut tcp, _) = tls.into_inner();
        tcp.shutdown().await.unwrap();
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).await.ok();
    });
    let mut ws = authority.connect(&uri).await.unwrap();
    let received = within(ws.recv()).await;
    drop(serving);
    (received, ws)
}

#[tokio::test]
async fn p79_truncation_before_the_close_is_1006_and_after_both_closes_clean() {
    let (received, ws) = truncated(vec![]).await;
    let Err(Error::Ended(outcome)) = received else {
        panic!("truncated: {received:?}")
    };
    assert_eq!(
        (outcome.code(), outcome.clean),
        (CloseCode::ABNORMAL_CLOSURE, false)
    );
    assert!(matches!(outcome.cause, Cause::Eof | Cause::Io(_)));
    assert_eq!(ws.outcome().as_ref(), Some(&*outcome));

    let (received, ws) = truncated(vec![wire::close(1000, "bye")]).await;
    assert_eq!(received, Ok(None));
    assert_eq!(ws.outcome().unwrap().to_string(), "1000 \"bye\" by peer");
}

#[test]
fn configurations_that_cannot_work_say_what_is_wrong() {
    let authority = Authority::new();
    let other = KeyPair::generate().unwrap().serialize_pem();
    for (certificates, key) in [
        ("", other.as_str()),
        ("no PEM", &other),
        (&authority.ca, ""),
        (&authority.ca, "no PEM"),
        // They do not belong together.
        (&authority.ca, &other),
    ] {
        assert!(server_config(certificates.as_bytes(), key.as_bytes()).is_err());
    }
    assert!(client_config_with_ca(b"").is_err());
    assert!(
        client_config_with_ca(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .is_err()
    );
}
