//! A tunnel through a SOCKS5 proxy (RFC 1928), with user name and password (RFC 1929).
//!
//! Written here because it is five short messages. Each is read to its exact length, at most 262 bytes, so nothing of what the
//! server says is taken.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use fullduplex_proto::handshake::{Uri, Userinfo};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::lookup_host,
};

use super::error::{ProxyError, SocksError};
use crate::transport::{Stream, Transport};

const VERSION: u8 = 5;
const CONNECT: u8 = 1;
/// RFC 1928 §3.
const NO_CREDENTIALS: u8 = 0;
const PASSWORD: u8 = 2;
/// RFC 1928 §5.
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// RFC 1929 §2.
const PASSWORD_VERSION: u8 = 1;

/// Most addresses of a name that the proxy is asked for, one after the other: a few of each family.
const MAX_ADDRESSES: usize = 4;

/// Resolves the server's name here and asks for its addresses, until the proxy reaches one.
pub(super) async fn by_address<S: Stream, F: Future<Output = Result<S, ProxyError>>>(
    uri: &Uri,
    credentials: Option<&Userinfo>,
    dial: impl Fn() -> F,
) -> Result<Transport, ProxyError> {
    let host = uri.host();
    let addresses = lookup_host((host, uri.port())).await.map_err(|error| {
        let text = format!("cannot resolve {host:?}: {error}");
        ProxyError::Resolve(io::Error::new(error.kind(), text))
    })?;
    let mut failure = None;
    for address in addresses.take(MAX_ADDRESSES) {
        // A proxy that said no ends the connection (RFC 1928 §6).
        let mut stream = dial().await?;
        match ask(&mut stream, &request_for(address), credentials).await {
            Ok(()) => return Ok(Transport::new(stream)),
            Err(ProxyError::Socks(error)) if error.is_about_the_address() => {
                failure.get_or_insert(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(failure.map_or_else(
        || {
            ProxyError::Resolve(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{host:?} has no address"),
            ))
        },
        ProxyError::Socks,
    ))
}

/// Asks for the server by the name that it has in the URI.
pub(super) async fn by_name<S: Stream>(
    mut stream: S,
    uri: &Uri,
    credentials: Option<&Userinfo>,
) -> Result<Transport, ProxyError> {
    let (host, port) = (uri.host(), uri.port());
    let request = match host.parse::<IpAddr>() {
        Ok(address) => request_for(SocketAddr::new(address, port)),
        Err(_) => request_for_name(host, port)?,
    };
    ask(&mut stream, &request, credentials).await?;
    Ok(Transport::new(stream))
}

/// RFC 1929 §2: one byte holds the length.
pub(super) fn can_send(credentials: &Userinfo) -> bool {
    [credentials.username(), credentials.password()]
        .iter()
        .all(|text| (1..=255).contains(&text.len()))
}

/// The whole conversation.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &[u8],
    credentials: Option<&Userinfo>,
) -> Result<(), ProxyError> {
    let methods: &[u8] = match credentials {
        None => &[VERSION, 1, NO_CREDENTIALS],
        Some(_) => &[VERSION, 2, NO_CREDENTIALS, PASSWORD],
    };
    send(stream, methods).await?;
    match (read(stream).await?, credentials) {
        ([VERSION, NO_CREDENTIALS], _) => {}
        ([VERSION, PASSWORD], Some(credentials)) => log_in(stream, credentials).await?,
        ([VERSION, _], _) => return Err(ProxyError::Socks(SocksError::Method)),
        _ => return Err(ProxyError::Socks(SocksError::Malformed)),
    }
    send(stream, request).await?;
    read_reply(stream).await
}

async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    credentials: &Userinfo,
) -> Result<(), ProxyError> {
    let mut message = vec![PASSWORD_VERSION];
    for text in [credentials.username(), credentials.password()] {
        push_counted(&mut message, text).ok_or(ProxyError::Credentials)?;
    }
    send(stream, &message).await?;
    // The version is wrong in the answers of some proxies; what counts is the status.
    let [_version, status] = read(stream).await?;
    if status == 0 {
        Ok(())
    } else {
        Err(ProxyError::Socks(SocksError::Credentials))
    }
}

/// Reads the reply, with the proxy's own address, which nobody needs (RFC 1928 §6).
async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S) -> Result<(), ProxyError> {
    let [version, code, _reserved] = read(stream).await?;
    match (version, code) {
        (VERSION, 0) => {}
        (VERSION, code) => return Err(ProxyError::Socks(SocksError::from_code(code))),
        _ => return Err(ProxyError::Socks(SocksError::Malformed)),
    }
    let [kind] = read(stream).await?;
    let address = match kind {
        IPV4 => 4,
        IPV6 => 16,
        NAME => {
            let [length] = read(stream).await?;
            usize::from(length)
        }
        _ => return Err(ProxyError::Socks(SocksError::Malformed)),
    };
    // And the port.
    let mut rest = vec![0; address + 2];
    stream.read_exact(&mut rest).await.map_err(ended)?;
    Ok(())
}

fn request_for(address: SocketAddr) -> Vec<u8> {
    let mut request = vec![VERSION, CONNECT, 0];
    match address.ip() {
        IpAddr::V4(ip) => {
            request.push(IPV4);
            request.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            request.push(IPV6);
            request.extend_from_slice(&ip.octets());
        }
    }
    request.extend_from_slice(&address.port().to_be_bytes());
    request
}

fn request_for_name(name: &str, port: u16) -> Result<Vec<u8>, ProxyError> {
    let mut request = vec![VERSION, CONNECT, 0, NAME];
    // No name of the DNS is longer (RFC 1035 §2.3.4).
    push_counted(&mut request, name.as_bytes())
        .ok_or(ProxyError::Socks(SocksError::AddressTypeNotSupported))?;
    request.extend_from_slice(&port.to_be_bytes());
    Ok(request)
}

/// Adds a text after its length, if one byte can hold that.
fn push_counted(message: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    message.push(u8::try_from(text.len()).ok()?);
    message.extend_from_slice(text);
    Some(())
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: &[u8]) -> Result<(), ProxyError> {
    stream.write_all(bytes).await.map_err(ProxyError::Io)?;
    stream.flush().await.map_err(ProxyError::Io)
}

async fn read<const N: usize, S: AsyncRead + Unpin>(stream: &mut S) -> Result<[u8; N], ProxyError> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.map_err(ended)?;
    Ok(bytes)
}

fn ended(error: io::Error) -> ProxyError {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => ProxyError::Socks(SocksError::Eof),
        _ => ProxyError::Io(error),
    }
}
