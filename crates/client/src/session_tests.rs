//! Goal: whatever the server and the network do, events come once and in order or are said to be missing, and messages are sent until they
//! are answered, within bounds.
//! Method: the session alone, with a server that is the test.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::{sync::oneshot, time::Instant};

use crate::{
    Event, Joined, RequestError, Sent,
    session::{Ask, Entry, Message, Session, Verdict},
};

type Answer<T> = oneshot::Receiver<Result<T, RequestError>>;

struct World {
    session: Session,
    now: Instant,
    /// Commands that the server has.
    got: Vec<Value>,
}

impl World {
    fn new() -> Self {
        Self {
            session: Session::new(Map::new(), |longest| longest / 2),
            now: Instant::now(),
            got: Vec::new(),
        }
    }

    /// One that is connected, and is in `general` where nothing was said yet.
    fn joined() -> Self {
        let mut world = Self::new();
        drop(world.join("general"));
        world.connect();
        world.reply("join", &joined(&json!({})));
        world.events();
        world
    }

    fn connect(&mut self) {
        self.session.opened(self.now);
        self.reply(
            "hello",
            &json!({"session": "s", "user": {"id": "u", "name": "Ana", "avatar": "a"}, "now": 0, "hb": 20_000}),
        );
    }

    fn lose(&mut self) {
        self.read();
        self.session.lost();
        self.got.clear();
    }

    fn read(&mut self) {
        while let Some(command) = self.session.next_command() {
            self.got.push(serde_json::from_str(&command).unwrap());
        }
    }

    /// The commands of one kind on this connection.
    fn got(&mut self, op: &str) -> Vec<Value> {
        self.read();
        let is_it = |command: &&Value| command["op"] == op;
        self.got.iter().filter(is_it).cloned().collect()
    }

    fn last(&mut self, op: &str) -> Value {
        self.got(op).pop().unwrap()
    }

    fn say(&mut self, frame: &Value) -> Verdict {
        self.session.received(&frame.to_string(), self.now)
    }

    fn reply(&mut self, op: &str, ok: &Value) {
        let id = self.last(op)["id"].clone();
        assert_eq!(self.say(&json!({"re": id, "ok": ok})), Verdict::GoOn);
    }

    fn reply_to(&mut self, command: &Value, ok: &Value) {
        self.say(&json!({"re": command["id"], "ok": ok}));
    }

    fn refuse(&mut self, op: &str, err: &Value) -> Verdict {
        let id = self.last(op)["id"].clone();
        self.say(&json!({"re": id, "err": err}))
    }

    fn event(&mut self, seq: u64) {
        self.say(&event(seq));
    }

    /// What the application is given, shortened.
    fn events(&mut self) -> Vec<String> {
        let mut events = Vec::new();
        while let Some(event) = self.session.next_event(self.now) {
            events.push(match event {
                Event::Welcome(_) => "welcome".into(),
                Event::Joined(joined) => format!("joined {:?}", joined.resume),
                Event::Placed(event) => event.seq.to_string(),
                Event::Gap(gap) => format!("gap {}-{}", gap.from, gap.to),
                Event::Other(event) => event["ev"].to_string(),
                Event::Refused { error, .. } => format!("refused {error}"),
                Event::Lost { reason } => format!("lost {reason}"),
            });
        }
        events
    }

    fn join(&mut self, room: &str) -> Answer<Joined> {
        let (done, answer) = oneshot::channel();
        let ask = Ask::Enter {
            entry: Entry::Join,
            room: room.into(),
            backlog: 50,
            done,
        };
        self.session.ask(ask, self.now);
        answer
    }

    fn leave(&mut self, room: &str) {
        let ask = Ask::Leave { room: room.into() };
        self.session.ask(ask, self.now);
    }

    fn send(&mut self, cid: &str) -> Answer<Sent> {
        let (done, answer) = oneshot::channel();
        let Value::Object(command) =
            json!({"op": "send", "room": "general", "body": "x", "cid": cid})
        else {
            unreachable!()
        };
        let message = Message {
            room: "general".into(),
            cid: cid.into(),
            command,
            done,
        };
        self.session.ask(Ask::Send(message), self.now);
        answer
    }

