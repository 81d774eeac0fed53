//! Public keys as JSON (RFC 7517, 7518 §6, 8037).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::Deserialize;

use super::key::{Key, KeyError, KeySet};

/// The most keys of a set: an issuer has one or two for each algorithm, and a few more while it changes them.
pub(super) const MAX_KEYS: usize = 100;

#[derive(Deserialize)]
struct Set {
    keys: Vec<Jwk>,
}

/// A key, as far as it matters here. Secret ones have no place in such a set and are of no use.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<Box<str>>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// Reads a set.
pub(super) fn read(json: &[u8]) -> Result<KeySet, KeyError> {
    let set: Set = serde_json::from_slice(json).map_err(|_| KeyError::NoPublicKey)?;
    if set.keys.len() > MAX_KEYS {
        return Err(KeyError::TooManyKeys);
    }
    let keys = set.keys.into_iter();
    let usable: Vec<_> = keys
        .filter_map(|jwk| Some((jwk.key()?, jwk)))
        .map(|(key, jwk)| (jwk.kid, key))
        .collect();
    if usable.is_empty() {
        return Err(KeyError::EmptySet);
    }
    Ok(KeySet(usable))
}

impl Jwk {
    fn key(&self) -> Option<Key> {
        if self
            .purpose
            .as_deref()
            .is_some_and(|purpose| purpose != "sig")
        {
            return None;
        }
        let key = match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => Key::rsa(&bytes(self.n.as_deref())?, &bytes(self.e.as_deref())?),
            ("EC", Some("P-256")) => {
                let point = [
                    &[4],
                    &*bytes(self.x.as_deref())?,
                    &*bytes(self.y.as_deref())?,
                ]
                .concat();
                Key::p256(&point)
            }
            ("OKP", Some("Ed25519")) => Key::ed25519(&bytes(self.x.as_deref())?),
            _ => return None,
        };
        let key = key.ok()?;
        let alg = self.alg.as_deref();
        alg.is_none_or(|alg| alg == key.algorithm().name())
            .then_some(key)
    }
}

fn bytes(text: Option<&str>) -> Option<Vec<u8>> {
    BASE64.decode(text?).ok()
}
