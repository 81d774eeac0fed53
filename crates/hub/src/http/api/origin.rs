//! Which pages may use the API: those of the hub, and those of allowed origins, by CORS.
//!
//! A browser lets any page send a request anywhere, and only keeps the answer from it. So that no page can write, or hold
//! connections, with the address and the network of whoever looks at it, others are refused and not just kept from reading.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use fullduplex::handshake::{Authority, Origin};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::{
    super::{Connection, Desk},
    Problem,
};
use crate::{
    auth::Access,
    config::{AllowedOrigins, Config},
    wire::reply::ErrorCode,
};

/// What pages of allowed origins may send.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
const HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, last-event-id");
/// What they may read of an answer besides the usual.
const EXPOSED: HeaderValue = HeaderValue::from_static("retry-after");
/// Seconds for which a browser need not ask again: as long as any keeps it.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// The pages that may use the API.
#[derive(Debug)]
pub(crate) struct Pages {
    others: Others,
    /// Whether browsers may send a cookie along, as a token may be in one.
    with_cookies: bool,
}

#[derive(Debug)]
enum Others {
    Any,
    These(Vec<Origin>),
}

impl Pages {
    /// # Errors
    ///
    /// A sentence: an allowed origin is none.
    pub(crate) fn new(config: &Config) -> Result<Self, String> {
        let allowed = match &config.origins {
            AllowedOrigins::Any => None,
            AllowedOrigins::SameOrigin => Some(&[][..]),
            AllowedOrigins::List(allowed) => Some(&allowed[..]),
        };
        let parse = |origin: &String| {
            origin
                .parse::<Origin>()
                .map_err(|why| format!("origin \"{origin}\": {why}"))
        };
        let others = match allowed {
            None => Others::Any,
            Some(allowed) => Others::These(allowed.iter().map(parse).collect::<Result<_, _>>()?),
        };
        let with_cookies =
            matches!(&config.access, Access::Tokens(tokens) if tokens.cookie.is_some());
        Ok(Self {
            others,
            with_cookies,
        })
    }

    /// Whether a request may go on; and the origin to name in its answer, if it comes from a page elsewhere.
    fn judge(&self, request: &Request) -> Result<Option<HeaderValue>, Problem> {
        let headers = request.headers();
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let Some(value) = origins.next() else {
            return if may_be_without_origin(request.method(), headers) {
                Ok(None)
            } else {
                Err(refused("a page of another site"))
            };
        };
        let origin = value.to_str().ok().and_then(|text| text.parse().ok());
        let Some(origin) = origin.filter(|_| origins.next().is_none()) else {
            return Err(Problem::bad_request("Origin is not one origin"));
        };
        if is_ours(&origin, request) {
            return Ok(None);
        }
        match &self.others {
            Others::Any => Ok(Some(value.clone())),
            Others::These(others) if others.contains(&origin) => Ok(Some(value.clone())),
            Others::These(_) => Err(refused(&origin.to_string())),
        }
    }

    /// Lets a page elsewhere read an answer, if it may and there is one.
    fn show(&self, origin: Option<HeaderValue>, mut response: Response) -> Response {
        if let Some(origin) = origin {
            let headers = response.headers_mut();
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            if self.with_cookies {
                let allowed = HeaderValue::from_static("true");
                headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
            }
        }
        varied(response)
    }

    /// Lets the page that a request comes from read an answer that is given before the request gets anywhere, if it is an allowed one.
    pub(in crate::http) fn show_early(&self, request: &Request, response: Response) -> Response {
        self.show(self.judge(request).unwrap_or_default(), response)
    }
}

fn is_ours(origin: &Origin, request: &Request) -> bool {
    let connection = request.extensions().get::<Connection>();
    let is_tls = connection.is_some_and(|connection| connection.is_tls);
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()?.parse::<Authority>().ok());
    host.is_some_and(|host| origin.is_same(&host, is_tls))
}

fn refused(who: &str) -> Problem {
    let why = format!("{who} may not use this server; pass --allow-origin to allow it");
    Problem::new(ErrorCode::Forbidden, why)
}

/// Browsers say where a request comes from also where they name no origin: when a page includes something as an image, say.
/// Following a link is not that; and who is no browser says nothing.
fn may_be_without_origin(method: &Method, headers: &HeaderMap) -> bool {
    let is = |name: &str, values: &[&str]| {
        headers
            .get(name)
            .is_some_and(|value| values.iter().any(|known| value == known))
    };
    let is_navigation = method.is_safe() && is("sec-fetch-mode", &["navigate"]);
    !headers.contains_key("sec-fetch-site")
        || is("sec-fetch-site", &["same-origin", "none"])
        || is_navigation
}

/// Refuses pages of other sites, and tells browsers about those that are allowed.
pub(super) async fn check(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let origin = match desk.pages.judge(&request) {
        Ok(origin) => origin,
        Err(problem) => return varied(problem.into_response()),
    };
    let is_preflight = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let response = match origin {
        Some(_) if is_preflight => preflight(),
        _ => next.run(request).await,
    };
    desk.pages.show(origin, response)
}

fn preflight() -> Response {
    let allowed = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_MAX_AGE, MAX_AGE),
    ];
    (StatusCode::NO_CONTENT, allowed).into_response()
}

fn varied(mut response: Response) -> Response {
    let origin = HeaderValue::from_static("Origin");
    response.headers_mut().append(header::VARY, origin);
    response
}
