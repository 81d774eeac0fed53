//! The keys that tokens are checked with.

use std::{fmt, str::FromStr};

use ring::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
        UnparsedPublicKey,
    },
};
use tokio_rustls::rustls::pki_types::{SubjectPublicKeyInfoDer, alg_id, pem::PemObject};

use super::{Refusal, jwk};

/// The shortest secret, in bytes: shorter than the hash it can be guessed sooner than that (RFC 7518 §3.2).
pub(super) const MIN_SECRET_BYTES: usize = 32;
/// The shortest and the longest modulus of RSA that is taken, in bytes: 2,048 to 8,192 bits.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

/// How a token is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC with SHA-256: who can check it can make it.
    Hs256,
    /// RSA (PKCS #1 v1.5) with SHA-256.
    Rs256,
    /// ECDSA over P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// As a token names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

impl FromStr for Algorithm {
    type Err = Refusal;

    fn from_str(name: &str) -> Result<Self, Refusal> {
        [Self::Hs256, Self::Rs256, Self::Es256, Self::EdDsa]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or(Refusal::Algorithm)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a key can't be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The secret is guessed too easily.
    #[error("a secret has at least {MIN_SECRET_BYTES} bytes; make one with: openssl rand -hex 32")]
    ShortSecret,
    /// What should be secret is a key in PEM or a set of keys, perhaps ones that everybody knows.
    #[error("this is a key in PEM or a JWK Set, not a secret for HS256")]
    NoSecret,
    /// There is no public key in PEM, nor a JWK Set.
    #[error("neither a public key in PEM (BEGIN PUBLIC KEY) nor a JWK Set")]
    NoPublicKey,
    /// There is no private key in PEM.
    #[error(
        "no usable private key in PEM; PKCS #8 is: openssl pkcs8 -topk8 -nocrypt -in OLD -out NEW"
    )]
    NoPrivateKey,
    /// A kind of key that is not supported.
    #[error("the key is none of RSA (2,048 to 8,192 bits), P-256 and Ed25519")]
    Unsupported,
    /// The set has no key that tokens could be checked with.
    #[error("no key of the set is for RS256, ES256 or EdDSA")]
    EmptySet,
    /// The system has no randomness to make a key from.
    #[error("this system has no randomness")]
    NoRandomness,
    /// The set has too many keys.
    #[error("the set has more than {} keys", jwk::MAX_KEYS)]
    TooManyKeys,
}

