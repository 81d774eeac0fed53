//! The examples of `docs/hub-protocol.md`, taken from the document itself.

use std::sync::Arc;

use fullduplex_tail::{Bookmark, FileEvent};
use serde_json::{Value, json};

use super::{
    asking::{Ask, Search},
    command::{Command, Frame, Id, Join},
    event,
    following::{Filter, Follow, Open, With},
    log, people, plain, reply, shown,
};
use crate::{
    core::{
        Author, Bounds, Changes, Chk, Cursor, Event, Forked, Gap, History, Mark, News, Notice,
        Person, Reset, User, Watch, What,
    },
    level::Level,
    log::{Found, Page, Reaction, ReadMark, Shown, Span},
};

const DOCUMENT: &str = include_str!("../../../../docs/hub-protocol.md");

/// Every JSON value of every JSON block.
fn examples() -> Vec<Value> {
    let mut examples = Vec::new();
    for block in DOCUMENT.split("```json\n").skip(1) {
        let block = block.split("```").next().unwrap();
        for value in serde_json::Deserializer::from_str(block).into_iter::<Value>() {
            examples.push(value.expect("an example is valid JSON"));
        }
    }
    assert!(examples.len() >= 17, "the document lost its examples");
    examples
}

fn example(key: &str, name: &str) -> Value {
    let found = examples().into_iter().find(|example| example[key] == name);
    found.unwrap_or_else(|| panic!("no example with {key} {name}"))
}

fn reply_to(command: &str) -> Value {
    reply_to_id(&example("op", command)["id"])
}

fn reply_to_id(id: &Value) -> Value {
    let found = examples()
        .into_iter()
        .find(|example| !id.is_null() && example["re"] == *id);
    found.unwrap_or_else(|| panic!("no reply to {id}"))
}

/// The JSON we make is the document's: the same keys with the same values.
fn assert_same(ours: &str, documented: &Value) {
    let ours: Value = serde_json::from_str(ours).unwrap();
    assert_eq!(&ours, documented);
}

fn ana() -> User {
    User {
        id: "u_5f2c".into(),
        name: "Ana".into(),
        avatar: "9c1d2e3f".into(),
    }
}

fn bo() -> User {
    User {
        id: "u_77ab".into(),
        name: "Bo".into(),
        avatar: "00aa11bb".into(),
    }
}

