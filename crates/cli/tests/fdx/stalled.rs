//! Goal: clients that read nothing cost the server no queue while they are there, and nothing once they are gone.
//! Method: a hundred of them, more said and asked for than all buffers take, and the memory of the process.

use serde_json::{Value, json};

use crate::{
    http::get,
    program::{Program, Url, soon},
    v1::V1,
};

const STALLED: usize = 100;
/// Messages, and the bytes of each: 8 MB, more than the system buffers for a connection.
const MESSAGES: usize = 500;
const LONG: usize = 16_000;
/// Replies that each asks for, of up to 64 KiB each.
const REPLIES: usize = 100;

/// What each may take meanwhile, in KiB: what is being written, and replies that wait.
const EACH: u64 = 256;
/// What a second hundred may leave behind beyond what the first one did, in KiB: an allocator gives little back, and uses it again.
const MORE: u64 = 4 << 10;

/// Says so much that whoever does not read can't have it all.
async fn pour(talker: &mut V1, name: &str) {
    let body = "x".repeat(LONG);
    for n in 0..MESSAGES {
        let send =
            json!({"op": "send", "room": "general", "cid": format!("{name} {n}"), "body": body});
        talker.ok(send).await;
    }
}

/// Joins, and is not read from again.
async fn stalled(url: &Url, n: usize) -> V1 {
    let mut client = V1::connect(url, &format!("client {n}")).await.unwrap();
    let join = json!({"op": "join", "room": "general", "backlog": 0});
    client.ok(join).await;
    client
}

/// Waits until only so many are there.
async fn until_there_are(url: &Url, count: usize) {
    let few = async {
        loop {
            let answer = get(url.addr(), "/api/v1/stats", "").await;
            let stats: Value =
                serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
            if stats["websockets"]["v1"] == count {
                return;
            }
        }
    };
    soon("the end of the others", few).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s16_a_hundred_clients_that_never_read_cost_no_queue_and_leave_nothing_behind() {
    // They are not waited for as long as by default.
    let waits = ["--timeouts.write", "2s", "--timeouts.close", "500ms"];
    let flags = [&waits[..], &["--limits.memory-bytes", "1MiB"]].concat();
    let (server, url) = Program::listen(&[&["serve"], &flags[..]].concat()).await;
    let mut talker = V1::connect(&url, "talker").await.unwrap();
    talker.ok(json!({"op": "join", "room": "general"})).await;
    pour(&mut talker, "before").await;
    let before = server.memory("VmRSS");
    let mut after = Vec::new();
    for round in ["first", "second"] {
        let mut clients = Vec::new();
        for n in 0..STALLED {
            clients.push(stalled(&url, n).await);
        }
        pour(&mut talker, round).await;
        let ask = json!({"op": "history", "id": 1, "room": "general", "limit": 200});
        for client in &mut clients {
            let mut asked = 0;
            // It may have been closed by now.
            while asked < REPLIES && client.send(&ask).await.is_some() {
                asked += 1;
            }
        }
        until_there_are(&url, 1).await;
        after.push(server.memory("VmRSS"));
    }
    let most = server.memory("VmHWM");
    eprintln!(
        "{before} KiB before, at most {most} KiB with {STALLED} that do not read, {after:?} KiB after"
    );
    let of_all = EACH * u64::try_from(STALLED).unwrap();
    assert!(most <= before + of_all, "{most} after {before}");
    assert!(after[1] <= after[0] + MORE, "{after:?}");
}
