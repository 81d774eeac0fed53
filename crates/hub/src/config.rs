//! What a hub serves and what it may cost, as plain data.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use fullduplex::Deflate;
use fullduplex_tail::Source;

use crate::{
    auth::{Access, AdminToken},
    traffic::{Rate, TrustedProxies},
};

/// What a hub serves, to whom, and within which limits.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// What is served: the chat with all it needs, or logs alone.
    pub site: Site,
    /// What `/ws` speaks when a client does not say.
    pub plain: PlainMode,
    /// Whether `/ws` and `/echo` compress with clients that offer it (permessage-deflate), without a memory of earlier messages. Off by
    /// default: most messages are too short to gain by it, and how long they get tells something about them.
    pub deflate: bool,
    /// Whether plain JSON clients get HTML's special characters escaped, for old pages that insert
    /// messages as HTML. Off by default: everybody else would see the escapes.
    pub escape_html: bool,
    /// A folder served in place of the built-in pages.
    pub static_dir: Option<PathBuf>,
    /// The Content-Security-Policy sent with that folder's files; none by default, because a
    /// tutorial's page may well need inline scripts. The built-in pages always carry a strict one.
    pub static_csp: Option<String>,
    /// Who is let in.
    pub access: Access,
    /// What lets somebody use all of the API, besides tokens with the right for it.
    pub admin: Option<AdminToken>,
    /// The file that bans are kept in. None by default: in memory; [`Hub::durable`](crate::Hub::durable) has them in its data folder.
    pub bans: Option<PathBuf>,
    /// Which pages of other sites may connect.
    pub origins: AllowedOrigins,
    /// Names, besides loopback ones and those of allowed origins, that a `Host` header may carry
    /// on a loopback listener, and on any other once there are some; there addresses are good, too.
    /// Without a check any web page could reach the hub by a name of its own that resolves to
    /// 127.0.0.1 (DNS rebinding). With any, a listener on loopback counts as one that others reach:
    /// they use that name.
    pub hosts: Vec<String>,
    /// Certificate and key, to speak TLS.
    pub tls: Option<TlsFiles>,
    /// What can be followed.
    pub logs: Vec<LogSource>,
    /// Whether logs are shown where others [reach](Self::is_public) the hub, and anybody may read them.
    pub logs_open: bool,
    /// Bounds.
    pub limits: Limits,
    /// How fast clients may go on.
    pub rates: Rates,
    /// Proxies that are believed when they say whose a request is. Naming any ends the exemption of peers on loopback from
    /// [`Rates`] and the limits by address, and a listener on loopback counts as one that others reach.
    pub trusted_proxies: TrustedProxies,
    /// Waits.
    pub timeouts: Timeouts,
}

impl Config {
    /// Whether others than this machine reach a hub that listens at this address: by themselves, or through a proxy.
    pub fn is_public(&self, address: SocketAddr) -> bool {
        !address.ip().is_loopback() || !self.trusted_proxies.is_empty() || !self.hosts.is_empty()
    }

    /// How what rooms say is compressed, if it is.
    pub(crate) fn compression(&self) -> Option<Deflate> {
        self.deflate.then(Deflate::for_server)
    }
}

/// What a hub is for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Site {
    /// Chat page, `/ws`, `/echo`, and logs where some are named.
    #[default]
    Chat,
    /// Logs alone, their page at `/` too.
    Logs {
        /// One more path at which the first source is followed, in text mode from the first line.
        at: Option<String>,
    },
}

/// The dialects for clients that ask for none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlainMode {
    /// One object of three strings per frame.
    #[default]
    Json,
    /// Lines of text.
    Text,
}

/// Which values of `Origin` may connect, besides the hub's own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AllowedOrigins {
    /// No others.
    #[default]
    SameOrigin,
    /// These, like `https://example.com`.
    List(Vec<String>),
    /// Any page of any site.
    Any,
}

