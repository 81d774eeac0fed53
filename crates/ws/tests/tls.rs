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

use std::{net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use common::{
    authority::{Authority, Identity},
    poll_times,
    raw::{Raw, bound, echo, pass, plain_refusal, request, within},
};
use fullduplex::{
    Acceptor, Cause, Client, CloseCode, CloseFrame, ConnectError, Deadline, Error, Retry,
    WebSocket,
    handshake::RedirectError,
    tls::{
        ClientTls, client_config_with_ca,
        rustls::{self, ClientConfig, ServerConfig, pki_types::ServerName},
        server_config, server_config_with_client_ca,
    },
};
use fullduplex_testkit::{pipe, wire};
use rcgen::{CertificateParams, KeyPair};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How long a handshake may take. No test waits for it.
const HOUR: Duration = Duration::from_secs(3600);

impl Authority {
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
async fn plain_http_noise_and_silence_on_a_tls_port_harm_nobody() {
    let authority = Authority::new();
    let addr = authority
        .echo_server(Acceptor::new().handshake_timeout(HOUR))
        .await;
    let mut plain = Raw::connect(addr).await;
    plain.send(request(addr, "")).await;
    // An alert in the record layer, then the end.
    assert!(plain.rest().await.starts_with(b"\x15\x03"));
    let mut silent = Raw::connect(addr).await;
    let mut cut = Raw::connect(addr).await;
    cut.send(b"\x16\x03\x01\x02\x00\x01\x00").await;
    cut.end().await;
    let _alert = cut.rest().await;
    authority.serves_the_next_client(addr).await;
    pass(HOUR).await;
    assert_eq!(silent.rest().await, b"");
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
    let authority = Authority::new();
    let addr = authority
        .echo_server(Acceptor::new().handshake_timeout(HOUR))
        .await;
    let tcp = TcpStream::connect(addr).await.unwrap();
    // By then it is accepted.
    authority.serves_the_next_client(addr).await;
    // More than half of the time before TLS, and again before the request.
    pass(HOUR * 6 / 10).await;
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::clone(&authority.client));
    let mut tls = within(connector.connect(name, tcp)).await.unwrap();
    pass(HOUR * 6 / 10).await;
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

/// 000:143, row 33 of the seeds.
#[tokio::test]
async fn p91_a_tls_failure_is_1015_and_a_bad_certificate_stays_bad() {
    let check = |error: ConnectError, retry: Retry, says: &str| {
        assert!(matches!(error, ConnectError::Tls(_)), "{error}");
        assert_eq!(error.close_code(), CloseCode::TLS_HANDSHAKE);
        assert_eq!(error.retry(), retry, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    let authority = Authority::new();
    let addr = authority.echo_server(Acceptor::new()).await;
    let uri = format!("wss://{addr}/");
    // What Mozilla trusts does not include us.
    let untrusted = within(fullduplex::connect(&uri)).await;
    check(untrusted.unwrap_err(), Retry::Never, "UnknownIssuer");
    let stranger = Authority::new().connect(&uri).await.unwrap_err();
    check(stranger, Retry::Never, "invalid peer certificate");
    authority.serves_the_next_client(addr).await;

    let elsewhere = Authority::certifying(["elsewhere.example"]);
    let addr = elsewhere.echo_server(Acceptor::new()).await;
    let wrong_name = elsewhere.connect(&format!("wss://{addr}/")).await;
    check(wrong_name.unwrap_err(), Retry::Never, "not valid for name");

    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    let expired = Authority::certified_by(&params);
    let addr = expired.echo_server(Acceptor::new()).await;
    let error = expired.connect(&format!("wss://{addr}/")).await;
    check(error.unwrap_err(), Retry::Never, "certificate expired");

    let plain = common::raw::echo_server(Acceptor::new()).await;
    let no_tls = authority.connect(&format!("wss://{plain}/")).await;
    check(no_tls.unwrap_err(), Retry::Never, "corrupt message");

    // A server that goes away meanwhile may be back.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("wss://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut hello = [0; 5];
        tcp.read_exact(&mut hello).await.unwrap();
    });
    check(authority.connect(&uri).await.unwrap_err(), Retry::Later, "");
    // So may one that says that it is in trouble: an alert, fatal, internal error.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("wss://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"\x15\x03\x03\x00\x02\x02\x50")
            .await
            .unwrap();
        let mut rest = Vec::new();
        tcp.read_to_end(&mut rest).await.ok();
    });
    let trouble = authority.connect(&uri).await.unwrap_err();
    check(trouble, Retry::Later, "InternalError");
}

