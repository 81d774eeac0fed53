//! Tokens of our own, of the standards, and broken ones.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_767_225_600;
const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

const RSA: &[u8] = include_bytes!("../../tests/keys/rsa.pem");
const P256: &[u8] = include_bytes!("../../tests/keys/p256.pem");
const ED25519: &[u8] = include_bytes!("../../tests/keys/ed25519.pem");
const PUBLIC_RSA: &[u8] = include_bytes!("../../tests/keys/rsa.pub.pem");
const PUBLIC_P256: &[u8] = include_bytes!("../../tests/keys/p256.pub.pem");
const PUBLIC_ED25519: &[u8] = include_bytes!("../../tests/keys/ed25519.pub.pem");

fn claims() -> Claims {
    Claims {
        sub: "ana".into(),
        exp: Some(NOW + 60),
        ..Claims::default()
    }
}

fn signed(key: &[u8], claims: &Claims) -> String {
    let key = SigningKey::from_file(key).unwrap();
    key.token(claims, None).unwrap()
}

fn secret() -> KeySet {
    KeySet::from_secret(SECRET).unwrap()
}

fn judge(token: &str, keys: &KeySet) -> Result<Grant, Refusal> {
    verify(token, keys, &Rules::default(), NOW)
}

fn parts(header: &str, claims: &str, signature: &[u8]) -> String {
    [header.as_bytes(), claims.as_bytes(), signature]
        .map(|part| BASE64.encode(part))
        .join(".")
}

/// A token with this header, signed by HS256 all the same.
fn with_header(header: &str) -> String {
    let claims = serde_json::to_string(&claims()).unwrap();
    let unsigned = parts(header, &claims, b"");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
    let signature = ring::hmac::sign(&key, unsigned.trim_end_matches('.').as_bytes());
    unsigned + &BASE64.encode(signature)
}

#[test]
fn what_a_key_signs_its_public_half_accepts_and_no_other_does() {
    let public = [PUBLIC_RSA, PUBLIC_P256, PUBLIC_ED25519];
    let mut sets: Vec<_> = public.map(|key| KeySet::from_public(key).unwrap()).into();
    sets.push(secret());
    let algorithms = [
        Algorithm::Rs256,
        Algorithm::Es256,
        Algorithm::EdDsa,
        Algorithm::Hs256,
    ];
    for (at, key) in [RSA, P256, ED25519, SECRET].into_iter().enumerate() {
        let token = signed(key, &claims());
        assert_eq!(
            Unchecked::parse(&token).unwrap().algorithm(),
            algorithms[at].name()
        );
        for (other, set) in sets.iter().enumerate() {
            let grant = judge(&token, set);
            if at == other {
                assert_eq!(grant.unwrap().user_id().map(|id| &**id), Some("ana"));
            } else {
                assert_eq!(grant, Err(Refusal::UnknownKey));
            }
        }
    }
    let [mine, other] = [SECRET, b"another secret of thirty-two bytes"];
    assert_eq!(
        judge(&signed(other, &claims()), &secret()),
        Err(Refusal::Signature)
    );
    assert!(judge(&signed(&[mine, b"\r\n"].concat(), &claims()), &secret()).is_ok());
}