/// Where certificate and key are, both PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Something that can be followed under a name.
#[derive(Debug, Clone)]
pub struct LogSource {
    /// The name, unique, under the same rules as a room's.
    pub name: String,
    /// Where the lines come from.
    pub input: LogInput,
}

/// Where a log's lines come from.
#[derive(Debug, Clone)]
pub enum LogInput {
    /// A file, which need not exist yet.
    File(PathBuf),
    /// What is followed already, in a way of one's own: a stream, or a file by polling alone.
    Source(Arc<Source>),
}

/// What a hub and its clients may hold. All of it together bounds the hub's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, of any kind. Default 10,000: under the usual 20,000 descriptors, with
    /// room for files. More are answered 503.
    pub connections: usize,
    /// Requests at once that wait for events: streams, and polls that are held. Each has a connection, too. Default half of
    /// [`connections`](Self::connections), so that they can't shut out WebSockets; never all of them. More are answered 503.
    pub followers: Option<usize>,
    /// Connections at once from one address, or one /64 of IPv6. Default 1,000: a large office, and a tenth of all. Over plain HTTP more are
    /// answered 429.
    pub connections_per_address: usize,
    /// Connections at once that are not let in yet: TLS, a request's head, pages, a `hello` that is to come. Default half of
    /// [`connections`](Self::connections), so that who has no token can't hold them all; never all of them. More are answered 503.
    pub unauthenticated: Option<usize>,
    /// The same from one address, or one /64 of IPv6. Default half of [those](Self::connections_per_address) it may have, or of
    /// [all such](Self::unauthenticated) where they are fewer; never all of them. More are answered 429.
    pub unauthenticated_per_address: Option<usize>,
    /// Rooms at once. Default 10,000. One that was empty for [`Timeouts::empty_room_grace`] makes
    /// place for a new one.
    pub rooms: usize,
    /// Rooms that something is kept of on disk, and be it where they ended. Default a million: some hundred MB, and a second
    /// of the writer's time every ten minutes. What is said in one more is `unavailable`.
    pub kept_rooms: usize,
    /// Rooms that exist and were made from one address, or one /64 of IPv6. Default 1,000: far
    /// more than an office behind one address makes, and a tenth of all. Behind a proxy everybody
    /// has its address. Those that the right `api` made, as a back end does for its users, are not
    /// counted.
    pub rooms_per_address: usize,
    /// Rooms one connection may be in. Default 100: far beyond what a person follows.
    pub rooms_per_connection: usize,
    /// Bans of the server at once, and as many of rooms, of which one moderator makes a tenth at most. Default 10,000: far more than
    /// anybody looks through, and some MiB.
    pub bans: usize,
    /// Bytes of one message on `/ws`. Default 64 KiB: the body with every character escaped, and
    /// its envelope, still fit for any ordinary text.
    pub frame: usize,
    /// Bytes of a message's body in `fdx.v1.json`. Default 16 KiB: some pages of text.
    pub body: usize,
    /// Bytes of one message on `/echo`. Default 1 MiB; `fdx echo` is the tool for more.
    pub echo_message: usize,
    /// Connections at once on `/echo`. Default 256, far more than are tried by hand. Each holds two messages at most, one that comes and one
    /// that goes, so that all of them hold half a GiB. More are answered 503.
    pub echo_connections: usize,
    /// Events a room keeps in memory. Default 1,024: well over the lag a plain client may have
    /// and the backlog a join may ask for.
    pub ring_events: usize,
    /// Bytes a room keeps in memory, its events' encodings included. Default 4 MiB.
    pub ring_bytes: usize,
    /// Bytes all rooms keep in memory. Default 128 MiB. Rooms quiet for longest give theirs up.
    pub total_ring_bytes: usize,
    /// Events a plain client may fall behind before it is closed with 1013. Default 256, the
    /// queue of the tutorial that plain clients come from.
    pub plain_lag: usize,
    /// Users up to which a room's members are listed. Default 200; above it they are counted, or
    /// joining would cost the square of their number.
    pub listed_users: usize,
    /// Events that a log in memory keeps, and knows repetitions of. Default 65,536: some 30 MiB, and minutes even under load,
    /// where a client repeats within seconds. Of one room it keeps [`ring_events`](Self::ring_events), for a while up to a
    /// sixteenth more.
    pub memory_events: usize,
    /// Bytes that a log in memory keeps. Default 64 MiB. What is in a ring as well shares its texts.
    pub memory_bytes: usize,
    /// Bytes of a request's head. Default 16 KiB: what browsers send with many cookies.
    pub request_head: usize,
    /// Lines a new viewer of a log gets first. Default 100: two screens. `None` is all.
    pub log_backlog: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            connections_per_address: 1_000,
            followers: None,
            unauthenticated: None,
            unauthenticated_per_address: None,
            rooms: 10_000,
            kept_rooms: 1_000_000,
            rooms_per_address: 1_000,
            rooms_per_connection: 100,
            bans: 10_000,
            frame: 64 << 10,
            body: 16 << 10,
            echo_message: 1 << 20,
            echo_connections: 256,
            ring_events: 1024,
            ring_bytes: 4 << 20,
            total_ring_bytes: 128 << 20,
            plain_lag: 256,
            listed_users: 200,
            memory_events: 65_536,
            memory_bytes: 64 << 20,
            request_head: 16 << 10,
            log_backlog: Some(100),
        }
    }
}

