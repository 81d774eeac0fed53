//! Tokens, comma lists and extension offers.
//!
//! Everything runs over its input once. Lists are joined over the lines of a header in order, as RFC 9110 §5.3
//! says.

use std::fmt;

use super::headers::{Headers, is_same};

/// How many subprotocols, extensions, or parameters of one extension a list may hold; longer ones are malformed.
///
/// Browsers and libraries send a handful. The bound keeps the check for duplicates cheap and what is built from a
/// list within a small multiple of its text.
pub const MAX_LIST_ELEMENTS: usize = 64;

/// One extension as offered by a client or accepted by a server (RFC 6455 §9.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The registered name, such as `permessage-deflate`.
    pub name: String,
    /// The parameters in order. Names may repeat: what that means is for the extension to say.
    pub params: Vec<Param>,
}

/// One parameter of an [`Offer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    /// The parameter's name.
    pub name: String,
    /// The value without quotes, which is a token; `None` where the name stands alone.
    pub value: Option<String>,
}

/// Writes the offer as in the header.
impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for param in &self.params {
            write!(f, "; {}", param.name)?;
            if let Some(value) = &param.value {
                write!(f, "={value}")?;
            }
        }
        Ok(())
    }
}

/// A header value that does not follow its grammar.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// Tells whether the text is a token: one or more of the characters of RFC 9110 §5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Drops the spaces and tabs around a value, and nothing else that Rust would call white.
pub(super) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// Returns the elements of a comma list over all its lines, trimmed, empty ones included.
///
/// No header read with this has elements that may hold a comma, not even in quotes.
pub(super) fn elements<'h>(headers: &'h Headers, name: &str) -> impl Iterator<Item = &'h [u8]> {
    headers
        .get_all(name)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(trim)
}

/// Tells whether a comma list holds a word, in any case.
pub(super) fn has_element(headers: &Headers, name: &str, word: &str) -> bool {
    let is_word = |element| is_same(trim(element), word.as_bytes());
    headers
        .get_all(name)
        .any(|value| value.split(|&byte| byte == b',').any(is_word))
}

/// Reads a list of distinct tokens, such as the offered subprotocols (RFC 6455 §4.1 item 10, §11.3.4).
///
/// A header that is not there is an empty list.
pub(super) fn distinct_tokens(headers: &Headers, name: &str) -> Result<Vec<String>, Malformed> {
    let mut tokens = Vec::new();
    for element in elements(headers, name) {
        let token = token(element)?;
        if tokens.len() == MAX_LIST_ELEMENTS || tokens.contains(&token) {
            return Err(Malformed);
        }
        tokens.push(token);
    }
    Ok(tokens)
}

/// Reads the lines of `Sec-WebSocket-Extensions` (RFC 6455 §9.1).
///
/// A value in quotes has to be a token once the quotes are off, so a comma, semicolon or equals sign in quotes is
/// malformed and splitting first cannot cut a legal value.
pub(super) fn offers(headers: &Headers) -> Result<Vec<Offer>, Malformed> {
    let mut offers = Vec::new();
    for element in elements(headers, "Sec-WebSocket-Extensions") {
        if offers.len() == MAX_LIST_ELEMENTS {
            return Err(Malformed);
        }
        offers.push(offer(element)?);
    }
    Ok(offers)
}

fn offer(text: &[u8]) -> Result<Offer, Malformed> {
    let mut parts = text.split(|&byte| byte == b';').map(trim);
    let name = token(parts.next().unwrap_or_default())?;
    let mut params = Vec::new();
    for part in parts {
        if params.len() == MAX_LIST_ELEMENTS {
            return Err(Malformed);
        }
        params.push(param(part)?);
    }
    Ok(Offer { name, params })
}

fn param(text: &[u8]) -> Result<Param, Malformed> {
    let mut sides = text.splitn(2, |&byte| byte == b'=').map(trim);
    let name = token(sides.next().unwrap_or_default())?;
    let value = match sides.next() {
        None => None,
        Some([b'"', quoted @ .., b'"']) => Some(token(&unescape(quoted)?)?),
        Some(bare) => Some(token(bare)?),
    };
    Ok(Param { name, value })
}

