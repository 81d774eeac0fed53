//! Goal: what streams of logs have for a session leaves without anything else that wakes it.
//! Method: a session without a connection, packed by hand.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use fullduplex_tail::{Backlog, Options, Source};

use super::{
    Parcel,
    seat_tests::{V1, hub_with, session},
};
use crate::config::{Config, LogInput, LogSource};

/// Lines of one event, which alone is as much as leaves at once.
const LINES: usize = 66;

/// A log that has been read to its end.
async fn ended(name: &str) -> LogSource {
    let text = format!("{}\n", "x".repeat(1_000)).repeat(LINES);
    let source = Source::stream(std::io::Cursor::new(text), &Options::default()).unwrap();
    let mut reader = source.reader(Backlog::All);
    while reader.next().await.unwrap().is_some() {}
    LogSource {
        name: name.into(),
        input: LogInput::Source(Arc::new(source)),
    }
}

#[tokio::test]
async fn what_the_event_of_another_stream_leaves_no_room_for_is_known_to_wait() {
    let config = Config {
        logs: vec![ended("app").await, ended("db").await],
        ..Config::default()
    };
    let hub = hub_with(config).await;
    let mut session = session(&hub, V1).await;
    session.take_command(r#"{"op":"hello"}"#).unwrap();
    for log in ["app", "db"] {
        // So that neither goes on behind its event.
        let open =
            format!(r#"{{"op":"log.open","log":"{log}","backlog":{LINES},"credit":{LINES}}}"#);
        session.take_command(&open).unwrap();
    }
    let cx = &mut Context::from_waker(Waker::noop());
    let mut parcel = Parcel::default();
    session.pack(&mut parcel).unwrap();
    // They are read, and then sifted.
    for _ in 0..2 {
        assert!(session.streams_go_on());
        session.poll_streams(cx);
    }
    assert!(!session.streams_go_on());
    for is_all in [false, true] {
        parcel.begin(0);
        assert_eq!(session.pack(&mut parcel).unwrap(), is_all);
        assert!(parcel.is_full());
    }
    parcel.begin(0);
    assert!(session.pack(&mut parcel).unwrap());
    assert!(parcel.is_empty());
}
