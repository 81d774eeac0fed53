//! Reaching a server through a proxy: HTTP `CONNECT` and SOCKS5.
//!
//! Every proxy is asked for a tunnel, for `ws:` too (RFC 6455 §4.1): it sees host and port, never the request.

mod bypass;
mod connect;
mod environment;
mod error;
mod rewound;
mod socks;

use std::fmt;
#[cfg(feature = "tls")]
use std::sync::Arc;

use fullduplex_proto::handshake::{Authority, Credentials, TunnelRequest, Uri, Userinfo};
use tokio::{net::TcpStream, time::Instant};

pub use error::{ProxyError, SocksError};

use crate::{
    dial::dial,
    transport::{Stream, Transport},
};

/// A proxy, and what it wants to know.
///
/// ```
/// use fullduplex::Proxy;
///
/// let proxy = Proxy::new("http://aladdin:opensesame@proxy.example:3128")?;
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
/// # Ok::<(), fullduplex::ProxyError>(())
/// ```
///
/// Give it to [`Client::proxy`](crate::Client::proxy), or let [`Client::proxy_from_env`](crate::Client::proxy_from_env) look for
/// one. Neither `Debug` nor `Display` shows its credentials, and the server never sees them.
#[derive(Clone, Debug)]
pub struct Proxy {
    scheme: Scheme,
    address: Authority,
    /// For SOCKS; those for HTTP are in `request`.
    credentials: Option<Userinfo>,
    request: TunnelRequest,
    #[cfg(feature = "tls")]
    tls: Option<Arc<rustls::ClientConfig>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
    /// Names are resolved here.
    Socks5,
    /// Names are resolved by the proxy.
    Socks5h,
}

impl Proxy {
    /// A proxy by its address: `scheme://user:password@host:port`, where everything but the host may be left out.
    ///
    /// | scheme | what is spoken | default port |
    /// | --- | --- | --- |
    /// | `http` | `CONNECT` (RFC 9110 §9.3.6); the default | 80 |
    /// | `https` | the same over TLS; needs feature `tls` | 443 |
    /// | `socks5` | SOCKS5 (RFC 1928); names are resolved here, as by curl | 1080 |
    /// | `socks5h` | SOCKS5; names are resolved by the proxy | 1080 |
    ///
    /// User name and password are percent-decoded. HTTP proxies get them as `Proxy-Authorization: Basic` (RFC 7617), SOCKS5
    /// proxies as RFC 1929 says.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Scheme`], [`ProxyError::Address`] or [`ProxyError::Credentials`]; [`ProxyError::NoTls`] for `https`
    /// without the feature.
    pub fn new(address: &str) -> Result<Self, ProxyError> {
        let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
        let scheme = Scheme::parse(scheme)?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (credentials, authority) = match rest.rsplit_once('@') {
            Some((credentials, authority)) => (Some(credentials), authority),
            None => (None, rest),
        };
        let credentials = credentials
            .map(|text| scheme.credentials(text))
            .transpose()?;
        let mut proxy = Self {
            scheme,
            address: authority.parse().map_err(ProxyError::Address)?,
            credentials: None,
            request: TunnelRequest::new(),
            #[cfg(feature = "tls")]
            tls: None,
        };
        match credentials {
            Some(credentials) if scheme.is_http() => {
                proxy.request = proxy.request.credentials(Credentials::from(&credentials));
            }
            credentials => proxy.credentials = credentials,
        }
        Ok(proxy)
    }

    /// The proxy that the environment names for this address, if it names one. The rules are curl's:
    ///
    /// * `wss_proxy`, else `https_proxy` for `wss:`; `ws_proxy`, else `http_proxy` for `ws:`; else `all_proxy`. What is empty
    ///   counts as absent.
    /// * Each may be in upper case, where the lower one is absent, except `http_proxy`: the `Proxy` header of a request
    ///   becomes `HTTP_PROXY` in a CGI program, so anybody could set it.
    /// * `no_proxy` (or `NO_PROXY`) lists what is reached directly, separated by commas or spaces: names, which stand for all
    ///   names under them too, with or without a leading dot; addresses; networks such as `10.0.0.0/8`; each perhaps with
    ///   a port; `*` for everything.
    ///
    /// Other than by curl, `localhost` and loopback addresses are never reached through one of these, as in Go.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Variable`] if the variable that decides names no proxy that can be used. A mistake there does not lead past
    /// the proxy.
    pub fn from_env(uri: &Uri) -> Result<Option<Self>, ProxyError> {
        environment::proxy_for(uri, |name| {
            // What is no UTF-8 names no proxy, which is an error, and not the same as no variable.
            std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
        })
    }

    /// Adds a header line to the `CONNECT`, such as `Proxy-Authorization: Bearer …`, which then stands in place of user name and
    /// password. SOCKS proxies get none.
    ///
    /// # Errors
    ///
    /// [`ProxyError::Header`].
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, ProxyError> {
        self.request = self
            .request
            .header(name, value)
            .map_err(ProxyError::Header)?;
        Ok(self)
    }