/// Takes the backslashes out of what stands between two quotes (RFC 9110 §5.6.4).
pub(super) fn unescape(quoted: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut plain = Vec::with_capacity(quoted.len());
    let mut bytes = quoted.iter();
    while let Some(&byte) = bytes.next() {
        plain.push(if byte == b'\\' {
            *bytes.next().ok_or(Malformed)?
        } else {
            byte
        });
    }
    Ok(plain)
}

fn token(text: &[u8]) -> Result<String, Malformed> {
    match std::str::from_utf8(text) {
        Ok(token) if is_token(text) => Ok(token.to_owned()),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(name: &str, lines: &[&str]) -> Headers {
        let mut headers = Headers::new();
        for line in lines {
            headers.append(name, line).unwrap();
        }
        headers
    }

    fn shown(lines: &[&str]) -> Result<Vec<String>, Malformed> {
        let headers = header("Sec-WebSocket-Extensions", lines);
        offers(&headers).map(|offers| offers.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn a_list_runs_over_several_lines_in_order() {
        let headers = header("List", &["a, b", "c"]);
        assert_eq!(distinct_tokens(&headers, "list").unwrap(), ["a", "b", "c"]);
        assert!(has_element(&headers, "LIST", "B"));
        assert!(!has_element(&headers, "List", "a, b"));
    }

    #[test]
    fn a_list_with_an_empty_duplicate_or_foreign_element_is_malformed() {
        for line in ["", "a,,b", "a,", "a, a", "a b", "\"a\"", "a/b", "é"] {
            assert_eq!(
                distinct_tokens(&header("List", &[line]), "List"),
                Err(Malformed),
                "{line:?}"
            );
        }
        assert_eq!(
            distinct_tokens(&header("List", &["a", "a"]), "List"),
            Err(Malformed)
        );
        assert_eq!(
            distinct_tokens(&header("List", &["chat, Chat"]), "List")
                .unwrap()
                .len(),
            2
        );
    }

    #[test]
    fn a_list_longer_than_its_bound_is_malformed() {
        let line = |n: usize| {
            (0..n)
                .map(|i| format!("p{i}"))
                .collect::<Vec<_>>()
                .join(",")
        };
        let fits = header("List", &[&line(MAX_LIST_ELEMENTS)]);
        assert_eq!(
            distinct_tokens(&fits, "List").unwrap().len(),
            MAX_LIST_ELEMENTS
        );
        let over = header("List", &[&line(MAX_LIST_ELEMENTS + 1)]);
        assert_eq!(distinct_tokens(&over, "List"), Err(Malformed));
        assert_eq!(shown(&[&line(MAX_LIST_ELEMENTS + 1)]), Err(Malformed));
        assert_eq!(
            shown(&[&format!(
                "x; {}",
                line(MAX_LIST_ELEMENTS + 1).replace(',', ";")
            )]),
            Err(Malformed)
        );
    }

    #[test]
    fn quoted_extension_values_lose_their_quotes_and_backslashes() {
        assert_eq!(
            shown(&[
                "permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\"",
                "x;y = \"\\1\\0\""
            ]),
            Ok(vec![
                "permessage-deflate; client_max_window_bits; server_max_window_bits=10".to_owned(),
                "x; y=10".to_owned(),
            ])
        );
    }

    #[test]
    fn an_extension_that_does_not_follow_the_grammar_is_malformed() {
        for line in [
            "",
            ",",
            "a,",
            ";b",
            "a;",
            "a;=1",
            "a; b=",
            "a; b=\"\"",
            "a; b=\"1 0\"",
            "a; b=\"x,y\"",
            "a; b=\"1",
            "a; b=1\"",
            "a; b=\"",
            "a; b=\"1\\\"",
            "a; b=1=2",
            "a b",
            "a; b c",
            "a/1",
            "a; b=é",
        ] {
            assert_eq!(shown(&[line]), Err(Malformed), "{line:?}");
        }
    }
}