#[test]
fn every_command_of_the_document_is_understood() {
    let mut understood = Vec::new();
    for example in examples() {
        let Some(op) = example["op"].as_str() else {
            continue;
        };
        let text = example.to_string();
        let frame = Frame::parse(&text, 16 * 1024);
        assert_eq!(frame.id.is_some(), !example["id"].is_null(), "{text}");
        let command = frame
            .command
            .unwrap_or_else(|failure| panic!("{text}: {failure:?}"));
        check_command(op, command);
        understood.push(op.to_owned());
    }
    assert_eq!(
        understood,
        [
            "hello",
            "join",
            "join",
            "join",
            "join",
            "hello",
            "members",
            "typing",
            "leave",
            "send",
            "send",
            "edit",
            "react",
            "delete",
            "history",
            "search",
            "read",
            "sub",
            "pub",
            "ping",
            "auth",
            "log.list",
            "log.open",
            "credit",
            "log.open",
            "log.set",
            "log.close"
        ]
    );
    assert_eq!(Frame::parse(r#"{"op":"hb"}"#, 1).command, Ok(Command::Hb));
}

const CURSOR_OF_A_LOG: &str = "9c1d2e3f.10452.77ab01";

/// What the document's commands want with logs.
fn follow_of(op: &str) -> Follow<'_> {
    let stream = "l1".into();
    match op {
        "log.list" => Follow::List,
        "log.open" => Follow::Open(Open {
            log: "app".into(),
            from: None,
            backlog: Some(100),
            filter: Filter {
                least: Some(Level::Warn),
                with: With::Text("disk".into()),
            },
            credit: 500,
        }),
        "log.set" => Follow::Set {
            stream,
            filter: Filter {
                least: None,
                with: With::Regex("(?i)full|failed".into()),
            },
        },
        "log.close" => Follow::Close { stream },
        "credit" => Follow::Credit { stream, n: 500 },
        _ => panic!("{op} is about no log"),
    }
}

/// A command of the document says what the text around it does.
fn check_command(op: &str, command: Command<'_>) {
    match (op, command) {
        ("hello", Command::Hello(hello)) => {
            assert_eq!(hello.name.as_deref(), Some("Ana"));
            if hello.resume.is_none() {
                assert_eq!(hello.session.as_deref(), Some("s_90b1f3a27c5d6e48"));
                assert_eq!(hello.hb_ms, Some(20_000));
            }
            let resume = hello.resume.unwrap_or_default();
            assert!(resume.values().all(|since| since.parse::<Cursor>().is_ok()));
        }
        (
            "join",
            Command::Join(Join {
                room,
                backlog,
                since,
                watch,
            }),
        ) => {
            assert!(matches!(watch, Watch::Count | Watch::List));
            assert_eq!((&*room, backlog), ("general", 50));
            let cursor = since.map(|text| text.parse::<Cursor>().unwrap());
            assert!(cursor.is_none_or(|cursor| cursor.mark.seq == 1042));
        }
        (
            "sub",
            Command::Sub(Join {
                room,
                backlog,
                since: None,
                watch: Watch::List,
            }),
        ) => {
            assert_eq!((&*room, backlog), ("prices", 1));
        }
        ("members" | "typing", command) => check_people(op, command),
        ("leave", Command::Leave { room }) => assert_eq!(room, "general"),
        ("log.open", Command::Follow(Follow::Open(open))) if open.from.is_some() => {
            assert_eq!(open.from.as_deref(), Some(CURSOR_OF_A_LOG));
            assert_eq!((&*open.log, open.backlog), ("app", Some(100)));
        }
        (op, Command::Follow(follow)) => assert_eq!(follow, follow_of(op)),
        ("send" | "edit" | "delete" | "react" | "pub", Command::Write(write)) => {
            let known = stored()
                .into_iter()
                .find(|stored| stored.cid == write.cid.as_deref().map(Into::into));
            let Event { room, what, .. } = known.expect("an event of the document");
            assert_eq!((&*write.room, write.what), (&*room, what));
        }
        ("history", Command::Ask(ask)) => assert_eq!(
            ask,
            Ask::History {
                room: "general".into(),
                span: Span::Before(1056),
                limit: 2
            }
        ),
        ("search", Command::Ask(ask)) => assert_eq!(
            ask,
            Ask::Search(Search {
                words: "hello every".into(),
                room: Some("general".into()),
                from: None,
                after: None,
                before: None,
                limit: 1,
                cursor: None
            })
        ),
        ("read", Command::Ask(Ask::Read { room, seq })) => {
            assert_eq!((&*room, seq), ("general", 1048));
        }
        ("ping", Command::Ping) => {}
        ("auth", Command::Auth { token }) => assert!(token.ends_with(".c2lnbmVk")),
        (op, command) => panic!("{op} was read as {command:?}"),
    }
}

fn check_people(op: &str, command: Command<'_>) {
    match (op, command) {
        (
            "members",
            Command::Members {
                room,
                limit,
                cursor,
            },
        ) => assert_eq!(
            (&*room, limit, cursor.as_deref()),
            ("general", 2, Some("u_5f2c"))
        ),
        ("typing", Command::Typing { room, on: true }) => assert_eq!(room, "general"),
        (op, command) => panic!("{op} was read as {command:?}"),
    }
}

/// The events of the document that somebody stores.
fn stored() -> Vec<Event> {
    let target = 1051;
    let edit = What::Edit {
        target,
        body: Some("hello everybody".into()),
    };
    let react = What::React {
        target,
        emoji: "+1".into(),
        on: true,
    };
    let answer = What::Message {
        body: Some("which one?".into()),
        reply_to: Some(target),
        meta: Some(r#"{"format":"md","tags":["a",1]}"#.into()),
    };
    let data = What::Data {
        json: Some(r#"{"eur":[1.25,null]}"#.into()),
    };
    let events = [
        (1051, "3ZT", "A", What::message("hello all")),
        (1052, "4AV", "B", edit),
        (1053, "5BW", "C", react),
        (1054, "6CX", "D", What::Delete { target }),
        (1055, "7DY", "E", answer),
        (1057, "8EZ", "F", data),
    ];
    let event = |(seq, id, cid, what): (u64, &str, &str, What)| Event {
        room: if seq < 1056 { "general" } else { "prices" }.into(),
        seq,
        prev: seq - 1,
        id: format!("01JH8QK{id}0V9W4J5N6P7Q2ZTM").into(),
        ts: 1_767_225_600_000 + u64::from(cid.as_bytes()[0] - b'A' + 1) * 1000,
        from: Author::User(Arc::new(ana())),
        what,
        cid: Some(format!("01JH8{cid}").into()),
    };
    events.into_iter().map(event).collect()
}

#[test]
fn every_reply_of_the_document_is_what_we_send() {
    let frame = Frame::parse(r#"{"op":"ping","id":1}"#, 1);
    let welcome = reply::Welcome {
        session: "s_3c7e5a0d8b2f9146",
        user: reply::SelfForm {
            id: "u_5f2c",
            name: Some("Ana"),
            avatar: "9c1d2e3f",
        },
        guest: None,
        expires: None,
        now: 1_767_225_600_000,
        hb: 20_000,
        limits: reply::Limits {
            frame: 65_536,
            body: 16_384,
            rooms: 100,
            backlog: 200,
        },
        features: [],
        rooms: None,
    };
    assert_same(
        &reply::success(frame.id.as_ref(), &welcome).unwrap(),
        &reply_to("hello"),
    );

    let id = |n: u64| Frame::parse(&format!(r#"{{"op":"ping","id":{n}}}"#), 1).id;
    let here = Person {
        user: Arc::new(ana()),
        is_away: false,
    };
    let room = |resume: Option<Result<(), Reset>>| reply::RoomForm {
        resume: resume.map(reply::Resume::from),
        people: Some(reply::PeopleForm {
            members: vec![(&here).into()],
            ..people()
        }),
        ..room()
    };
    for (n, resume) in [(2, None), (6, Some(Ok(()))), (7, Some(Err(Reset::Epoch)))] {
        let ours = reply::success(id(n).as_ref(), &room(resume)).unwrap();
        assert_same(&ours, &reply_to_id(&n.into()));
    }
    assert_same(
        &reply::success(id(3).as_ref(), &reply::Done {}).unwrap(),
        &reply_to("leave"),
    );
    let read = reply::Read::from(ReadMark {
        seq: 1048,
        unread: 2,
        is_raised: true,
    });
    assert_same(
        &reply::success(id(27).as_ref(), &read).unwrap(),
        &reply_to("read"),
    );
    let channel = reply::RoomForm {
        room: "prices",
        head: 1056,
        cursor: "k3f9.1056.8Q2ZTM".into(),
        people: None,
        ..room(None)
    };
    assert_same(
        &reply::success(id(28).as_ref(), &channel).unwrap(),
        &reply_to("sub"),
    );
    let pong = reply::Pong {
        now: 1_767_225_602_000,
    };
    assert_same(
        &reply::success(id(5).as_ref(), &pong).unwrap(),
        &reply_to("ping"),
    );
}

/// The document's room, without its members.
fn room() -> reply::RoomForm<'static> {
    reply::RoomForm {
        room: "general",
        resume: None,
        epoch: "k3f9",
        head: 1050,
        floor: 1001,
        cursor: "k3f9.1050.8Q2ZTM".into(),
        people: Some(people()),
    }
}

/// Its people, none of them listed.
fn people() -> reply::PeopleForm<'static> {
    reply::PeopleForm {
        count: 3,
        read: Some(1040),
        unread: Some(8),
        members: Vec::new(),
    }
}

#[test]
fn people_are_shown_as_in_the_document() {
    let counted = reply::success(id("p1").as_ref(), &room()).unwrap();
    assert_same(&counted, &reply_to_id(&"p1".into()));
    let person = |id: &str, name: &str, avatar: &str, is_away| Person {
        user: Arc::new(User {
            id: id.into(),
            name: name.into(),
            avatar: avatar.into(),
        }),
        is_away,
    };
    let bo = person("u_77ab", "Bo", "00aa11bb", false);
    let cleo = person("u_9d31", "Cleo", "77d8c001", true);
    let page = [bo, cleo];
    let page = people::MembersForm::new(&page, false, 3);
    let page = reply::success(id("p2").as_ref(), &page).unwrap();
    assert_same(&page, &reply_to("members"));
}

fn id(text: &str) -> Option<Id> {
    Frame::parse(&format!(r#"{{"op":"ping","id":"{text}"}}"#), 1).id
}

#[test]
fn every_reply_to_what_is_stored_is_what_we_send() {
    for event in stored() {
        let command = examples().into_iter().find(|example| {
            !example["op"].is_null() && example["cid"] == event.cid.as_deref().unwrap()
        });
        let command = command.unwrap();
        let stored = reply::Sent {
            seq: event.seq,
            id: &event.id,
            ts: event.ts,
            dup: false,
        };
        let frame = Frame::parse(&command.to_string(), 16 * 1024).id;
        assert_same(
            &reply::success(frame.as_ref(), &stored).unwrap(),
            &reply_to_id(&command["id"]),
        );
    }
}

#[test]
fn the_documents_way_back_into_several_rooms_is_what_we_answer() {
    let refused = Frame::parse(r#"{"op":"join","room":"a/b"}"#, 1)
        .command
        .unwrap_err();
    let here = Person {
        user: Arc::new(ana()),
        is_away: false,
    };
    let general = reply::RoomForm {
        resume: Some(reply::Resume::from(Ok(()))),
        people: Some(reply::PeopleForm {
            members: vec![(&here).into()],
            ..people()
        }),
        ..room()
    };
    let rooms = [
        ("a/b", reply::RoomResult::Refused { err: &refused }),
        ("general", reply::RoomResult::Joined(general)),
    ];
    let welcome = reply::Welcome {
        session: "s_01JH9",
        user: reply::SelfForm {
            id: "u_5f2c",
            name: Some("Ana"),
            avatar: "9c1d2e3f",
        },
        guest: None,
        expires: None,
        now: 1_767_225_600_000,
        hb: 20_000,
        limits: reply::Limits {
            frame: 65_536,
            body: 16_384,
            rooms: 100,
            backlog: 200,
        },
        features: [],
        rooms: Some(rooms.into()),
    };
    let id = Frame::parse(r#"{"op":"ping","id":20}"#, 1).id;
    assert_same(
        &reply::success(id.as_ref(), &welcome).unwrap(),
        &reply_to_id(&20.into()),
    );
}

#[test]
fn pages_and_hits_of_the_document_are_what_we_answer() {
    let message =
        |seq: u64, id: &str, ts: u64, from: User, body: Option<&str>, cid: Option<&str>| Shown {
            event: Event {
                room: "general".into(),
                seq,
                prev: seq - 1,
                id: id.into(),
                ts,
                from: Author::User(Arc::new(from)),
                what: What::Message {
                    body: body.map(Into::into),
                    reply_to: None,
                    meta: None,
                },
                cid: cid.map(Into::into),
            },
            edited: None,
            reactions: Vec::new(),
        };
    let ts = 1_767_225_600_000;
    let (first, second) = ("01JH8QK2YS0V9W4J5N6P7Q2ZTM", "01JH8QK3ZT0V9W4J5N6P7Q2ZTM");
    let mut edited = message(1050, first, ts, bo(), Some("good morning"), None);
    edited.edited = Some(1053);
    edited.reactions.push(Reaction {
        emoji: "+1".into(),
        count: 2,
        users: vec!["u_5f2c".into(), "u_77ab".into()],
    });
    let mark = |seq| Mark {
        seq,
        chk: Chk::NONE,
    };
    let page = Page {
        as_of: Bounds {
            epoch: "k3f9".into(),
            floor: mark(1000),
            head: mark(1054),
        },
        messages: vec![
            edited,
            message(1051, second, ts + 1000, ana(), None, Some("01JH8A")),
        ],
        more_before: true,
        more_after: false,
    };
    let id = |n: u64| Frame::parse(&format!(r#"{{"op":"ping","id":{n}}}"#), 1).id;
    let form = shown::PageForm::new("general", &page, "u_5f2c");
    assert_same(
        &reply::success(id(25).as_ref(), &form).unwrap(),
        &reply_to("history"),
    );

    let body = "so I came in and said hello to everybody";
    let found = Found {
        messages: vec![message(
            1040,
            "01JH8QJZZZ0V9W4J5N6P7Q2ZTM",
            ts - 10_000,
            bo(),
            Some(body),
            None,
        )],
        next: Some("1040".into()),
    };
    let form = shown::FoundForm::new(&found, "hello every", "u_5f2c");
    assert_same(
        &reply::success(id(26).as_ref(), &form).unwrap(),
        &reply_to("search"),
    );
}

#[test]
fn every_event_of_the_document_is_what_we_send() {
    for event in stored() {
        let found = examples().into_iter().find(|example| {
            !example["ev"].is_null()
                && example["seq"] == event.seq
                && example["room"] == *event.room
        });
        if event.seq == 1055 {
            assert_eq!(found, None, "not told as an event");
        } else {
            assert_same(&event::durable(&event), &found.unwrap());
        }
    }

    let bo = Arc::new(bo());
    let pres = News::Presence(Changes {
        came: vec![Arc::clone(&bo)],
        left: vec!["u_5f2c".into()],
        away: vec!["u_9d31".into()],
        count: 3,
        is_count_new: true,
    });
    let typing = News::Typing {
        user: bo,
        is_on: true,
    };
    for (ev, news) in [("pres", pres), ("typing", typing)] {
        let notice: Notice<()> = Notice::new("general".into(), news, 1);
        assert_same(&event::notice(&notice), &example("ev", ev));
    }

    let gap = event::gap(
        "general",
        Gap {
            from: 1052,
            to: 1300,
        },
    );
    assert_same(&gap, &example("ev", "gap"));
    let mark = |seq, id| Mark {
        seq,
        chk: Chk::of_id(id),
    };
    let forked = Forked {
        history: History::default(),
        epoch: "p2m4".into(),
        floor: mark(900, ""),
        head: mark(980, "4M1XQD"),
        had_all: true,
    };
    assert_same(&event::reset("general", &forked), &example("ev", "reset"));
    let mark = ReadMark {
        seq: 1048,
        unread: 2,
        is_raised: true,
    };
    assert_same(&event::read("general", mark), &example("ev", "read"));
    let frame = Frame::parse("[]", 1);
    assert_same(
        &reply::refusal(None, &frame.command.unwrap_err()),
        &example("ev", "error"),
    );
    let too_fast = reply::Failure::too_fast(std::time::Duration::from_millis(1_199));
    assert_same(
        &reply::refusal(Some(&Id::Number(9)), &too_fast),
        &reply_to_id(&9.into()),
    );
    let event = reply::refusal(None, &too_fast);
    let documented = json!({"ev": "error", "code": "rate_limited", "msg": "too many in this time", "retry_ms": 1200});
    assert_same(&event, &documented);
    assert_same(event::HB, &example("ev", "hb"));
    assert_same(
        &event::bye(std::time::Duration::ZERO, std::time::Duration::from_secs(2)),
        &example("ev", "bye"),
    );
    assert_same(
        &event::status(event::Status::ReadOnly),
        &example("ev", "status"),
    );
}

#[test]
fn every_event_of_a_log_in_the_document_is_what_we_send() {
    assert_same(&log::open("app"), &example("ev", "log.open"));
    let lines = ["first line", "second line"].into_iter();
    assert_same(&log::lines(lines), &example("ev", "log"));
    assert_same(&log::skip(None, 1200), &example("ev", "log.skip"));
    let rotated = FileEvent::Rotated;
    assert_same(&log::file(None, rotated), &example("ev", "log.file"));
}

#[test]
fn what_the_document_says_of_streams_is_what_we_send() {
    let of_stream = |ev: &str| {
        let mut all = examples().into_iter();
        let found = all.find(|example| example["ev"] == ev && example["stream"] == "l1");
        found.unwrap_or_else(|| panic!("no {ev} of a stream"))
    };
    let stream = Some("l1");
    let lines = ["error: disk full", "  while writing to disk 1"].into_iter();
    assert!(CURSOR_OF_A_LOG.parse::<Bookmark>().is_ok());
    assert_same(
        &log::stream_lines("l1", lines, CURSOR_OF_A_LOG),
        &of_stream("log"),
    );
    assert_same(
        &log::anew("l2", "changed", None),
        &example("ev", "log.reset"),
    );
    assert_same(&log::skip(stream, 1200), &of_stream("log.skip"));
    let rotated = FileEvent::Rotated;
    assert_same(&log::file(stream, rotated), &of_stream("log.file"));
    assert_same(&log::end("l1", "ended"), &of_stream("log.end"));
    let answer = |id: u64, ok: &dyn Fn(&Id) -> Option<String>| {
        assert_same(&ok(&Id::Number(id)).unwrap(), &reply_to_id(&id.into()));
    };
    let logs = reply::LogNames {
        logs: vec!["app", "db"],
    };
    answer(40, &|id| reply::success(Some(id), &logs));
    let opened = reply::Opened {
        stream: "l1",
        log: "app",
        cursor: None,
    };
    answer(41, &|id| reply::success(Some(id), &opened));
    let opened = reply::Opened {
        stream: "l2",
        ..opened
    };
    answer(45, &|id| reply::success(Some(id), &opened));
    let credited = reply::Credited { credit: 998 };
    answer(42, &|id| reply::success(Some(id), &credited));
    for id in [43, 44] {
        answer(id, &|id| reply::success(Some(id), &reply::Done {}));
    }
}

#[test]
fn what_the_document_says_of_tokens_is_what_we_send() {
    let id = Frame::parse(r#"{"op":"ping","id":"auth"}"#, 1).id;
    let expires = Some(1_767_229_230_000);
    assert_same(
        &reply::success(id.as_ref(), &reply::Renewed { expires }).unwrap(),
        &reply_to("auth"),
    );
    let minute = std::time::Duration::from_secs(60);
    assert_same(&event::expiring(minute), &example("ev", "expiring"));
    let kick = event::kick("general", "forbidden");
    assert_same(&kick, &example("ev", "kick"));
}

#[test]
fn the_documents_plain_object_goes_both_ways() {
    let text = r#"{"email":"…","username":"…","message":"…"}"#;
    assert!(DOCUMENT.contains(text));
    let read = plain::Plain::parse(text).unwrap();
    assert_eq!(read.to_json(), text);
}

#[test]
fn every_reason_of_a_reset_is_in_the_document() {
    let reasons = [
        Reset::Epoch,
        Reset::Truncated,
        Reset::Ahead,
        Reset::Mismatch,
        Reset::TooFar,
    ];
    for reset in reasons {
        let form = serde_json::to_value(reply::Resume::from(Err(reset))).unwrap();
        let row = format!("| `{}` |", form["reason"].as_str().unwrap());
        assert!(DOCUMENT.contains(&row), "{row}");
    }
}
