//! What is counted for whoever watches the hub, and the page that tells it.
//!
//! Nothing is counted per room or per user: a page has the same few lines for a hundred thousand rooms.

mod counter;
mod page;
mod process;

use fullduplex::Outcome;

pub(crate) use self::{counter::Spread, page::CONTENT_TYPE};
use self::{
    counter::{Closes, Counter, Statuses},
    page::Page,
};
use crate::{
    core::{Census, Reset},
    hub::Shared,
    log::{Health, Log},
};

/// What a WebSocket connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    V1,
    Json,
    Text,
    Echo,
    Log,
}

/// In the order of [`Kind`].
const KINDS: [&str; 5] = ["v1", "json", "text", "echo", "log"];

/// What happens on connections of one kind.
#[derive(Debug, Default)]
struct Traffic {
    opened: Counter,
    closed: Counter,
    messages: Spread,
}

/// All counters of a hub.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) accepted: Counter,
    /// For want of a place.
    pub(crate) refused: Counter,
    /// For want of descriptors or memory.
    pub(crate) accept_failures: Counter,
    pub(crate) handshakes_refused: Counter,
    /// For a ban of the server.
    pub(crate) banned: Counter,
    pub(crate) requests: Statuses,
    traffic: [Traffic; KINDS.len()],
    closes_sent: Closes,
    closes_received: Closes,
    lost: Counter,
    panics: Counter,
    /// Of logs that are followed.
    pub(crate) tail_lines: Counter,
    pub(crate) tail_skipped: Counter,
    resumed: Counter,
    resets: [Counter; RESETS.len()],
}

/// Why a client can't go on, as numbered.
const RESETS: [Reset; 5] = [
    Reset::Epoch,
    Reset::Truncated,
    Reset::Ahead,
    Reset::Mismatch,
    Reset::TooFar,
];

impl Metrics {
    pub(crate) fn new() -> Self {
        // From now on it is known.
        process::start();
        Self::default()
    }

    fn by_kind<T>(&self, value: impl Fn(&Traffic) -> T) -> impl Iterator<Item = (&'static str, T)> {
        let kinds = KINDS.iter().zip(&self.traffic);
        kinds.map(move |(name, traffic)| (*name, value(traffic)))
    }

    /// The connections that are open, of each kind.
    pub(crate) fn open(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.by_kind(|traffic| traffic.opened.get().saturating_sub(traffic.closed.get()))
    }

    /// A message came.
    pub(crate) fn received(&self, kind: Kind) {
        self.traffic[kind as usize].messages.add(1);
    }

    /// A WebSocket connection is open.
    pub(crate) fn opened(&self, kind: Kind) {
        self.traffic[kind as usize].opened.add(1);
    }

    /// It has ended.
    pub(crate) fn closed(&self, kind: Kind, outcome: &Outcome) {
        self.traffic[kind as usize].closed.add(1);
        if let Some(sent) = &outcome.sent {
            self.closes_sent.count(sent);
        }
        match &outcome.received {
            Some(received) => self.closes_received.count(received),
            None => self.lost.add(1),
        }
    }

    /// What works for one connection alone panicked, and ends.
    pub(crate) fn panicked(&self) {
        tracing::error!("a connection failed for a mistake in this program, and is closed");
        self.panics.add(1);
    }

    /// A client wanted to go on from a cursor.
    pub(crate) fn resumed(&self, judged: Result<(), Reset>) {
        match judged {
            Ok(()) => self.resumed.add(1),
            Err(reset) => self.resets[reset as usize].add(1),
        }
    }
}

/// The page for Prometheus.
pub(crate) fn page(hub: &Shared) -> String {
    let mut page = Page::default();
    process(&mut page);
    connections(&mut page, hub);
    messages(&mut page, &hub.metrics, hub.rooms.deliveries());
    rooms(&mut page, hub.rooms.census());
    log(&mut page, &*hub.log);
    tail(&mut page, hub);
    page.into_text()
}

