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
    first_reached(addresses, credentials, dial)
        .await
        .map(Transport::new)
}

/// One after the other: each costs the proxy a connection, and it knows best how long to wait.
async fn first_reached<S: Stream, F: Future<Output = Result<S, ProxyError>>>(
    addresses: impl Iterator<Item = SocketAddr>,
    credentials: Option<&Userinfo>,
    dial: impl Fn() -> F,
) -> Result<S, ProxyError> {
    let mut failure = ProxyError::Resolve(io::Error::new(
        io::ErrorKind::NotFound,
        "the name has no address",
    ));
    for address in addresses.take(MAX_ADDRESSES) {
        // A proxy that said no ends the connection (RFC 1928 §6).
        let mut stream = dial().await?;
        match ask(&mut stream, &request_for(address), credentials).await {
            Ok(()) => return Ok(stream),
            Err(ProxyError::Socks(error)) if error.is_about_the_address() => {
                failure = ProxyError::Socks(error);
            }
            Err(error) => return Err(error),
        }
    }
    Err(failure)
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::io::{DuplexStream, duplex};

    use super::*;

    const IP_REQUEST: &[u8] = &[5, 1, 0, 1, 192, 0, 2, 1, 0, 80];
    const REPLY: &[u8] = &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0];

    fn credentials() -> Userinfo {
        "user:pass%20word".parse().unwrap()
    }

    /// Talks to a proxy that says all this whatever it is told. Returns what it was told, and what of its words was not read.
    async fn told(
        uri: &str,
        credentials: Option<&Userinfo>,
        says: &[u8],
    ) -> (Result<Vec<u8>, ProxyError>, Vec<u8>) {
        let (ours, mut proxys) = duplex(1 << 10);
        proxys.write_all(says).await.unwrap();
        proxys.shutdown().await.unwrap();
        let tunnel = by_name(ours, &uri.parse().unwrap(), credentials).await;
        let tunnel = match tunnel {
            Ok(mut tunnel) => {
                let mut rest = Vec::new();
                tunnel.read_to_end(&mut rest).await.unwrap();
                Ok(rest)
            }
            Err(error) => Err(error),
        };
        let mut said = Vec::new();
        proxys.read_to_end(&mut said).await.unwrap();
        (tunnel, said)
    }

    fn says(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[tokio::test]
    async fn p32_without_credentials_none_are_offered() {
        let (tunnel, said) = told("ws://192.0.2.1", None, &says(&[&[5, 0], REPLY, b"rest"])).await;
        assert_eq!(tunnel.unwrap(), b"rest");
        assert_eq!(said, says(&[&[5, 1, 0], IP_REQUEST]));
    }

    #[tokio::test]
    async fn p32_credentials_are_sent_when_the_proxy_asks_for_them() {
        let login = says(&[&[1, 4], b"user", &[9], b"pass word"]);
        let credentials = credentials();
        let uri = "ws://192.0.2.1";
        let answer = says(&[&[5, 2], &[1, 0], REPLY, b"rest"]);
        let (tunnel, said) = told(uri, Some(&credentials), &answer).await;
        assert_eq!(tunnel.unwrap(), b"rest");
        assert_eq!(said, says(&[&[5, 2, 0, 2], &login, IP_REQUEST]));
        // It wants none.
        let (tunnel, said) = told(uri, Some(&credentials), &says(&[&[5, 0], REPLY])).await;
        assert_eq!(tunnel.unwrap(), b"");
        assert_eq!(said, says(&[&[5, 2, 0, 2], IP_REQUEST]));
    }

    #[tokio::test]
    async fn p32_the_proxy_gets_names_as_names_and_addresses_as_addresses() {
        for (uri, address) in [
            (
                "wss://example.com",
                says(&[&[3, 11], b"example.com", &[1, 187]]),
            ),
            ("ws://192.0.2.1:258", says(&[&[1, 192, 0, 2, 1, 1, 2]])),
            (
                "ws://[2001:db8::1]",
                says(&[&[4, 0x20, 1, 0xd, 0xb8], &[0; 11], &[1, 0, 80]]),
            ),
        ] {
            let (tunnel, said) = told(uri, None, &says(&[&[5, 0], REPLY])).await;
            assert!(tunnel.is_ok(), "{uri}");
            assert_eq!(said, says(&[&[5, 1, 0], &[5, 1, 0], &address]), "{uri}");
        }
    }

    #[tokio::test]
    async fn p32_what_comes_behind_the_reply_is_the_servers_whatever_address_the_reply_has() {
        let longest = says(&[&[5, 0, 0, 3, 255], &[b'x'; 255], &[0, 0]]);
        let ipv6 = says(&[&[5, 0, 0, 4], &[0; 18]]);
        for reply in [REPLY, &longest, &ipv6, &[5, 0, 0, 3, 0, 0, 0]] {
            let (tunnel, _) = told("ws://a", None, &says(&[&[5, 0], reply, b"\x16\x03"])).await;
            assert_eq!(tunnel.unwrap(), b"\x16\x03", "{reply:?}");
        }
    }

    #[tokio::test]
    async fn p32_every_reply_code_has_its_error() {
        let errors = [
            SocksError::General,
            SocksError::NotAllowed,
            SocksError::NetworkUnreachable,
            SocksError::HostUnreachable,
            SocksError::ConnectionRefused,
            SocksError::TtlExpired,
            SocksError::CommandNotSupported,
            SocksError::AddressTypeNotSupported,
            SocksError::Other(9),
        ];
        for (code, expected) in (1..).zip(errors) {
            // Some send the code and end the connection.
            let (tunnel, _) = told("ws://a", None, &[5, 0, 5, code, 0]).await;
            match tunnel.unwrap_err() {
                ProxyError::Socks(error) => assert_eq!(error, expected),
                other => unreachable!("{other}"),
            }
        }
    }

    #[tokio::test]
    async fn p33_what_is_no_socks_is_an_error() {
        let credentials = credentials();
        for (answer, expected) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
                SocksError::Malformed,
            ),
            (&[4, 90, 0, 0, 0, 0, 0, 0], SocksError::Malformed),
            (&[5, 0, 4, 0, 0, 1], SocksError::Malformed),
            (&[5, 0, 5, 0, 0, 2, 0, 0, 0, 0, 0, 0], SocksError::Malformed),
            (&[5, 0xff], SocksError::Method),
            (&[5, 1], SocksError::Method),
            (&[5, 2, 1, 1], SocksError::Credentials),
            (&[], SocksError::Eof),
            (&[5], SocksError::Eof),
            (&[5, 2, 1], SocksError::Eof),
            (&[5, 0, 5, 0, 0, 3, 255, b'x'], SocksError::Eof),
        ] {
            match told("ws://a", Some(&credentials), answer).await.0 {
                Err(ProxyError::Socks(error)) => assert_eq!(error, expected, "{answer:?}"),
                other => unreachable!("{answer:?}: {other:?}"),
            }
        }
        // A method that was not offered.
        let (tunnel, said) = told("ws://a", None, &[5, 2, 1, 0]).await;
        assert!(matches!(tunnel, Err(ProxyError::Socks(SocksError::Method))));
        assert_eq!(said, [5, 1, 0]);
    }

    /// Asks for addresses on which the proxy replies with these codes. Returns how often it was dialled.
    async fn reached(codes: &[u8], addresses: usize) -> (Result<DuplexStream, ProxyError>, usize) {
        let address = "192.0.2.1:80".parse().unwrap();
        let proxys = RefCell::new(Vec::new());
        let tunnel = first_reached(std::iter::repeat_n(address, addresses), None, async || {
            let (ours, mut other) = duplex(1 << 10);
            let code = codes[proxys.borrow().len()];
            let reply = says(&[&[5, 0, 5, code], &REPLY[2..]]);
            other.write_all(&reply).await.unwrap();
            proxys.borrow_mut().push(other);
            Ok(ours)
        })
        .await;
        (tunnel, proxys.into_inner().len())
    }

    #[tokio::test]
    async fn p33_an_address_that_the_proxy_cannot_reach_is_followed_by_the_next() {
        let (tunnel, dialled) = reached(&[8, 5, 0], 3).await;
        assert!(tunnel.is_ok());
        assert_eq!(dialled, 3);
        let (tunnel, dialled) = reached(&[4; 100], 100).await;
        assert!(matches!(
            tunnel,
            Err(ProxyError::Socks(SocksError::HostUnreachable))
        ));
        assert_eq!(dialled, MAX_ADDRESSES);
        // No address helps against this.
        let (tunnel, dialled) = reached(&[7, 0], 2).await;
        assert!(matches!(
            tunnel,
            Err(ProxyError::Socks(SocksError::CommandNotSupported))
        ));
        assert_eq!(dialled, 1);
        assert!(matches!(
            reached(&[], 0).await.0,
            Err(ProxyError::Resolve(_))
        ));
    }
}