    /// Time passes, in which something is heard and no reply.
    fn live(&mut self, time: Duration) -> Verdict {
        let step = Duration::from_secs(5);
        let end = self.now + time;
        while self.now < end {
            let verdict = self.pass(step);
            if verdict != Verdict::GoOn {
                return verdict;
            }
            self.say(&json!({"ev": "later"}));
        }
        Verdict::GoOn
    }

    fn pass(&mut self, time: Duration) -> Verdict {
        self.now += time;
        match self.session.deadline() {
            Some(at) if at <= self.now => self.session.handle_deadline(self.now),
            _ => Verdict::GoOn,
        }
    }
}

fn joined(more: &Value) -> Value {
    let mut reply = json!({"room": "general", "epoch": "e", "head": 0, "floor": 1, "cursor": "e.0.000000", "count": 1, "members": []});
    for (key, value) in more.as_object().unwrap() {
        reply[key] = value.clone();
    }
    reply
}

fn event(seq: u64) -> Value {
    json!({"ev": "msg", "room": "general", "seq": seq, "prev": seq - 1, "id": format!("01JH8QK3ZT0V9W4J5N6P7Q{seq:04}"), "ts": 1,
        "from": {"id": "u_bo", "name": "Bo", "avatar": "b"}, "body": "hi", "cid": null})
}

fn sent() -> Value {
    json!({"seq": 1, "id": "i", "ts": 1, "dup": false})
}

#[test]
fn a_room_goes_on_from_the_event_it_had_last_and_each_is_given_once() {
    let mut world = World::joined();
    world.event(1);
    world.event(2);
    world.lose();
    world.connect();
    assert_eq!(world.last("join")["since"], "e.2.7Q0002");
    world.reply("join", &joined(&json!({"resume": "ok", "head": 3})));
    world.event(2);
    world.event(3);
    assert_eq!(
        world.events(),
        ["1", "2", "welcome", "joined Some(Ok)", "3"]
    );
}

#[test]
fn an_empty_room_has_a_cursor_and_a_backlog_of_which_nothing_came_has_none() {
    let mut world = World::joined();
    world.lose();
    world.connect();
    assert_eq!(world.last("join")["since"], "e.0.000000");
    let reset = json!({"resume": "reset", "reason": "epoch", "epoch": "f", "head": 9, "cursor": "f.9.999999"});
    world.reply("join", &joined(&reset));
    world.lose();
    world.connect();
    assert_eq!(world.last("join").get("since"), None);
}

#[test]
fn what_is_missing_is_fetched_and_if_it_is_not_there_told_once() {
    let mut world = World::joined();
    world.event(1);
    world.event(3);
    world.event(4);
    assert_eq!(world.got("leave").len(), 1);
    assert_eq!(world.last("join")["since"], "e.1.7Q0001");
    world.reply("join", &joined(&json!({"resume": "ok"})));
    world.event(2);
    world.event(3);
    world.event(9);
    world.reply("join", &joined(&json!({"resume": "ok"})));
    world.event(9);
    world.event(10);
    assert_eq!(world.got("leave").len(), 2);
    let wanted = [
        "1",
        "joined Some(Ok)",
        "2",
        "3",
        "joined Some(Ok)",
        "gap 4-8",
        "9",
        "10",
    ];
    assert_eq!(world.events(), wanted);
}

