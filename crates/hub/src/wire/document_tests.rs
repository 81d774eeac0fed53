//! The examples of `docs/hub-protocol.md`, taken from the document itself.

use std::sync::Arc;

use serde_json::Value;

use super::{
    command::{Command, Frame},
    event, log, plain, reply,
};
use crate::core::{Author, Cursor, Event, Gap, Notice, Reset, User, What};

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
        match (op, &command) {
            ("hello", Command::Hello(hello)) => {
                assert_eq!(hello.name.as_deref(), Some("Ana"));
                assert_eq!(hello.session.as_deref(), Some("s_90b1f3a27c5d6e48"));
                assert_eq!(hello.hb_ms, Some(20_000));
            }
            (
                "join",
                Command::Join {
                    room,
                    backlog,
                    since,
                },
            ) => {
                assert_eq!((&**room, *backlog), ("general", 50));
                let cursor = since.as_ref().map(|text| text.parse::<Cursor>().unwrap());
                assert!(cursor.is_none_or(|cursor| cursor.mark.seq == 1042));
            }
            ("leave", Command::Leave { room }) => assert_eq!(room, "general"),
            ("send", Command::Send { cid, body, .. }) => {
                assert_eq!((&**cid, &**body), ("01JH8A", "hello all"));
            }
            ("ping", Command::Ping) => {}
            _ => panic!("{text} was read as {command:?}"),
        }
        understood.push(op.to_owned());
    }
    assert_eq!(
        understood,
        ["hello", "join", "join", "join", "leave", "send", "ping"]
    );
    assert_eq!(Frame::parse(r#"{"op":"hb"}"#, 1).command, Ok(Command::Hb));
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
        now: 1_767_225_600_000,
        hb: 20_000,
        limits: reply::Limits {
            frame: 65_536,
            body: 16_384,
            rooms: 100,
            backlog: 200,
        },
        features: [],
    };
    assert_same(
        &reply::success(frame.id.as_ref(), &welcome).unwrap(),
        &reply_to("hello"),
    );

    let id = |n: u64| Frame::parse(&format!(r#"{{"op":"ping","id":{n}}}"#), 1).id;
    let ana = ana();
    let room = |resume: Option<Result<(), Reset>>| reply::RoomForm {
        room: "general",
        resume: resume.map(reply::Resume::from),
        epoch: "k3f9",
        head: 1050,
        floor: 1001,
        cursor: "k3f9.1050.8Q2ZTM".into(),
        count: 3,
        members: vec![(&ana).into()],
    };
    for (n, resume) in [(2, None), (6, Some(Ok(()))), (7, Some(Err(Reset::Epoch)))] {
        let ours = reply::success(id(n).as_ref(), &room(resume)).unwrap();
        assert_same(&ours, &reply_to_id(&n.into()));
    }
    assert_same(
        &reply::success(id(3).as_ref(), &reply::Done {}).unwrap(),
        &reply_to("leave"),
    );
    let sent = reply::Sent {
        seq: 1051,
        id: "01JH8QK3ZT0V9W4J5N6P7Q2ZTM",
        ts: 1_767_225_601_000,
        dup: false,
    };
    assert_same(
        &reply::success(id(4).as_ref(), &sent).unwrap(),
        &reply_to("send"),
    );
    let pong = reply::Pong {
        now: 1_767_225_602_000,
    };
    assert_same(
        &reply::success(id(5).as_ref(), &pong).unwrap(),
        &reply_to("ping"),
    );
}

#[test]
fn every_event_of_the_document_is_what_we_send() {
    let target = 1051;
    let json = Some(r#"{"bid":12.50}"#.into());
    for (ev, seq, id, cid, what) in [
        ("msg", 1051, "3ZT", "A", What::message("hello all")),
        (
            "edit",
            1052,
            "4AV",
            "B",
            What::Edit {
                target,
                body: Some("hello everybody".into()),
            },
        ),
        (
            "react",
            1053,
            "5BW",
            "C",
            What::React {
                target,
                emoji: "+1".into(),
                on: true,
            },
        ),
        ("del", 1054, "6CX", "D", What::Delete { target }),
        ("data", 1055, "7DY", "E", What::Data { json }),
    ] {
        let event = Event {
            room: "general".into(),
            seq,
            prev: seq - 1,
            id: format!("01JH8QK{id}0V9W4J5N6P7Q2ZTM").into(),
            ts: 1_767_225_601_000 + (seq - target) * 1000,
            from: Author::User(Arc::new(ana())),
            what,
            cid: Some(format!("01JH8{cid}").into()),
        };
        assert_same(&event::durable(&event), &example("ev", ev));
    }

    let bo = User {
        id: "u_77ab".into(),
        name: "Bo".into(),
        avatar: "00aa11bb".into(),
    };
    let notice: Notice<()> = Notice::new(
        "general".into(),
        vec![Arc::new(bo)],
        vec!["u_5f2c".into()],
        3,
    );
    assert_same(&event::pres(&notice), &example("ev", "pres"));

    let gap = event::gap(
        "general",
        Gap {
            from: 1052,
            to: 1300,
        },
    );
    assert_same(&gap, &example("ev", "gap"));
    let frame = Frame::parse("[]", 1);
    assert_same(
        &reply::refusal(None, &frame.command.unwrap_err()),
        &example("ev", "error"),
    );
    assert_same(event::HB, &example("ev", "hb"));
    assert_same(&event::bye(2_000), &example("ev", "bye"));
}

#[test]
fn every_event_of_a_log_in_the_document_is_what_we_send() {
    assert_same(&log::open("app"), &example("ev", "log.open"));
    let lines = ["first line".into(), "second line".into()];
    assert_same(&log::lines(&lines), &example("ev", "log"));
    assert_same(&log::skip(1200), &example("ev", "log.skip"));
    assert_same(&log::file("rotated"), &example("ev", "log.file"));
}

#[test]
fn every_error_code_of_the_document_has_a_cause_here() {
    use reply::ErrorCode::*;
    let table = DOCUMENT
        .split("| `code` | meaning |")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    for code in [
        BadRequest,
        TooLarge,
        Forbidden,
        NotJoined,
        NotFound,
        Conflict,
        RateLimited,
        Timeout,
        Unavailable,
        Unauthorized,
        Unsupported,
    ] {
        let name = serde_json::to_value(code).unwrap();
        assert!(
            table.contains(&format!("| `{}` |", name.as_str().unwrap())),
            "{name}"
        );
    }
    assert_eq!(table.matches("\n| `").count(), 11);
}

#[test]
fn the_documents_plain_object_goes_both_ways() {
    let text = r#"{"email":"…","username":"…","message":"…"}"#;
    assert!(DOCUMENT.contains(text));
    let read = plain::Plain::parse(text).unwrap();
    assert_eq!(super::to_json(&read), text);
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
