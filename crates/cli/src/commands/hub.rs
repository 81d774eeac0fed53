//! What `serve` and `tail` have in common: both run a hub.

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
};

use clap::Args;
use fullduplex_hub::{
    Config, Hub, NoNetwork, Site, StartError, TrustedProxies, auth::Access, log::sqlite,
};
use tokio::net::TcpListener;

use super::{access::AccessArgs, private, store};
use crate::{
    descriptors,
    exit::{Failure, with_causes},
    listen::{self, OriginArgs, TimeoutArgs, TlsArgs},
    output,
    seconds::Seconds,
    service,
    signal::{Hangups, Signals},
};

/// What the files of `--static` may do with `--csp` alone: use what comes from here, nothing inline, nothing else.
const STRICT_POLICY: &str = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Flags of the commands that run a hub.
#[derive(Args, Debug)]
pub(crate) struct HubArgs {
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    origin: OriginArgs,
    /// Answers to this name, too, and off loopback to no others from then on (repeatable)
    #[arg(
        long = "host",
        value_name = "NAME",
        help_heading = "Who may connect",
        value_parser = host
    )]
    hosts: Vec<String>,
    /// Believes X-Forwarded-For and X-Forwarded-Proto from this address or network (repeatable)
    #[arg(
        long = "trusted-proxy",
        value_name = "CIDR",
        help_heading = "Who may connect",
        value_parser = network
    )]
    trusted_proxies: Vec<String>,
    /// Shows logs to whoever reaches us, when that is not only this machine
    #[arg(long, help_heading = "Who may connect")]
    logs_open: bool,
    /// Serves this folder in place of the built-in pages
    #[arg(long = "static", value_name = "DIR", help_heading = "Pages")]
    static_dir: Option<PathBuf>,
    /// Sends a Content-Security-Policy with that folder's files: a strict one, or POLICY
    #[arg(
        long,
        value_name = "POLICY",
        requires = "static_dir",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = STRICT_POLICY,
        help_heading = "Pages"
    )]
    csp: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    timeouts: TimeoutArgs,
    /// When told to stop, ends connections one after the other over this long (0: all at once)
    #[arg(
        long,
        value_name = "SECONDS",
        default_value = "0",
        help_heading = "Timeouts"
    )]
    drain: Seconds,
}

impl HubArgs {
    /// Puts them into `config`, refusing what cannot work together.
    pub(crate) fn apply(self, config: &mut Config) -> Result<(), Failure> {
        private::check(self.static_dir.as_deref(), self.access.private())?;
        self.access.apply(config)?;
        self.timeouts.apply_to_hub(&mut config.timeouts)?;
        config.timeouts.drain = self.drain.0;
        config.origins = self.origin.allowed();
        config.hosts = self.hosts;
        config.trusted_proxies = TrustedProxies::parse(&self.trusted_proxies)
            .map_err(|why| Failure::usage(why.to_string()))?;
        config.logs_open = self.logs_open;
        config.static_dir = self.static_dir;
        config.static_csp = self.csp;
        // The hub reads them itself; this says more exactly what is wrong with them.
        self.tls.load()?;
        config.tls = self.tls.files();
        let key = config.tls.as_ref().map(|files| &*files.key);
        private::check(config.static_dir.as_deref(), [("--tls-key", key)])
    }
}

/// As browsers send it: with a scheme or a port it would be no name that any of them ever asks for.
fn host(text: &str) -> Result<String, &'static str> {
    let of_a_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let in_brackets = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let is_address = in_brackets.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
    if is_address || !text.is_empty() && text.chars().all(of_a_name) {
        Ok(text.to_owned())
    } else {
        Err("write a name such as chat.example.com, without scheme, port and path")
    }
}

fn network(text: &str) -> Result<String, NoNetwork> {
    TrustedProxies::parse([text])?;
    Ok(text.to_owned())
}

/// A hub that listens.
#[derive(Debug)]
pub(crate) struct Listening {
    hub: Hub,
    signals: Signals,
    hangups: Hangups,
    scheme: &'static str,
    /// Where strangers come in.
    open_door: Option<String>,
}

