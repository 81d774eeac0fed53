//! Groups of connections over scripted transports, and what left to each.

use fullduplex::{Broadcast, Config, Delivery, Message, Overflow, Prepared, ReadHalf, Sender};
use fullduplex_testkit::{Fault, wire};
use tokio::{runtime::Runtime, time::timeout};

use super::{Wire, raw::PATIENCE, server};

/// A connection whose queue is full with one message of a few bytes.
pub(crate) async fn member(overflow: Overflow) -> (ReadHalf, Sender, Wire) {
    let mut config = Config::default();
    config.limits.soft_queue = 60;
    let (ws, wire) = server(config).await;
    let (read, write) = ws.split();
    (read, write.into_sender(overflow), wire)
}

/// A connection with room for everything.
pub(crate) async fn roomy() -> (ReadHalf, Sender, Wire) {
    let (ws, wire) = server(Config::default()).await;
    let (read, write) = ws.split();
    (read, write.into_sender(Overflow::Close), wire)
}

/// A group of such connections, each under its place.
pub(crate) async fn group(members: usize) -> (Broadcast<usize>, Vec<(ReadHalf, Sender, Wire)>) {
    let group = Broadcast::new();
    let mut all = Vec::new();
    for key in 0..members {
        let member = roomy().await;
        group.join(key, &member.1);
        all.push(member);
    }
    (group, all)
}

/// A runtime that does something only while it is driven.
pub(crate) fn undriven() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

pub(crate) async fn until_written(wire: &Wire, expected: &[wire::Frame]) {
    let bytes: Vec<_> = expected
        .iter()
        .flat_map(|frame| frame.clone().bytes())
        .collect();
    let written = wire
        .script
        .until(|script| script.written().ends_with(&bytes));
    timeout(PATIENCE, written).await.expect("it leaves");
    assert_eq!(wire.frames(), expected);
}

pub(crate) fn stall(wire: &Wire) {
    wire.script
        .fault_writes_at(wire.script.written().len(), Fault::Stall);
}

pub(crate) fn text(text: &str) -> Prepared {
    Prepared::new(&Message::text(text))
}

/// The counts of a delivery: sent, dropped, displaced, closed, gone.
pub(crate) fn counts(delivery: Delivery) -> [usize; 5] {
    [
        delivery.sent,
        delivery.dropped,
        delivery.displaced,
        delivery.closed,
        delivery.gone,
    ]
}
