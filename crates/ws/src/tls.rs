//! TLS by rustls, with `ring`.

use std::{
    io,
    sync::{Arc, OnceLock},
};

pub use rustls;

use rustls::{
    AlertDescription, ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::transport::Stream;

/// This protocol starts as HTTP/1.1. A configuration shared with HTTP/2 code must not lead to an h2 connection.
pub(crate) const ALPN: &[u8] = b"http/1.1";

/// What a client trusts, and by which certificate it is known. For everything else there is [`rustls::ClientConfig`].
///
/// ```no_run
/// # fn run() -> Result<(), Box<dyn std::error::Error>> {
/// use fullduplex::{Client, tls::ClientTls};
///
/// let tls = ClientTls::new()
///     .ca(&std::fs::read("our-ca.pem")?)?
///     .identity(&std::fs::read("client.pem")?, &std::fs::read("client.key")?)?
///     .build()?;
/// let client = Client::new("wss://internal.example/feed")?.tls(tls);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct ClientTls {
    /// `None`: Mozilla's.
    roots: Option<RootCertStore>,
    identity: Option<Identity>,
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl ClientTls {
    /// Trusts the roots that Mozilla trusts, and has no certificate of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the certificates in `pem`, and those of other calls, but no longer Mozilla's.
    ///
    /// # Errors
    ///
    /// `pem` holds no certificate, or one that cannot be read.
    pub fn ca(mut self, pem: &[u8]) -> io::Result<Self> {
        add_roots(self.own_roots(), certificates(pem)?)?;
        Ok(self)
    }

    /// Trusts what this system trusts, and what [`ca`](Self::ca) says, but no longer Mozilla's roots. The variables
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` take the system's place. Roots of the system that cannot be read are left out.
    ///
    /// Reads files: call it once, not for each connection.
    ///
    /// # Errors
    ///
    /// No root was found.
    #[cfg(feature = "native-roots")]
    pub fn native_roots(mut self) -> io::Result<Self> {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::debug!(%error, "root of the system left out");
        }
        let (added, _ignored) = self.own_roots().add_parsable_certificates(found.certs);
        if added == 0 {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "this system has no root certificates",
            ));
        }
        Ok(self)
    }

    fn own_roots(&mut self) -> &mut RootCertStore {
        self.roots.get_or_insert_with(RootCertStore::empty)
    }

    /// Shows this certificate chain to servers that ask for one, and signs with its key, both PEM.
    ///
    /// # Errors
    ///
    /// One of them cannot be read.
    pub fn identity(mut self, certificates_pem: &[u8], key_pem: &[u8]) -> io::Result<Self> {
        self.identity = Some((certificates(certificates_pem)?, private_key(key_pem)?));
        Ok(self)
    }

    /// The configuration for [`Client::tls`](crate::Client::tls).
    ///
    /// # Errors
    ///
    /// The certificate and the key do not belong together.
    pub fn build(self) -> io::Result<Arc<ClientConfig>> {
        let roots = self
            .roots
            .unwrap_or_else(|| webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(invalid)?
            .with_root_certificates(roots);
        let config = match self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(invalid)?,
            None => builder.with_no_client_auth(),
        };
        Ok(only_http1_client(Arc::new(config)))
    }
}

/// A client that trusts the roots that Mozilla trusts. The whole process has one, so that later connections to a server resume
/// the session of an earlier one.
///
/// # Errors
///
/// The provider does not support the default versions of TLS, which does not happen with `ring`.
pub fn client_config() -> io::Result<Arc<ClientConfig>> {
    static SHARED: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(shared) = SHARED.get() {
        return Ok(Arc::clone(shared));
    }
    let built = ClientTls::new().build()?;
    Ok(Arc::clone(SHARED.get_or_init(|| built)))
}

/// A client that trusts the certificates in `pem`, and no others.
///
/// # Errors
///
/// `pem` holds no certificate, or one that cannot be read.
pub fn client_config_with_ca(pem: &[u8]) -> io::Result<Arc<ClientConfig>> {
    ClientTls::new().ca(pem)?.build()
}

/// A server with a certificate chain and its private key, both PEM.
///
/// # Errors
///
/// One of them cannot be read, or they do not belong together.
pub fn server_config(certificates_pem: &[u8], key_pem: &[u8]) -> io::Result<Arc<ServerConfig>> {
    server_config_with(
        certificates_pem,
        key_pem,
        WebPkiClientVerifier::no_client_auth(),
    )
}

/// As [`server_config`], for clients alone whose certificates the certificates in `client_ca_pem` speak for.
///
/// # Errors
///
/// As [`server_config`], and if `client_ca_pem` holds no certificate, or one that cannot be read.
pub fn server_config_with_client_ca(
    certificates_pem: &[u8],
    key_pem: &[u8],
    client_ca_pem: &[u8],
) -> io::Result<Arc<ServerConfig>> {
    let mut roots = RootCertStore::empty();
    add_roots(&mut roots, certificates(client_ca_pem)?)?;
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(invalid)?;
    server_config_with(certificates_pem, key_pem, verifier)
}

fn server_config_with(
    certificates_pem: &[u8],
    key_pem: &[u8],
    clients: Arc<dyn ClientCertVerifier>,
) -> io::Result<Arc<ServerConfig>> {
    let chain = certificates(certificates_pem)?;
    let key = private_key(key_pem)?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)
        .map_err(invalid)?;
    Ok(only_http1_server(Arc::new(config)))
}

/// TLS to the server of this name or address, for this protocol; by default with Mozilla's roots. An address is no server name: rustls leaves
/// SNI out for it.
pub(crate) async fn connect<S: Stream>(
    config: Option<&Arc<ClientConfig>>,
    host: &str,
    stream: S,
    alpn: &[u8],
) -> io::Result<TlsStream<S>> {
    let config = match config {
        Some(config) => Arc::clone(config),
        None => client_config()?,
    };
    let config = only_client(config, alpn);
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsConnector::from(config).connect(name, stream).await
}

/// What TLS itself has to say about an error of a stream.
pub(crate) fn cause(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// A failure of TLS that the next attempt would meet again: a certificate that is not accepted, a name that is none, nothing to
/// agree on. Not lasting are a transport that fails, and a server that says that it is in trouble itself.
pub(crate) fn is_lasting(error: &io::Error) -> bool {
    match cause(error) {
        Some(rustls::Error::AlertReceived(alert)) => *alert != AlertDescription::InternalError,
        Some(_) => true,
        None => matches!(
            error.kind(),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
        ),
    }
}

fn add_roots(
    roots: &mut RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
) -> io::Result<()> {
    certificates
        .into_iter()
        .try_for_each(|certificate| roots.add(certificate).map_err(invalid))
}

fn private_key(pem: &[u8]) -> io::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|error| invalid(format!("no usable private key: {error}")))
}

fn certificates(pem: &[u8]) -> io::Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(invalid)?;
    if found.is_empty() {
        Err(invalid("no certificate in PEM form"))
    } else {
        Ok(found)
    }
}

pub(crate) fn only_http1_client(config: Arc<ClientConfig>) -> Arc<ClientConfig> {
    only_client(config, ALPN)
}

/// With this protocol in ALPN and no other.
fn only_client(config: Arc<ClientConfig>, alpn: &[u8]) -> Arc<ClientConfig> {
    if config.alpn_protocols == [alpn] {
        return config;
    }
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

pub(crate) fn only_http1_server(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    if config.alpn_protocols == [ALPN] {
        return config;
    }
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![ALPN.to_vec()];
    Arc::new(config)
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
