//! Goal: thousands who come into one room together cost what they are, and not the square of it.
//! Method: two thousand sockets (of the twenty thousand that the core alone is tested with), each of which counts what it is told of
//! the others.

use serde_json::{Value, json};
use tokio::{task::JoinSet, time::Instant};

use crate::{
    program::{Program, Url, has_descriptors_for, soon},
    v1::V1,
};

const CROWD: u64 = 2_000;
/// Connecting so many at a time leaves room in the listener's queue.
const AT_ONCE: usize = 50;
/// Users that a room lists, by default.
const LISTED: u64 = 200;

/// What somebody in a crowd was told of the others.
#[derive(Default)]
struct Told {
    /// Changes, while all were listed and when they were only counted.
    listed: u64,
    counted: u64,
    /// People by name.
    names: usize,
}

impl Told {
    fn name(&mut self, people: &Value) {
        self.names += people.as_array().map_or(0, Vec::len);
    }

    /// Takes what is told until all are there.
    async fn until_all_are_here(mut self, mut client: V1, mut count: u64) -> (Self, V1) {
        while count < CROWD {
            let event = soon("news", client.next()).await.unwrap();
            assert_eq!(event["ev"], "pres", "{event}");
            count = event["count"].as_u64().unwrap();
            if count > LISTED {
                self.counted += 1;
            } else {
                self.listed += 1;
            }
            for people in ["in", "out", "away"] {
                self.name(&event[people]);
            }
        }
        (self, client)
    }
}

async fn come(url: Url, n: usize) -> (Told, V1, u64) {
    let mut client = V1::connect(&url, &format!("client {n}")).await.unwrap();
    let joined = client.ok(json!({"op": "join", "room": "general"})).await;
    let mut told = Told::default();
    told.name(&joined["members"]);
    (told, client, joined["count"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn s28_two_thousand_who_join_together_are_told_of_now_and_then_and_not_one_by_one() {
    let crowd = usize::try_from(CROWD).unwrap();
    if !has_descriptors_for(crowd, "thousands who come into a room together") {
        return;
    }
    let (server, url) = Program::listen(&["serve"]).await;
    let begun = Instant::now();
    let mut here = JoinSet::new();
    for first in (0..crowd).step_by(AT_ONCE) {
        let mut coming = JoinSet::new();
        for n in first..first + AT_ONCE {
            coming.spawn(come(url.clone(), n));
        }
        for (told, client, count) in soon("the next of them", coming.join_all()).await {
            here.spawn(told.until_all_are_here(client, count));
        }
    }
    let here = soon("all of them", here.join_all()).await;
    let took = begun.elapsed();
    let tenths = u64::try_from(took.as_millis()).unwrap() / 100;
    for (told, _) in &here {
        assert!(told.listed <= tenths + 1, "{} in {took:?}", told.listed);
        assert!(
            told.counted <= tenths / 10 + 2,
            "{} in {took:?}",
            told.counted
        );
    }
    let names: usize = here.iter().map(|(told, _)| told.names).sum();
    // Each of those who are listed learns of each other one, by the reply or an event.
    let listed = usize::try_from(LISTED * LISTED).unwrap();
    assert!((listed / 2..=2 * listed).contains(&names), "{names}");
    let news: u64 = here
        .iter()
        .map(|(told, _)| told.listed + told.counted)
        .sum();
    eprintln!(
        "{crowd} joined in {took:.1?}: {news} events and {names} names in all; memory of the server {} KiB",
        server.memory("VmRSS")
    );
}
