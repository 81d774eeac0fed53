//! Goal: a server that is killed under load loses nothing it acknowledged, stores nothing twice, and leaves nobody with another
//! room than the others have.
//! Method: clients that send, retry and come back as the protocol asks them to, and `kill -9`. `FDX_CRASHES` says how often, `FDX_CLIENTS`
//! how many there are.

use std::{
    collections::{HashMap, VecDeque},
    env,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    certificates::text,
    program::{Program, Url, run, soon},
    v1::{V1, cursor},
};

/// Messages of one client on their way.
const WINDOW: usize = 4;

/// What all do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no server.
    Down,
    /// Talk. The number tells one server from another.
    Talk(usize),
    /// Send what is not acknowledged, and nothing new.
    Finish(usize),
    /// Read up to this position.
    Read(u64),
}

struct Talker {
    name: String,
    phase: watch::Receiver<(Phase, String)>,
    tell: mpsc::UnboundedSender<Told>,
    epoch: String,
    cursor: Option<String>,
    /// The room as this client has it.
    seen: Vec<Value>,
    /// What is not acknowledged, oldest first, and how much of it was sent on this connection.
    waiting: VecDeque<String>,
    sent: usize,
    acknowledged: HashMap<String, u64>,
    said: usize,
    /// Messages it may begin with each server.
    quota: usize,
}

enum Told {
    /// It is back, with this server.
    Joined(Phase),
    Acknowledged,
    Finished,
}

impl Talker {
    async fn run(mut self) -> Self {
        let mut begun = None;
        loop {
            let (phase, url) = self.phase.borrow_and_update().clone();
            match phase {
                Phase::Read(head) if self.head() == head => return self,
                Phase::Talk(_) | Phase::Finish(_) | Phase::Read(_) => {
                    if begun != Some(phase) {
                        begun = Some(phase);
                        let budget = self.said + self.quota;
                        // However it ends: the next server is waited for.
                        self.talk(&Url(url), budget).await;
                    }
                }
                Phase::Down => {}
            }
            let is_same = self.phase.borrow().0 == phase;
            if is_same {
                self.phase.changed().await.unwrap();
            }
        }
    }

    fn head(&self) -> u64 {
        self.seen
            .last()
            .map_or(0, |event| event["seq"].as_u64().unwrap())
    }

    /// Lives on one connection. None when it is over.
    async fn talk(&mut self, url: &Url, budget: usize) -> Option<()> {
        let mut client = V1::connect(url, &self.name).await?;
        let mut join = json!({"op": "join", "id": "join", "room": "general", "backlog": 200});
        if let Some(cursor) = &self.cursor {
            join["since"] = json!(cursor);
        }
        client.send(&join).await?;
        let joined = client.reply().await?;
        let joined = &joined["ok"];
        if self.cursor.is_none() {
            assert_eq!(joined["floor"], 1);
            self.epoch = joined["epoch"].as_str().unwrap().into();
            self.cursor = Some(format!("{}.0.000000", self.epoch));
            // It reads from the beginning, by its own cursor.
            drop(client);
            return Box::pin(self.talk(url, budget)).await;
        }
        let reason = &joined["reason"];
        assert_eq!(joined["resume"], "ok", "{}: {reason}", self.name);
        self.tell.send(Told::Joined(self.phase.borrow().0)).ok();
        self.sent = 0;
        let mut has_finished = false;
        loop {
            let phase = self.phase.borrow().0;
            let may_begin = if let Phase::Talk(_) = phase {
                budget
            } else {
                0
            };
            while self.waiting.len() < WINDOW && self.said < may_begin {
                self.said += 1;
                let cid = format!("{} {}", self.name, self.said);
                self.waiting.push_back(cid);
            }
            while let Some(cid) = self.waiting.get(self.sent) {
                let send =
                    json!({"op": "send", "id": cid, "room": "general", "cid": cid, "body": cid});
                client.send(&send).await?;
                self.sent += 1;
            }
            match phase {
                Phase::Finish(_) if self.waiting.is_empty() && !has_finished => {
                    has_finished = true;
                    self.tell.send(Told::Finished).ok();
                }
                Phase::Read(head) if self.head() >= head => return Some(()),
                _ => {}
            }
            tokio::select! {
                frame = client.next() => self.take(&frame?),
                changed = self.phase.changed() => changed.unwrap(),
            }
        }
    }

