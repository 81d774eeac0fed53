//! Goal: a server that is killed under load loses nothing it acknowledged, stores nothing twice, and leaves nobody with another
//! room than the others have. By default as few as `./check` has time for; at length with
//! `FDX_CRASHES=50 FDX_CLIENTS=200 cargo test --package fdx --test fdx s31_ -- --nocapture`.
//! Method: clients that send, retry and come back as the protocol asks them to, and `kill -9`. `FDX_CRASHES` says how often, `FDX_CLIENTS`
//! how many there are.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use fullduplex_hub::log::MAX_MISSED;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use crate::{
    certificates::text,
    program::{Program, Url, from_env, run, soon},
    v1::{V1, cursor},
};

/// Messages of one client on their way.
const WINDOW: usize = 4;

/// Clients in one room.
const ROOM: usize = 25;

/// Everybody gets in with every so many servers.
const ALL_IN: usize = 4;

/// Messages that a client may begin with each server: who misses all servers until everybody gets in, and that one's messages, misses
/// no more than what is sent one by one.
const QUOTA: usize = (MAX_MISSED / ROOM - WINDOW) / (ALL_IN + 1);

/// What all do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There is no server.
    Down,
    /// Talk. The number tells one server from another.
    Talk(usize),
    /// Send what is not acknowledged, and nothing new.
    Finish(usize),
    /// Read all that there is.
    Read,
}

/// The room of the client of this number.
fn room(client: usize) -> String {
    format!("room {}", client / ROOM)
}

/// What all are told.
#[derive(Clone)]
struct Stage {
    phase: Phase,
    url: String,
    /// The newest position of each room, at last.
    heads: HashMap<String, u64>,
}

struct Talker {
    number: usize,
    name: String,
    room: String,
    stage: watch::Receiver<Stage>,
    tell: mpsc::UnboundedSender<Told>,
    /// Where it has told of that.
    joined: Option<Phase>,
    has_finished: bool,
    epoch: String,
    cursor: Option<String>,
    /// The room as this client has it.
    seen: Vec<Value>,
    /// What is not acknowledged, oldest first, and how much of it was sent on this connection.
    waiting: VecDeque<String>,
    sent: usize,
    acknowledged: HashMap<String, u64>,
    said: usize,
}

enum Told {
    /// It is back, with this server.
    Joined(Phase),
    Acknowledged,
    Finished,
}

impl Talker {
    fn new(
        number: usize,
        stage: watch::Receiver<Stage>,
        tell: mpsc::UnboundedSender<Told>,
    ) -> Self {
        Self {
            number,
            name: format!("client {number}"),
            room: room(number),
            stage,
            tell,
            joined: None,
            has_finished: false,
            epoch: String::new(),
            cursor: None,
            seen: Vec::new(),
            waiting: VecDeque::new(),
            sent: 0,
            acknowledged: HashMap::new(),
            said: 0,
        }
    }

