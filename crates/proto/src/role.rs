//! Which end of the connection this is.

/// The two endpoints, which differ in masking (RFC 6455 §5.1) and in who ends TCP (RFC 6455 §7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Opened the connection; masks what it sends.
    Client,
    /// Accepted it; ends TCP first.
    Server,
}
