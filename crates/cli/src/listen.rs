//! What the servers among the commands have in common: address, origins, TLS, timeouts.

use std::{
    fmt::Display,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use fullduplex::{
    Config,
    handshake::{Origin, Origins},
    tls::rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use fullduplex_hub::{AllowedOrigins, TlsFiles};
use tokio::net::TcpListener;

use crate::{exit::Failure, output, seconds::Seconds};

/// How a refusal tells what would allow an origin, which follows.
pub(crate) const ORIGIN_REMEDY: &str = "pass --allow-origin";

/// Flags of every command that listens and is open to browsers.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Who may connect")]
pub(crate) struct OriginArgs {
    /// Lets pages of this origin connect, besides our own (repeatable; `any` lets all)
    #[arg(long = "allow-origin", value_name = "ORIGIN|any", value_parser = parse_origin)]
    allow_origin: Vec<AllowOrigin>,
}

/// One `--allow-origin`.
#[derive(Clone, Debug)]
enum AllowOrigin {
    Any,
    One(Origin),
}

impl OriginArgs {
    /// Those that were listed; `None` if all may connect.
    fn listed(&self) -> Option<Vec<Origin>> {
        let listed = self.allow_origin.iter().map(|allowed| match allowed {
            AllowOrigin::Any => None,
            AllowOrigin::One(origin) => Some(origin.clone()),
        });
        listed.collect()
    }

    /// The rule for the `Origin` header.
    pub(crate) fn origins(&self) -> Origins {
        match self.listed() {
            None => Origins::Any,
            Some(listed) if listed.is_empty() => Origins::SameOrigin,
            Some(listed) => Origins::SameOriginOr(listed),
        }
    }

    /// The same rule for the hub.
    pub(crate) fn allowed(&self) -> AllowedOrigins {
        match self.listed() {
            None => AllowedOrigins::Any,
            Some(listed) if listed.is_empty() => AllowedOrigins::SameOrigin,
            Some(listed) => AllowedOrigins::List(listed.iter().map(Origin::to_string).collect()),
        }
    }
}

fn parse_origin(text: &str) -> Result<AllowOrigin, String> {
    if text == "any" {
        return Ok(AllowOrigin::Any);
    }
    text.parse()
        .map(AllowOrigin::One)
        .map_err(|error| format!("{error}, or `any`"))
}

/// Flags for TLS on a listener.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "TLS")]
pub(crate) struct TlsArgs {
    /// Serves TLS (https and wss) with this certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key that belongs to it, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Both files, if TLS is asked for.
    pub(crate) fn files(&self) -> Option<TlsFiles> {
        let (cert, key) = self.tls_cert.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { cert, key })
    }

    /// Reads both files.
    pub(crate) fn load(&self) -> Result<Option<Arc<ServerConfig>>, Failure> {
        let Some(TlsFiles { cert, key }) = self.files() else {
            return Ok(None);
        };
        let (cert_pem, key_pem) = (read(&cert)?, read(&key)?);
        let config = fullduplex::tls::server_config(&cert_pem, &key_pem);
        config.map(Some).map_err(|error| {
            let (cert, key) = (cert.display(), key.display());
            let blamed = if CertificateDer::from_pem_slice(&cert_pem).is_err() {
                cert.to_string()
            } else if PrivateKeyDer::from_pem_slice(&key_pem).is_err() {
                key.to_string()
            } else {
                format!("{cert} with {key}")
            };
            Failure::start(format!("cannot use {blamed}: {error}"))
        })
    }
}

/// Flags for how a silent connection is told from a dead one.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Timeouts")]
pub(crate) struct PingArgs {
    /// Pings the other end this long after its last sign of life (0: never)
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    ping_interval: Seconds,
    /// Closes with 1011 when a ping is not answered for this long
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    ping_timeout: Seconds,
}

impl PingArgs {
    /// Puts them into `config`, refusing what cannot work.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), Failure> {
        if self.ping_timeout.0.is_zero() {
            return Err(Failure::usage("--ping-timeout must be more than 0"));
        }
        config.keepalive_interval = self.ping_interval.unless_zero();
        config.keepalive_timeout = self.ping_timeout.0;
        Ok(())
    }
}

