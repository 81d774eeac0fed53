//! What the opening handshake settled, for as long as the connection lives.

use std::net::SocketAddr;

use fullduplex_proto::DeflateParams;

/// Facts about a connection that do not change.
#[derive(Debug, Default)]
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
