//! Tokens: a header, claims and a signature, each in Base64, with dots between (RFC 7515 §7.1).

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Deserializer, Serialize, de::IgnoredAny};

use super::{Algorithm, BadClaims, Claims, Grant, KeySet};

/// The longest token, in bytes: it also has to fit into a header, of which there are 16 KiB.
pub(super) const MAX_BYTES: usize = 8 << 10;

/// What claims have to say, besides who the user is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Who must have made the token.
    pub issuer: Option<String>,
    /// For whom it must have been made.
    pub audience: Option<String>,
    /// By how much clocks may differ.
    pub leeway: Duration,
    /// Whether a token may be for ever.
    pub endless: bool,
}

impl Default for Rules {
    /// Any issuer, any audience, 30 s, an end.
    fn default() -> Self {
        Self {
            issuer: None,
            audience: None,
            leeway: Duration::from_secs(30),
            endless: false,
        }
    }
}

/// Why a token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is longer than any.
    #[error("the token is longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It is no token.
    #[error("this is no token: {0}")]
    Malformed(&'static str),
    /// It is signed in a way that none of the keys is for.
    #[error("the token is signed with an algorithm that is not accepted here")]
    Algorithm,
    /// None of the keys has the id that it names.
    #[error("the token is signed with an unknown key")]
    UnknownKey,
    /// Several keys could be the one.
    #[error("the token does not say with which of several keys it is signed")]
    WhichKey,
    /// The signature is not the key's.
    #[error("the token's signature is wrong")]
    Signature,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    TooEarly,
    /// It has no end.
    #[error("the token does not say when it expires")]
    Endless,
    /// Somebody else made it.
    #[error("the token is from another issuer")]
    Issuer,
    /// It was made for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// It does not say properly who the user is.
    #[error("the token's {0}")]
    Claims(#[from] BadClaims),
}

/// The header of a token.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) typ: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kid: Option<String>,
    /// Whether it lists what has to be understood, which is not, even if it lists nothing (RFC 7515 §4.1.11).
    #[serde(skip_serializing, default, deserialize_with = "is_there")]
    crit: bool,
}

/// Whatever there is.
fn is_there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl Header {
    pub(super) fn new(algorithm: Algorithm, kid: Option<&str>) -> Self {
        Self {
            alg: algorithm.name().to_owned(),
            typ: Some("JWT".to_owned()),
            kid: kid.map(str::to_owned),
            crit: false,
        }
    }

    /// Whether it is of a kind that gives access (RFC 8725 §3.11): issuers sign other things with the same keys.
    fn gives_access(&self) -> bool {
        let Some(typ) = &self.typ else { return true };
        let typ = typ.to_ascii_lowercase();
        let typ = typ.strip_prefix("application/").unwrap_or(&typ);
        matches!(typ, "jwt" | "at+jwt")
    }
}

/// A token taken apart, of which nothing is known to be true.
#[derive(Debug)]
pub struct Unchecked<'a> {
    header: Header,
    claims: Vec<u8>,
    signed: &'a str,
    signature: Vec<u8>,
}

impl<'a> Unchecked<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn parse(token: &'a str) -> Result<Self, Refusal> {
        if token.len() > MAX_BYTES {
            return Err(Refusal::TooLong);
        }
        let malformed = Refusal::Malformed("it has three parts with dots between");
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed)?;
        let (header, claims) = signed.split_once('.').ok_or(malformed)?;
        let decode = |part: &str| {
            BASE64
                .decode(part)
                .map_err(|_| Refusal::Malformed("a part is not in Base64 for URLs"))
        };
        Ok(Self {
            header: serde_json::from_slice(&decode(header)?)
                .map_err(|_| Refusal::Malformed("its header is no JSON object with alg"))?,
            claims: decode(claims)?,
            signed,
            signature: decode(signature)?,
        })
    }

    /// The algorithm that it claims to be signed with.
    pub fn algorithm(&self) -> &str {
        &self.header.alg
    }

    /// The key that it claims to be signed with.
    pub fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// What it claims.
    ///
    /// # Errors
    ///
    /// That can't be read.
    pub fn claims(&self) -> Result<Claims, Refusal> {
        serde_json::from_slice(&self.claims).map_err(|_| {
            Refusal::Malformed("its claims are no JSON object, or are of the wrong types")
        })
    }

    /// What it claims, if one of the keys has signed it and `rules` find nothing wrong with it `now`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Why it is not accepted.
    pub fn verify(&self, keys: &KeySet, rules: &Rules, now: u64) -> Result<Claims, Refusal> {
        if self.header.crit {
            return Err(Refusal::Malformed("it has extensions (crit)"));
        }
        if !self.header.gives_access() {
            return Err(Refusal::Malformed("it is of another type (typ)"));
        }
        let key = keys.find(self.header.alg.parse()?, self.kid())?;
        if !key.has_signed(self.signed.as_bytes(), &self.signature) {
            return Err(Refusal::Signature);
        }
        let claims = self.claims()?;
        rules.judge(&claims, now)?;
        Ok(claims)
    }
}

impl Rules {
    /// Whether claims are as they have to be, `now` in seconds since 1970.
    ///
    /// # Errors
    ///
    /// Why they are not.
    pub fn judge(&self, claims: &Claims, now: u64) -> Result<(), Refusal> {
        let leeway = self.leeway.as_secs();
        match claims.exp {
            None if !self.endless => return Err(Refusal::Endless),
            Some(exp) if exp.saturating_add(leeway) <= now => return Err(Refusal::Expired),
            _ => {}
        }
        if claims
            .nbf
            .is_some_and(|nbf| nbf > now.saturating_add(leeway))
        {
            return Err(Refusal::TooEarly);
        }
        if self.issuer.is_some() && self.issuer != claims.iss {
            return Err(Refusal::Issuer);
        }
        if let Some(audience) = &self.audience
            && !claims.aud.contains(audience)
        {
            return Err(Refusal::Audience);
        }
        Ok(())
    }
}

/// What a token gives, if it is accepted `now`, in seconds since 1970. The grant ends as late as clocks may differ.
///
/// # Errors
///
/// Why it is not.
pub fn verify(token: &str, keys: &KeySet, rules: &Rules, now: u64) -> Result<Grant, Refusal> {
    let mut claims = Unchecked::parse(token)?.verify(keys, rules, now)?;
    claims.exp = claims
        .exp
        .map(|exp| exp.saturating_add(rules.leeway.as_secs()));
    Ok(Grant::from_claims(&claims)?)
}
