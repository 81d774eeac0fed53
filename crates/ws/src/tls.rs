//! TLS by rustls, with `ring`.

use std::{io, sync::Arc};

pub use rustls;

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// This protocol starts as HTTP/1.1. A configuration shared with HTTP/2 code must not lead to an h2 connection.
const ALPN: &[u8] = b"http/1.1";

/// A client that trusts the roots that Mozilla trusts.
///
/// # Errors
///
/// The provider does not support the default versions of TLS, which does not happen with `ring`.
pub fn client_config() -> io::Result<Arc<ClientConfig>> {
    let roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    client_config_with_roots(roots)
}

/// A client that trusts the certificates in `pem`, and no others.
///
/// # Errors
///
/// `pem` holds no certificate, or one that cannot be read.
pub fn client_config_with_ca(pem: &[u8]) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(invalid)?;
    }
    client_config_with_roots(roots)
}

/// A server with a certificate chain and its private key, both PEM.
///
/// # Errors
///
/// One of them cannot be read, or they do not belong together.
pub fn server_config(certificates_pem: &[u8], key_pem: &[u8]) -> io::Result<Arc<ServerConfig>> {
    let chain = certificates(certificates_pem)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem)
        .map_err(|error| invalid(format!("no usable private key: {error}")))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(invalid)?;
    Ok(only_http1_server(Arc::new(config)))
}

fn client_config_with_roots(roots: RootCertStore) -> io::Result<Arc<ClientConfig>> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(invalid)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(only_http1_client(Arc::new(config)))
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
    if config.alpn_protocols == [ALPN] {
        return config;
    }
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![ALPN.to_vec()];
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