/// The key of HS256 that a file holds: all of it but a line end.
pub(super) fn secret(file: &[u8]) -> Result<hmac::Key, KeyError> {
    // Nor a set of public keys, which everybody has.
    let text = file.trim_ascii_start();
    if text.starts_with(b"-----BEGIN") || text.starts_with(b"{") {
        return Err(KeyError::NoSecret);
    }
    let secret = without_line_end(file);
    if secret.len() < MIN_SECRET_BYTES {
        return Err(KeyError::ShortSecret);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

/// A key for one algorithm, and for no other.
#[derive(Debug, Clone)]
pub(super) enum Key {
    Hs256(hmac::Key),
    Rs256 {
        n: Box<[u8]>,
        e: Box<[u8]>,
    },
    /// The point, uncompressed.
    Es256(Box<[u8]>),
    EdDsa(Box<[u8]>),
}

impl Key {
    pub(super) fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        let [n, e] = [n, e].map(without_leading_zeros);
        if !RSA_BYTES.contains(&n.len()) || e.is_empty() {
            return Err(KeyError::Unsupported);
        }
        Ok(Self::Rs256 {
            n: n.into(),
            e: e.into(),
        })
    }

    pub(super) fn p256(point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != 65 || point[0] != 4 {
            return Err(KeyError::Unsupported);
        }
        Ok(Self::Es256(point.into()))
    }

    pub(super) fn ed25519(point: &[u8]) -> Result<Self, KeyError> {
        if point.len() != 32 {
            return Err(KeyError::Unsupported);
        }
        Ok(Self::EdDsa(point.into()))
    }

    /// The key of a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
    fn public(der: &[u8]) -> Option<Result<Self, KeyError>> {
        let (info, []) = read(der, SEQUENCE)? else {
            return None;
        };
        let (algorithm, rest) = read(info, SEQUENCE)?;
        let ([0, key @ ..], []) = read(rest, BIT_STRING)? else {
            return None;
        };
        Some(if algorithm == &*alg_id::RSA_ENCRYPTION {
            let (numbers, []) = read(key, SEQUENCE)? else {
                return None;
            };
            let (n, rest) = read(numbers, INTEGER)?;
            let (e, []) = read(rest, INTEGER)? else {
                return None;
            };
            Self::rsa(n, e)
        } else if algorithm == &*alg_id::ECDSA_P256 {
            Self::p256(key)
        } else if algorithm == &*alg_id::ED25519 {
            Self::ed25519(key)
        } else {
            Err(KeyError::Unsupported)
        })
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        match self {
            Self::Hs256(_) => Algorithm::Hs256,
            Self::Rs256 { .. } => Algorithm::Rs256,
            Self::Es256(_) => Algorithm::Es256,
            Self::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Whether this key has signed it.
    pub(super) fn has_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Hs256(key) => hmac::verify(key, message, signature),
            Self::Rs256 { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            Self::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::EdDsa(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature)
            }
        }
        .is_ok()
    }
}

/// Keys, each perhaps with an id.
#[derive(Debug, Clone, Default)]
pub struct KeySet(pub(super) Vec<(Option<Box<str>>, Key)>);

impl KeySet {
    /// The one key of HS256: the bytes of a file, without a line end behind them.
    ///
    /// # Errors
    ///
    /// It is too short, or something else.
    pub fn from_secret(file: &[u8]) -> Result<Self, KeyError> {
        Ok(Self(vec![(None, Key::Hs256(secret(file)?))]))
    }

    /// Public keys: one in PEM, or a JWK Set (RFC 7517), of whose keys those that are of no use here are left out.
    ///
    /// # Errors
    ///
    /// There is none that can be used.
    pub fn from_public(file: &[u8]) -> Result<Self, KeyError> {
        if file.trim_ascii_start().starts_with(b"{") {
            return jwk::read(file);
        }
        let info =
            SubjectPublicKeyInfoDer::from_pem_slice(file).map_err(|_| KeyError::NoPublicKey)?;
        let key = Key::public(&info).ok_or(KeyError::NoPublicKey)??;
        Ok(Self(vec![(None, key)]))
    }

    /// The key that a token was signed with: the one that it names, or else the only one of its algorithm (if it names
    /// another, the only one without a name).
    pub(super) fn find(&self, algorithm: Algorithm, kid: Option<&str>) -> Result<&Key, Refusal> {
        let fitting = || {
            self.0
                .iter()
                .filter(|(_, key)| key.algorithm() == algorithm)
        };
        if kid.is_some()
            && let Some((_, key)) = fitting().find(|(name, _)| name.as_deref() == kid)
        {
            return Ok(key);
        }
        let mut others = fitting().filter(|(name, _)| kid.is_none() || name.is_none());
        match (others.next(), others.next()) {
            (Some((_, key)), None) => Ok(key),
            (Some(_), Some(_)) => Err(Refusal::WhichKey),
            (None, _) => Err(Refusal::UnknownKey),
        }
    }
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;

/// The value of the first element of DER, which has this tag, and what follows it.
fn read(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81 | 0x82 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let len = len
                .iter()
                .fold(0, |len, byte| len << 8 | usize::from(*byte));
            (len, rest)
        }
        _ => return None,
    };
    rest.split_at_checked(len).filter(|_| *found == tag)
}

fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}

/// What editors and shells put behind a secret is no part of it.
pub(super) fn without_line_end(file: &[u8]) -> &[u8] {
    let file = file.strip_suffix(b"\n").unwrap_or(file);
    file.strip_suffix(b"\r").unwrap_or(file)
}
