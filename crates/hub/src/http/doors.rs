//! The routes that become WebSocket connections.

use std::{
    future::Future,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    body::Body,
    extract::{Extension, Path, Query, Request, State, rejection::QueryRejection},
    response::Response,
};
use fullduplex::{
    Accept, Acceptor, CloseFrame, Initiator, Outcome, WebSocket, handled,
    handshake::{NoCommonSubprotocol, Origin, Origins, Preference, Rejection, ServerOptions},
    upgrade,
};
use http::{Method, StatusCode, header};
use serde::Deserialize;
use tokio::time::Instant;

use super::{Connection, Desk, Reception, bearer, measure, not_found, pages, refusal};
use crate::{
    auth::end_of,
    config::{AllowedOrigins, Config, PlainMode},
    core::{DEFAULT_ROOM, JoinRefused, is_room_name},
    echo::{self, EchoQuery},
    logs::Viewer,
    metrics::Kind,
    session::{Dialect, HEARTBEATS, Session},
    traffic::{Client, TooMany},
    visits::Visitor,
    wire::{SUBPROTOCOL_CHAT, SUBPROTOCOL_V1, command::MAX_BACKLOG},
};

/// When who finds no place is told to come again.
const AGAIN_LATER: Duration = Duration::from_secs(5);

const TOO_MANY_CONNECTIONS: &str = "Too many connections from your address.";

/// The rules of each kind of connection.
#[derive(Debug)]
pub(crate) struct Doors {
    /// For what came without TLS, as far as we know: a proxy may have taken it off.
    bare: Rules,
    /// For what came over TLS, and so from pages that did.
    tls: Rules,
}

#[derive(Debug)]
struct Rules {
    chat: Acceptor,
    echo: Acceptor,
    logs: Acceptor,
}

impl Doors {
    /// # Errors
    ///
    /// A sentence: an allowed origin is none, or waits can't work together.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        Ok(Self {
            bare: Rules::new(config, false)?,
            tls: Rules::new(config, true)?,
        })
    }

    const fn of(&self, connection: &Connection) -> &Rules {
        if connection.is_tls {
            &self.tls
        } else {
            &self.bare
        }
    }
}

impl Rules {
    fn new(config: &Config, tls: bool) -> Result<Self, String> {
        let options = ServerOptions {
            origins: origins(config)?,
            tls,
            origin_remedy: "pass --allow-origin".into(),
            ..ServerOptions::default()
        };
        let chat_options = ServerOptions {
            // Ours first: who speaks both speaks more with it.
            subprotocols: [SUBPROTOCOL_V1, SUBPROTOCOL_CHAT].map(str::to_owned).into(),
            preference: Preference::Server,
            no_common_subprotocol: NoCommonSubprotocol::RefuseIfOffered,
            deflate: config.compression(),
            ..options.clone()
        };
        let echo_options = ServerOptions {
            // Who tries a client wants to see what it does with compressed messages, be they ever so short.
            deflate: config.compression().map(|mut deflate| {
                deflate.threshold = 0;
                deflate
            }),
            ..options.clone()
        };
        let text = rules(config, config.limits.frame, Accept::TextOnly);
        let any = rules(config, config.limits.echo_message, Accept::Any);
        text.check()
            .and_then(|()| any.check())
            .map_err(|why| why.to_string())?;
        Ok(Self {
            chat: Acceptor::new()
                .options(chat_options)
                .config(chat_rules(config)),
            echo: Acceptor::new().options(echo_options).config(any),
            logs: Acceptor::new().options(options).config(text),
        })
    }
}

fn origins(config: &Config) -> Result<Origins, String> {
    let allowed = match &config.origins {
        AllowedOrigins::SameOrigin => return Ok(Origins::SameOrigin),
        AllowedOrigins::Any => return Ok(Origins::Any),
        AllowedOrigins::List(allowed) => allowed,
    };
    let parse = |origin: &String| {
        origin
            .parse::<Origin>()
            .map_err(|why| format!("origin \"{origin}\": {why}"))
    };
    Ok(Origins::SameOriginOr(
        allowed.iter().map(parse).collect::<Result<_, _>>()?,
    ))
}