/// Flags for how long a client may be silent.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Timeouts")]
pub(crate) struct TimeoutArgs {
    #[command(flatten)]
    ping: PingArgs,
    /// Closes with 1001 this long after the last sign of life (0: never)
    #[arg(long, value_name = "SECONDS", default_value = "0")]
    idle_timeout: Seconds,
}

impl TimeoutArgs {
    /// Puts them into `config`, refusing what cannot work together.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), Failure> {
        self.ping.apply(config)?;
        config.idle_timeout = self.idle_timeout.unless_zero();
        let waits = config.idle_timeout.zip(config.keepalive_interval);
        if waits.is_some_and(|(idle, ping)| idle <= ping) {
            return Err(Failure::usage(
                "--idle-timeout must be longer than --ping-interval, or no ping is ever sent",
            ));
        }
        Ok(())
    }

    /// Puts them into the hub's.
    pub(crate) fn apply_to_hub(
        &self,
        timeouts: &mut fullduplex_hub::Timeouts,
    ) -> Result<(), Failure> {
        let mut config = Config::default();
        self.apply(&mut config)?;
        timeouts.ping_interval = config.keepalive_interval;
        timeouts.ping_timeout = config.keepalive_timeout;
        timeouts.idle = config.idle_timeout;
        Ok(())
    }
}

/// An address to listen on: `ADDR:PORT`, `:PORT` (all addresses) or `PORT` (loopback).
pub(crate) fn parse_listen(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    let is_bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !is_bracketed {
        return Err("write an IPv6 address in brackets: [::1]:8080".to_owned());
    }
    if port.is_empty() || port.parse::<u16>().is_err() {
        return Err(format!(
            "`{port}` is not a port (0 to 65535); write ADDR:PORT, :PORT or PORT"
        ));
    }
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    Ok(format!("{host}:{port}"))
}

/// Listens, or says in one line why not.
pub(crate) async fn bind(listen: &str) -> Result<(TcpListener, SocketAddr), Failure> {
    let bound = async {
        let listener = TcpListener::bind(listen).await?;
        let addr = listener.local_addr()?;
        io::Result::Ok((listener, addr))
    };
    bound
        .await
        .map_err(|error| Failure::start(format!("cannot listen on {listen}: {error}")))
}

/// Says who else may come.
pub(crate) fn warn_of_strangers(door: impl Display) {
    output::warning(&format!("anybody who reaches {door} may use it"));
}

/// Says where connections are taken: the one line that scripts wait for.
pub(crate) fn announce(scheme: &str, addr: SocketAddr) {
    output::line(&format!("listening on {scheme}://{addr}"));
}

/// A file's bytes, or one line that says why not. A pipe is none: it could make us wait for ever.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let bytes = || {
        if std::fs::metadata(path)?.is_file() {
            std::fs::read(path)
        } else {
            Err(io::Error::other("not a regular file"))
        }
    };
    bytes().map_err(|error| Failure::start(format!("cannot read {}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_port_alone() {
        for (text, address) in [
            ("8000", "127.0.0.1:8000"),
            (":8000", "0.0.0.0:8000"),
            ("localhost:0", "localhost:0"),
            ("[::1]:80", "[::1]:80"),
        ] {
            assert_eq!(parse_listen(text).as_deref(), Ok(address));
        }
        for bad in [
            "",
            ":",
            "x",
            "localhost",
            "a:65536",
            "a:-1",
            "::1",
            "::1:80",
            "a:b:1",
        ] {
            assert!(parse_listen(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn any_origin_wins_over_listed_ones() {
        let args = |texts: &[&str]| OriginArgs {
            allow_origin: texts
                .iter()
                .map(|text| parse_origin(text).unwrap())
                .collect(),
        };
        assert_eq!(args(&[]).allowed(), AllowedOrigins::SameOrigin);
        assert_eq!(
            args(&["https://A.example:443/"]).allowed(),
            AllowedOrigins::List(vec!["https://a.example".to_owned()])
        );
        assert_eq!(args(&["http://a", "any"]).allowed(), AllowedOrigins::Any);
    }
}
