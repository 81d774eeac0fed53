//! Which proxy the environment asks for: curl's rules, as [`Proxy::from_env`] tells them.

use fullduplex_proto::handshake::{Authority, Uri};

use super::{Proxy, bypass, error::ProxyError};

/// In the order in which they are looked for. There is no `HTTP_PROXY`: in a CGI program it is what the client sent as the
/// header `Proxy`.
const FOR_WS: [&str; 5] = [
    "ws_proxy",
    "WS_PROXY",
    "http_proxy",
    "all_proxy",
    "ALL_PROXY",
];
const FOR_WSS: [&str; 6] = [
    "wss_proxy",
    "WSS_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "all_proxy",
    "ALL_PROXY",
];
const BYPASS: [&str; 2] = ["no_proxy", "NO_PROXY"];

/// `variable` looks up one variable of the environment.
pub(super) fn proxy_for(
    uri: &Uri,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<Option<Proxy>, ProxyError> {
    let names: &[&'static str] = if uri.is_secure() { &FOR_WSS } else { &FOR_WS };
    let set = |names: &[&'static str]| {
        names.iter().find_map(|&name| {
            let value = variable(name).filter(|value| !value.trim().is_empty())?;
            Some((name, value))
        })
    };
    let Some((name, address)) = set(names) else {
        return Ok(None);
    };
    let is_bypassed = || set(&BYPASS).is_some_and(|(_, list)| bypass::lists(&list, uri));
    if is_loopback(uri) || is_bypassed() {
        return Ok(None);
    }
    match Proxy::new(address.trim()) {
        Ok(proxy) => Ok(Some(proxy)),
        Err(error) => Err(ProxyError::Variable {
            name,
            error: Box::new(error),
        }),
    }
}

/// What is this machine to us is another one to the proxy.
fn is_loopback(uri: &Uri) -> bool {
    uri.authority()
        .parse()
        .is_ok_and(|authority: Authority| authority.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The proxy for an address, in an environment of `name=value` pairs.
    fn chosen(uri: &str, environment: &[&str]) -> String {
        let found = proxy_for(&uri.parse().unwrap(), |name| {
            let pairs = environment.iter().map(|pair| pair.split_once('=').unwrap());
            let mut values = pairs.filter(|(other, _)| *other == name);
            values.next().map(|(_, value)| value.to_owned())
        });
        match found {
            Ok(None) => "none".to_owned(),
            Ok(Some(proxy)) => proxy.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn p32_the_scheme_decides_which_variables_count() {
        for (uri, environment, proxy) in [
            ("ws://example.com", &["http_proxy=a"][..], "http://a"),
            ("ws://example.com", &["https_proxy=a"], "none"),
            ("wss://example.com", &["https_proxy=a"], "http://a"),
            ("wss://example.com", &["HTTPS_PROXY=a"], "http://a"),
            ("wss://example.com", &["http_proxy=a"], "none"),
            ("ws://example.com", &["all_proxy=a"], "http://a"),
            ("wss://example.com", &["ALL_PROXY=a"], "http://a"),
            (
                "ws://example.com",
                &["ws_proxy=a", "http_proxy=b"],
                "http://a",
            ),
            (
                "ws://example.com",
                &["WS_PROXY=a", "http_proxy=b"],
                "http://a",
            ),
            (
                "wss://example.com",
                &["wss_proxy=a", "https_proxy=b"],
                "http://a",
            ),
            (
                "wss://example.com",
                &["https_proxy=a", "all_proxy=b"],
                "http://a",
            ),
            (
                "wss://example.com",
                &["https_proxy=a", "HTTPS_PROXY=b"],
                "http://a",
            ),
            (
                "wss://example.com",
                &["https_proxy=", "HTTPS_PROXY=b"],
                "http://b",
            ),
            ("wss://example.com", &["https_proxy= "], "none"),
            ("wss://example.com", &[], "none"),
            (
                "wss://example.com",
                &["https_proxy=socks5h://u:p@a:1081/"],
                "socks5h://a:1081",
            ),
        ] {
            assert_eq!(chosen(uri, environment), proxy, "{uri} {environment:?}");
        }
    }

    /// In a CGI program that is the header `Proxy` of whoever asks ("httpoxy").
    #[test]
    fn p32_http_proxy_counts_in_lower_case_only() {
        assert_eq!(chosen("ws://example.com", &["HTTP_PROXY=evil"]), "none");
        assert_eq!(chosen("wss://example.com", &["HTTP_PROXY=evil"]), "none");
    }

    #[test]
    fn p32_no_proxy_leads_past_it() {
        let with = |list: &str| chosen("wss://a.example.com", &["https_proxy=p", list]);
        assert_eq!(with("no_proxy=example.com"), "none");
        assert_eq!(with("NO_PROXY=example.com"), "none");
        assert_eq!(with("no_proxy=example.org"), "http://p");
        assert_eq!(
            chosen(
                "wss://example.com",
                &[
                    "https_proxy=p",
                    "no_proxy=example.org",
                    "NO_PROXY=example.com"
                ]
            ),
            "http://p"
        );
    }

    #[test]
    fn p32_this_machine_is_not_looked_for_behind_a_proxy() {
        for uri in [
            "ws://localhost:1",
            "ws://127.0.0.1",
            "ws://[::1]",
            "ws://a.localhost",
        ] {
            assert_eq!(chosen(uri, &["all_proxy=p"]), "none", "{uri}");
        }
        assert_eq!(chosen("ws://10.0.0.1", &["all_proxy=p"]), "http://p");
    }

    #[test]
    fn p32_a_mistake_does_not_lead_past_the_proxy_and_tells_no_password() {
        for value in [
            "socks4://u:secret@a",
            "http://u:secret@a:99999",
            "http://u:secret%zz@a",
            "u:secret@",
            "http://u:secret@a/path",
            "\u{fffd}",
        ] {
            let error = chosen("ws://example.com", &[&format!("all_proxy={value}")]);
            assert!(
                error.starts_with("environment variable all_proxy: "),
                "{value}: {error}"
            );
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
