//! A folder served in place of the built-in pages.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use axum::{
    body::Body,
    extract::{self, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header};
use tokio::{fs::File, io::AsyncReadExt};
use tokio_util::io::ReaderStream;

use super::{Desk, conditional::Validators, not_found, sentence};

/// The first second that HTTP has no date for; it has none before 1970 that we could write either.
const YEAR_10000: u64 = 253_402_300_800;

/// A folder whose files, and nothing else, are served: no listing, no dotfiles, nothing outside,
/// by whatever path or link.
#[derive(Debug)]
pub(crate) struct StaticDir {
    /// Canonical.
    root: PathBuf,
    policy: Option<HeaderValue>,
}

/// What a path leads to.
enum Found {
    File(PathBuf),
    /// A folder, asked for without the slash that relative links in its index need.
    Folder,
}

impl StaticDir {
    /// # Errors
    ///
    /// The folder can't be found, or is none.
    pub(crate) fn new(dir: &Path, policy: Option<HeaderValue>) -> io::Result<Self> {
        let root = dir.canonicalize()?;
        if root.is_dir() {
            Ok(Self { root, policy })
        } else {
            Err(io::ErrorKind::NotADirectory.into())
        }
    }

    /// The file that a decoded path names, `index.html` for a folder's.
    async fn find(&self, path: &str) -> Option<Found> {
        let is_plain = |name: &str| {
            !name.is_empty() && !name.starts_with('.') && !name.contains(['\\', '\0', ':'])
        };
        let names = path.strip_suffix('/').unwrap_or(path);
        if !path.is_empty() && !names.split('/').all(is_plain) {
            return None;
        }
        let mut found = tokio::fs::canonicalize(self.root.join(names)).await.ok()?;
        let mut kind = tokio::fs::metadata(&found).await.ok()?;
        if kind.is_dir() {
            if !path.is_empty() && !path.ends_with('/') && found.starts_with(&self.root) {
                return Some(Found::Folder);
            }
            found = tokio::fs::canonicalize(found.join("index.html"))
                .await
                .ok()?;
            kind = tokio::fs::metadata(&found).await.ok()?;
        } else if path.ends_with('/') {
            return None;
        }
        // Links may lead about in the folder, not out of it, nor to what is hidden there.
        let inside = found.strip_prefix(&self.root).ok()?;
        let is_hidden = inside
            .iter()
            .any(|name| name.as_encoded_bytes().starts_with(b"."));
        (kind.is_file() && !is_hidden).then_some(Found::File(found))
    }

    async fn answer(&self, found: &Path, request: &HeaderMap) -> io::Result<Response> {
        let file = File::open(found).await?;
        let metadata = file.metadata().await?;
        let since = metadata.modified()?.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.ok().filter(|since| since.as_secs() < YEAR_10000);
        let stamp = since.unwrap_or_default().as_nanos();
        let validators = Validators {
            etag: format!("W/\"{stamp:x}-{:x}\"", metadata.len()),
            modified: since.map(|since| SystemTime::UNIX_EPOCH + since),
        };
        let is_same = validators.matches(request);
        let mut response = if is_same {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            // The file may grow meanwhile; the length was said.
            let body = Body::from_stream(ReaderStream::new(file.take(metadata.len())));
            let length = [(header::CONTENT_LENGTH, metadata.len().to_string())];
            (length, [(header::CONTENT_TYPE, content_type(found))], body).into_response()
        };
        set(&mut response, header::ETAG, &validators.etag);
        if let Some(modified) = validators.modified {
            let date = httpdate::fmt_http_date(modified);
            set(&mut response, header::LAST_MODIFIED, &date);
        }
        set(&mut response, header::CACHE_CONTROL, "no-cache");
        if let Some(policy) = &self.policy {
            response
                .headers_mut()
                .insert(header::CONTENT_SECURITY_POLICY, policy.clone());
        }
        Ok(response)
    }
}

pub(super) async fn index(State(desk): State<Arc<Desk>>, headers: HeaderMap) -> Response {
    serve(&desk, "", "/", &headers).await
}

pub(super) async fn file(
    State(desk): State<Arc<Desk>>,
    extract::Path(path): extract::Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    serve(&desk, &path, uri.path(), &headers).await
}

async fn serve(desk: &Desk, path: &str, raw_path: &str, request: &HeaderMap) -> Response {
    let Some(dir) = &desk.static_dir else {
        return not_found().await;
    };
    match dir.find(path).await {
        None => not_found().await,
        Some(Found::Folder) => {
            let mut response = sentence(StatusCode::MOVED_PERMANENTLY, "This is a folder.");
            // Never `//host`, which would lead elsewhere.
            let target = format!("/{}/", raw_path.trim_matches('/'));
            set(&mut response, header::LOCATION, &target);
            response
        }
        Some(Found::File(found)) => match dir.answer(&found, request).await {
            Ok(response) => response,
            Err(error) if error.kind() == io::ErrorKind::NotFound => not_found().await,
            Err(error) => {
                desk.shared.told.failed.tell(|left_out| {
                    let file = found.display();
                    tracing::warn!(%file, %error, left_out, "a file could not be served");
                });
                sentence(StatusCode::INTERNAL_SERVER_ERROR, "The file can't be read.")
            }
        },
    }
}

fn set(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The media type by a file's name. What is text is UTF-8.
pub(super) fn content_type(path: &Path) -> String {
    let guess = mime_guess::from_path(path).first_or_octet_stream();
    match (guess.type_().as_str(), guess.subtype().as_str()) {
        ("text", _) | ("application", "javascript" | "json") => format!("{guess}; charset=utf-8"),
        _ => guess.to_string(),
    }
}
