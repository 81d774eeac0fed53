//! A request as hyper has parsed it, in our terms.

use fullduplex_proto::handshake::{Headers, Rejection, RequestHead, Version};

pub(super) fn head_of<B>(request: &http::Request<B>) -> Result<RequestHead, Rejection> {
    let version = match request.version() {
        http::Version::HTTP_11 => Version::Http11,
        http::Version::HTTP_10 => Version::Http10,
        http::Version::HTTP_2 if cfg!(feature = "http2") => Version::Http2,
        _ => {
            let sentence = "A WebSocket is opened by HTTP/1.1 here.";
            return Err(Rejection::new(505, sentence).over_http2());
        }
    };
    let mut headers = Headers::new();
    for (name, value) in request.headers() {
        if headers.append(name.as_str(), value.as_bytes()).is_err() {
            return Err(Rejection::new(400, "A header line is not valid."));
        }
    }
    let head = RequestHead::new(
        request.method().as_str(),
        request.uri().to_string(),
        version,
        headers,
    );
    Ok(with_protocol(head, request))
}

/// Adds `:protocol`, which hyper keeps beside the headers.
#[cfg(feature = "http2")]
fn with_protocol<B>(head: RequestHead, request: &http::Request<B>) -> RequestHead {
    match request.extensions().get::<hyper::ext::Protocol>() {
        Some(protocol) => head.with_protocol(protocol.as_str()),
        None => head,
    }
}

#[cfg(not(feature = "http2"))]
fn with_protocol<B>(head: RequestHead, _request: &http::Request<B>) -> RequestHead {
    head
}