#[test]
fn an_application_that_takes_nothing_costs_bounded_memory_and_gets_all_the_same() {
    let mut world = World::joined();
    let mut next = 1;
    while world.session.may_read() {
        world.event(next);
        next += 1;
    }
    assert_eq!(next, 1_025);
    let _answer = world.send("c");
    assert!(world.session.may_read(), "or the reply would never come");
    for seq in next..=3_000 {
        world.event(seq);
    }
    let mut seen = 0;
    let mut expect = |events: Vec<String>| {
        for seq in events.iter().filter_map(|event| event.parse::<u64>().ok()) {
            assert_eq!(seq, seen + 1);
            seen = seq;
        }
        seen
    };
    let mut from = expect(world.events());
    assert!(from < 3_000);
    while from < 3_000 {
        world.reply("join", &joined(&json!({"resume": "ok"})));
        for seq in from + 1..=3_000 {
            world.event(seq);
        }
        from = expect(world.events());
    }
    assert_eq!(world.got("join").len(), 3);
}

#[test]
fn unanswered_messages_are_sent_again_with_their_cid_in_order_and_not_for_ever() {
    let mut world = World::joined();
    let mut answers = [world.send("c1"), world.send("c2")];
    for _ in 1..5 {
        let cids: Vec<_> = world
            .got("send")
            .iter()
            .map(|send| send["cid"].clone())
            .collect();
        assert_eq!(cids, ["c1", "c2"]);
        assert_eq!(
            world.pass(Duration::from_secs(10)),
            Verdict::Lost("no answer".into())
        );
        world.lose();
        world.connect();
        assert!(
            world.got("send").is_empty(),
            "not before the room is joined"
        );
        world.reply("join", &joined(&json!({"resume": "ok"})));
        assert!(answers[0].try_recv().is_err());
    }
    world.lose();
    for answer in &mut answers {
        assert_eq!(answer.try_recv().unwrap(), Err(RequestError::Timeout));
    }
    assert!(world.got("send").is_empty());
}

#[test]
fn a_refusal_that_passes_is_tried_again_when_the_server_says_and_others_are_told() {
    let mut world = World::joined();
    let (mut passing, mut bad) = (world.send("c"), world.send("bad"));
    world.refuse("send", &json!({"code": "too_large", "msg": "too long"}));
    let refused = bad.try_recv().unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "too long (too_large)");
    let first = world.got("send")[0]["id"].clone();
    world.say(
        &json!({"re": first, "err": {"code": "rate_limited", "msg": "slowly", "retry_ms": 700}}),
    );
    world.pass(Duration::from_millis(699));
    assert_eq!(world.got("send").len(), 2);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.last("send")["cid"], "c");
    world.reply("send", &sent());
    assert_eq!(passing.try_recv().unwrap().unwrap().seq, 1);
}

#[test]
fn no_more_than_the_window_waits_for_replies_and_the_outbox_is_bounded() {
    let mut world = World::joined();
    let mut answers = Vec::new();
    while world.session.has_room() {
        answers.push(world.send(&format!("c{}", answers.len())));
    }
    assert_eq!(answers.len(), 1_000);
    assert_eq!(world.got("send").len(), 64);
    for at in 0..1_000 {
        let send = world.got("send")[at].clone();
        assert_eq!(send["cid"], format!("c{at}"));
        world.say(&json!({"re": send["id"], "ok": sent()}));
    }
    assert!(
        answers
            .iter_mut()
            .all(|answer| answer.try_recv().unwrap().is_ok())
    );
    assert_eq!(world.session.deadline(), None);
}

