//! Goal: a server that can accept nobody for want of descriptors waits, says so once, and then goes on.
//! Method: the process's own limit, lowered to what is open; alone in this binary, since it holds for all of it.
#![cfg(unix)]
#![allow(clippy::expect_used, clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use common::raw::{Raw, acceptance, bound, echo, request, serves_the_next_client, within};
use fullduplex::Observer;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{Event, Level, Metadata, Subscriber, span};

static WARNINGS: AtomicUsize = AtomicUsize::new(0);
static FAILURES: AtomicUsize = AtomicUsize::new(0);

/// Counts how often accepting fails.
struct CountFailures;

impl Observer for CountFailures {
    fn accept_failed(&self, _error: &std::io::Error) {
        FAILURES.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts how often that is told.
struct CountWarnings;

impl Subscriber for CountWarnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN && metadata.target().starts_with("fullduplex")
    }

    fn event(&self, _event: &Event<'_>) {
        WARNINGS.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}
    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}
    fn enter(&self, _span: &span::Id) {}
    fn exit(&self, _span: &span::Id) {}
}

#[tokio::test]
async fn accepting_pauses_without_descriptors_and_goes_on_with_them() {
    tracing::subscriber::set_global_default(CountWarnings).unwrap();
    let (server, addr) = bound().await;
    // They wait in the system's queue; nobody accepts yet.
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push(Raw::connect(addr).await);
    }
    let before = getrlimit(Resource::Nofile);
    let none_left = Rlimit {
        current: Some(3),
        ..before
    };
    setrlimit(Resource::Nofile, none_left).unwrap();
    tokio::spawn(server.observer(Arc::new(CountFailures)).serve(echo));
    let begun = Instant::now();
    within(async {
        while FAILURES.load(Ordering::Relaxed) < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // 10, 20 and 40 ms of pauses lie between the first and the fourth.
    assert!(begun.elapsed() >= Duration::from_millis(70));
    assert_eq!(WARNINGS.load(Ordering::Relaxed), 1);
    setrlimit(Resource::Nofile, before).unwrap();
    for mut raw in waiting {
        raw.send(request(addr, "")).await;
        assert_eq!(raw.head().await, acceptance(""));
    }
    serves_the_next_client(addr).await;
}
