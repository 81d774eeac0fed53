//! Opening the connection, and saying why it could not be opened.

use std::{io, sync::Arc};

use fullduplex::{
    Client, Config, ConnectError, Deflate, Limits, Proxy, ProxyError, WebSocket,
    handshake::{
        ClientError, HeadError, Origin, OriginError, Refused, Response, ResponseError, Uri,
    },
    tls::rustls::{self, ClientConfig},
};

use super::{ConnectArgs, insecure, listed};
use crate::{
    exit::Failure,
    listen, output,
    visible::{cut, visible},
};

/// Headers of a refusal that tell what to do instead.
const TELLING_HEADERS: [&str; 5] = [
    "Location",
    "WWW-Authenticate",
    "Proxy-Authenticate",
    "Retry-After",
    "Sec-WebSocket-Version",
];

/// So much of a refusal's body is shown: a sentence is, a page of HTML is not.
const MAX_BODY_LINES: usize = 10;
const MAX_BODY_LINE: usize = 200;

/// A connection, and how it came to be.
pub(super) struct Opened {
    pub(super) ws: WebSocket,
    pub(super) response: Response,
    /// What it goes through.
    pub(super) proxy: Option<Proxy>,
}

/// Connects as the flags say.
pub(super) async fn dial(args: &ConnectArgs) -> Result<Opened, Failure> {
    // Parsed besides, for messages: it is shown without the password that it may hold.
    let uri: Uri = args
        .url
        .parse()
        .map_err(|error| Failure::usage(format!("{}: {error}", visible(&args.url))))?;
    let trusted = trusted(args)?;
    let proxy = proxy(args, &uri, trusted.as_ref())?;
    let mut client = client(args, &uri)?;
    if let Some(trusted) = trusted {
        client = client.tls(trusted);
    }
    if let Some(proxy) = &proxy {
        client = client.proxy(proxy.clone());
    }
    match client.connect().await {
        Ok((ws, response)) => Ok(Opened {
            ws,
            response,
            proxy,
        }),
        Err(error) => Err(failure(error, &uri, args)),
    }
}

fn client(args: &ConnectArgs, uri: &Uri) -> Result<Client, Failure> {
    let mut config = Config::default();
    config.limits = Limits::with_max_message(args.max_message);
    args.ping.apply(&mut config)?;
    config
        .check()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let usage = |error| failure(error, uri, args);
    let mut client = Client::new(&args.url)
        .map_err(usage)?
        .config(config)
        .timeout(args.connect_timeout.0);
    for (name, value) in &args.headers {
        client = client.header(name, value).map_err(usage)?;
    }
    for subprotocol in &args.subprotocols {
        client = client.subprotocol(subprotocol).map_err(usage)?;
    }
    if let Some(origin) = &args.origin {
        client = client.origin(origin).map_err(usage)?;
    }
    if args.deflate {
        let mut deflate = Deflate::for_client();
        // Who asks for it wants to see it, with a typed line too.
        deflate.threshold = 0;
        client = client.deflate(deflate);
    }
    Ok(client)
}

/// The proxy that is asked for, else the one that the environment names.
fn proxy(
    args: &ConnectArgs,
    uri: &Uri,
    trusted: Option<&Arc<ClientConfig>>,
) -> Result<Option<Proxy>, Failure> {
    let proxy = match &args.proxy {
        Some(address) => Proxy::new(address).map(Some),
        None => Proxy::from_env(uri),
    };
    let proxy = proxy.map_err(|error| Failure::usage(error.to_string()))?;
    Ok(match (proxy, trusted) {
        (Some(proxy), Some(trusted)) => Some(proxy.tls(Arc::clone(trusted))),
        (proxy, _) => proxy,
    })
}

/// Whose certificates are believed, if not those that are by default.
fn trusted(args: &ConnectArgs) -> Result<Option<Arc<ClientConfig>>, Failure> {
    if args.insecure {
        output::warning("certificates are not checked; anybody may be at the other end");
        let config = insecure::client_config()
            .map_err(|error| Failure::run(format!("cannot set up TLS: {error}")))?;
        return Ok(Some(Arc::new(config)));
    }
    let Some(path) = &args.ca else {
        return Ok(None);
    };
    listed::client_config(&listen::read(path)?)
        .map(Some)
        .map_err(|error| Failure::start(format!("cannot use {}: {error}", path.display())))
}