#[tokio::test]
async fn clients_show_certificates_to_servers_that_want_them() {
    let authority = Authority::new();
    let Identity { certificate, key } = authority.identity("localhost");
    let config = server_config_with_client_ca(
        certificate.as_bytes(),
        key.as_bytes(),
        authority.ca.as_bytes(),
    );
    let (server, addr) = bound().await;
    let uri = format!("wss://localhost:{}/", addr.port());
    tokio::spawn(server.tls(config.unwrap()).serve(echo));
    let trusting = || ClientTls::new().ca(authority.ca.as_bytes()).unwrap();
    let known_as = |identity: &Identity| {
        trusting()
            .identity(identity.certificate.as_bytes(), identity.key.as_bytes())
            .unwrap()
    };
    let connect = async |tls: ClientTls| {
        let client = Client::new(&uri).unwrap().tls(tls.build().unwrap());
        within(client.connect()).await.map(|(ws, _response)| ws)
    };
    let mut ws = connect(known_as(&authority.identity("client 7")))
        .await
        .unwrap();
    ws.send("it is me").await.unwrap();
    assert_eq!(within(ws.recv()).await, Ok(Some("it is me".into())));
    // In TLS 1.3 the server's alert comes when the client is done with TLS: still an error of TLS.
    let stranger = Authority::new().identity("client 7");
    for (tls, says) in [
        (trusting(), "CertificateRequired"),
        (known_as(&stranger), ""),
    ] {
        let error = connect(tls).await.unwrap_err();
        assert!(matches!(error, ConnectError::Tls(_)), "{error}");
        assert_eq!(error.close_code(), CloseCode::TLS_HANDSHAKE);
        assert_eq!(error.retry(), Retry::Never);
        assert!(error.to_string().contains(says), "{error}");
    }
    // A server that wants none is shown none, and both are content.
    let addr = authority.echo_server(Acceptor::new()).await;
    let known = known_as(&stranger).build().unwrap();
    let client = Client::new(&format!("wss://{addr}/")).unwrap().tls(known);
    assert!(within(client.connect()).await.is_ok());
}

#[test]
fn certificates_of_clients_that_cannot_work_say_what_is_wrong() {
    let authority = Authority::new();
    let (one, other) = (authority.identity("a"), authority.identity("b"));
    let identity = |certificate: &str, key: &str| {
        ClientTls::new().identity(certificate.as_bytes(), key.as_bytes())
    };
    assert!(identity("", &one.key).is_err());
    assert!(identity(&one.certificate, "").is_err());
    let mixed = identity(&one.certificate, &other.key).unwrap();
    let shown = format!("{mixed:?}");
    assert!(mixed.build().is_err());
    let key = one.key.lines().nth(1).unwrap();
    assert!(!shown.contains(key), "{shown}");
    for ca in ["", &*one.key] {
        let server = server_config_with_client_ca(
            one.certificate.as_bytes(),
            one.key.as_bytes(),
            ca.as_bytes(),
        );
        assert!(server.is_err());
    }
}

#[tokio::test]
async fn p29_sni_names_the_host_and_is_left_out_for_addresses() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for (host, sni) in [("localhost", Some("localhost")), ("127.0.0.1", None)] {
        let uri = format!("wss://{host}:{port}/");
        let greeting = async {
            let (tcp, _) = listener.accept().await.unwrap();
            let hello =
                tokio_rustls::LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
            let hello = hello.await.unwrap();
            hello.client_hello().server_name().map(str::to_owned)
        };
        let (_failed, found) =
            within(async { tokio::join!(authority.connect(&uri), greeting) }).await;
        assert_eq!(found.as_deref(), sni);
    }
}

