//! Guests: users who are known by nothing but a secret that the server made for them.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use ring::{
    error::Unspecified,
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};

/// Nobody guesses 128 bits.
const RANDOM_BYTES: usize = 16;
/// How a secret begins that the server has made.
const MARK: &str = "g.";
/// A secret shorter than this could be guessed, a longer one is of no more use.
const BYTES: std::ops::RangeInclusive<usize> = 16..=128;

/// Makes the secrets of guests, each random and signed, and says which are good: those, and what a client has made for itself that
/// does not look like one.
#[derive(Debug)]
pub(crate) struct Guests {
    key: hmac::Key,
    random: SystemRandom,
}

impl Guests {
    /// With a key out of this secret; without one, with a key that this process draws.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub(crate) fn new(secret: Option<[u8; 32]>) -> Result<Self, Unspecified> {
        let random = SystemRandom::new();
        let key = if let Some(secret) = secret {
            // A key of its own: the secret is used for other things, too.
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            let derived = hmac::sign(&secret, b"guests of fdx");
            hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref())
        } else {
            hmac::Key::generate(hmac::HMAC_SHA256, &random)?
        };
        Ok(Self { key, random })
    }

    /// A new guest's secret.
    ///
    /// # Errors
    ///
    /// The system has no randomness.
    pub(crate) fn issue(&self) -> Result<String, Unspecified> {
        let mut secret = vec![0; RANDOM_BYTES];
        self.random.fill(&mut secret)?;
        let tag = hmac::sign(&self.key, &secret);
        secret.extend_from_slice(tag.as_ref());
        Ok(format!("{MARK}{}", BASE64.encode(secret)))
    }

    /// Whether whoever has this secret is a guest.
    pub(crate) fn accepts(&self, secret: &str) -> bool {
        match secret.strip_prefix(MARK) {
            Some(signed) => self.has_signed(signed),
            None => BYTES.contains(&secret.len()),
        }
    }

    fn has_signed(&self, secret: &str) -> bool {
        let Ok(secret) = BASE64.decode(secret) else {
            return false;
        };
        let signed = secret.split_at_checked(RANDOM_BYTES);
        signed.is_some_and(|(random, tag)| hmac::verify(&self.key, random, tag).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_is_known_again_with_the_same_key_and_nobody_makes_one_up() {
        let guests = Guests::new(Some([7; 32])).unwrap();
        let [ana, bo] = [(); 2].map(|()| guests.issue().unwrap());
        assert_ne!(ana, bo);
        assert!(ana.starts_with("g.") && ana.len() == 66);
        let restarted = Guests::new(Some([7; 32])).unwrap();
        assert!(restarted.accepts(&ana) && restarted.accepts(&bo));
        for other in [Some([8; 32]), None] {
            assert!(!Guests::new(other).unwrap().accepts(&ana));
        }
        let mixed = format!("{}{}", &ana[..32], &bo[32..]);
        for made_up in [
            "g.",
            "g.0123456789abcdef",
            &ana[..65],
            &format!("{ana}A"),
            &mixed,
        ] {
            assert!(!guests.accepts(made_up), "{made_up}");
        }
    }

    #[test]
    fn a_client_may_have_a_secret_of_its_own_if_it_is_long_enough() {
        let guests = Guests::new(None).unwrap();
        let long = "x".repeat(128);
        for good in ["k8JmVQ2sR0u3pXyW", &long] {
            assert!(guests.accepts(good), "{good}");
        }
        for bad in ["", "k8JmVQ2sR0u3pXy", &format!("{long}x")] {
            assert!(!guests.accepts(bad), "{bad}");
        }
    }
}
