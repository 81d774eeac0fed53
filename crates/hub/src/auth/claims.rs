//! What a token says.

use std::{collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, Visitor},
};

/// The claims that the hub reads, as they stand in a token. Others are passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Claims {
    /// Whom it is about: the user's id.
    pub sub: String,
    /// The name others see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What the avatar is made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// For names of rooms, or beginnings of names with a `*` behind, what may be done in them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rooms: BTreeMap<String, Vec<String>>,
    /// What may be done besides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rights: Vec<String>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// For whom it was made.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "one_or_many"
    )]
    pub aud: Vec<String>,
    /// When it was made, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub iat: Option<u64>,
    /// From when on it counts.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub nbf: Option<u64>,
    /// Until when it counts.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "seconds")]
    pub exp: Option<u64>,
}

/// A text, or a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Audience {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Audience::deserialize(deserializer)? {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    })
}

/// A time in seconds, perhaps with decimals. What is no number is an error, and not a time that is missing.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    struct Seconds;

    impl Visitor<'_> for Seconds {
        type Value = u64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("seconds since 1970")
        }

        fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<u64, E> {
            Ok(seconds)
        }

        fn visit_i64<E: de::Error>(self, _before_1970: i64) -> Result<u64, E> {
            Ok(0)
        }

        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast stops at both ends"
        )]
        fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<u64, E> {
            Ok(seconds as u64)
        }
    }
    deserializer.deserialize_any(Seconds).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Claims, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn times_are_numbers_and_nothing_else() {
        let exp = |value: &str| parse(&format!(r#"{{"sub":"a","exp":{value}}}"#)).map(|c| c.exp);
        assert_eq!(exp("17").unwrap(), Some(17));
        assert_eq!(exp("17.9").unwrap(), Some(17));
        assert_eq!(exp("-17").unwrap(), Some(0));
        assert_eq!(exp("-1.5").unwrap(), Some(0));
        assert_eq!(exp("1e300").unwrap(), Some(u64::MAX));
        for bad in [r#""17""#, "null", "[17]", "{}", "true"] {
            assert!(exp(bad).is_err(), "{bad}");
        }
        assert_eq!(parse(r#"{"sub":"a"}"#).unwrap().exp, None);
    }

    #[test]
    fn an_audience_may_be_one_or_many_and_other_claims_are_passed_over() {
        let one = parse(r#"{"aud":"x","scope":{"a":[1]}}"#).unwrap();
        let many = parse(r#"{"aud":["x","y"]}"#).unwrap();
        assert_eq!((one.aud.len(), many.aud.len()), (1, 2));
        assert!(parse(r#"{"aud":7}"#).is_err());
        assert!(parse(r#"{"exp":1,"exp":99999999999}"#).is_err(), "twice");
    }
}
