//! Goal: when all come back at once after a crash, everybody has everything, once and in order.
//! Method: clients in one room, `kill -9`, messages while they are away, and then all of them at the same moment, without the wait
//! that good clients have. What that costs is told:
//! `FDX_HERD=9000 cargo test --release --package fdx --test fdx s47_ -- --nocapture`.

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Duration, Instant, timeout},
};

use crate::{
    certificates::text,
    program::{Program, Url, from_env, has_descriptors_for},
    v1::{V1, cursor},
};

/// Messages before the crash, and while they are away.
const BEFORE: u64 = 10;
const MISSED: u64 = 100;

/// How long all of them may take at most, on a machine with much else to do.
const LONG: Duration = Duration::from_mins(5);

struct Member {
    name: String,
    /// Behind what it has.
    cursor: Option<String>,
    /// How many of the messages it has.
    has: u64,
    /// How often it came in vain.
    refused: usize,
}

impl Member {
    /// Comes, or comes back, and returns its connection and how long it took until it was in the room.
    async fn come(&mut self, url: &Url) -> (V1, String, Duration) {
        let start = Instant::now();
        // As clients do that are told to come later, or not heard in time.
        let mut client = loop {
            if let Some(client) = V1::connect(url, &self.name).await {
                break client;
            }
            self.refused += 1;
        };
        let mut join = json!({"op": "join", "room": "general", "backlog": 0});
        if let Some(cursor) = &self.cursor {
            join["since"] = json!(cursor);
        }
        let joined = client.ok(join).await;
        if self.cursor.is_some() {
            assert_eq!(joined["resume"], "ok", "{}: {joined}", self.name);
        }
        let epoch = joined["epoch"].as_str().unwrap().to_owned();
        (client, epoch, start.elapsed())
    }

    /// Reads until it has so many messages.
    async fn read(&mut self, client: &mut V1, epoch: &str, until: u64) {
        while self.has < until {
            let msg = client.msg().await;
            assert_eq!(
                (&msg["body"], &msg["prev"]),
                (&body(self.has), &json!(self.has)),
                "{} has the next one",
                self.name
            );
            self.has += 1;
            self.cursor = Some(cursor(epoch, &msg));
        }
    }
}

fn body(n: u64) -> Value {
    json!(format!("message {n}"))
}

async fn say(client: &mut V1, numbers: impl Iterator<Item = u64>) {
    for n in numbers {
        let cid = n.to_string();
        let send = json!({"op": "send", "room": "general", "cid": cid, "body": body(n)});
        assert_eq!(client.ok(send).await["seq"], n + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s47_all_come_back_at_once_after_a_crash_and_miss_nothing() {
    let clients = from_env("FDX_HERD", 2_000);
    if !has_descriptors_for(clients, "thousands who come back at once") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let serve = ["serve", "--data", text(folder.path())];
    let (server, url) = Program::listen(&serve).await;
    let mut coming = JoinSet::new();
    for n in 0..clients {
        let mut member = Member {
            name: format!("client {n}"),
            cursor: None,
            has: 0,
            refused: 0,
        };
        let url = url.clone();
        coming.spawn(async move {
            let (client, epoch, _) = member.come(&url).await;
            (member, client, epoch)
        });
    }
    let here = coming.join_all().await;
    let mut teller = V1::connect(&url, "teller").await.unwrap();
    teller.ok(json!({"op": "join", "room": "general"})).await;
    say(&mut teller, 0..BEFORE).await;
    let mut members = Vec::new();
    for (mut member, mut client, epoch) in here {
        member.read(&mut client, &epoch, BEFORE).await;
        members.push(member);
    }
    server.crash().await;

    let (server, url) = Program::listen(&serve).await;
    let mut teller = V1::connect(&url, "teller").await.unwrap();
    teller.ok(json!({"op": "join", "room": "general"})).await;
    say(&mut teller, BEFORE..BEFORE + MISSED).await;
    let before = server.memory("VmRSS");
    let start = Instant::now();
    let mut back = JoinSet::new();
    for mut member in members {
        let url = url.clone();
        back.spawn(async move {
            let (mut client, epoch, took) = member.come(&url).await;
            member.read(&mut client, &epoch, BEFORE + MISSED).await;
            // It stays, as all others do.
            (client, took, member.refused)
        });
    }
    let back = timeout(LONG, back.join_all()).await.unwrap();
    let took = start.elapsed();
    let mut joins: Vec<_> = back.iter().map(|(_, took, _)| *took).collect();
    let refused: usize = back.iter().map(|(.., refused)| refused).sum();
    joins.sort();
    let (middle, late) = (joins[clients / 2], joins[clients * 99 / 100]);
    eprintln!(
        "{clients} clients are back in {took:.1?}, each with {MISSED} messages; in the room after {middle:.1?} (half of them), \
         {late:.1?} (99 %); {refused} came in vain first; memory of the server {before} KiB before, at most {} KiB, {} KiB now",
        server.memory("VmHWM"),
        server.memory("VmRSS")
    );
}
