//! What the opening handshake settled, for as long as the connection lives.

use std::{fmt, net::SocketAddr};

use fullduplex_proto::DeflateParams;

/// Facts about a connection that do not change.
#[derive(Default)]
pub(crate) struct Info {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) deflate: Option<Box<DeflateParams>>,
    /// The resource, unless it is `/`, and behind it the subprotocol: in one piece of memory, and most often in none.
    texts: Box<str>,
    /// How much of that is the resource.
    resource_len: usize,
}

impl Info {
    pub(crate) fn new(
        peer: Option<SocketAddr>,
        resource: &str,
        subprotocol: Option<&str>,
        deflate: Option<DeflateParams>,
    ) -> Self {
        let resource = if resource == "/" { "" } else { resource };
        Self {
            peer,
            deflate: deflate.map(Box::new),
            texts: [resource, subprotocol.unwrap_or_default()].concat().into(),
            resource_len: resource.len(),
        }
    }

    /// Path and query.
    pub(crate) fn resource(&self) -> &str {
        match self.texts.get(..self.resource_len) {
            None | Some("") => "/",
            Some(resource) => resource,
        }
    }

    /// None is empty.
    pub(crate) fn subprotocol(&self) -> Option<&str> {
        let subprotocol = self.texts.get(self.resource_len..)?;
        (!subprotocol.is_empty()).then_some(subprotocol)
    }

    /// What of the resource may stand in a log. Browsers can set no header, so that tokens come in the query.
    pub(crate) fn path(&self) -> &str {
        self.resource().split('?').next().unwrap_or_default()
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Info")
            .field("peer", &self.peer)
            .field("path", &self.path())
            .field("subprotocol", &self.subprotocol())
            .field("deflate", &self.deflate)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_and_subprotocol_are_what_they_were_also_where_they_take_no_memory() {
        for resource in ["/", "/a", "/?token=1"] {
            for subprotocol in [None, Some("chat")] {
                let info = Info::new(None, resource, subprotocol, None);
                assert_eq!(
                    (info.resource(), info.subprotocol()),
                    (resource, subprotocol)
                );
            }
        }
        assert_eq!(Info::default().resource(), "/");
        assert_eq!(Info::new(None, "/?token=1", None, None).path(), "/");
        assert!(Info::new(None, "/", None, None).texts.is_empty());
    }
}