#[test]
fn the_examples_of_the_standards_are_as_they_say() {
    // RFC 7515, A.2 and A.3; the claims of both.
    let claims = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let rs256 = [
        "eyJhbGciOiJSUzI1NiJ9",
        claims,
        "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4\
         BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv\
         hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ]
    .join(".");
    let es256 = [
        "eyJhbGciOiJFUzI1NiJ9",
        claims,
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ]
    .join(".");
    // RFC 8037, A.4: what is signed is a sentence.
    let eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
        hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let keys = KeySet::from_public(
        br#"{"keys":[
        {"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"},
        {"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"},
        {"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#,
    )
    .unwrap();
    let verified = |token: &str| {
        Unchecked::parse(token)
            .unwrap()
            .verify(&keys, &Rules::default(), 1_300_819_000)
    };
    for token in [rs256, es256] {
        let claims = verified(&token).unwrap();
        assert_eq!(
            (claims.iss.as_deref(), claims.exp),
            (Some("joe"), Some(1_300_819_380))
        );
    }
    let no_claims = verified(eddsa).unwrap_err();
    assert!(matches!(no_claims, Refusal::Malformed(why) if why.contains("claims")));
}

#[test]
fn a_token_signed_by_nobody_or_by_a_public_key_taken_for_a_secret_is_refused() {
    let claims = serde_json::to_string(&claims()).unwrap();
    for alg in [
        "none", "None", "NONE", "nOnE", "", "HS384", "hs256", "RS512", "PS256",
    ] {
        let token = parts(&format!(r#"{{"alg":"{alg}"}}"#), &claims, b"");
        assert_eq!(judge(&token, &secret()), Err(Refusal::Algorithm), "{alg}");
    }
    let set = br#" {"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    assert_eq!(KeySet::from_secret(set).unwrap_err(), KeyError::NoSecret);
    for public in [PUBLIC_RSA, PUBLIC_P256, PUBLIC_ED25519] {
        assert_eq!(KeySet::from_secret(public).unwrap_err(), KeyError::NoSecret);
        // The classic: everybody knows that key, and may use it as a secret.
        let unsigned = parts(r#"{"alg":"HS256"}"#, &claims, b"");
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, public);
        let signature = ring::hmac::sign(&key, unsigned.trim_end_matches('.').as_bytes());
        let token = unsigned + &BASE64.encode(signature);
        let keys = KeySet::from_public(public).unwrap();
        assert_eq!(judge(&token, &keys), Err(Refusal::UnknownKey));
    }
    let empty = parts(r#"{"alg":"HS256"}"#, &claims, b"");
    assert_eq!(judge(&empty, &secret()), Err(Refusal::Signature));
}

#[test]
fn a_header_must_be_understood_in_full() {
    assert!(
        judge(
            &with_header(r#"{"alg":"HS256","typ":"at+JWT","x":1}"#),
            &secret()
        )
        .is_ok()
    );
    for bad in [
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","typ":"logout+jwt"}"#,
        r#"{"alg":"HS256","alg":"none"}"#,
        r#"{"alg":7}"#,
        r#"{"typ":"JWT"}"#,
        "HS256",
    ] {
        let refused = judge(&with_header(bad), &secret());
        assert!(
            matches!(refused, Err(Refusal::Malformed(_))),
            "{bad} {refused:?}"
        );
    }
}

#[test]
fn what_is_no_token_is_refused_and_what_is_too_long_is_not_looked_at() {
    for bad in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c.d",
        "é.é.é",
        "e30.e30.",
        "e30=.e30.e30",
    ] {
        assert!(
            matches!(judge(bad, &secret()), Err(Refusal::Malformed(_))),
            "{bad}"
        );
    }
    let mut long = claims();
    long.name = Some("x".repeat(8 << 10));
    assert_eq!(
        judge(&signed(SECRET, &long), &secret()),
        Err(Refusal::TooLong)
    );
}

#[test]
fn times_issuer_and_audience_are_judged() {
    let with = |change: &dyn Fn(&mut Claims), rules: &Rules| {
        let mut claims = claims();
        change(&mut claims);
        verify(&signed(SECRET, &claims), &secret(), rules, NOW)
    };
    let rules = Rules::default();
    assert_eq!(
        with(&|c| c.exp = Some(NOW - 30), &rules),
        Err(Refusal::Expired)
    );
    assert_eq!(with(&|c| c.exp = Some(0), &rules), Err(Refusal::Expired));
    let late = with(&|c| c.exp = Some(NOW - 29), &rules).unwrap();
    assert_eq!(
        late.expires(),
        Some(NOW + 1),
        "as late as clocks may differ"
    );
    assert_eq!(with(&|c| c.exp = None, &rules), Err(Refusal::Endless));
    let endless = Rules {
        endless: true,
        ..Rules::default()
    };
    assert_eq!(with(&|c| c.exp = None, &endless).unwrap().expires(), None);
    assert_eq!(
        with(&|c| c.exp = Some(NOW - 30), &endless),
        Err(Refusal::Expired)
    );
    assert!(with(&|c| c.exp = Some(u64::MAX), &rules).is_ok());
    assert!(with(&|c| c.nbf = Some(NOW + 30), &rules).is_ok());
    assert_eq!(
        with(&|c| c.nbf = Some(NOW + 31), &rules),
        Err(Refusal::TooEarly)
    );

    let ours = Rules {
        issuer: Some("https://id.example".into()),
        audience: Some("chat".into()),
        ..Rules::default()
    };
    let as_ours = |c: &mut Claims| {
        c.iss = Some("https://id.example".into());
        c.aud = vec!["mail".into(), "chat".into()];
    };
    assert!(with(&as_ours, &ours).is_ok());
    assert_eq!(with(&|_| (), &ours), Err(Refusal::Issuer));
    let of_other = |c: &mut Claims| (as_ours(c), c.iss = Some("https://id.example/".into())).1;
    assert_eq!(with(&of_other, &ours), Err(Refusal::Issuer));
    let for_other = |c: &mut Claims| (as_ours(c), c.aud.truncate(1)).1;
    assert_eq!(with(&for_other, &ours), Err(Refusal::Audience));
    assert_eq!(
        with(&|c| c.sub.clear(), &rules),
        Err(Refusal::Claims(BadClaims::User))
    );
}

/// The public test keys as a JWK Set, each under a name.
fn set(names: [&str; 3]) -> KeySet {
    let keys =
        [PUBLIC_RSA, PUBLIC_P256, PUBLIC_ED25519].map(|key| KeySet::from_public(key).unwrap());
    let jwks = keys.iter().zip(names).map(|(set, kid)| match &set.0[0].1 {
        key::Key::Rs256 { n, e } => {
            format!(
                r#"{{"kid":"{kid}","kty":"RSA","use":"sig","n":"{}","e":"{}"}}"#,
                BASE64.encode(n),
                BASE64.encode(e)
            )
        }
        key::Key::Es256(point) => {
            let [x, y] = [&point[1..33], &point[33..]].map(|half| BASE64.encode(half));
            format!(
                r#"{{"kid":"{kid}","kty":"EC","crv":"P-256","alg":"ES256","x":"{x}","y":"{y}"}}"#
            )
        }
        key::Key::EdDsa(point) => {
            format!(
                r#"{{"kid":"{kid}","kty":"OKP","crv":"Ed25519","x":"{}"}}"#,
                BASE64.encode(point)
            )
        }
        key::Key::Hs256(_) => unreachable!(),
    });
    let json = format!(r#"{{"keys":[{}]}}"#, jwks.collect::<Vec<_>>().join(","));
    KeySet::from_public(json.as_bytes()).unwrap()
}

#[test]
fn of_a_set_the_key_is_taken_that_a_token_names_or_the_only_one_that_fits() {
    let with_kid = |key: &[u8], kid: Option<&str>| {
        SigningKey::from_file(key)
            .unwrap()
            .token(&claims(), kid)
            .unwrap()
    };
    let named = set(["a", "b", "c"]);
    for (key, kid) in [(RSA, "a"), (P256, "b"), (ED25519, "c")] {
        assert!(judge(&with_kid(key, Some(kid)), &named).is_ok(), "{kid}");
        assert!(judge(&with_kid(key, None), &named).is_ok(), "{kid}");
        let unknown = judge(&with_kid(key, Some("d")), &named);
        assert_eq!(unknown, Err(Refusal::UnknownKey));
    }
    // The name of another kind's key is none of this kind.
    assert_eq!(
        judge(&with_kid(RSA, Some("b")), &named),
        Err(Refusal::UnknownKey)
    );
    let mut twice = named;
    twice.0.extend(set(["x", "y", "z"]).0);
    assert_eq!(judge(&with_kid(RSA, None), &twice), Err(Refusal::WhichKey));
    assert!(judge(&with_kid(RSA, Some("x")), &twice).is_ok());
}

#[test]
fn of_a_set_those_keys_are_left_out_that_are_of_no_use() {
    let read = |keys: &str| KeySet::from_public(format!(r#"{{"keys":[{keys}]}}"#).as_bytes());
    let point = BASE64.encode([7; 32]);
    let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{point}"}}"#);
    for useless in [
        format!(r#"{{"kty":"oct","k":"{point}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"Ed25519","use":"enc","x":"{point}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"Ed25519","alg":"RS256","x":"{point}"}}"#),
        format!(r#"{{"kty":"OKP","crv":"X25519","x":"{point}"}}"#),
        r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.to_owned(),
        r#"{"kty":"EC","crv":"P-256","x":"AAAA","y":"AAAA"}"#.to_owned(),
        format!(r#"{{"kty":"RSA","n":"{point}","e":"AQAB"}}"#),
        r#"{"kty":"new"}"#.to_owned(),
    ] {
        assert_eq!(read(&useless).unwrap_err(), KeyError::EmptySet, "{useless}");
        assert_eq!(read(&format!("{useless},{good}")).unwrap().0.len(), 1);
    }
    assert_eq!(read("").unwrap_err(), KeyError::EmptySet);
    assert!(read(&vec![good.as_str(); 100].join(",")).is_ok());
    assert_eq!(
        read(&vec![good; 101].join(",")).unwrap_err(),
        KeyError::TooManyKeys
    );
    assert_eq!(
        KeySet::from_public(b"{}").unwrap_err(),
        KeyError::NoPublicKey
    );
}

#[test]
fn files_that_hold_something_else_are_told_apart() {
    let short = KeySet::from_secret(b"0123456789abcdef0123456789abcde\n");
    assert_eq!(short.unwrap_err(), KeyError::ShortSecret);
    assert_eq!(KeySet::from_public(RSA).unwrap_err(), KeyError::NoPublicKey);
    assert_eq!(
        KeySet::from_public(SECRET).unwrap_err(),
        KeyError::NoPublicKey
    );
    assert_eq!(
        SigningKey::from_file(PUBLIC_RSA).unwrap_err(),
        KeyError::NoPrivateKey
    );
    let p384 = b"-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE1/OwUwD9pOBpZnA2/CjzXPBLUHZRnZsM\n\
        nYqpDSWbTN1AZqJdtVQkKyYbMz5nFHo4wGPoQ6n6kmY5cVKjmkRiyHWaTCNhfDZX\n\
        g4sMzJ4RG1Wl8GHvGFkA7tlkJ3yXzVH7\n-----END PUBLIC KEY-----\n";
    assert_eq!(
        KeySet::from_public(p384).unwrap_err(),
        KeyError::Unsupported
    );
}

proptest! {
    /// Whatever is changed about a token, it is not accepted any more.
    #[test]
    fn nothing_but_what_was_signed_is_accepted(at in any::<prop::sample::Index>(), to in any::<u8>(), key in 0_usize..2) {
        let (private, keys) = if key == 0 {
            (SECRET, secret())
        } else {
            (ED25519, KeySet::from_public(PUBLIC_ED25519).unwrap())
        };
        let token = signed(private, &claims());
        let mut changed = token.clone().into_bytes();
        let at = at.index(changed.len());
        changed[at] = to;
        if let Ok(changed) = String::from_utf8(changed) {
            prop_assert_eq!(judge(&changed, &keys).is_ok(), changed == token);
        }
    }

    /// Nor is anything that nobody signed.
    #[test]
    fn nothing_that_nobody_signed_is_accepted(
        alg in prop_oneof!["HS256", "RS256", "ES256", "EdDSA", "none", ".*"],
        kid in prop::option::of("[a-c]"),
        signature in prop::collection::vec(any::<u8>(), 0..512),
        text in ".*",
    ) {
        let header = serde_json::json!({"alg": alg, "kid": kid}).to_string();
        let claims = serde_json::to_string(&claims()).unwrap();
        let token = parts(&header, &claims, &signature);
        for keys in [secret(), set(["a", "b", "c"])] {
            prop_assert!(judge(&token, &keys).is_err());
            prop_assert!(judge(&text, &keys).is_err());
        }
    }
}