#[tokio::test]
async fn p27_wss_never_leads_to_ws() {
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let plain = common::raw::echo_server(Acceptor::new()).await;
    let config = Arc::clone(&authority.server);
    tokio::spawn(async move {
        for location in [format!("ws://{plain}/"), format!("http://{addr}/")] {
            let (tcp, _) = listener.accept().await.unwrap();
            let acceptor = TlsAcceptor::from(Arc::clone(&config));
            let mut tls = acceptor.accept(tcp).await.unwrap();
            let answer =
                format!("HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
            tls.write_all(answer.as_bytes()).await.unwrap();
            let mut rest = Vec::new();
            tls.read_to_end(&mut rest).await.ok();
        }
    });
    let client = Client::new(&format!("wss://{addr}/")).unwrap();
    let client = client.tls(Arc::clone(&authority.client)).max_redirects(5);
    for _ in 0..2 {
        let error = within(client.connect()).await.unwrap_err();
        let ConnectError::Redirect(why, refused) = &error else {
            panic!("not followed: {error}")
        };
        assert_eq!((*why, refused.status()), (RedirectError::Downgrade, 301));
    }
}

/// What the system trusts is told by its environment, so this runs in a process of its own.
#[cfg(feature = "native-roots")]
#[tokio::test]
async fn roots_of_the_system_are_trusted_on_request() {
    const URI: &str = "FULLDUPLEX_TEST_URI";
    if let Ok(uri) = std::env::var(URI) {
        let tls = ClientTls::new().native_roots().unwrap().build().unwrap();
        let client = Client::new(&uri).unwrap();
        assert!(within(client.connect()).await.is_err(), "not by default");
        within(client.tls(tls).connect()).await.unwrap();
        return;
    }
    let authority = Authority::new();
    let addr = authority.echo_server(Acceptor::new()).await;
    let file = std::env::temp_dir().join(format!("fullduplex-roots-{}.pem", std::process::id()));
    std::fs::write(&file, &authority.ca).unwrap();
    let itself = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "roots_of_the_system_are_trusted_on_request"])
        .env(URI, format!("wss://{addr}/"))
        .env("SSL_CERT_FILE", &file)
        .output();
    let output = within(itself).await.unwrap();
    std::fs::remove_file(&file).ok();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}"
    );
}

/// A client and a server over TLS over a pipe that holds little, shaken hands.
async fn over_a_narrow_pipe() -> (WebSocket, WebSocket) {
    let authority = Authority::new();
    let (near, far) = pipe(1024);
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::clone(&authority.client));
    let acceptor = TlsAcceptor::from(Arc::clone(&authority.server));
    let (near, far) = tokio::join!(connector.connect(name, near), acceptor.accept(far));
    let client = Client::new("ws://localhost/").unwrap();
    let server = Acceptor::new();
    let (client, server) = tokio::join!(
        client.connect_over(near.unwrap()),
        server.accept(far.unwrap())
    );
    (client.unwrap().0, server.unwrap())
}

/// rustls takes it at once, and the pipe holds a fraction.
const MORE_THAN_THE_PIPE: usize = 20_000;

#[tokio::test]
async fn sending_over_tls_waits_until_the_transport_has_all_that_rustls_took() {
    let (mut client, mut server) = over_a_narrow_pipe().await;
    let message = vec![7; MORE_THAN_THE_PIPE];
    let sent = poll_times(pin!(server.send(message.clone())), 100).await;
    assert!(sent.is_none(), "most of it is still here: {sent:?}");
    let (flushed, received) = within(async { tokio::join!(server.flush(), client.recv()) }).await;
    assert_eq!(flushed, Ok(()));
    assert_eq!(received, Ok(Some(message.into())));
}

#[tokio::test(start_paused = true)]
async fn p87_what_rustls_holds_back_has_to_leave_within_the_write_timeout() {
    let (_client, mut server) = over_a_narrow_pipe().await;
    let begun = tokio::time::Instant::now();
    let sent = server.send(vec![7; MORE_THAN_THE_PIPE]).await;
    let Err(Error::Ended(outcome)) = sent else {
        panic!("nobody reads: {sent:?}")
    };
    assert_eq!(outcome.cause, Cause::Timeout(Deadline::Write));
    assert_eq!(begun.elapsed().as_secs(), 10);
}