/// An origin on the command line.
pub(super) fn parse_origin(text: &str) -> Result<String, OriginError> {
    text.parse::<Origin>().map(|origin| origin.to_string())
}

/// A header on the command line. Those that have flags of their own are pointed to them.
pub(super) fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("write `Name: value`")?;
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    if is("Origin") {
        return Err("use --origin".to_owned());
    }
    if is("Sec-WebSocket-Protocol") {
        return Err("use --subprotocol".to_owned());
    }
    Ok((name.to_owned(), value.trim().to_owned()))
}

fn failure(error: ConnectError, uri: &Uri, args: &ConnectArgs) -> Failure {
    match error {
        ConnectError::Uri(_) | ConnectError::Origin(_) | ConnectError::Request(_) => {
            Failure::usage(error.to_string())
        }
        ConnectError::Connect(error) => {
            Failure::no_connection(format!("cannot connect to {uri}: {error}"))
        }
        ConnectError::Tls(error) => {
            let hint = tls_hint(&error, args).unwrap_or_default();
            Failure::no_connection(format!("no TLS with {uri}: {error}{hint}"))
        }
        ConnectError::Handshake(ClientError::Refused(refused)) => {
            let (status, details) = told(&refused);
            Failure::refused(format!("the server refused: {status}")).with_details(details)
        }
        ConnectError::Proxy(ProxyError::Http(ResponseError::Refused(refused))) => {
            let (status, details) = told(&refused);
            Failure::no_connection(format!("the proxy refused: {status}")).with_details(details)
        }
        ConnectError::Proxy(ProxyError::Tls(error)) => {
            let hint = trust_hint(&error, args).unwrap_or_default();
            Failure::no_connection(format!("no TLS with the proxy: {error}{hint}"))
        }
        ConnectError::Handshake(error) => {
            let hint = plain_hint(&error, uri).unwrap_or_default();
            Failure::refused(format!("no WebSocket at {uri}: {error}{hint}"))
        }
        error => Failure::no_connection(format!("no connection to {uri}: {error}")),
    }
}

/// What the user can do about it.
fn tls_hint(error: &io::Error, args: &ConnectArgs) -> Option<&'static str> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidMessage(_) => Some("; perhaps it speaks no TLS: try ws://"),
        _ => trust_hint(error, args),
    }
}

fn trust_hint(error: &io::Error, args: &ConnectArgs) -> Option<&'static str> {
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(_) if args.ca.is_some() => {
            Some("; nothing in the file of --ca speaks for it")
        }
        rustls::Error::InvalidCertificate(_) => {
            Some("; pass --ca FILE to trust its authority, or -k to trust any certificate")
        }
        _ => None,
    }
}

/// To a plain request TLS answers with an alert, whose first bytes hold a NUL.
fn plain_hint(error: &ClientError, uri: &Uri) -> Option<&'static str> {
    let is_alert = matches!(error, ClientError::Head(HeadError::Nul));
    (is_alert && !uri.is_secure()).then_some("; perhaps it speaks TLS: try wss://")
}

/// The status of a refusal, and what else in it helps.
fn told(refused: &Refused) -> (String, Vec<String>) {
    let status = format!("{} {}", refused.status(), visible(refused.reason()));
    let headers = TELLING_HEADERS.iter().flat_map(|name| {
        let values = refused.headers().get_all(name);
        values.map(move |value| format!("{name}: {}", visible(&String::from_utf8_lossy(value))))
    });
    let details = headers.chain(body_lines(refused.body())).collect();
    (status.trim_end().to_owned(), details)
}

/// The first lines that are not blank.
fn body_lines(body: &[u8]) -> Vec<String> {
    let body = String::from_utf8_lossy(body);
    let mut lines = body
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty());
    let shown = lines.by_ref().take(MAX_BODY_LINES).map(|line| {
        let (line, left_out) = cut(line, MAX_BODY_LINE);
        let mark = if left_out > 0 { "…" } else { "" };
        format!("{}{mark}", visible(line))
    });
    let mut shown: Vec<String> = shown.collect();
    if lines.next().is_some() {
        shown.push("…".to_owned());
    }
    shown
}
