//! `fdx echo`: a server that sends every message back, for trying clients.

use clap::Args;
use fullduplex::{
    Acceptor, Config, Deflate, Error, Limits, Server, WebSocket, handshake::ServerOptions,
};

use crate::{
    descriptors,
    exit::Failure,
    listen::{self, OriginArgs, TimeoutArgs, TlsArgs},
    signal::Signals,
};

/// Messages of this size and more are what conformance suites send: the largest has 16 MiB.
const MAX_MESSAGE: usize = 64 << 20;

/// Connections at a time; the usual hard limit of descriptors is 20,000 or 65,536.
const MAX_CONNECTIONS: u32 = 50_000;

const HELP: &str = "\
Any path will do. Messages are compressed (permessage-deflate) with clients that offer it. It runs until Ctrl-C or SIGTERM, and then closes its connections with 1001.

Examples:
  fdx echo
  fdx echo --listen :9001 --allow-origin any
  fdx echo --subprotocol chat --max-message 65536";

/// Sends every message back, with the same type
#[derive(Args, Debug)]
#[command(after_help = HELP)]
pub(crate) struct EchoArgs {
    /// Where to listen: ADDR:PORT, :PORT or PORT; port 0 picks a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001", value_parser = listen::parse_listen)]
    listen: String,
    /// A subprotocol that is spoken (repeatable); the client's first that is among them is agreed on
    #[arg(long = "subprotocol", value_name = "P", value_parser = parse_subprotocol)]
    subprotocols: Vec<String>,
    /// The longest message that is taken; longer ones close with 1009
    #[arg(long, value_name = "BYTES", default_value_t = MAX_MESSAGE)]
    max_message: usize,
    /// Compresses nothing, whatever clients offer
    #[arg(long)]
    no_deflate: bool,
    /// Lets messages refer to earlier ones, unless the client objects: up to 300 KiB for each connection
    #[arg(long, conflicts_with = "no_deflate")]
    deflate_takeover: bool,
    #[command(flatten)]
    origin: OriginArgs,
    #[command(flatten)]
    tls: TlsArgs,
    #[command(flatten)]
    timeouts: TimeoutArgs,
}

/// A subprotocol is one token (RFC 6455 §11.5): a list in one flag would never be agreed on.
fn parse_subprotocol(text: &str) -> Result<String, String> {
    let separates = |c: char| !c.is_ascii_graphic() || r#"()<>@,;:\"/[]?={}"#.contains(c);
    if text.is_empty() || text.contains(separates) {
        return Err("a subprotocol is one word; repeat the flag for several".to_owned());
    }
    Ok(text.to_owned())
}

impl EchoArgs {
    /// How it compresses with clients that offer permessage-deflate.
    fn deflate(&self) -> Option<Deflate> {
        let mut deflate = Deflate::for_server();
        // Who tries a client wants to see what it does with compressed messages, be they ever so short.
        deflate.threshold = 0;
        deflate.server_no_context_takeover = !self.deflate_takeover;
        deflate.client_no_context_takeover = !self.deflate_takeover;
        (!self.no_deflate).then_some(deflate)
    }
}

/// Serves until a signal comes.
pub(crate) async fn run(args: EchoArgs) -> Result<(), Failure> {
    let mut config = Config::default();
    config.limits = Limits::with_max_message(args.max_message);
    args.timeouts.apply(&mut config)?;
    config
        .check()
        .map_err(|error| Failure::usage(error.to_string()))?;
    let tls = args.tls.load()?;
    let (listener, addr) = listen::bind(&args.listen).await?;
    let options = ServerOptions {
        origins: args.origin.origins(),
        deflate: args.deflate(),
        subprotocols: args.subprotocols,
        origin_remedy: listen::ORIGIN_REMEDY.into(),
        ..ServerOptions::default()
    };
    let connections = descriptors::connections(MAX_CONNECTIONS, descriptors::FEW);
    let mut server = Server::new(listener)
        .acceptor(Acceptor::new().options(options).config(config))
        .max_connections(connections)
        // Whoever measures comes from one address.
        .max_per_address(connections);
    let scheme = if tls.is_some() { "wss" } else { "ws" };
    if let Some(tls) = tls {
        server = server.tls(tls);
    }
    let signals = Signals::catch()?;
    if !addr.ip().is_loopback() {
        listen::warn_of_strangers(addr);
    }
    listen::announce(scheme, addr);
    signals
        .serve(|stopped| server.serve_until(echo, async { stopped.await.unwrap_or_default() }))
        .await
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}