#[test]
fn a_first_join_that_is_refused_is_an_error_and_a_later_one_is_tried_again_if_that_may_pass() {
    let mut world = World::joined();
    let mut answer = world.join("full");
    world.refuse("join", &json!({"code": "unavailable", "msg": "full"}));
    assert!(answer.try_recv().unwrap().unwrap_err().passes());
    world.lose();
    world.connect();
    assert_eq!(world.got("join").len(), 1, "full is forgotten");
    world.refuse("join", &json!({"code": "unavailable", "msg": "full"}));
    for (tries, ms) in [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]
        .into_iter()
        .enumerate()
    {
        world.pass(Duration::from_millis(ms - 1));
        assert_eq!(world.got("join").len(), tries + 1);
        world.pass(Duration::from_millis(1));
        assert_eq!(world.got("join").len(), tries + 2);
        world.refuse("join", &json!({"code": "unavailable", "msg": "full"}));
    }
    world.pass(Duration::from_secs(15));
    world.refuse(
        "join",
        &json!({"code": "rate_limited", "msg": "slowly", "retry_ms": 0}),
    );
    assert!(
        world.session.deadline() > Some(world.now),
        "in its own time"
    );
    world.pass(Duration::from_secs(15));
    world.refuse(
        "join",
        &json!({"code": "rate_limited", "msg": "slowly", "retry_ms": 700}),
    );
    world.pass(Duration::from_millis(700));
    // Once it is in, the waits begin anew.
    world.reply("join", &joined(&json!({})));
    world.lose();
    world.connect();
    world.refuse("join", &json!({"code": "unavailable", "msg": "full"}));
    world.pass(Duration::from_millis(250));
    world.refuse("join", &json!({"code": "forbidden", "msg": "no"}));
    assert_eq!(world.events().last().unwrap(), "refused no (forbidden)");
    let mut answer = world.send("c");
    assert_eq!(answer.try_recv().unwrap(), Err(RequestError::NotJoined));
}

#[test]
fn s30_a_server_that_takes_joins_one_after_another_is_waited_for_while_it_says_anything() {
    let mut world = World::joined();
    for at in 0..19 {
        drop(world.join(&format!("r{at}")));
    }
    world.connect();
    for join in world.got("join") {
        world.reply_to(&join, &joined(&json!({"room": join["room"]})));
    }
    world.events();
    world.lose();
    world.connect();
    for join in world.got("join") {
        assert_eq!(world.pass(Duration::from_millis(600)), Verdict::GoOn);
        world.reply_to(
            &join,
            &joined(&json!({"room": join["room"], "resume": "ok"})),
        );
    }
    assert_eq!(world.events().len(), 21);
    // After it silence counts anew.
    let _answer = world.send("c");
    world.pass(Duration::from_secs(9));
    world.event(1);
    assert_eq!(world.pass(Duration::from_millis(9_999)), Verdict::GoOn);
    let dead = Verdict::Lost("no answer".into());
    assert_eq!(world.pass(Duration::from_millis(1)), dead);
}

#[test]
fn a_reply_that_does_not_come_though_others_do_is_given_up_after_a_time_and_the_connection_is_not()
{
    let minute = Duration::from_secs(60);
    let mut world = World::joined();
    world.lose();
    world.connect();
    let mut new = world.join("new");
    let (done, mut called) = oneshot::channel();
    let command = Map::from_iter([("op".to_owned(), "ping".into())]);
    world.session.ask(Ask::Call { command, done }, world.now);
    let joins = world.got("join");
    assert_eq!(world.live(minute), Verdict::GoOn);
    assert_eq!(new.try_recv().unwrap(), Err(RequestError::Timeout));
    assert_eq!(called.try_recv().unwrap(), Err(RequestError::Timeout));
    // Either may be answered yet: they are left, and what one was in is joined again.
    let left = world.got("leave");
    assert_eq!([&left[0]["room"], &left[1]["room"]], ["general", "new"]);
    world.pass(Duration::from_millis(250));
    assert_eq!(world.got("join").len(), 3);
    for join in joins {
        world.reply_to(&join, &joined(&json!({"room": join["room"]})));
    }
    world.event(1);
    world.reply("join", &joined(&json!({"resume": "ok"})));
    let events = world.events();
    assert_eq!(events.last().unwrap(), "joined Some(Ok)");
    assert!(!events.contains(&"1".into()));

    let mut answer = world.send("c");
    for tries in 1..=5 {
        assert_eq!(world.got("send").len(), tries);
        assert!(answer.try_recv().is_err());
        assert_eq!(world.live(minute), Verdict::GoOn);
        world.pass(Duration::from_secs(4));
    }
    assert_eq!(answer.try_recv().unwrap(), Err(RequestError::Timeout));
}