/// What holds on `/ws`.
pub(crate) fn chat_rules(config: &Config) -> fullduplex::Config {
    let mut rules = rules(config, config.limits.frame, Accept::TextOnly);
    // A session closes who takes nothing for that long; this is for when not even the Close is taken.
    rules.write_timeout += config.timeouts.close;
    rules
}

fn rules(config: &Config, max_message: usize, accept: Accept) -> fullduplex::Config {
    let mut rules = fullduplex::Config::default();
    rules.limits = fullduplex::Limits::with_max_message(max_message);
    rules.accept = accept;
    rules.keepalive_interval = config.timeouts.ping_interval;
    rules.keepalive_timeout = config.timeouts.ping_timeout;
    rules.idle_timeout = config.timeouts.idle;
    rules.write_timeout = config.timeouts.write;
    rules.close_timeout = config.timeouts.close;
    rules
}

#[derive(Deserialize)]
pub(super) struct ChatQuery {
    hb: Option<u64>,
    mode: Option<String>,
    room: Option<String>,
    history: Option<usize>,
}

/// `/ws`.
pub(super) async fn chat(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    query: Result<Query<ChatQuery>, QueryRejection>,
    mut request: Request,
) -> Response {
    let handshake = match upgrade::handshake(&mut request, &desk.doors.of(&connection).chat) {
        Ok(handshake) => handshake,
        Err(rejection) => return refuse(&desk, &connection, &rejection),
    };
    let Ok(Query(query)) = query else {
        let why = "The query is not valid: hb and history are numbers, and no key comes twice.";
        return refusal(StatusCode::BAD_REQUEST, why);
    };
    let default = desk.shared.config.plain;
    let dialect = match spoken(handshake.request().subprotocol(), &query, default) {
        Ok(dialect) => dialect,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, why),
    };
    let mut session = Session::new(&desk.shared, dialect, connection.client);
    if matches!(dialect, Dialect::V1 { .. }) {
        let access = &desk.shared.config.access;
        let token = bearer::token(access, request.uri(), request.headers());
        // From here on it is the session that is not let in.
        let newcomer = &connection.newcomer;
        if let Err(too_many) = desk.shared.traffic.know(newcomer, connection.client) {
            desk.shared.metrics.refused.add(1);
            return match too_many {
                TooMany::FromAddress => measure::too_many(AGAIN_LATER, TOO_MANY_CONNECTIONS),
                TooMany::InAll => unavailable("Too many connections for now."),
            };
        }
        session.expect_hello(token, Arc::clone(newcomer));
    } else {
        let room = query.room.as_deref().unwrap_or(DEFAULT_ROOM);
        let history = query.history.unwrap_or(0);
        if !is_room_name(room) || history > MAX_BACKLOG {
            let why = format!("room must be a room's name, and history at most {MAX_BACKLOG}.");
            return refusal(StatusCode::BAD_REQUEST, why);
        }
        match bearer::admit(&desk, &connection, request.uri(), request.headers()).await {
            Ok(grant) => session.set_grant(grant),
            Err(answer) => return answer,
        }
        if let Err(failure) = session.may_enter(room) {
            let why = bearer::capitalised(&failure.msg);
            return refusal(StatusCode::FORBIDDEN, why);
        }
        if let Err(refused) = session.enter(room, history).await {
            return match refused {
                JoinRefused::Full => unavailable("The server has as many rooms as it may."),
                JoinRefused::ShareUsed => {
                    let why = "Too many rooms were made from your address.";
                    measure::too_many(AGAIN_LATER, why)
                }
                JoinRefused::Unreadable => unavailable("The room can't be read right now."),
            };
        }
    }
    open(&desk, connection, handshake, dialect.into(), |ws| {
        session.run(ws)
    })
}

