//! The built-in pages, part of the binary.

use std::fmt::Write as _;

use axum::{
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, StatusCode, header};
use rust_embed::{EmbeddedFile, RustEmbed};

use super::{conditional::Validators, files::content_type, not_found};

/// What our pages may do: nothing but what they consist of, and talk to where they came from.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
     img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

#[derive(RustEmbed)]
#[folder = "web/"]
#[include = "*.css"]
#[include = "*.html"]
#[include = "*.js"]
#[include = "*.svg"]
#[include = "*.webmanifest"]
#[exclude = "node_modules/*"]
#[exclude = "test/*"]
struct Web;

pub(super) async fn chat(headers: HeaderMap) -> Response {
    file("index.html", &headers).await
}

pub(super) async fn logs(headers: HeaderMap) -> Response {
    file("logs.html", &headers).await
}

pub(super) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&path, &headers).await
}

async fn file(path: &str, request: &HeaderMap) -> Response {
    let Some(EmbeddedFile { data, metadata }) = Web::get(path) else {
        return not_found().await;
    };
    let validators = Validators {
        etag: etag(&metadata.sha256_hash()),
        modified: None,
    };
    let headers = [
        (header::CONTENT_TYPE, content_type(path.as_ref())),
        (
            header::CONTENT_SECURITY_POLICY,
            CONTENT_SECURITY_POLICY.to_owned(),
        ),
        (header::REFERRER_POLICY, "no-referrer".to_owned()),
        // Names don't change with contents: keep, but ask each time whether it is still the same.
        (header::CACHE_CONTROL, "no-cache".to_owned()),
        (header::ETAG, validators.etag.clone()),
    ];
    if validators.matches(request) {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, data).into_response()
    }
}

/// Half of a SHA-256 is still unique.
fn etag(sha256: &[u8; 32]) -> String {
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &sha256[..16] {
        // Writing to a String does not fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}
