//! The way to the server: TCP, perhaps through a proxy, and TLS.

use fullduplex_proto::handshake::Uri;
use tokio::time::Instant;

use super::{Client, ConnectError};
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

impl Client {
    /// A stream to the server on which the handshake can begin.
    pub(super) async fn reach(
        &self,
        uri: &Uri,
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
        self.secure(uri, transport).await
    }

    #[cfg(feature = "tls")]
    async fn secure(&self, uri: &Uri, transport: Transport) -> Result<Transport, ConnectError> {
        if !uri.is_secure() {
            return Ok(transport);
        }
        let (config, host) = (self.tls.as_ref(), uri.host());
        let secured = match transport {
            // So that TLS over TCP is known by name.
            Transport::Tcp(tcp) => crate::tls::connect(config, host, tcp)
                .await
                .map(Transport::new),
            other => crate::tls::connect(config, host, other)
                .await
                .map(Transport::new),
        };
        secured.map_err(ConnectError::Tls)
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "with TLS it waits")]
    async fn secure(&self, uri: &Uri, transport: Transport) -> Result<Transport, ConnectError> {
        if uri.is_secure() {
            Err(ConnectError::NoTls)
        } else {
            Ok(transport)
        }
    }
}
