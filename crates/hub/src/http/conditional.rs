//! Conditional requests (RFC 9110 §13): who has the newest version is told so.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// What identifies a version.
#[derive(Debug)]
pub(super) struct Validators {
    /// With its quotes, weak ones with `W/`.
    pub(super) etag: String,
    pub(super) modified: Option<SystemTime>,
}

impl Validators {
    /// Whether the client has this version. `If-None-Match` wins over `If-Modified-Since`.
    pub(super) fn matches(&self, request: &HeaderMap) -> bool {
        let mut tags = request.get_all(header::IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            return tags
                .filter_map(|tags| tags.to_str().ok())
                .any(|tags| self.is_among(tags));
        }
        let since = request
            .get(header::IF_MODIFIED_SINCE)
            .and_then(|since| since.to_str().ok());
        let since = since.and_then(|since| httpdate::parse_http_date(since).ok());
        match (since, self.modified) {
            // HTTP's dates have no fractions of seconds.
            (Some(since), Some(modified)) => modified < since + Duration::from_secs(1),
            _ => false,
        }
    }

    /// Weak comparison, as a GET wants it.
    fn is_among(&self, tags: &str) -> bool {
        let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        tags.trim() == "*" || tags.split(',').any(|tag| opaque(tag) == opaque(&self.etag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(name: header::HeaderName, value: &str) -> bool {
        let modified = SystemTime::UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        let validators = Validators {
            etag: "\"abc\"".into(),
            modified: Some(modified),
        };
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        validators.matches(&headers)
    }

    #[test]
    fn tags_are_compared_weakly_in_lists() {
        for (value, expected) in [
            ("\"abc\"", true),
            ("\"x\", W/\"abc\"", true),
            ("*", true),
            ("\"ab\"", false),
            ("", false),
        ] {
            assert_eq!(matches(header::IF_NONE_MATCH, value), expected, "{value}");
        }
    }

    #[test]
    fn dates_are_compared_by_the_second() {
        for (value, expected) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("Sun, 06 Nov 1994 08:49:36 GMT", false),
            ("yesterday", false),
        ] {
            assert_eq!(
                matches(header::IF_MODIFIED_SINCE, value),
                expected,
                "{value}"
            );
        }
    }
}
