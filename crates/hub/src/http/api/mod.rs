//! The HTTP API, as `docs/http-api.md` and `openapi.json` say: for who can't hold a WebSocket, or needs none.

mod bans;
mod caller;
mod connections;
mod events;
mod messages;
mod openapi;
mod origin;
mod problem;
mod rooms;
mod search;
mod send;
mod sse;
mod users;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{FromRequestParts, Path, Query, rejection::QueryRejection},
    middleware,
    response::{IntoResponse, Response},
    routing::{MethodRouter, delete, get},
};
use http::{HeaderValue, Method, StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;

pub(crate) use self::origin::Pages;
use self::{caller::Caller, problem::Problem};
use super::{Connection, Desk, Place, Reception};
use crate::{
    core::is_room_name,
    traffic::ShareUsed,
    wire::{
        command::{DEFAULT_BACKLOG, MAX_BACKLOG},
        reply::ErrorCode,
        to_json,
    },
};

/// The longest that a request may ask to be held. 60 s: what lies between clients and us forgets quiet connections after that.
const MAX_WAIT: Duration = Duration::from_secs(60);

type Route = (&'static str, fn() -> MethodRouter<Arc<Desk>>);

/// What there is; `openapi.json` says the same.
const ROUTES: &[Route] = &[
    ("/api/v1/bans", || get(bans::list).post(bans::add)),
    ("/api/v1/bans/{id}", || delete(bans::lift)),
    ("/api/v1/connections", || get(connections::list)),
    ("/api/v1/connections/{id}", || delete(connections::kick)),
    ("/api/v1/openapi.json", || get(openapi::document)),
    ("/api/v1/rooms", || get(rooms::list)),
    ("/api/v1/rooms/{room}/members", || get(rooms::members)),
    ("/api/v1/rooms/{room}/members/{user}", || {
        delete(bans::put_out)
    }),
    ("/api/v1/rooms/{room}/messages", || {
        get(messages::read).post(send::send)
    }),
    ("/api/v1/search", || get(search::search)),
    ("/api/v1/stats", || get(rooms::stats)),
    ("/api/v1/users/{user}/messages", || delete(users::erase)),
    ("/sse/{room}", || get(sse::follow)),
];

/// The routes of the API.
pub(super) fn routes(desk: &Arc<Desk>) -> Router<Arc<Desk>> {
    let routes = ROUTES.iter().fold(Router::new(), |router, (path, route)| {
        router.route(path, route())
    });
    routes
        .route("/api/{*path}", axum::routing::any(nothing))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(middleware::from_fn_with_state(
            Arc::clone(desk),
            origin::check,
        ))
}

async fn nothing() -> Problem {
    Problem::new(ErrorCode::NotFound, "there is nothing here")
}

async fn method_not_allowed(method: Method) -> Problem {
    let why = format!("{method} is not for this; Allow says what is");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported, why)
}

/// The room in a path.
struct Room(Arc<str>);

impl<S: Send + Sync> FromRequestParts<S> for Room {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(room)) if is_room_name(&room) => Ok(Self(room.into())),
            _ => Err(Problem::bad_request("not a room name")),
        }
    }
}

/// The parameters behind a path.
struct Params<T>(T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = Query::<T>::from_request_parts(parts, state).await;
        let Query(params) =
            params.map_err(|why: QueryRejection| Problem::bad_request(why.body_text()))?;
        Ok(Self(params))
    }
}

/// An answer that is JSON, and of this moment.
fn json(status: StatusCode, body: impl Into<axum::body::Body>) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.into()).into_response()
}

fn ok<T: serde::Serialize>(body: &T) -> Response {
    json(StatusCode::OK, to_json(body))
}

/// How many events a request asks for, `least` at least.
fn count(asked: Option<usize>, least: usize) -> Result<usize, Problem> {
    let count = asked.unwrap_or(DEFAULT_BACKLOG);
    if (least..=MAX_BACKLOG).contains(&count) {
        Ok(count)
    } else {
        let why = format!("ask for {least} to {MAX_BACKLOG} events");
        Err(Problem::bad_request(why))
    }
}

impl Desk {
    /// A place among those that wait for events by HTTP.
    fn place(&self, connection: &Connection) -> Result<Place, Problem> {
        let refused = |why| Problem::new(ErrorCode::Unavailable, why);
        if self.shared.draining.is_raised() {
            return Err(refused("the server stops"));
        }
        let of_address = self.share(connection).map_err(|ShareUsed| {
            let why = "too many connections from your address";
            Problem::new(ErrorCode::RateLimited, why)
        })?;
        let of_all = Arc::clone(&self.followers).try_acquire_owned();
        let of_all = of_all.map_err(|_| refused("as many requests as may be wait for events"))?;
        Ok(Place { of_all, of_address })
    }
}
