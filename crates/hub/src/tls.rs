//! The certificate, which may be renewed while the hub runs.

use std::{
    fs::Metadata,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{PrivateKeyDer, pem::PemObject},
    },
};

use crate::{StartError, config::TlsFiles, read_small};

/// How often is looked whether the files are others. Certificates are renewed days before they expire.
const LOOK_INTERVAL: Duration = Duration::from_secs(60);

/// A certificate with its key, as they were when they were last read well.
#[derive(Debug)]
pub(crate) struct Tls {
    files: TlsFiles,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    config: Arc<ServerConfig>,
    /// What the files were like when they were last read.
    seen: [Option<Stamp>; 2],
}

/// What tells a file from the one that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    len: u64,
}

impl Tls {
    /// # Errors
    ///
    /// A file can't be read or used.
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, StartError> {
        // Before they are read, so that what changes meanwhile is seen.
        let seen = stamps(files);
        Ok(Self {
            files: files.clone(),
            state: Mutex::new(State {
                config: config(files)?,
                seen,
            }),
        })
    }

    /// For a new connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.state().config))
    }

    /// Reads the files anew. If they can't be used, all stays as it is, and the operator is told.
    pub(crate) fn renew(&self) {
        let seen = stamps(&self.files);
        let read = config(&self.files);
        let mut state = self.state();
        state.seen = seen;
        match read {
            Ok(config) => {
                state.config = config;
                tracing::info!(cert = %self.files.cert.display(), "the certificate was read anew");
            }
            Err(error) => {
                tracing::error!(%error, "the certificate can't be renewed; the one before is in use");
            }
        }
    }

    /// Reads the files anew whenever they have changed.
    pub(crate) async fn watch(self: Arc<Self>) -> ! {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tls = Arc::clone(&self);
            // A failure has been told.
            spawn_blocking(move || tls.renew_if_changed()).await.ok();
        }
    }

    fn renew_if_changed(&self) {
        if self.state().seen != stamps(&self.files) {
            self.renew();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamps(files: &TlsFiles) -> [Option<Stamp>; 2] {
    [&files.cert, &files.key].map(|path| {
        let stamp = |metadata: Metadata| Stamp {
            modified: metadata.modified().ok(),
            len: metadata.len(),
        };
        std::fs::metadata(path).ok().map(stamp)
    })
}

fn config(files: &TlsFiles) -> Result<Arc<ServerConfig>, StartError> {
    let failed = |path: &PathBuf| {
        let path = path.clone();
        move |error| StartError::File { path, error }
    };
    let cert = read_small(&files.cert).map_err(failed(&files.cert))?;
    let key = read_small(&files.key).map_err(failed(&files.key))?;
    PrivateKeyDer::from_pem_slice(&key)
        .map_err(|error| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("no usable private key: {error}"),
            )
        })
        .map_err(failed(&files.key))?;
    fullduplex::tls::server_config(&cert, &key).map_err(failed(&files.cert))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    /// Writes another certificate into the files.
    fn write(files: &TlsFiles) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
    }

    #[test]
    fn it_is_read_anew_when_it_changed_and_kept_when_that_fails() {
        let folder = TempDir::new().unwrap();
        let files = TlsFiles {
            cert: folder.path().join("cert"),
            key: folder.path().join("key"),
        };
        write(&files);
        let tls = Tls::read(&files).unwrap();
        let config = || Arc::clone(&tls.state().config);
        let first = config();
        tls.renew_if_changed();
        assert!(Arc::ptr_eq(&first, &config()), "nothing has changed");
        write(&files);
        // The clock of files may stand still for some milliseconds.
        let later = SystemTime::now() + Duration::from_secs(1);
        let cert = fs::File::options().write(true).open(&files.cert).unwrap();
        cert.set_modified(later).unwrap();
        tls.renew_if_changed();
        let second = config();
        assert!(!Arc::ptr_eq(&first, &second));
        fs::write(&files.key, "no key").unwrap();
        tls.renew_if_changed();
        assert!(Arc::ptr_eq(&second, &config()), "the one before stays");
        fs::remove_file(&files.cert).unwrap();
        tls.renew();
        assert!(Arc::ptr_eq(&second, &config()));
        write(&files);
        tls.renew_if_changed();
        assert!(!Arc::ptr_eq(&second, &config()), "it recovers");
    }
}
