//! What the servers among the commands have in common: address, origins, TLS, timeouts.

use std::{io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use clap::Args;
use fullduplex::{
    Config,
    handshake::{Hosts, Origin, Origins},
    tls::rustls::ServerConfig,
};
use tokio::net::TcpListener;

use crate::exit::Failure;

/// Flags of every command that listens and is open to browsers.
#[derive(Args, Clone, Debug)]
pub(crate) struct OriginArgs {
    /// Lets pages of this origin connect, besides our own (repeatable; `any` lets all)
    #[arg(long = "allow-origin", value_name = "ORIGIN|any", value_parser = parse_origin)]
    pub(crate) allow_origin: Vec<AllowOrigin>,
}

/// One `--allow-origin`.
#[derive(Clone, Debug)]
pub(crate) enum AllowOrigin {
    Any,
    One(Origin),
}

impl OriginArgs {
    /// The rule for the `Origin` header.
    pub(crate) fn origins(&self) -> Origins {
        let mut listed = Vec::new();
        for allowed in &self.allow_origin {
            match allowed {
                AllowOrigin::Any => return Origins::Any,
                AllowOrigin::One(origin) => listed.push(origin.clone()),
            }
        }
        if listed.is_empty() { Origins::SameOrigin } else { Origins::SameOriginOr(listed) }
    }

    /// The rule for the `Host` header of a server at `addr`: on loopback only names that mean loopback, or that were
    /// allowed as origins (a name of an attacker may point here, too).
    pub(crate) fn hosts(&self, addr: SocketAddr) -> Hosts {
        if !addr.ip().is_loopback() {
            return Hosts::Any;
        }
        let also = self.allow_origin.iter().filter_map(|allowed| match allowed {
            AllowOrigin::Any => None,
            AllowOrigin::One(origin) => origin.authority().cloned(),
        });
        Hosts::Loopback { also: also.collect() }
    }
}

fn parse_origin(text: &str) -> Result<AllowOrigin, String> {
    if text == "any" {
        return Ok(AllowOrigin::Any);
    }
    text.parse().map(AllowOrigin::One).map_err(|error| format!("{error}, or `any`"))
}

/// Flags for TLS on a listener.
#[derive(Args, Clone, Debug)]
pub(crate) struct TlsArgs {
    /// Serves TLS (https and wss) with this certificate chain, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<std::path::PathBuf>,
    /// The private key that belongs to it, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<std::path::PathBuf>,
}

impl TlsArgs {
    /// Reads both files.
    pub(crate) fn load(&self) -> Result<Option<Arc<ServerConfig>>, Failure> {
        let (Some(cert), Some(key)) = (&self.tls_cert, &self.tls_key) else { return Ok(None) };
        let config = fullduplex::tls::server_config(&read(cert)?, &read(key)?);
        config.map(Some).map_err(|error| {
            Failure::start(format!("cannot use {} with {}: {error}", cert.display(), key.display()))
        })
    }
}

/// Flags for how long a connection may be silent.
#[derive(Args, Clone, Debug)]
pub(crate) struct TimeoutArgs {
    /// Pings a client this many seconds after its last sign of life (0: never)
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub(crate) ping_interval: u64,
    /// Closes with 1011 when a ping is not answered for this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20)]
    pub(crate) ping_timeout: u64,
    /// Closes with 1001 after this many seconds without a sign of life (0: never)
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) idle_timeout: u64,
}

impl TimeoutArgs {
    /// Puts them into `config`, refusing what cannot work together.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), Failure> {
        let seconds = |n: u64| (n > 0).then(|| Duration::from_secs(n));
        config.keepalive_interval = seconds(self.ping_interval);
        config.keepalive_timeout = Duration::from_secs(self.ping_timeout);
        config.idle_timeout = seconds(self.idle_timeout);
        if config.idle_timeout.zip(config.keepalive_interval).is_some_and(|(idle, ping)| idle <= ping) {
            return Err(Failure::usage(
                "--idle-timeout must be longer than --ping-interval, or no ping is ever sent",
            ));
        }
        if self.ping_timeout == 0 {
            return Err(Failure::usage("--ping-timeout must be at least 1"));
        }
        config.check().map_err(|error| Failure::usage(error.to_string()))
    }
}

/// An address to listen on: `ADDR:PORT`, `:PORT` (all addresses) or `PORT` (loopback).
pub(crate) fn parse_listen(text: &str) -> Result<String, String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("127.0.0.1", text));
    if port.parse::<u16>().is_err() {
        return Err(format!("`{port}` is not a port (0 to 65535); write ADDR:PORT, :PORT or PORT"));
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
    bound.await.map_err(|error| Failure::start(format!("cannot listen on {listen}: {error}")))
}

/// A file's bytes, or one line that says why not.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::start(format!("cannot read {}: {error}", path.display())))
}