    async fn run(mut self) -> Self {
        let (mut begun, mut budget) = (None, 0);
        loop {
            let Stage { phase, url, .. } = self.stage.borrow_and_update().clone();
            if phase == Phase::Read && self.has_all() {
                return self;
            }
            if phase == Phase::Down {
                self.stage.changed().await.unwrap();
                continue;
            }
            if begun != Some(phase) {
                begun = Some(phase);
                budget = self.said + QUOTA;
            }
            // However it ends: it tries again, as long as that server may be there.
            self.talk(&Url(url), budget).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn head(&self) -> u64 {
        self.seen
            .last()
            .map_or(0, |event| event["seq"].as_u64().unwrap())
    }

    fn has_all(&self) -> bool {
        self.stage.borrow().heads.get(&self.room) == Some(&self.head())
    }

    /// Lives on one connection. None when it is over.
    async fn talk(&mut self, url: &Url, budget: usize) -> Option<()> {
        let mut client = V1::connect(url, &self.name).await?;
        let mut join = json!({"op": "join", "id": "join", "room": self.room, "backlog": 200});
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
        let phase = self.stage.borrow().phase;
        if self.joined.replace(phase) != Some(phase) {
            self.tell.send(Told::Joined(phase)).ok();
        }
        self.sent = 0;
        loop {
            let phase = self.stage.borrow().phase;
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
                    json!({"op": "send", "id": cid, "room": self.room, "cid": cid, "body": cid});
                client.send(&send).await?;
                self.sent += 1;
            }
            match phase {
                Phase::Finish(_) if self.waiting.is_empty() && !self.has_finished => {
                    self.has_finished = true;
                    self.tell.send(Told::Finished).ok();
                }
                Phase::Read if self.has_all() => return Some(()),
                _ => {}
            }
            tokio::select! {
                frame = client.next() => self.take(&frame?)?,
                changed = self.stage.changed() => changed.unwrap(),
            }
        }
    }

    /// None if this connection is of no more use.
    fn take(&mut self, frame: &Value) -> Option<()> {
        if frame["ev"] == "msg" {
            assert_eq!(frame["prev"], self.head(), "nothing is missing");
            self.cursor = Some(cursor(&self.epoch, frame));
            self.seen.push(frame.clone());
        }
        let Some(cid) = frame["re"].as_str() else {
            return Some(());
        };
        if frame["err"]["code"] == "timeout" {
            // To be sent again, on the next connection.
            return None;
        }
        let seq = frame["ok"]["seq"]
            .as_u64()
            .unwrap_or_else(|| panic!("{frame}"));
        assert_eq!(self.waiting.pop_front().as_deref(), Some(cid), "in order");
        self.sent -= 1;
        self.acknowledged.insert(cid.to_owned(), seq);
        self.tell.send(Told::Acknowledged).ok();
        Some(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s31_nothing_acknowledged_is_lost_or_doubled_when_the_server_is_killed_under_load() {
    let (crashes, clients) = (from_env("FDX_CRASHES", 5), from_env("FDX_CLIENTS", 50));
    let folder = TempDir::new().unwrap();
    let serve = ["serve", "--data", text(folder.path())];
    let (stage, stages) = watch::channel(Stage {
        phase: Phase::Down,
        url: String::new(),
        heads: HashMap::new(),
    });
    let begin = |phase, url: &Url| {
        stage.send_modify(|stage| {
            stage.phase = phase;
            stage.url.clone_from(&url.0);
        });
    };
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut talkers = JoinSet::new();
    for n in 0..clients {
        let talker = Talker::new(n, stages.clone(), tell.clone());
        talkers.spawn(talker.run());
    }
    for crash in 0..crashes {
        let (server, url) = Program::listen(&serve).await;
        begin(Phase::Talk(crash), &url);
        if crash % ALL_IN == 0 {
            let mut joined = 0;
            while joined < clients {
                let told = soon("all of them", told.recv()).await.unwrap();
                joined += usize::from(matches!(told, Told::Joined(Phase::Talk(at)) if at == crash));
            }
        } else {
            // Now early, perhaps while all come back, now late.
            for _ in 0..crash * 7919 % (clients * QUOTA / 2) {
                soon("somebody", told.recv()).await.unwrap();
            }
        }
        server.crash().await;
        begin(Phase::Down, &url);
    }

    let (server, url) = Program::listen(&serve).await;
    begin(Phase::Finish(crashes), &url);
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
    let rooms: Vec<_> = (0..clients).step_by(ROOM).map(room).collect();
    let mut heads = HashMap::new();
    for room in &rooms {
        let joined = reader.ok(json!({"op": "join", "room": room})).await;
        heads.insert(room.clone(), joined["head"].as_u64().unwrap());
    }
    stage.send_modify(|stage| stage.heads = heads);
    begin(Phase::Read, &url);
    let mut talkers = soon("the rest", talkers.join_all()).await;
    talkers.sort_by_key(|talker| talker.number);
    server.terminate();
    server.end().await;

    let mut acknowledged = 0;
    for (members, room) in talkers.chunks(ROOM).zip(&rooms) {
        acknowledged += compare(room, members, serve[2]).await;
    }
    eprintln!("{crashes} crashes, {clients} clients, {acknowledged} messages");
}

/// Compares what the members of a room have with what is on disk, and returns how many messages that is.
async fn compare(room: &str, members: &[Talker], data: &str) -> usize {
    let export = run(&["export", "--data", data, "--room", room], "").await;
    let events = export
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = events.collect();
    let mut places = HashMap::new();
    for event in &events {
        let cid = event["cid"].as_str().unwrap();
        let twice = places.insert(cid, event["seq"].as_u64().unwrap());
        assert_eq!(twice, None, "{cid} is there twice");
    }
    let mut acknowledged = 0;
    for member in members {
        assert!(member.seen == events, "{} has another room", member.name);
        acknowledged += member.acknowledged.len();
        for (cid, seq) in &member.acknowledged {
            assert_eq!(places.get(&**cid), Some(seq), "{cid} was acknowledged");
        }
    }
    assert_eq!(acknowledged, events.len(), "in the end all is acknowledged");
    acknowledged
}
