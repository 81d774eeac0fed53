//! The routes.

mod api;
mod bearer;
mod comeback;
mod conditional;
mod doors;
mod files;
mod hosts;
mod lease;
mod measure;
mod operator;
mod pages;

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Json, Router,
    extract::{Extension, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get},
};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

#[cfg(test)]
pub(crate) use self::doors::chat_rules;
pub(crate) use self::{api::Pages, doors::Doors, files::StaticDir, hosts::Hosts, lease::Lease};
use crate::{
    config::Site,
    hub::Shared,
    traffic::{Client, Newcomer, Share, ShareUsed},
};

/// The connection a request came over.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    pub(crate) peer: SocketAddr,
    /// Whose the request is: the peer's own, or that of somebody behind it.
    pub(crate) client: Client,
    /// Whether it came over TLS, to us or to a proxy that we believe.
    pub(crate) is_tls: bool,
    /// Its place among the connections there may be; kept by whatever the connection becomes.
    pub(crate) place: Arc<Place>,
    /// Its place among those that are not let in yet.
    pub(crate) newcomer: Arc<Newcomer>,
    /// Until when it may go on as it is.
    pub(crate) lease: Arc<Lease>,
}

/// A connection's place among those there may be, in all and from its address.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) of_all: OwnedSemaphorePermit,
    pub(crate) of_address: Option<Share>,
}

/// What the routes need to answer.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) shared: Arc<Shared>,
    pub(crate) doors: Doors,
    pub(crate) static_dir: Option<StaticDir>,
    pub(crate) hosts: Arc<Hosts>,
    pub(crate) pages: Pages,
    /// Places for requests that wait for events.
    pub(crate) followers: Arc<Semaphore>,
    /// Places on `/echo`.
    pub(crate) echoes: Arc<Semaphore>,
}

type Reception = State<Arc<Desk>>;

impl Desk {
    /// A share of a client's address for what goes on after its request, where the connection itself has none.
    fn share(&self, connection: &Connection) -> Result<Option<Share>, ShareUsed> {
        if connection.place.of_address.is_some() {
            return Ok(None);
        }
        let share = self.shared.traffic.share(connection.client);
        share.inspect_err(|_| self.shared.metrics.refused.add(1))
    }
}

/// All routes of a hub. WebSocket routes and `/healthz` win over a static folder.
pub(crate) fn router(desk: &Arc<Desk>) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(operator::healthz))
        .route("/readyz", get(operator::readyz))
        .route("/metrics", get(operator::metrics))
        .route("/api/v1/logs", get(list_logs));
    let has_logs = !desk.shared.logs.is_empty();
    if has_logs {
        router = router.route("/logs/{name}", any(doors::log));
    }
    match &desk.shared.config.site {
        Site::Chat => {
            router = router
                .route("/ws", any(doors::chat))
                .route("/echo", any(doors::echo))
                .merge(api::routes(desk));
        }
        Site::Logs { at: Some(path) } => router = router.route(path, any(doors::first_log)),
        Site::Logs { at: None } => {}
    }
    router = if desk.static_dir.is_some() {
        let router = if has_logs {
            with_log_page(router)
        } else {
            router
        };
        router
            .route("/", get(files::index))
            .route("/{*path}", get(files::file))
    } else {
        with_pages(router, &desk.shared.config.site, has_logs)
    };
    router
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(desk), attend))
        .with_state(Arc::clone(desk))
}

/// What the operator is told on a listener apart, at an address with this rule for hosts.
pub(crate) fn operator_router(desk: &Arc<Desk>, hosts: Hosts) -> Router {
    Router::new()
        .route("/healthz", get(operator::healthz))
        .route("/readyz", get(operator::whole_readyz))
        .route("/metrics", get(operator::all_metrics))
        .fallback(not_found)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::new(hosts),
            hosts::check,
        ))
        .layer(middleware::from_fn(no_sniffing))
        .with_state(Arc::clone(desk))
}

/// The built-in pages.
fn with_pages(router: Router<Arc<Desk>>, site: &Site, has_logs: bool) -> Router<Arc<Desk>> {
    let router = match site {
        Site::Chat => router
            .route("/", get(pages::chat))
            .route("/r/{room}", get(pages::chat)),
        Site::Logs { .. } => router.route("/", get(pages::logs)),
    };
    let router = if has_logs {
        with_log_page(router)
    } else {
        router.route("/assets/{*path}", get(pages::asset))
    };
    router.fallback(not_found)
}

/// The log page and what it consists of: also beside a static folder.
fn with_log_page(router: Router<Arc<Desk>>) -> Router<Arc<Desk>> {
    router
        .route("/logs", get(pages::logs))
        .route("/assets/{*path}", get(pages::asset))
}

#[derive(Serialize)]
struct Sources {
    sources: Vec<Source>,
}

#[derive(Serialize)]
struct Source {
    name: String,
}

async fn list_logs(
    State(desk): Reception,
    Extension(connection): Extension<Connection>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    match bearer::admit(&desk, &connection, &uri, &headers).await {
        Ok(grant) if grant.may_follow_logs() => {}
        Ok(_) => return bearer::forbidden("following logs"),
        Err(answer) => return answer,
    }
    let names = desk.shared.logs.names().map(|name| Source {
        name: name.to_owned(),
    });
    let headers = [(header::CACHE_CONTROL, "no-store")];
    (
        headers,
        Json(Sources {
            sources: names.collect(),
        }),
    )
        .into_response()
}

async fn method_not_allowed() -> Response {
    sentence(
        StatusCode::METHOD_NOT_ALLOWED,
        "This is only to be read, by GET or HEAD.",
    )
}

async fn not_found() -> Response {
    sentence(StatusCode::NOT_FOUND, "There is nothing here.")
}

/// An answer for people: one sentence.
fn sentence(status: StatusCode, text: impl Into<String>) -> Response {
    (status, text.into() + "\n").into_response()
}

/// A [`sentence`] after which the connection ends: who is refused a WebSocket has no more to ask.
fn refusal(status: StatusCode, text: impl Into<String>) -> Response {
    ([(header::CONNECTION, "close")], sentence(status, text)).into_response()
}

/// Has a request answered if it may be, and counts the answer. One layer for all, as each holds what is in it once more.
async fn attend(State(desk): Reception, mut request: Request, next: Next) -> Response {
    let is_event_source = comeback::is_event_source(&request);
    let refused = measure::refuse(&desk.shared, &mut request);
    let refused = refused.map(|answer| desk.pages.show_early(&request, answer));
    let response = match refused.or_else(|| desk.hosts.refuse(&request)) {
        None => next.run(request).await,
        Some(refused) => refused,
    };
    desk.shared.metrics.requests.count(response.status());
    unsniffed(if is_event_source {
        comeback::in_a_stream(response)
    } else {
        response
    })
}

async fn no_sniffing(request: Request, next: Next) -> Response {
    unsniffed(next.run(request).await)
}

/// What we say something is, it is.
fn unsniffed(mut response: Response) -> Response {
    let value = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(header::X_CONTENT_TYPE_OPTIONS, value);
    response
}