/// `/echo`.
pub(super) async fn echo(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    query: Result<Query<EchoQuery>, QueryRejection>,
    mut request: Request,
) -> Response {
    let grant = match bearer::admit(&desk, &connection, request.uri(), request.headers()).await {
        Ok(grant) => grant,
        Err(answer) => return answer,
    };
    let Ok(Query(query)) = query else {
        let why = "The query is not valid: delay and close are numbers, and no key comes twice.";
        return refusal(StatusCode::BAD_REQUEST, why);
    };
    let trial = match query.trial() {
        Ok(trial) => trial,
        Err(why) => return refusal(StatusCode::BAD_REQUEST, why),
    };
    match upgrade::handshake(&mut request, &desk.doors.of(&connection).echo) {
        Ok(handshake) => {
            let Ok(place) = Arc::clone(&desk.echoes).try_acquire_owned() else {
                desk.shared.metrics.refused.add(1);
                return unavailable("Too many connections on /echo (limits.echo-connections).");
            };
            let visitor = Visitor::with("echo", &grant, connection.client.address);
            let end = end_of(&grant);
            let visit = desk.shared.enter(visitor);
            let metrics = Arc::clone(&desk.shared.metrics);
            open(&desk, connection, handshake, Kind::Echo, move |ws| {
                echo::echo(ws, visit, place, trial, end, metrics)
            })
        }
        Err(rejection) => refuse(&desk, &connection, &rejection),
    }
}

/// What a connection with this agreed subprotocol and this query speaks.
fn spoken(
    subprotocol: Option<&str>,
    query: &ChatQuery,
    default: PlainMode,
) -> Result<Dialect, String> {
    if subprotocol != Some(SUBPROTOCOL_V1) && query.hb.is_some() {
        return Err(format!(
            "hb is for {SUBPROTOCOL_V1}: plain clients get nothing but messages."
        ));
    }
    match (subprotocol, query.mode.as_deref(), default) {
        (Some(SUBPROTOCOL_V1), ..) => Ok(Dialect::V1 {
            heartbeat: heartbeat(query.hb)?,
        }),
        (Some(_), ..) | (None, Some("json"), _) | (None, None, PlainMode::Json) => {
            Ok(Dialect::Json)
        }
        (None, Some("text"), _) | (None, None, PlainMode::Text) => Ok(Dialect::Text),
        (None, Some(_), _) => Err("mode is json or text.".to_owned()),
    }
}

/// The interval of visible heartbeats that was asked for.
fn heartbeat(seconds: Option<u64>) -> Result<Option<Duration>, String> {
    match seconds.map(Duration::from_secs) {
        Some(interval) if !HEARTBEATS.contains(&interval) => Err(format!(
            "hb is {} to {} seconds.",
            HEARTBEATS.start().as_secs(),
            HEARTBEATS.end().as_secs()
        )),
        interval => Ok(interval),
    }
}

#[derive(Deserialize)]
pub(super) struct LogQuery {
    n: Option<String>,
    from: Option<String>,
    mode: Option<String>,
    hb: Option<u64>,
}

/// `/logs/NAME`: a viewer, or the page around one.
pub(super) async fn log(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    Path(name): Path<String>,
    query: Result<Query<LogQuery>, QueryRejection>,
    request: Request,
) -> Response {
    // What there is, is only for who may see it.
    let is_named =
        desk.shared.gate.asks_for_tokens() || desk.shared.logs.names().any(|known| known == name);
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_named && is_read && !request.headers().contains_key(header::UPGRADE) {
        return pages::logs(request.headers().clone()).await;
    }
    let Ok(Query(query)) = query else {
        let why = "The query is not valid: hb is a number, and no key comes twice.";
        return refusal(StatusCode::BAD_REQUEST, why);
    };
    view(&desk, connection, request, &name, &query).await
}

/// The first source at a path of the operator's choice, for the tutorial's page: bare lines, from
/// the first one on.
pub(super) async fn first_log(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    request: Request,
) -> Response {
    let Some(name) = desk.shared.logs.names().next().map(str::to_owned) else {
        return not_found().await;
    };
    let query = LogQuery {
        n: Some("all".into()),
        from: None,
        mode: Some("text".into()),
        hb: None,
    };
    view(&desk, connection, request, &name, &query).await
}