    fn take(&mut self, frame: &Value) {
        if frame["ev"] == "msg" {
            assert_eq!(frame["prev"], self.head(), "nothing is missing");
            self.cursor = Some(cursor(&self.epoch, frame));
            self.seen.push(frame.clone());
        }
        let Some(cid) = frame["re"].as_str() else {
            return;
        };
        if frame["err"]["code"] == "timeout" {
            // To be sent again, on the next connection.
            return;
        }
        let seq = frame["ok"]["seq"]
            .as_u64()
            .unwrap_or_else(|| panic!("{frame}"));
        assert_eq!(self.waiting.pop_front().as_deref(), Some(cid), "in order");
        self.sent -= 1;
        self.acknowledged.insert(cid.to_owned(), seq);
        self.tell.send(Told::Acknowledged).ok();
    }
}

fn from_env(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn s31_nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed_under_load() {
    let (crashes, clients) = (from_env("FDX_CRASHES", 3), from_env("FDX_CLIENTS", 8));
    let folder = TempDir::new().unwrap();
    let serve = ["serve", "--data", text(folder.path())];
    // Nobody misses more than what is sent one by one.
    let quota = (200 / clients).clamp(1, 25);
    let (phase, phases) = watch::channel((Phase::Down, String::new()));
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut talkers = JoinSet::new();
    for n in 0..clients {
        let talker = Talker {
            name: format!("client {n}"),
            phase: phases.clone(),
            tell: tell.clone(),
            epoch: String::new(),
            cursor: None,
            seen: Vec::new(),
            waiting: VecDeque::new(),
            sent: 0,
            acknowledged: HashMap::new(),
            said: 0,
            quota,
        };
        talkers.spawn(talker.run());
    }
    for crash in 0..crashes {
        let (server, url) = Program::listen(&serve).await;
        phase.send_replace((Phase::Talk(crash), url.0));
        if crash % 4 == 0 {
            // Everybody gets in now and then.
            let mut joined = 0;
            while joined < clients {
                let told = soon("all of them", told.recv()).await.unwrap();
                joined += usize::from(matches!(told, Told::Joined(Phase::Talk(at)) if at == crash));
            }
        } else {
            // Now early, perhaps while all come back, now late.
            for _ in 0..crash * 7919 % (clients * quota / 2) {
                soon("somebody", told.recv()).await.unwrap();
            }
        }
        server.crash().await;
        phase.send_replace((Phase::Down, String::new()));
    }

    let (server, url) = Program::listen(&serve).await;
    phase.send_replace((Phase::Finish(crashes), url.0.clone()));
    let mut finished = 0;
    while finished < clients {
        if let Told::Finished = soon("the last acknowledgements", told.recv())
            .await
            .unwrap()
        {
            finished += 1;
        }
    }
    let mut reader = V1::connect(&url, "reader").await.unwrap();
    let head = reader.ok(json!({"op": "join", "room": "general"})).await["head"].clone();
    phase.send_replace((Phase::Read(head.as_u64().unwrap()), url.0));
    let talkers = soon("the rest", talkers.join_all()).await;
    server.terminate();
    server.end().await;

    let export = run(&["export", "--data", serve[2], "--room", "general"], "").await;
    let room = export
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let room: Vec<Value> = room.collect();
    let mut places = HashMap::new();
    for event in &room {
        let cid = event["cid"].as_str().unwrap();
        let twice = places.insert(cid, event["seq"].as_u64().unwrap());
        assert_eq!(twice, None, "{cid} is there twice");
    }
    let mut acknowledged = 0;
    for talker in &talkers {
        assert!(talker.seen == room, "{} has another room", talker.name);
        acknowledged += talker.acknowledged.len();
        for (cid, seq) in &talker.acknowledged {
            assert_eq!(places.get(&**cid), Some(seq), "{cid} was acknowledged");
        }
    }
    assert_eq!(acknowledged, room.len(), "in the end all is acknowledged");
    eprintln!("{crashes} crashes, {clients} clients, {acknowledged} messages");
}