#[test]
fn a_hello_that_is_refused_ends_and_nonsense_is_passed_over() {
    let mut world = World::joined();
    for nonsense in [
        "",
        "null",
        "[1]",
        "{}",
        r#"{"ev":7}"#,
        r#"{"re":999,"ok":{}}"#,
        r#"{"ev":"msg","seq":"x","prev":0}"#,
    ] {
        assert_eq!(world.session.received(nonsense, world.now), Verdict::GoOn);
    }
    world.say(&json!({"ev": "later", "room": "general"}));
    world.say(&json!({"ev": "hb"}));
    assert_eq!(world.got("hb").len(), 1);
    assert_eq!(world.events(), ["\"later\""]);
    world.lose();
    world.session.opened(world.now);
    let verdict = world.refuse("hello", &json!({"code": "unauthorized", "msg": "who?"}));
    assert!(matches!(verdict, Verdict::Refused(_)));
}

#[test]
fn a_hello_that_is_refused_for_now_is_said_again_on_another_connection() {
    let mut world = World::joined();
    for code in ["unavailable", "not_ready", "rate_limited"] {
        world.lose();
        world.session.opened(world.now);
        let verdict = world.refuse("hello", &json!({"code": code, "msg": "later"}));
        assert_eq!(verdict, Verdict::Lost(format!("later ({code})")));
    }
    world.lose();
    world.session.opened(world.now);
    let verdict = world.live(Duration::from_secs(60));
    assert!(matches!(verdict, Verdict::Lost(_)), "{verdict:?}");
}

#[test]
fn s30_a_bye_says_when_to_come_back_within_bounds_and_once() {
    let mut world = World::joined();
    world.say(
        &json!({"ev": "bye", "reason": "restart", "reconnect_ms": 2_000, "jitter_ms": u64::MAX}),
    );
    let wanted = (Duration::from_secs(2), Duration::from_secs(300));
    assert_eq!(world.session.take_bye(), Some(wanted));
    assert_eq!(world.session.take_bye(), None);
}

#[test]
fn a_room_that_a_client_is_taken_out_of_is_forgotten_with_all_that_was_for_it() {
    let mut world = World::joined();
    let mut written: Vec<_> = (0..64).map(|at| world.send(&format!("c{at}"))).collect();
    let mut unwritten = world.send("late");
    world.say(&json!({"ev": "kick", "room": "elsewhere", "reason": "kicked"}));
    assert_eq!(world.events(), [""; 0]);
    world.say(&json!({"ev": "kick", "room": "general", "reason": "banned"}));
    let why = "the server took this client out of the room (banned)";
    assert_eq!(world.events(), [format!("refused {why}")]);
    // The server may have stored what it had before.
    for answer in &mut written {
        assert_eq!(answer.try_recv().unwrap(), Err(RequestError::Timeout));
    }
    let refused = unwritten.try_recv().unwrap().unwrap_err();
    assert_eq!(
        (refused.to_string().as_str(), refused.passes()),
        (why, false)
    );
    assert_eq!(world.got("send").len(), 64);
    world.reply("send", &sent());
    world.lose();
    world.connect();
    assert!(world.got("join").is_empty());
}

#[test]
fn of_a_message_that_was_written_nobody_says_that_it_is_not_stored_when_its_room_is_lost() {
    let mut world = World::joined();
    let mut before = world.send("before");
    world.lose();
    world.connect();
    let mut after = world.send("after");
    world.refuse("join", &json!({"code": "forbidden", "msg": "no"}));
    assert_eq!(before.try_recv().unwrap(), Err(RequestError::Timeout));
    let refused = after.try_recv().unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "no (forbidden)");

    let mut world = World::joined();
    let mut written = world.send("written");
    world.leave("general");
    assert_eq!(written.try_recv().unwrap(), Err(RequestError::Timeout));
}

#[test]
fn a_kick_out_of_a_room_that_was_left_does_not_end_another_join() {
    let kick = json!({"ev": "kick", "room": "general", "reason": "kicked"});
    let mut world = World::joined();
    world.leave("general");
    let mut again = world.join("general");
    world.say(&kick);
    world.reply("join", &joined(&json!({})));
    assert!(again.try_recv().unwrap().is_ok());
    assert_eq!(world.events(), ["joined None"]);
    world.say(&kick);
    let why = "the server took this client out of the room (kicked)";
    assert_eq!(world.events(), [format!("refused {why}")]);
}

