//! Getting keys from where they are.

use std::{io, path::PathBuf, pin::pin, sync::Arc};

use axum::body::{Body, to_bytes};
use http::{Request, StatusCode, Uri, header, uri::Scheme};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, pki_types::ServerName},
};

use super::{KeyError, KeySet, keyring::Fetch};
use crate::read_small;

/// The longest JWK Set, in bytes: a hundred keys have some 50 KiB.
const MAX_SET_BYTES: usize = 256 << 10;

/// Why keys can't be had right now.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("no answer in HTTP: {0}")]
    Http(#[from] hyper::Error),
    #[error("the answer is {0} and should be 200")]
    Status(u16),
    #[error("the answer breaks off or is longer than {MAX_SET_BYTES} bytes")]
    Body,
    #[error("no answer in time")]
    Slow,
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// Reads a file each time.
pub(super) fn from_file(path: PathBuf) -> Fetch {
    Box::new(move || {
        let path = path.clone();
        Box::pin(async move {
            let read = tokio::task::spawn_blocking(move || read_small(&path));
            let file = read.await.map_err(io::Error::other)??;
            Ok(KeySet::from_public(&file)?)
        })
    })
}

/// Asks a server each time.
pub(super) fn from_server(server: Server) -> Fetch {
    let server = Arc::new(server);
    Box::new(move || {
        let server = Arc::clone(&server);
        Box::pin(async move { Ok(KeySet::from_public(&server.get().await?)?) })
    })
}

/// Where a JWK Set is.
#[derive(Debug)]
pub(super) struct Server {
    host: String,
    port: u16,
    /// As the header `Host` has it.
    authority: String,
    resource: String,
    /// What is trusted and for whom; none for plain HTTP.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Server {
    /// # Errors
    ///
    /// A sentence: it is no address, or one where keys could be swapped on the way.
    pub(super) fn new(url: &str, tls: Arc<ClientConfig>) -> Result<Self, String> {
        let bad = || format!("\"{url}\" is no address of keys: it is https://HOST/PATH");
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let authority = uri
            .authority()
            .filter(|authority| !authority.as_str().contains('@'));
        let authority = authority.ok_or_else(bad)?;
        let host = authority.host().trim_matches(['[', ']']);
        let tls = if uri.scheme() == Some(&Scheme::HTTPS) {
            let name = ServerName::try_from(host.to_owned()).map_err(|_| bad())?;
            Some((tls, name))
        } else if uri.scheme() == Some(&Scheme::HTTP) && is_loopback(host) {
            None
        } else {
            return Err(format!(
                "keys are fetched by https, not from \"{url}\": who changes them on the way can be anybody"
            ));
        };
        let resource = uri
            .path_and_query()
            .map_or("/", |resource| resource.as_str());
        let usual = if tls.is_some() { 443 } else { 80 };
        Ok(Self {
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(usual),
            authority: authority.as_str().to_owned(),
            resource: resource.to_owned(),
            tls,
        })
    }

    async fn get(&self) -> Result<Vec<u8>, FetchError> {
        let stream = fullduplex::dial(&self.host, self.port).await?;
        match &self.tls {
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                self.ask(connector.connect(name.clone(), stream).await?)
                    .await
            }
            None => self.ask(stream).await,
        }
    }

    async fn ask<S>(&self, stream: S) -> Result<Vec<u8>, FetchError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::get(&self.resource)
            .header(header::HOST, &self.authority)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .body(Body::empty())
            .map_err(io::Error::other)?;
        let mut exchange = pin!(async {
            let response = sender.send_request(request).await?;
            if response.status() != StatusCode::OK {
                return Err(FetchError::Status(response.status().as_u16()));
            }
            let body = to_bytes(Body::new(response.into_body()), MAX_SET_BYTES).await;
            Ok(body.map_err(|_| FetchError::Body)?.into())
        });
        tokio::select! {
            biased;
            answer = &mut exchange => answer,
            // All that came is there to be read.
            _ended = connection => exchange.await,
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    fn server(url: &str) -> Result<Server, String> {
        Server::new(url, fullduplex::tls::client_config().unwrap())
    }

    #[test]
    fn keys_come_by_https_or_from_this_machine() {
        for good in [
            "https://id.example/keys?x=1",
            "https://id.example:8443/",
            "http://127.0.0.1:1/keys",
            "http://localhost/keys",
            "http://[::1]:80/keys",
        ] {
            assert!(server(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "keys",
            "/keys",
            "ftp://id.example/keys",
            "http://id.example/keys",
            "http://127.0.0.1.id.example/keys",
            "https://me@id.example/keys",
        ] {
            assert!(server(bad).is_err(), "{bad}");
        }
        assert_eq!(server("https://id.example").unwrap().resource, "/");
    }

    /// What a server that answers so gives.
    async fn answered(answer: Vec<u8>) -> Result<Vec<u8>, FetchError> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let serving = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            assert!(head.starts_with(b"GET /keys HTTP/1.1\r\nhost: 127.0.0.1:"));
            // A client that has had enough goes.
            stream.write_all(&answer).await.ok();
        };
        let server = server(&url).unwrap();
        tokio::join!(server.get(), serving).0
    }

    #[tokio::test]
    async fn an_answer_is_taken_whole_or_not_at_all() {
        let ok = |body: &str| {
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        assert_eq!(answered(ok("{}").into()).await.unwrap(), b"{}");
        assert_eq!(
            answered(b"HTTP/1.0 200 OK\r\n\r\nabc".to_vec())
                .await
                .unwrap(),
            b"abc"
        );
        let moved = b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n".to_vec();
        assert!(matches!(
            answered(moved).await,
            Err(FetchError::Status(302))
        ));
        let broken = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}".to_vec();
        assert!(matches!(answered(broken).await, Err(FetchError::Body)));
        let long = ok(&"x".repeat(MAX_SET_BYTES + 1));
        assert!(matches!(answered(long.into()).await, Err(FetchError::Body)));
        assert!(matches!(
            answered(b"hello".to_vec()).await,
            Err(FetchError::Http(_))
        ));
    }
}
