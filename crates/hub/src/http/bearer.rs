//! Who a request comes from, and what they may.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};

use super::{Connection, Desk, refusal};
use crate::auth::{Access, Denied, Grant, Who};

/// Seconds after which who could not be judged may come back: the keys of tokens are asked for again by then.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("10");

/// The token that came with a request: in the header, or where else the configuration allows. Whether a page may send cookies
/// along is judged where its origin is.
pub(super) fn token(access: &Access, uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let in_header = in_header(headers);
    let Access::Tokens(tokens) = access else {
        // The administrator's is good here, too.
        return in_header.map(str::to_owned);
    };
    let in_cookie = || in_cookie(headers, tokens.cookie.as_deref()?);
    let in_query = || in_query(uri).filter(|_| tokens.query);
    let token = in_header.or_else(in_cookie).or_else(in_query);
    token.map(str::to_owned)
}

/// Whether whoever sends this has the administrator's token.
pub(super) fn is_admin(desk: &Desk, headers: &HeaderMap) -> bool {
    in_header(headers).is_some_and(|token| desk.shared.is_admin(token))
}

/// What whoever sends this may.
pub(super) async fn grant(
    desk: &Desk,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Arc<Grant>, Denied> {
    let token = token(&desk.shared.config.access, uri, headers);
    desk.shared.admit(token.as_deref()).await
}

/// What whoever sends this may. Its connection is one that is let in from then on.
///
/// # Errors
///
/// The answer for who is not let in.
pub(super) async fn admit(
    desk: &Desk,
    connection: &Connection,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Arc<Grant>, Response> {
    let granted = grant(desk, uri, headers).await.and_then(|grant| {
        let who = Who {
            user: grant.user_id(),
            address: connection.client.address,
        };
        desk.shared.let_in(who)?;
        Ok(grant)
    });
    let address = connection.client.address;
    let grant = granted.map_err(|denied| {
        desk.shared.told.denied(address, denied);
        answer(&denied)
    })?;
    connection.newcomer.let_in();
    Ok(grant)
}

/// The answer for who is not let in.
fn answer(denied: &Denied) -> Response {
    let why = capitalised(&denied.to_string());
    let challenge = |value| (header::WWW_AUTHENTICATE, HeaderValue::from_static(value));
    match denied {
        Denied::NoToken => {
            let headers = [challenge("Bearer")];
            (headers, refusal(StatusCode::UNAUTHORIZED, why)).into_response()
        }
        Denied::Refused(_) => {
            let headers = [challenge("Bearer error=\"invalid_token\"")];
            (headers, refusal(StatusCode::UNAUTHORIZED, why)).into_response()
        }
        Denied::Unavailable => {
            let headers = [(header::RETRY_AFTER, RETRY_AFTER)];
            (headers, refusal(StatusCode::SERVICE_UNAVAILABLE, why)).into_response()
        }
        Denied::Banned => refusal(StatusCode::FORBIDDEN, why),
    }
}

/// The answer for who is let in, but may not do this.
pub(super) fn forbidden(what: &str) -> Response {
    let why = format!("Your token does not allow {what}.");
    refusal(StatusCode::FORBIDDEN, why)
}

/// The token of `Bearer` credentials (RFC 6750 §2.1).
pub(super) fn in_header(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("Bearer").then(|| token.trim())
}

/// Whether the credentials are `Bearer`, good or bad. Others are not for us: a proxy that asks for a password itself passes them on.
pub(super) fn is_meant(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    let scheme = value.and_then(|value| value.split(|byte| *byte == b' ').next());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"Bearer"))
}

fn in_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    let mut cookies = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='));
    cookies.find_map(|(known, value)| (known == name).then(|| value.trim_matches('"')))
}

/// A token has no characters that would have to be escaped.
fn in_query(uri: &Uri) -> Option<&str> {
    let mut pairs = uri.query()?.split('&');
    pairs.find_map(|pair| pair.strip_prefix("token="))
}

/// What is said to programs, as a sentence.
pub(super) fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    let first = chars.next().map(char::to_uppercase);
    first
        .into_iter()
        .flatten()
        .chain(chars)
        .chain(['.'])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{KeySource, Tokens};

    #[test]
    fn a_token_stands_in_the_header_or_where_it_is_allowed() {
        let mut tokens = Tokens::new(KeySource::Secret("secret".into()));
        let found = |tokens: &Tokens, uri: &str, headers: &[(&str, &str)]| {
            let mut request = http::Request::builder().uri(uri);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let request = request.body(()).unwrap();
            token(
                &Access::Tokens(tokens.clone()),
                request.uri(),
                request.headers(),
            )
        };
        let header = [("authorization", "bearer a.b.c")];
        let cookies = [("cookie", "x=1; sid=d.e.f"), ("cookie", "sid=later; y=2")];
        let uri = "/ws?room=a&token=g.h.i";
        assert_eq!(found(&tokens, uri, &header).as_deref(), Some("a.b.c"));
        assert_eq!(found(&tokens, uri, &cookies), None);
        tokens.query = true;
        assert_eq!(found(&tokens, uri, &cookies).as_deref(), Some("g.h.i"));
        assert_eq!(found(&tokens, "/ws?xtoken=g", &[]), None);
        tokens.cookie = Some("sid".into());
        assert_eq!(found(&tokens, uri, &cookies).as_deref(), Some("d.e.f"));
        assert_eq!(found(&tokens, "/ws", &[("cookie", "xsid=1; sid")]), None);
        assert_eq!(found(&tokens, "/ws", &[("authorization", "Basic a")]), None);
        assert_eq!(
            token(&Access::Open, &Uri::from_static("/"), &HeaderMap::new()),
            None
        );
    }
}