    /// TLS to a proxy of scheme `https`. Its ALPN list is replaced by `http/1.1`. By default the roots that
    /// Mozilla trusts are trusted; what [`Client::tls`](crate::Client::tls) says is for the server, a certificate of the client's
    /// too.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(crate::tls::only_http1_client(config));
        self
    }

    /// A stream to the server of `uri`, on which its TLS or its handshake is to begin.
    ///
    /// The deadline is the caller's, for all of it; in here it only makes that a refusal is reported whose body does not come.
    /// Dropped, it closes the stream.
    pub(crate) async fn tunnel(
        &self,
        uri: &Uri,
        deadline: Instant,
    ) -> Result<Transport, ProxyError> {
        match self.scheme {
            Scheme::Http => {
                let stream = self.dial().await?;
                self.connect(stream, uri, deadline).await
            }
            Scheme::Https => self.connect_by_tls(uri, deadline).await,
            Scheme::Socks5 => {
                socks::by_address(uri, self.credentials.as_ref(), || self.dial()).await
            }
            Scheme::Socks5h => {
                let stream = self.dial().await?;
                socks::by_name(stream, uri, self.credentials.as_ref()).await
            }
        }
    }

    async fn dial(&self) -> Result<TcpStream, ProxyError> {
        dial(self.address.host(), self.port())
            .await
            .map_err(ProxyError::Connect)
    }

    fn port(&self) -> u16 {
        self.address
            .port()
            .unwrap_or_else(|| self.scheme.default_port())
    }

    async fn connect<S: Stream>(
        &self,
        stream: S,
        uri: &Uri,
        deadline: Instant,
    ) -> Result<Transport, ProxyError> {
        connect::tunnel(stream, self.request.start(uri), deadline).await
    }

    #[cfg(feature = "tls")]
    async fn connect_by_tls(&self, uri: &Uri, deadline: Instant) -> Result<Transport, ProxyError> {
        let tcp = self.dial().await?;
        let tls = crate::tls::connect(
            self.tls.as_ref(),
            self.address.host(),
            tcp,
            crate::tls::ALPN,
        )
        .await
        .map_err(ProxyError::Tls)?;
        self.connect(tls, uri, deadline).await
    }

    #[cfg(not(feature = "tls"))]
    #[expect(clippy::unused_async, reason = "with TLS it waits")]
    async fn connect_by_tls(&self, _: &Uri, _: Instant) -> Result<Transport, ProxyError> {
        Err(ProxyError::NoTls)
    }
}

/// Without credentials.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.address)
    }
}

impl Scheme {
    fn parse(name: &str) -> Result<Self, ProxyError> {
        let all = [Self::Http, Self::Https, Self::Socks5, Self::Socks5h];
        let found = all
            .into_iter()
            .find(|scheme| name.eq_ignore_ascii_case(scheme.name()));
        match found.ok_or(ProxyError::Scheme)? {
            Self::Https if cfg!(not(feature = "tls")) => Err(ProxyError::NoTls),
            scheme => Ok(scheme),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
            Self::Socks5h => "socks5h",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 | Self::Socks5h => 1080,
        }
    }

    fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }

    fn credentials(self, text: &str) -> Result<Userinfo, ProxyError> {
        let credentials: Userinfo = text.parse().map_err(|_| ProxyError::Credentials)?;
        if self.is_http() || socks::can_send(&credentials) {
            Ok(credentials)
        } else {
            Err(ProxyError::Credentials)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(address: &str) -> String {
        match Proxy::new(address) {
            Ok(proxy) => {
                let debug = format!("{proxy:?}");
                assert!(
                    !debug.contains("secret") && !debug.contains("aladdin"),
                    "{debug}"
                );
                format!("{proxy} {:?}", proxy.port())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn p32_addresses_of_proxies() {
        for (address, expected) in [
            (
                "http://proxy.example:3128",
                "http://proxy.example:3128 3128",
            ),
            ("proxy.example:3128", "http://proxy.example:3128 3128"),
            ("proxy.example", "http://proxy.example 80"),
            ("HTTP://Proxy.Example/", "http://proxy.example 80"),
            ("socks5://[2001:DB8::1]", "socks5://[2001:db8::1] 1080"),
            (
                "socks5h://aladdin:secret@192.0.2.1:9050",
                "socks5h://192.0.2.1:9050 9050",
            ),
            ("aladdin:secret@proxy.example", "http://proxy.example 80"),
            ("http://aladdin@proxy.example", "http://proxy.example 80"),
        ] {
            assert_eq!(shown(address), expected, "{address}");
        }
        #[cfg(feature = "tls")]
        assert_eq!(shown("https://a:secret@b"), "https://b 443");
    }

    #[test]
    fn p32_what_is_no_proxys_address_is_refused_without_a_word_of_the_password() {
        let long = format!("socks5://u:{}@a", "secret".repeat(50));
        for (address, part) in [
            ("", "host is missing"),
            ("http://", "host is missing"),
            ("socks4://aladdin:secret@a", "socks5h://"),
            ("socks://a", "socks5h://"),
            ("aladdin:secret@a://b", "socks5h://"),
            ("http://aladdin:secret@a:99999", "port"),
            ("http://aladdin:secret@a/path", "host"),
            ("http://aladdin:secret@a?secret", "host"),
            ("http://aladdin:secret%0d@a", "encoded"),
            ("http://aladdin:secret%2@a", "encoded"),
            ("http://al%3Aaddin:secret@a", "encoded"),
            // RFC 1929 §2: neither may be empty, nor longer than a byte can say.
            ("socks5://aladdin@a", "encoded"),
            (&long, "too long"),
        ] {
            let error = Proxy::new(address).unwrap_err();
            for shown in [error.to_string(), format!("{error:?}")] {
                assert!(!shown.contains("secret"), "{shown}");
            }
            assert!(error.to_string().contains(part), "{address}: {error}");
        }
    }
}