fn process(page: &mut Page) {
    let version = [(env!("CARGO_PKG_VERSION"), 1)];
    page.gauge("fdx_build_info", "The version that runs.")
        .each("version", version);
    page.gauge(
        "process_start_time_seconds",
        "When the process began, in seconds since 1970.",
    )
    .is(process::start());
    if let Some(open) = process::open_descriptors() {
        page.gauge("process_open_fds", "Open file descriptors.")
            .is(open);
    }
    if let Some(resident) = process::resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Memory in use.")
            .is(resident);
    }
}

fn connections(page: &mut Page, hub: &Shared) {
    let metrics = &*hub.metrics;
    page.gauge(
        "fdx_connections",
        "Open connections of any kind, WebSocket or not.",
    )
    .is(hub.connections());
    page.gauge("fdx_connections_limit", "As many as may be open.")
        .is(hub.config.limits.connections);
    page.counter(
        "fdx_connections_accepted_total",
        "Connections that got a place.",
    )
    .is(metrics.accepted.get());
    page.counter(
        "fdx_connections_refused_total",
        "Connections turned away because as many were open as may be, in all or from their address.",
    )
    .is(metrics.refused.get());
    page.counter(
        "fdx_accept_failures_total",
        "Times that accepting paused, for want of descriptors or memory.",
    )
    .is(metrics.accept_failures.get());
    page.counter("fdx_http_requests_total", "Requests answered, by status.")
        .each("status", metrics.requests.get());
    page.counter(
        "fdx_handshakes_refused_total",
        "Requests for a WebSocket that broke a rule, such as that for Origin.",
    )
    .is(metrics.handshakes_refused.get());
    page.gauge("fdx_bans", "Bans, of the server and of rooms.")
        .is(hub.bans.len());
    page.counter(
        "fdx_banned_total",
        "Requests and sessions refused because of a ban of the server.",
    )
    .is(metrics.banned.get());
    page.gauge(
        "fdx_websockets",
        "Open WebSocket connections, by what they speak.",
    )
    .each("kind", metrics.open());
    page.counter(
        "fdx_websockets_opened_total",
        "WebSocket connections opened.",
    )
    .each("kind", metrics.by_kind(|traffic| traffic.opened.get()));
    page.counter(
        "fdx_closes_sent_total",
        "Close frames sent, by code; 4999 is all that mean nothing here.",
    )
    .each("code", metrics.closes_sent.get());
    page.counter(
        "fdx_closes_received_total",
        "Close frames received, by code; 4999 is all that mean nothing here.",
    )
    .each("code", metrics.closes_received.get());
    page.counter(
        "fdx_websockets_lost_total",
        "WebSocket connections that ended without the other end's Close.",
    )
    .is(metrics.lost.get());
    page.counter(
        "fdx_panics_total",
        "Mistakes in this program that ended a connection.",
    )
    .is(metrics.panics.get());
}

fn messages(page: &mut Page, metrics: &Metrics, delivered: u64) {
    page.counter("fdx_messages_received_total", "Messages of clients.")
        .each("kind", metrics.by_kind(|traffic| traffic.messages.get()));
    page.counter(
        "fdx_deliveries_total",
        "Events of rooms written for a member or a follower, each time for each.",
    )
    .is(delivered);
    let resets = RESETS.iter().zip(&metrics.resets);
    let resets = resets.map(|(reset, count)| (reset.word(), count.get()));
    page.counter(
        "fdx_resumes_total",
        "Joins with a cursor: complete (ok), or begun anew for a reason.",
    )
    .each(
        "result",
        [("ok", metrics.resumed.get())].into_iter().chain(resets),
    );
}

