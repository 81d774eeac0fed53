//! A certificate authority for one test.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;

/// A server's certificate for `localhost`, and who vouches for it; PEM files.
pub(crate) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let names = ["localhost".to_owned()];
        let cert = CertificateParams::new(names)
            .unwrap()
            .signed_by(&key, &issuer)
            .unwrap();
        let certificates = Self {
            folder: TempDir::new().unwrap(),
        };
        std::fs::write(certificates.ca(), issuer.pem()).unwrap();
        std::fs::write(certificates.cert(), cert.pem()).unwrap();
        std::fs::write(certificates.key(), key.serialize_pem()).unwrap();
        certificates
    }

    /// A certificate that is its own authority, as the usual tools make it; there is no other.
    pub(crate) fn self_signed() -> Self {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        let certificates = Self {
            folder: TempDir::new().unwrap(),
        };
        std::fs::write(certificates.cert(), cert.pem()).unwrap();
        std::fs::write(certificates.key(), key.serialize_pem()).unwrap();
        certificates
    }

    pub(crate) fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub(crate) fn cert(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    pub(crate) fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
