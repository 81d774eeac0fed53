//! Why there is no tunnel.

use std::{fmt, io};

use fullduplex_proto::handshake::{AuthorityError, HeaderError, Refused, ResponseError};

/// Why a proxy cannot be used, or did not let the client through. Credentials are in none of them.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The scheme is not `http`, `https`, `socks5` or `socks5h`.
    Scheme,
    /// Host or port are missing or wrong, or something stands behind them.
    Address(AuthorityError),
    /// User name or password are not rightly encoded, or cannot be sent: for HTTP a user name with a colon or control
    /// characters (RFC 7617 §2), for SOCKS also one of more than 255 bytes, or an empty one (RFC 1929 §2).
    Credentials,
    /// The header line cannot be sent.
    Header(HeaderError),
    /// This environment variable names no proxy that can be used.
    Variable {
        /// The variable.
        name: &'static str,
        /// What is wrong with its value.
        error: Box<Self>,
    },
    /// The proxy's scheme is `https`, and the crate was built without TLS.
    NoTls,
    /// The proxy's name could not be resolved, or no address of it answered.
    Connect(io::Error),
    /// TLS to the proxy could not be established.
    Tls(io::Error),
    /// The connection to the proxy failed.
    Io(io::Error),
    /// An HTTP proxy did not open the tunnel; [`ResponseError::Refused`] has its status, headers and body.
    Http(ResponseError),
    /// A SOCKS proxy did not open the tunnel.
    Socks(SocksError),
    /// The server's name could not be resolved, which for `socks5` is done here.
    Resolve(io::Error),
}

impl ProxyError {
    /// What an HTTP proxy answered that refused, such as 407.
    pub fn refused(&self) -> Option<&Refused> {
        match self {
            Self::Http(error) => error.refused(),
            _ => None,
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str(
                "a proxy's address starts with http://, https://, socks5:// or socks5h://",
            ),
            Self::Address(error) => write!(f, "the proxy's address is not usable: {error}"),
            Self::Credentials => {
                f.write_str("the proxy's user name or password is not rightly encoded, or too long")
            }
            Self::Header(error) => error.fmt(f),
            Self::Variable { name, error } => write!(f, "environment variable {name}: {error}"),
            Self::NoTls => f.write_str("built without TLS, which an https proxy needs"),
            Self::Connect(error) => write!(f, "cannot connect to the proxy: {error}"),
            Self::Tls(error) => write!(f, "TLS with the proxy failed: {error}"),
            Self::Io(error) => write!(f, "the connection to the proxy failed: {error}"),
            Self::Http(ResponseError::Refused(refused)) => write!(
                f,
                "the proxy answered {} {}",
                refused.status(),
                refused.reason()
            ),
            Self::Http(error) => write!(f, "the proxy did not answer as it should: {error}"),
            Self::Socks(error) => error.fmt(f),
            Self::Resolve(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProxyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Scheme | Self::Credentials | Self::NoTls => None,
            Self::Address(error) => Some(error),
            Self::Header(error) => Some(error),
            Self::Variable { error, .. } => Some(error),
            Self::Connect(error) | Self::Tls(error) | Self::Io(error) | Self::Resolve(error) => {
                Some(error)
            }
            Self::Http(error) => Some(error),
            Self::Socks(error) => Some(error),
        }
    }
}

/// What a SOCKS5 proxy said instead of yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocksError {
    /// It speaks another protocol, or breaks this one (RFC 1928).
    Malformed,
    /// It ended the connection before its answer was complete.
    Eof,
    /// It wants credentials and none are given, or wants another kind of them than a user name and password.
    Method,
    /// It does not know the user name and password (RFC 1929).
    Credentials,
    /// Code 1: it failed, and does not say how.
    General,
    /// Code 2: its rules forbid the connection.
    NotAllowed,
    /// Code 3: it has no way to the server's network.
    NetworkUnreachable,
    /// Code 4: it has no way to the server, or cannot resolve its name.
    HostUnreachable,
    /// Code 5: the server refused the connection.
    ConnectionRefused,
    /// Code 6: the server is too many hops away.
    TtlExpired,
    /// Code 7: it opens no connections for others.
    CommandNotSupported,
    /// Code 8: it cannot use an address of this kind: IPv4, IPv6 or a name.
    AddressTypeNotSupported,
    /// A code that RFC 1928 does not know.
    Other(u8),
}

impl SocksError {
    /// RFC 1928 §6: the codes other than 0.
    pub(super) fn from_code(code: u8) -> Self {
        match code {
            1 => Self::General,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            code => Self::Other(code),
        }
    }

    /// Whether another address of the server may do better.
    pub(super) fn is_about_the_address(self) -> bool {
        matches!(
            self,
            Self::General
                | Self::NotAllowed
                | Self::NetworkUnreachable
                | Self::HostUnreachable
                | Self::ConnectionRefused
                | Self::TtlExpired
                | Self::AddressTypeNotSupported
        )
    }
}

impl fmt::Display for SocksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the proxy does not speak SOCKS5",
            Self::Eof => "the proxy ended the connection before its answer was complete",
            Self::Method => "the proxy wants a user name and password, or other credentials",
            Self::Credentials => "the proxy does not accept the user name and password",
            Self::General => "the proxy failed without saying why (code 1)",
            Self::NotAllowed => "the proxy does not allow this connection (code 2)",
            Self::NetworkUnreachable => "the proxy has no way to the server's network (code 3)",
            Self::HostUnreachable => "the proxy has no way to the server (code 4)",
            Self::ConnectionRefused => "the server refused the proxy's connection (code 5)",
            Self::TtlExpired => "the server is too many hops from the proxy (code 6)",
            Self::CommandNotSupported => "the proxy opens no connections for others (code 7)",
            Self::AddressTypeNotSupported => "the proxy cannot use this kind of address (code 8)",
            Self::Other(code) => {
                return write!(f, "the proxy refused with the unknown code {code}");
            }
        })
    }
}

impl std::error::Error for SocksError {}