async fn view(
    desk: &Desk,
    connection: Connection,
    mut request: Request,
    name: &str,
    query: &LogQuery,
) -> Response {
    let grant = match bearer::admit(desk, &connection, request.uri(), request.headers()).await {
        Ok(grant) if grant.may_follow_logs() => grant,
        Ok(_) => return bearer::forbidden("following logs"),
        Err(answer) => return answer,
    };
    let visitor = Visitor::with("log", &grant, connection.client.address);
    let viewer = match viewer(desk, name, query, visitor) {
        Ok(Some(viewer)) => viewer.until(end_of(&grant)),
        Ok(None) => return refusal(StatusCode::NOT_FOUND, "There is no log of this name."),
        Err(why) => return refusal(StatusCode::BAD_REQUEST, why),
    };
    match upgrade::handshake(&mut request, &desk.doors.of(&connection).logs) {
        Ok(handshake) => open(desk, connection, handshake, Kind::Log, |ws| viewer.run(ws)),
        Err(rejection) => refuse(desk, &connection, &rejection),
    }
}

fn viewer(
    desk: &Desk,
    name: &str,
    query: &LogQuery,
    visitor: Visitor,
) -> Result<Option<Box<Viewer>>, String> {
    let backlog = match (query.from.as_deref(), query.n.as_deref()) {
        (Some("start"), _) | (None, Some("all")) => None,
        (Some(_), _) => return Err("from is start.".to_owned()),
        (None, None) => desk.shared.config.limits.log_backlog,
        (None, Some(n)) => Some(
            n.parse()
                .map_err(|_| "n is a number of lines, or all.".to_owned())?,
        ),
    };
    let is_text = match query.mode.as_deref() {
        None | Some("json") => false,
        Some("text") => true,
        Some(_) => return Err("mode is json or text.".to_owned()),
    };
    let heartbeat = heartbeat(query.hb)?.filter(|_| !is_text);
    let hub = &desk.shared;
    Ok(Viewer::new(hub, name, backlog, is_text, heartbeat, visitor))
}

/// Accepts. What comes of it is a connection of its own, which ends with one line in the log.
fn open<F, Fut>(
    desk: &Desk,
    connection: Connection,
    handshake: upgrade::Handshake,
    kind: Kind,
    session: F,
) -> Response
where
    F: FnOnce(WebSocket) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send,
{
    if desk.shared.draining.is_raised() {
        return unavailable("The server stops.");
    }
    let Ok(share) = desk.share(&connection) else {
        return measure::too_many(AGAIN_LATER, TOO_MANY_CONNECTIONS);
    };
    let path: Box<str> = handshake.request().path().into();
    let (response, upgrade) = handshake.accept::<Body>();
    // Boxed, or its place would be kept for as long as the connection lasts.
    let upgrade = Box::pin(upgrade);
    let Connection {
        peer,
        client: Client { address, .. },
        place,
        ..
    } = connection;
    let hub = Arc::clone(&desk.shared);
    desk.shared.spawn(async move {
        match upgrade.await {
            Ok(ws) => {
                let since = Instant::now();
                hub.metrics.opened(kind);
                let outcome = handled(ws, session).await;
                hub.metrics.closed(kind, &outcome);
                let ended = &hub.told.ended;
                ended.tell(|left_out| log_end((peer, address), &path, since, &outcome, left_out));
            }
            Err(error) => tracing::debug!(%peer, path, %error, "no upgrade"),
        }
        drop((place, share));
    });
    response
}

/// 503, with when to try again.
fn unavailable(why: &'static str) -> Response {
    measure::for_now(StatusCode::SERVICE_UNAVAILABLE, AGAIN_LATER, why)
}

fn refuse(desk: &Desk, connection: &Connection, rejection: &Rejection) -> Response {
    desk.shared.metrics.handshakes_refused.add(1);
    desk.shared.told.refused.tell(|left_out| {
        let (peer, address) = (connection.peer, connection.client.address);
        tracing::info!(%peer, %address, %rejection, left_out, "handshake refused");
    });
    upgrade::rejection_response(rejection)
}

fn log_end(
    (peer, address): (SocketAddr, IpAddr),
    path: &str,
    since: Instant,
    outcome: &Outcome,
    left_out: Option<u64>,
) {
    let frame = match outcome.initiator {
        Initiator::Local => outcome.sent.as_ref(),
        Initiator::Peer => outcome.received.as_ref(),
    };
    tracing::info!(
        %peer,
        %address,
        path,
        seconds = since.elapsed().as_secs_f32(),
        code = frame.map_or(1006, |frame| frame.code().get()),
        reason = frame.map_or("", CloseFrame::reason),
        cause = %outcome.cause,
        left_out,
        "connection ended"
    );
}