impl Limits {
    /// As many requests at once may wait for events.
    pub(crate) fn followers(&self) -> usize {
        part(self.followers, self.connections)
    }

    /// As many connections at once may not be let in yet.
    pub(crate) fn newcomers(&self) -> usize {
        part(self.unauthenticated, self.connections)
    }

    /// The same from one address.
    pub(crate) fn newcomers_per_address(&self) -> usize {
        // Of few places for all, one address does not get all either.
        let all = self.connections_per_address.min(self.newcomers());
        part(self.unauthenticated_per_address, all)
    }
}

/// So many of all, or half of them; and not all, as long as there are several.
fn part(asked: Option<usize>, all: usize) -> usize {
    asked.unwrap_or(all / 2).min(all.saturating_sub(1)).max(1)
}

/// How fast clients may go on, so that one can't take what is there for all. A command over its rate is refused with `rate_limited` and when to
/// try again; a plain client, which has no answer, is not read from meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rates {
    /// Requests and handshakes from one address, or one /64 of IPv6. Default 100 each second, 1,000 at once: an office that
    /// comes back after a restart. More are answered 429.
    pub requests_per_address: Rate,
    /// Commands on one connection, of any kind. Default 100 each second, 500 at once: far more than a person at a page
    /// makes, and joining all rooms at once.
    pub commands_per_connection: Rate,
    /// Messages, edits and whatever else is kept, by one user. Default 50 each second, 500 at once: a bot that is busy.
    pub messages_per_user: Rate,
    /// The same from one address, or one /64 of IPv6. Default 500 each second, 5,000 at once.
    pub messages_per_address: Rate,
    /// The same in one room. Default 1,000 each second, 10,000 at once: more than anybody can read, and a feed of data.
    pub messages_per_room: Rate,
}

impl Default for Rates {
    fn default() -> Self {
        Self {
            requests_per_address: Rate::new(100, 1_000),
            commands_per_connection: Rate::new(100, 500),
            messages_per_user: Rate::new(50, 500),
            messages_per_address: Rate::new(500, 5_000),
            messages_per_room: Rate::new(1_000, 10_000),
        }
    }
}