/// Makes a hub, with a log on disk if it is to be in `store`.
pub(crate) async fn start(
    listen: &str,
    mut config: Config,
    store: Option<sqlite::Options>,
) -> Result<Listening, Failure> {
    let (listener, addr) = listen::bind(listen).await?;
    check(&config, addr)?;
    let wanted = u32::try_from(config.limits.connections).unwrap_or(u32::MAX);
    config.limits.connections = descriptors::connections(wanted, wanted) as usize;
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let is_open = !matches!(config.access, Access::Tokens(_)) && config.is_public(addr);
    let open_door = is_open.then(|| door(&config, addr));
    let hub = new_hub(config, listener, store).await?;
    let signals = Signals::catch()?;
    Ok(Listening {
        hub,
        signals,
        hangups: Hangups::catch()?,
        scheme,
        open_door,
    })
}

/// Refuses what can't be served at this address.
pub(crate) fn check(config: &Config, addr: SocketAddr) -> Result<(), Failure> {
    let is_open = !matches!(config.access, Access::Tokens(_));
    let is_public = config.is_public(addr);
    if is_open && !config.logs.is_empty() && !config.logs_open && is_public {
        return Err(Failure::usage(format!(
            "anybody who reaches {} could read the logs; pass --logs-open if they may",
            door(config, addr)
        )));
    }
    if config.site == Site::Chat && config.access == Access::Loopback && is_public {
        return Err(Failure::usage(format!(
            "anybody who reaches {} could use it; ask for tokens with --auth-secret or --auth-keys, or pass --open if they may",
            door(config, addr)
        )));
    }
    config.check(addr).map_err(|error| refused(&error))
}

/// Where others come in.
fn door(config: &Config, addr: SocketAddr) -> String {
    if !addr.ip().is_loopback() || !config.is_public(addr) {
        return addr.to_string();
    }
    let proxy = "the proxy of --trusted-proxy";
    config.hosts.first().map_or(proxy, |host| host).to_owned()
}

async fn new_hub(
    config: Config,
    listener: TcpListener,
    store: Option<sqlite::Options>,
) -> Result<Hub, Failure> {
    let hub = match store {
        Some(store) => Hub::durable(config, listener, &store).await,
        None => Hub::new(config, listener).await,
    };
    hub.map_err(|error| refused(&error))
}

fn refused(error: &StartError) -> Failure {
    let message = with_causes(error);
    match error {
        StartError::Config(_) => Failure::usage(message),
        StartError::File { .. } => Failure::start(format!("cannot use {message}")),
        StartError::Store(_) => Failure::start(format!("{message} ({})", store::REMEDY)),
        StartError::Log(_) | StartError::Listener(_) => Failure::start(message),
    }
}

impl Listening {
    /// Answers those who look after it at this address, too.
    pub(crate) async fn operators_on(mut self, address: &str) -> Result<Self, Failure> {
        let (listener, addr) = listen::bind(address).await?;
        output::note(&format!("metrics are at http://{addr}/metrics"));
        if !addr.ip().is_loopback() {
            output::warning(&format!("anybody who reaches {addr} can read the metrics"));
        }
        self.hub = self.hub.operators_on(listener);
        Ok(self)
    }

    /// Says where it listens.
    pub(crate) fn announce(&self) {
        if let Some(door) = &self.open_door {
            listen::warn_of_strangers(door);
        }
        listen::announce(self.scheme, self.hub.local_addr());
    }

    /// Serves until a signal comes.
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let Self {
            hub,
            signals,
            mut hangups,
            ..
        } = self;
        let reloader = hub.reloader();
        let reloading = async {
            loop {
                hangups.next().await;
                reloader.reload().await;
            }
        };
        let serving = signals.serve(|stopped| hub.run(async { stopped.await.unwrap_or_default() }));
        service::is_ready();
        tokio::select! {
            served = serving => served,
            never = reloading => never,
        }
    }
}
