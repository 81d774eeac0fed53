//! A certificate authority of our own.

use std::sync::Arc;

use fullduplex::tls::{
    client_config_with_ca,
    rustls::{ClientConfig, ServerConfig},
    server_config,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

/// A certificate for `localhost` and loopback, and the authority that signed it.
pub(crate) struct Authority {
    pub(crate) ca: String,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) server: Arc<ServerConfig>,
    pub(crate) client: Arc<ClientConfig>,
}

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::certifying(["localhost", "127.0.0.1"])
    }

    pub(crate) fn certifying<const N: usize>(names: [&str; N]) -> Self {
        let names = names.map(str::to_owned);
        Self::certified_by(&CertificateParams::new(names).unwrap())
    }

    pub(crate) fn certified_by(server: &CertificateParams) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap().pem();
        let issuer = Issuer::new(params, ca_key);
        let Identity { certificate, key } = signed(&issuer, server);
        let server = server_config(certificate.as_bytes(), key.as_bytes()).unwrap();
        let client = client_config_with_ca(ca.as_bytes()).unwrap();
        Self {
            ca,
            issuer,
            server,
            client,
        }
    }

    /// A certificate for somebody.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        signed(&self.issuer, &params)
    }
}

fn signed(issuer: &Issuer<'static, KeyPair>, params: &CertificateParams) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, issuer).unwrap().pem();
    let key = key.serialize_pem();
    Identity { certificate, key }
}
