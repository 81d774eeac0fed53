//! What the opening handshake settled, for as long as the connection lives.

use std::{fmt, net::SocketAddr};

use fullduplex_proto::DeflateParams;

/// Facts about a connection that do not change.
#[derive(Default)]
pub(crate) struct Info {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) resource: Box<str>,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) deflate: Option<Box<DeflateParams>>,
}

impl Info {
    /// What of the resource may stand in a log. Browsers can set no header, so that tokens come in the query.
    pub(crate) fn path(&self) -> &str {
        self.resource.split('?').next().unwrap_or_default()
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("peer", &self.peer)
            .field("path", &self.path())
            .field("subprotocol", &self.subprotocol)
            .field("deflate", &self.deflate)
            .finish_non_exhaustive()
    }
}