#[test]
fn a_kick_that_crosses_the_way_back_to_what_is_missing_stays() {
    let missing = |world: &mut World| {
        world.event(1);
        world.event(3);
    };
    let overrun = |world: &mut World| {
        for seq in 1..=2_000 {
            world.event(seq);
        }
        world.events();
    };
    let forked = |world: &mut World| {
        world.say(&json!({"ev": "reset", "room": "general", "reason": "epoch"}));
    };
    for go_back in [&missing as &dyn Fn(&mut World), &overrun, &forked] {
        let mut world = World::joined();
        let mut answer = world.send("c");
        go_back(&mut world);
        world.events();
        assert!(world.last("join")["since"].is_string());
        world.say(&json!({"ev": "kick", "room": "general", "reason": "kicked"}));
        let why = "the server took this client out of the room (kicked)";
        assert_eq!(world.events(), [format!("refused {why}")]);
        assert_eq!(answer.try_recv().unwrap(), Err(RequestError::Timeout));
        // It leaves what it is about to be in.
        assert_eq!(world.got.last().unwrap()["op"], "join");
        world.read();
        assert_eq!(world.got.last().unwrap()["op"], "leave");
        world.reply("join", &joined(&json!({"resume": "ok"})));
        world.event(2);
        assert_eq!(world.events(), [""; 0]);
        // The application may come in again.
        let mut again = world.join("general");
        assert!(world.last("join")["since"].is_null());
        world.reply("join", &joined(&json!({})));
        assert!(again.try_recv().unwrap().is_ok());
    }
}

#[test]
fn what_may_be_stored_is_unknown_also_if_a_later_try_is_refused_and_anything_else_is_not_stored() {
    let refused = |code: &str| json!({"code": code, "msg": "no"});
    let later = |world: &mut World| {
        world.refuse("send", &refused("unavailable"));
        world.pass(Duration::from_secs(8));
    };
    for (first, is_unsure) in [("timeout", true), ("rate_limited", false)] {
        // Refused in the end, by something that does not pass or too often.
        let mut world = World::joined();
        let mut answer = world.send("c");
        world.refuse("send", &refused(first));
        world.pass(Duration::from_secs(1));
        world.refuse("send", &refused("forbidden"));
        let error = answer.try_recv().unwrap().unwrap_err();
        assert_eq!(error == RequestError::Timeout, is_unsure, "{error}");

        let mut world = World::joined();
        let mut answer = world.send("c");
        world.refuse("send", &refused(first));
        world.pass(Duration::from_secs(1));
        for _ in 1..5 {
            later(&mut world);
        }
        let error = answer.try_recv().unwrap().unwrap_err();
        assert_eq!(error == RequestError::Timeout, is_unsure, "{error}");

        // Given up while it waits for another try.
        let mut world = World::joined();
        let mut answer = world.send("c");
        world.refuse("send", &refused(first));
        world.leave("general");
        let error = answer.try_recv().unwrap().unwrap_err();
        let wanted = if is_unsure {
            RequestError::Timeout
        } else {
            RequestError::NotJoined
        };
        assert_eq!(error, wanted);
    }
    // Lost, and refused after.
    let mut world = World::joined();
    let mut answer = world.send("c");
    world.lose();
    world.connect();
    world.reply("join", &joined(&json!({"resume": "ok"})));
    world.refuse("send", &refused("forbidden"));
    assert_eq!(answer.try_recv().unwrap(), Err(RequestError::Timeout));
    // The client ends.
    let mut world = World::joined();
    let mut written = world.send("written");
    drop(world.join("other"));
    world.lose();
    let mut unwritten = world.send("unwritten");
    world.session.ended(&RequestError::Ended("closed".into()));
    assert_eq!(written.try_recv().unwrap(), Err(RequestError::Timeout));
    let ended = Err(RequestError::Ended("closed".into()));
    assert_eq!(unwritten.try_recv().unwrap(), ended);
}

