//! Who may do what: tokens, the rights they give, and the keys they are checked with.
//!
//! A token is a signed set of [`Claims`] (JWT, RFC 7519); `docs/auth.md` says what may be in it. [`verify`] takes nothing on trust
//! but a signature by one of a [`KeySet`], and each key knows the one algorithm it is for.
//!
//! The signatures are made and checked by `ring`, which TLS uses as well.

mod bans;
mod claims;
mod fetch;
mod files;
mod gate;
mod grant;
mod guest;
mod jwk;
mod key;
mod keyring;
mod settings;
mod sign;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use self::{
    bans::{Ban, BanError, BanForm, Bans, Subject, Who},
    gate::{Denied, Gate, end_of},
    grant::{Names, is_admin_id, is_user_id},
    guest::Guests,
};
pub use self::{
    claims::Claims,
    files::{read_public, read_secret},
    grant::{BadClaims, Grant, Right},
    key::{Algorithm, KeyError, KeySet},
    settings::{Access, AdminToken, KeySource, Tokens},
    sign::SigningKey,
    token::{Refusal, Rules, Unchecked, verify},
};
