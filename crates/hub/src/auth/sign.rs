//! Making tokens.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    error::Unspecified,
    hmac,
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use serde::Serialize;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, pem::PemObject};

use super::{Algorithm, Claims, KeyError, key, token::Header};

/// A key that tokens are signed with, for one algorithm.
#[derive(Debug)]
pub struct SigningKey(Kind);

#[derive(Debug)]
enum Kind {
    Hs256(hmac::Key),
    Rs256(Box<RsaKeyPair>),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl SigningKey {
    /// The key in a file: a private one in PEM (RSA, P-256 or Ed25519), or else a secret for HS256.
    ///
    /// # Errors
    ///
    /// It can't be used.
    pub fn from_file(file: &[u8]) -> Result<Self, KeyError> {
        match key::secret(file) {
            Err(KeyError::NoSecret) => {}
            secret => return secret.map(|key| Self(Kind::Hs256(key))),
        }
        let private = match PrivateKeyDer::from_pem_slice(file) {
            Ok(PrivateKeyDer::Pkcs8(der)) => Self::from_pkcs8(der.secret_pkcs8_der()),
            Ok(PrivateKeyDer::Pkcs1(der)) => RsaKeyPair::from_der(der.secret_pkcs1_der())
                .ok()
                .map(|pair| Self(Kind::Rs256(Box::new(pair)))),
            _ => None,
        };
        private.ok_or(KeyError::NoPrivateKey)
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let p256 = || {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            EcdsaKeyPair::from_pkcs8(algorithm, der, &SystemRandom::new())
        };
        // Some write the public key into it and some don't.
        let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der);
        let kind = RsaKeyPair::from_pkcs8(der)
            .map(|pair| Kind::Rs256(Box::new(pair)))
            .or_else(|_| p256().map(Kind::Es256))
            .or_else(|_| ed25519().map(Kind::EdDsa));
        kind.ok().map(Self)
    }

    /// What it signs with.
    pub const fn algorithm(&self) -> Algorithm {
        match self.0 {
            Kind::Hs256(_) => Algorithm::Hs256,
            Kind::Rs256(_) => Algorithm::Rs256,
            Kind::Es256(_) => Algorithm::Es256,
            Kind::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// A token with these claims, which names its key by `kid` if that is given. None if the system has no randomness.
    pub fn token(&self, claims: &Claims, kid: Option<&str>) -> Option<String> {
        let header = encode(&Header::new(self.algorithm(), kid))?;
        let signed = header + "." + &encode(claims)?;
        let signature = self.sign(signed.as_bytes()).ok()?;
        Some(signed + "." + &BASE64.encode(signature))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        Ok(match &self.0 {
            Kind::Hs256(key) => hmac::sign(key, message).as_ref().to_vec(),
            Kind::Rs256(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                signature
            }
            Kind::Es256(pair) => pair.sign(&random, message)?.as_ref().to_vec(),
            Kind::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

fn encode(part: &impl Serialize) -> Option<String> {
    serde_json::to_vec(part)
        .ok()
        .map(|json| BASE64.encode(json))
}