#[test]
fn a_kick_ends_a_room_whose_events_there_was_no_room_for() {
    let mut world = World::joined();
    let _answer = world.send("c");
    for seq in 1..=2_000 {
        world.event(seq);
    }
    world.say(&json!({"ev": "kick", "room": "general", "reason": "banned"}));
    let why = "the server took this client out of the room (banned)";
    assert_eq!(*world.events().last().unwrap(), format!("refused {why}"));
    assert!(world.got("leave").is_empty());
}

#[test]
fn of_two_joins_that_wait_the_newer_ones_answer_counts() {
    let mut world = World::new();
    drop(world.join("general"));
    world.connect();
    world.events();
    let first = world.last("join")["id"].clone();
    world.leave("general");
    let mut again = world.join("general");
    world.say(&json!({"re": first, "ok": joined(&json!({}))}));
    world.say(&json!({"ev": "kick", "room": "general", "reason": "banned"}));
    assert!(again.try_recv().is_err(), "nothing is known yet");
    world.refuse("join", &json!({"code": "forbidden", "msg": "no"}));
    let refused = again.try_recv().unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "no (forbidden)");
    assert_eq!(world.events(), [""; 0]);
}

#[test]
fn a_join_that_is_not_written_yet_is_not_answered_by_an_older_one() {
    let mut world = World::joined();
    drop(world.join("other"));
    let first = world.last("join")["id"].clone();
    for seq in 1..=1_024 {
        world.event(seq);
    }
    world.leave("other");
    let mut again = world.join("other");
    world.say(&json!({"re": first, "ok": joined(&json!({"room": "other"}))}));
    assert!(
        again.try_recv().is_err(),
        "there is no room for what it brings"
    );
    assert_eq!(world.events().len(), 1_024);
    world.reply("join", &joined(&json!({"room": "other"})));
    assert!(again.try_recv().unwrap().is_ok());
}

#[test]
fn a_room_with_another_history_is_joined_again_and_nothing_comes_before_the_answer() {
    let mut world = World::joined();
    world.event(1);
    let reset = json!({"ev": "reset", "room": "general", "reason": "epoch", "epoch": "f", "head": 0, "floor": 1, "cursor": "f.0.000000"});
    world.say(&reset);
    // Of the new history, and in the answer.
    world.event(1);
    assert_eq!(world.got("leave").len(), 1);
    assert_eq!(world.last("join")["since"], "e.1.7Q0001");
    let answer = json!({"resume": "reset", "reason": "epoch", "epoch": "f", "head": 1, "cursor": "f.1.7Q0001"});
    world.reply("join", &joined(&answer));
    world.event(1);
    world.event(2);
    assert_eq!(world.events(), ["1", "joined Some(Reset)", "1", "2"]);
    // Where it is not in the room there is nothing to go back from.
    world.lose();
    world.connect();
    world.say(&reset);
    assert!(world.got("leave").is_empty());
}

#[test]
fn another_token_is_given_once_and_said_from_then_on() {
    let mut world = World::joined();
    for bad in [
        json!({"ev": "expiring"}),
        json!({"ev": "expiring", "in_ms": "soon"}),
    ] {
        world.say(&bad);
        assert_eq!(world.session.take_token_left(), None);
    }
    world.say(&json!({"ev": "expiring", "in_ms": 2_000}));
    let left = world.session.take_token_left();
    assert_eq!(left, Some(Duration::from_secs(2)));
    assert_eq!(world.session.take_token_left(), None);
    world.session.renew("second", world.now);
    assert_eq!(world.last("auth")["token"], "second");
    let expired = json!({"code": "unavailable", "msg": "the keys are not there"});
    assert_eq!(world.refuse("auth", &expired), Verdict::GoOn);
    world.lose();
    world.connect();
    assert_eq!(world.last("hello")["token"], "second");
}
