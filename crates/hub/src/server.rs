//! Accepts connections and speaks HTTP/1.1 on them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{Router, body::Body};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::{
    config::Timeouts,
    http::{Connection, Lease, Place},
    hub::Shared,
    seldom::Seldom,
    tls::Tls,
    traffic::{Newcomer, ShareUsed, TooMany},
};

/// The first pause after a failed accept; doubled up to the longest. Descriptors run out for as
/// long as connections last, so trying again at once would only burn the processor.
const FIRST_ACCEPT_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Connections at once of those who look after the hub: a few machines, and people.
const OPERATORS: usize = 16;

/// What a connection too many gets, if it can be told without waiting.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 29\r\n\r\nToo many connections for now\n";

/// What a connection too many from one address gets.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 40\r\n\r\nToo many connections from your address.\n";

/// Accepts until dropped.
pub(crate) async fn accept(
    listener: &TcpListener,
    shared: &Arc<Shared>,
    router: &Router,
    tls: Option<&Tls>,
) -> ! {
    let mut pause = FIRST_ACCEPT_PAUSE;
    // One line for all that are refused together.
    let refusals = Seldom::new(1);
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) => {
                // Once, however long that lasts: the metric counts on.
                if pause == FIRST_ACCEPT_PAUSE {
                    tracing::warn!(%error, "accepting pauses");
                }
                shared.metrics.accept_failures.add(1);
                sleep(pause).await;
                pause = LONGEST_ACCEPT_PAUSE.min(pause * 2);
                continue;
            }
        };
        pause = FIRST_ACCEPT_PAUSE;
        let (place, newcomer) = match place(shared, peer.ip()) {
            Ok(places) => places,
            Err(why) => {
                refusals.tell(|left_out| {
                    tracing::warn!(%peer, left_out, "a connection refused: as many as may be");
                });
                shared.metrics.refused.add(1);
                turn_away(&stream, tls, why);
                continue;
            }
        };
        shared.metrics.accepted.add(1);
        let connection = Connection {
            peer,
            client: shared.traffic.peer(peer.ip()),
            is_tls: tls.is_some(),
            place: Arc::new(place),
            newcomer: Arc::new(newcomer),
            lease: Arc::new(Lease::new(&shared.config.timeouts)),
        };
        let serving = serve(
            stream,
            connection,
            Arc::clone(shared),
            router.clone(),
            tls.map(Tls::acceptor),
        );
        shared.spawn(serving);
    }
}

/// A place for a connection, or what it is told.
fn place(shared: &Shared, peer: IpAddr) -> Result<(Place, Newcomer), &'static [u8]> {
    let traffic = &shared.traffic;
    let of_all = Arc::clone(&shared.places).try_acquire_owned();
    let of_all = of_all.map_err(|_| FULL)?;
    let client = traffic.peer(peer);
    // Those behind a proxy are told apart when their requests come.
    let is_known = !traffic.is_proxy(peer);
    let of_address = if is_known {
        traffic.share(client).map_err(|ShareUsed| TOO_MANY)?
    } else {
        None
    };
    let newcomer = traffic.newcomer(client, is_known);
    let newcomer = newcomer.map_err(|too_many| match too_many {
        TooMany::InAll => FULL,
        TooMany::FromAddress => TOO_MANY,
    })?;
    Ok((Place { of_all, of_address }, newcomer))
}

/// Accepts those who look after the hub until dropped, and answers each once. Beyond a few they wait.
pub(crate) async fn accept_operators(
    listener: &TcpListener,
    timeouts: &Timeouts,
    router: &Router,
) -> ! {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            Some(_ended) = serving.join_next() => {}
            accepted = listener.accept(), if serving.len() < OPERATORS => match accepted {
                Ok((stream, _)) => {
                    let answered = answer_once(stream, timeouts.request_head, router.clone());
                    serving.spawn(timeout(timeouts.http, answered));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting operators pauses");
                    sleep(LONGEST_ACCEPT_PAUSE).await;
                }
            },
        }
    }
}

async fn answer_once(stream: TcpStream, patience: Duration, router: Router) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        router.clone().call(request.map(Body::new))
    });
    let answered = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = answered {
        tracing::debug!(%error, "an operator was not answered");
    }
}

/// Says why a connection is not taken.
fn turn_away(stream: &TcpStream, tls: Option<&Tls>, why: &[u8]) {
    if tls.is_none() {
        // A new socket takes this much at once; and if not, it is gone without a word.
        drop(stream.try_write(why));
    }
}

/// Whether an accept failed because of the connection that was to be accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

async fn serve(
    stream: TcpStream,
    connection: Connection,
    shared: Arc<Shared>,
    router: Router,
    tls: Option<TlsAcceptor>,
) {
    let peer = connection.peer;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "no TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return serve_http(stream, connection, &shared, router).await;
    };
    match timeout(shared.config.timeouts.request_head, tls.accept(stream)).await {
        Ok(Ok(stream)) => serve_http(stream, connection, &shared, router).await,
        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS failed"),
        Err(_) => tracing::debug!(%peer, "TLS took too long"),
    }
}

async fn serve_http<S>(stream: S, connection: Connection, shared: &Shared, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (peer, lease) = (connection.peer, Arc::clone(&connection.lease));
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(connection.clone());
        router.clone().call(request.map(Body::new))
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also how long a kept-open connection may be without a request.
        .header_read_timeout(shared.config.timeouts.request_head)
        .max_buf_size(shared.config.limits.request_head)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut serving = pin!(serving);
    let timeouts = &shared.config.timeouts;
    let life = tokio::select! {
        result = serving.as_mut() => return log_http(peer, result),
        // A stream's turn to end may be the last.
        () = shared.draining.raised() => timeouts.http + timeouts.drain,
        stalls = lease.over() => {
            if stalls {
                tracing::debug!(%peer, "cut off: a stream was not taken");
                return;
            }
            timeouts.http
        }
    };
    serving.as_mut().graceful_shutdown();
    if let Ok(result) = timeout(life, serving).await {
        log_http(peer, result);
    } else {
        tracing::debug!(%peer, "cut off: an answer was not taken");
    }
}

fn log_http(peer: SocketAddr, result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%peer, %error, "HTTP ended");
    }
}