/// How long a hub waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// For a request's head, and for the next request on a kept-open connection, and for TLS.
    /// Default 10 s, many round trips on any link.
    pub request_head: Duration,
    /// Before a connection that has not become a WebSocket takes no further request, and then for
    /// the answers under way. Default 5 minutes: who does not take a page in that time is not going
    /// to, and browsers open another connection unasked.
    pub http: Duration,
    /// For the body of a request, and then for the log to answer it. Default 30 s, of which a network that works needs one.
    pub request: Duration,
    /// Before its token expires a client is told, by this much. Default 60 s: time to get another one, over a bad link too.
    pub expiring: Duration,
    /// For `hello` on a new connection of `fdx.v1.json`. Default 10 s.
    pub hello: Duration,
    /// Without a sign of life before a ping. `None` never pings. Default 20 s, under the 30 to
    /// 60 s after which middleboxes forget a connection.
    pub ping_interval: Option<Duration>,
    /// For an answer to a ping. Default 20 s.
    pub ping_timeout: Duration,
    /// Without a sign of life before a connection is closed with 1001. Default none: who answers
    /// pings may stay.
    pub idle: Option<Duration>,
    /// For a client to take some of what is written to it. Default 10 s.
    pub write: Duration,
    /// After which a stream of events says something where there is nothing to say. Default 20 s, under the 30 to 60 s after which
    /// middleboxes forget a connection. Who takes nothing for this long, and [`write`](Self::write), is cut off.
    pub stream_heartbeat: Duration,
    /// For a closing handshake. Default 3 s, so that a shutdown has time for it.
    pub close: Duration,
    /// Over which sessions are ended one after the other when a shutdown begins; nobody new is let in. Default none: all at once,
    /// and clients are told over how long to spread their return.
    pub drain: Duration,
    /// For everybody to be gone after a shutdown began, and [`drain`](Self::drain) passed. Default 4 s; what is left is cut off.
    pub shutdown: Duration,
    /// Presence changes, and who types, are collected for this long. Default 100 ms: at once for a person, and a
    /// crowd that arrives together is told in one event.
    pub presence: Duration,
    /// The same for presence in a room with more users or connections than [`Limits::listed_users`]: each change is told to all of
    /// them. Default 1 s.
    pub presence_crowd: Duration,
    /// A user whose last connection was lost is shown as away after this long. Default 3 s: who only changes networks was never
    /// gone.
    pub presence_away: Duration,
    /// A user whose last connection was lost has left after this long. Default 15 s, some attempts to come back; with 0, at once.
    /// Who closes the connection has left at once.
    pub presence_left: Duration,
    /// A room is forgotten after it was empty for this long. Default 10 minutes: a reload, or a
    /// night train's tunnel, does not lose it.
    pub empty_room: Duration,
    /// A room is remembered for this long after it got empty even where another one wants its
    /// place. Default 1 minute: a reconnect, also one that backs off, finds it.
    pub empty_room_grace: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            http: Duration::from_secs(300),
            request: Duration::from_secs(30),
            expiring: Duration::from_secs(60),
            hello: Duration::from_secs(10),
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(20),
            idle: None,
            write: Duration::from_secs(10),
            stream_heartbeat: Duration::from_secs(20),
            close: Duration::from_secs(3),
            drain: Duration::ZERO,
            shutdown: Duration::from_secs(4),
            presence: Duration::from_millis(100),
            presence_crowd: Duration::from_secs(1),
            presence_away: Duration::from_secs(3),
            presence_left: Duration::from_secs(15),
            empty_room: Duration::from_secs(600),
            empty_room_grace: Duration::from_secs(60),
        }
    }
}

/// Whether a [`Site::Logs`]'s extra path is one: plain, and none of ours.
pub(crate) fn is_extra_path(path: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.');
    let is_ours = [
        "/api", "/assets", "/healthz", "/logs", "/metrics", "/readyz",
    ]
    .iter()
    .any(|ours| {
        path.strip_prefix(ours)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    });
    path.len() > 1 && path.starts_with('/') && path.chars().all(is_plain) && !is_ours
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_half_or_what_was_asked_for_and_never_all() {
        for (asked, all, expected) in [
            (None, 10_000, 5_000),
            (None, 3, 1),
            (None, 1, 1),
            (Some(7), 10, 7),
            // The system may allow fewer than were asked for.
            (Some(7), 7, 6),
            (Some(7), 2, 1),
            (Some(7), 1, 1),
        ] {
            assert_eq!(part(asked, all), expected, "{asked:?} of {all}");
        }
    }
}