fn rooms(page: &mut Page, census: Census) {
    page.gauge("fdx_rooms", "Rooms in memory.").is(census.rooms);
    page.gauge(
        "fdx_room_users",
        "Users present in rooms, in each for itself.",
    )
    .is(census.users);
    page.gauge("fdx_ring_bytes", "Memory of the newest events of rooms.")
        .is(census.ring_bytes);
}

fn log(page: &mut Page, log: &dyn Log) {
    let takes = matches!(log.health(), Health::Well);
    page.gauge(
        "fdx_log_takes_messages",
        "1, or 0 while nothing can be stored.",
    )
    .is(u8::from(takes));
    let Some(load) = log.load() else { return };
    page.gauge("fdx_log_waiting_messages", "What waits to be stored.")
        .is(load.waiting);
    page.gauge("fdx_log_waiting_bytes", "Bytes of what waits to be stored.")
        .is(load.waiting_bytes);
    page.times(
        "fdx_log_append_seconds",
        "Time from when a message is handed to the log until it is stored and answered.",
        &load.appends,
    );
    page.times(
        "fdx_log_commit_seconds",
        "Time of a transaction, of one message or many, its sync included.",
        &load.commits,
    );
}

fn tail(page: &mut Page, hub: &Shared) {
    page.gauge(
        "fdx_tail_streams",
        "Logs that sessions follow, in each for itself.",
    )
    .is(hub.logs.open_streams());
    page.counter(
        "fdx_tail_lines_total",
        "Lines of logs for who follows them, in a session or at /logs, each time for each.",
    )
    .is(hub.metrics.tail_lines.get());
    page.counter(
        "fdx_tail_skipped_lines_total",
        "Lines of logs left out for who was too slow, or without credit for too long.",
    )
    .is(hub.metrics.tail_skipped.get());
}

#[cfg(test)]
mod tests {
    use std::{net::IpAddr, sync::Arc};

    use super::*;
    use crate::{
        config::Config,
        log::{MemoryLimits, MemoryLog},
        logs::Logs,
        rooms::Rooms,
    };

    #[tokio::test]
    async fn s52_a_page_for_a_hundred_thousand_rooms_is_as_long_as_for_one() {
        const ROOMS: usize = 100_000;
        let mut config = Config::default();
        config.limits.rooms = 2 * ROOMS;
        config.limits.rooms_per_address = 2 * ROOMS;
        let rooms = Arc::new(Rooms::new(&config));
        let limits = MemoryLimits {
            room_events: 1,
            events: 1,
            bytes: 1,
        };
        let log = Arc::new(MemoryLog::new(limits, Arc::clone(&rooms) as _));
        let logs = Logs::open(&[]).await.unwrap();
        let hub = Shared::new(config, Arc::clone(&rooms), log.into(), logs).unwrap();
        let before = page(&hub);
        let address = IpAddr::from([192, 0, 2, 1]);
        for room in 0..ROOMS {
            rooms
                .open(&format!("room-{room}"), Some(address), 0)
                .unwrap();
        }
        let begun = std::time::Instant::now();
        let after = page(&hub);
        println!("{} bytes in {:?}", after.len(), begun.elapsed());
        assert!(
            after.contains(&format!("\nfdx_rooms {}\n", ROOMS + 1)),
            "{after}"
        );
        assert!(!after.contains("room-"), "{after}");
        assert_eq!(after.lines().count(), before.lines().count());
        assert!(after.len() < 16 << 10, "{}", after.len());
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test]
    async fn each_metric_is_explained_to_operators() {
        let folder = tempfile::TempDir::new().unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = crate::log::sqlite::Options::new(folder.path());
        let hub = crate::Hub::durable(Config::default(), listener, &options).await;
        let page = page(&hub.unwrap().desk.shared);
        let explained = include_str!("../../../../docs/operating.md");
        let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let names: Vec<_> = types.filter_map(|line| line.split(' ').next()).collect();
        assert!(names.len() > 20, "{page}");
        for name in names {
            assert!(explained.contains(&format!("`{name}`")), "{name}");
        }
    }
}
