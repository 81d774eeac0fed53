//! The way to the server: TCP, perhaps through a proxy, and TLS.

use fullduplex_proto::handshake::Uri;
use tokio::time::Instant;

use super::{Client, ConnectError};
#[cfg(feature = "tls")]
use crate::transport::Stream;
use crate::{dial::dial, proxy::Proxy, transport::Transport};

/// Which proxy a client uses.
#[derive(Clone, Debug)]
pub(super) enum Route {
    /// None.
    Direct,
    /// This one.
    Through(Box<Proxy>),
    /// The one that the environment names for an address.
    Environment,
}

/// The version of HTTP in which the handshake is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Http {
    /// HTTP/1.1.
    One,
    /// HTTP/2.
    #[cfg(feature = "http2")]
    Two,
}

impl Client {
    /// A stream to the server on which the handshake can begin.
    pub(crate) async fn reach(
        &self,
        uri: &Uri,
        http: Http,
        deadline: Instant,
    ) -> Result<Transport, ConnectError> {
        let found;
        let proxy = match &self.route {
            Route::Direct => None,
            Route::Through(proxy) => Some(&**proxy),
            Route::Environment => {
                found = Proxy::from_env(uri).map_err(ConnectError::Proxy)?;
                found.as_ref()
            }
        };
        let transport = match proxy {
            Some(proxy) => proxy
                .tunnel(uri, deadline)
                .await
                .map_err(ConnectError::Proxy)?,
            None => dial(uri.host(), uri.port())
                .await
                .map(Transport::new)
                .map_err(ConnectError::Connect)?,
        };
        self.secure(uri, http, transport).await
    }

    #[cfg(feature = "tls")]
    async fn secure(
        &self,
        uri: &Uri,
        http: Http,
        transport: Transport,
    ) -> Result<Transport, ConnectError> {
        if !uri.is_secure() {
            return Ok(transport);
        }
        match transport {
            // So that TLS over TCP is known by name.
            Transport::Tcp(tcp) => self.secure_stream(uri, http, tcp).await,
            other => self.secure_stream(uri, http, other).await,
        }
    }

    #[cfg(feature = "tls")]
    async fn secure_stream<S: Stream>(
        &self,
        uri: &Uri,
        http: Http,
        stream: S,
    ) -> Result<Transport, ConnectError> {
        let tls = crate::tls::connect(self.tls.as_ref(), uri.host(), stream, http.alpn())
            .await
            .map_err(ConnectError::Tls)?;
        // A server that knows no ALPN speaks HTTP/1.1 (RFC 9113 §3.2).
        #[cfg(feature = "http2")]
        if http == Http::Two && tls.get_ref().1.alpn_protocol() != Some(http.alpn()) {
            return Err(ConnectError::Http2(super::Http2Error::NotNegotiated));
        }
        Ok(Transport::new(tls))
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "with TLS it waits")]
    async fn secure(
        &self,
        uri: &Uri,
        _http: Http,
        transport: Transport,
    ) -> Result<Transport, ConnectError> {
        if uri.is_secure() {
            Err(ConnectError::NoTls)
        } else {
            Ok(transport)
        }
    }
}

#[cfg(feature = "tls")]
impl Http {
    /// Its name in ALPN (RFC 7301 §6, RFC 9113 §3.2).
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::One => crate::tls::ALPN,
            #[cfg(feature = "http2")]
            Self::Two => b"h2",
        }
    }
}
