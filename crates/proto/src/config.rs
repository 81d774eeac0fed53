//! Every bound and every wait of a connection, with its default and the reason for it.

use std::{fmt, time::Duration};

use crate::message::MessageKind;

/// How a connection behaves. Shared by all connections that behave alike.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// What a peer may cost.
    pub limits: Limits,
    /// Which messages are taken; others end the connection with 1003. Default: any.
    pub accept: Accept,
    /// A ping goes out after this long without a sign of life; `None` never pings.
    ///
    /// Default 20 s: below the 30 to 60 s after which proxies and address translators forget a quiet connection.
    pub keepalive_interval: Option<Duration>,
    /// The peer has this long to show life after a ping; then the connection fails with 1011 "keepalive timeout". What the
    /// transport had no room for before, and takes, starts this anew.
    ///
    /// Default 20 s: several retransmissions of TCP on a bad mobile link.
    pub keepalive_timeout: Duration,
    /// What proves after a ping that the peer lives. Default: any byte from it.
    pub keepalive_life: Life,
    /// The connection is closed with 1001 "idle" after this long without a sign of life; `None` never does.
    ///
    /// Default `None`: a silent peer that answers pings is what WebSocket is for.
    pub idle_timeout: Option<Duration>,
    /// What keeps a connection from being idle. Default: any byte.
    pub idle_life: Life,
    /// A message must be complete this long after its first byte, or the connection fails with 1008; `None` never does.
    ///
    /// It counts also while nobody receives, and is looked at when somebody does. Default 60 s: 4 MiB over a link of 600 kbit/s, while a peer that trickles holds its buffer no longer.
    pub message_timeout: Option<Duration>,
    /// With bytes waiting to be written, the transport must take some within this time, or the connection is dropped.
    /// What TLS has taken and holds back (at most 64 KiB) must leave within it.
    ///
    /// Default 10 s, as in the field's examples: nobody reads at the other end.
    pub write_timeout: Duration,
    /// The closing handshake and the end of TCP may take this long. Default 5 s: a few round trips on the worst of links.
    pub close_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            accept: Accept::Any,
            keepalive_interval: Some(Duration::from_secs(20)),
            keepalive_timeout: Duration::from_secs(20),
            keepalive_life: Life::AnyByte,
            idle_timeout: None,
            idle_life: Life::AnyByte,
            message_timeout: Some(Duration::from_secs(60)),
            write_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
        }
    }
}

impl Config {
    /// Says whether the settings can work together.
    ///
    /// # Errors
    ///
    /// A sentence that names the settings: a wait of zero, a limit of zero, an idle timeout that ends
    /// every connection before a ping can prove it alive, or queue limits in the wrong order.
    pub fn check(&self) -> Result<(), ConfigError> {
        let waits = [
            ("keepalive_interval", self.keepalive_interval),
            ("keepalive_timeout", Some(self.keepalive_timeout)),
            ("idle_timeout", self.idle_timeout),
            ("message_timeout", self.message_timeout),
            ("write_timeout", Some(self.write_timeout)),
            ("close_timeout", Some(self.close_timeout)),
        ];
        if let Some((name, _)) = waits.iter().find(|(_, wait)| *wait == Some(Duration::ZERO)) {
            return Err(ConfigError(format!("{name} must not be zero")));
        }
        if let (Some(ping), Some(idle), Life::AnyByte) =
            (self.keepalive_interval, self.idle_timeout, self.idle_life)
            && idle <= ping
        {
            return Err(ConfigError(
                "idle_timeout must be longer than keepalive_interval, or no ping is ever sent"
                    .into(),
            ));
        }
        self.limits.check()
    }
}

/// What a peer, or this endpoint's own application, may make a connection hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of payload in one frame; more is answered with 1009, before anything is allocated.
    ///
    /// Default 4 MiB, as for messages: browsers send a message as one frame, however long.
    pub max_frame: u64,
    /// Bytes of payload in one message; more is answered with 1009.
    ///
    /// Default 4 MiB: a photo passes, and a thousand hostile connections hold 4 GiB at the very most.
    pub max_message: usize,
    /// Frames of one message; more is answered with 1009.
    ///
    /// Default 8,192, one for every 512 bytes of the default message. Fragments are joined as they come and cost no
    /// memory of their own; this bounds the work, and ends messages of endless empty fragments.
    pub max_fragments: u32,
    /// Payload bytes of one frame sent; longer messages leave in fragments.
    ///
    /// Default 64 KiB, so that a pong or ping waits for no more than that behind a message of any size.
    pub fragment: usize,
    /// Bytes queued and not yet written from which `send` waits. Default 64 KiB: what one write can take.
    pub soft_queue: usize,
    /// Bytes queued and not yet written above which nothing more is taken, unless the queue is empty.
    ///
    /// Default 1 MiB: sixteen full writes, more than any link has in flight.
    pub hard_queue: usize,
    /// Pongs owed and not yet written; from then on only the latest ping is answered, as RFC 6455 §5.5.3 allows.
    ///
    /// Default 64, that is at most 8 KiB.
    pub max_pongs: usize,
    /// Pings sent and not yet answered. Default 16, and more are refused.
    pub max_pings: usize,
    /// Bytes read and thrown away after the connection failed, so that the peer can read our Close.
    ///
    /// Default 1 MiB; a peer that sends more is cut off.
    pub max_drain: u64,
}

impl Limits {
    /// Defaults, with messages (and so frames) of at most `bytes`, and as many fragments as fits that size:
    /// one for every 512 bytes, at least 1,024.
    pub fn with_max_message(bytes: usize) -> Self {
        let fragments = u32::try_from(bytes / 512).unwrap_or(u32::MAX).max(1024);
        Self {
            max_frame: bytes as u64,
            max_message: bytes,
            max_fragments: fragments,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        if self.max_message == 0 || self.max_frame == 0 || self.max_fragments == 0 {
            return Err(ConfigError(
                "limits of frames, messages and fragments must not be zero".into(),
            ));
        }
        if self.fragment == 0 || self.soft_queue == 0 || self.hard_queue < self.soft_queue {
            return Err(ConfigError(
                "0 < soft_queue <= hard_queue and 0 < fragment must hold".into(),
            ));
        }
        Ok(())
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: 4 << 20,
            max_message: 4 << 20,
            max_fragments: 8192,
            fragment: 64 << 10,
            soft_queue: 64 << 10,
            hard_queue: 1 << 20,
            max_pongs: 64,
            max_pings: 16,
            max_drain: 1 << 20,
        }
    }
}

/// Which messages an endpoint takes (RFC 6455 §7.4.1, code 1003).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// Text and binary.
    #[default]
    Any,
    /// Text only.
    TextOnly,
    /// Binary only.
    BinaryOnly,
}

impl Accept {
    pub(crate) fn takes(self, kind: MessageKind) -> bool {
        !matches!(
            (self, kind),
            (Self::TextOnly, MessageKind::Binary) | (Self::BinaryOnly, MessageKind::Text)
        )
    }
}

/// What counts as a sign of life from the peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Life {
    /// Any byte received: also one of a message that is still on its way, or a pong.
    #[default]
    AnyByte,
    /// For keepalive: only the pong to a ping. For the idle timeout: only frames that carry data.
    Strict,
}

/// Settings that cannot work together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}
