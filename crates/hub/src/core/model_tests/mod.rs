//! Shards against a naive model: a log that keeps everything ever said, and rooms that are lists of members.

mod filling;
mod places;
mod rounds;
mod world;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use proptest::prelude::*;

use super::*;

const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ROOMS: usize = 4;
const SESSIONS: u64 = 5;

const LIMITS: ShardLimits = ShardLimits {
    ring_entries: 6,
    ring_bytes: 8 * 1024,
    copies: 1,
    shard_bytes: 9 * 1024,
    listed_users: 2,
    empty_room_ttl: Duration::from_secs(10),
    empty_room_grace: Duration::from_secs(3),
    away_after: Duration::from_secs(2),
    left_after: Duration::from_secs(5),
    crowd_pause: Duration::ZERO,
};

#[derive(Debug, Clone)]
enum Op {
    Join {
        session: u64,
        room: usize,
        backlog: usize,
        /// Events that are said after the room was read from the log, before it is filled.
        late: usize,
    },
    Leave {
        session: u64,
        room: usize,
        is_lost: bool,
    },
    Rename {
        session: u64,
        room: usize,
        name: u8,
    },
    Publish {
        room: usize,
        len: usize,
    },
    /// A message is deleted, counted from the newest.
    Delete {
        room: usize,
        back: usize,
    },
    /// It is in the log, where others read it, and not handed on yet.
    Store {
        room: usize,
        len: usize,
    },
    /// What the log has not handed on is handed on.
    HandOn,
    Read {
        session: u64,
        room: usize,
        max: usize,
    },
    /// What is due is taken; it may be given later.
    Begin {
        room: usize,
        max: usize,
    },
    /// What was taken first is given to all it is for, but to those of whom `absent` has the bit.
    End {
        absent: u8,
    },
    FlushPresence,
    Sweep {
        seconds: u64,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let (session, room) = (0..SESSIONS, 0..ROOMS);
    prop_oneof![
        2 => (session.clone(), room.clone(), 0..9usize, 0..9usize)
            .prop_map(|(session, room, backlog, late)| {
                Op::Join { session, room, backlog, late: late.saturating_sub(5) }
            }),
        1 => (session.clone(), room.clone(), any::<bool>())
            .prop_map(|(session, room, is_lost)| Op::Leave { session, room, is_lost }),
        1 => (session.clone(), room.clone(), 0..3u8)
            .prop_map(|(session, room, name)| Op::Rename { session, room, name }),
        6 => (room.clone(), 0..900usize).prop_map(|(room, len)| Op::Publish { room, len }),
        1 => (room.clone(), 0..8usize).prop_map(|(room, back)| Op::Delete { room, back }),
        2 => (room.clone(), 0..900usize).prop_map(|(room, len)| Op::Store { room, len }),
        2 => Just(Op::HandOn),
        4 => (session, room.clone(), 1..5usize)
            .prop_map(|(session, room, max)| Op::Read { session, room, max }),
        4 => (room, 1..5usize).prop_map(|(room, max)| Op::Begin { room, max }),
        4 => prop_oneof![Just(0), any::<u8>()].prop_map(|absent| Op::End { absent }),
        1 => Just(Op::FlushPresence),
        1 => (0..8u64).prop_map(|seconds| Op::Sweep { seconds }),
    ]
}

/// Woken rooms of one session.
#[derive(Debug, Clone, Default)]
struct Woken(Arc<Mutex<Vec<Slot>>>);

impl Wake for Woken {
    fn wake(&self, room: Slot) {
        self.0.lock().unwrap().push(room);
    }
}

/// What the model knows of one session in one room.
#[derive(Debug)]
struct Membership {
    slot: Slot,
    cursor: u64,
    notices: u64,
    user: Option<Arc<User>>,
    woken: Woken,
    /// It has not read to the end of what it joined or began to read.
    is_reading: bool,
}

#[derive(Debug, Default)]
struct ModelRoom {
    members: BTreeMap<u64, Membership>,
    /// Users whose last connection was lost, and when.
    lost: BTreeMap<Arc<str>, Duration>,
    empty_since: Option<Duration>,
}

impl ModelRoom {
    fn connected(&self) -> impl Iterator<Item = &str> {
        let users = self.members.values();
        users.filter_map(|member| Some(&*member.user.as_ref()?.id))
    }

    /// Everybody here, and whether they are away.
    fn users(&self, now: Duration) -> BTreeMap<&str, bool> {
        let is_away = |since: &Duration| now >= *since + LIMITS.away_after;
        let lost = self.lost.iter().map(|(id, since)| (&**id, is_away(since)));
        lost.chain(self.connected().map(|id| (id, false))).collect()
    }
}

fn room_name(room: usize) -> String {
    format!("room {room}")
}

/// Sessions 0 and 1 are one user; session 4 never gets a name.
fn user(session: u64, name: u8) -> Option<Arc<User>> {
    (session != 4).then(|| {
        let id = format!("u{}", session.max(1)).into();
        Arc::new(User {
            id,
            name: format!("n{name}").into(),
            avatar: "".into(),
        })
    })
}

struct World {
    shard: Shard<(), Woken>,
    /// Rooms to be asked for a round.
    due: BTreeSet<Slot>,
    /// Rounds that were taken and not given yet.
    begun: VecDeque<(Slot, Round<(), Woken>)>,
    quota: Arc<Quota>,
    rooms: BTreeMap<usize, ModelRoom>,
    /// Everything ever said, by room.
    log: [Vec<Event>; ROOMS],
    seq: u64,
    /// What is in the log and was not handed on.
    stored: VecDeque<Event>,
    now: Duration,
    /// When it was last looked who and what may be forgotten.
    swept: Duration,
}

proptest! {
    #[test]
    fn every_member_reads_everything_once_and_in_order_or_is_told_what_it_missed(
        ops in prop::collection::vec(op(), 1..120),
        max_rooms in 2..=ROOMS,
    ) {
        let mut world = World::new(max_rooms);
        for op in &ops {
            world.apply(op, max_rooms);
        }
        // Nobody is left behind: who gets what is due, or is told and reads to the end, has everything.
        world.hand_on();
        while !world.due.is_empty() || !world.begun.is_empty() {
            world.begin(0, 3);
            world.end(0);
        }
        for room in 0..ROOMS {
            for session in 0..SESSIONS {
                let Some(member) = world.member(session, room) else {
                    continue;
                };
                if member.is_reading || !member.woken.0.lock().unwrap().is_empty() {
                    world.read(session, room, usize::MAX);
                }
            }
        }
        for (&at, room) in &world.rooms {
            let next = world.bounds(at).head.seq + 1;
            assert!(room.members.values().all(|member| member.cursor >= next));
        }
        // And who reads although nobody said so gets nothing twice.
        for room in 0..ROOMS {
            for session in 0..SESSIONS {
                world.read(session, room, usize::MAX);
            }
        }
    }
}
