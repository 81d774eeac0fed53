//! Goal: who is banned while coming in is found all the same: by the ban, or by what looks for one when it can be found itself.
//! Method: bans at the moment between the two.

use std::{future::pending, sync::Arc, task::Context, task::Waker};

use fullduplex::{Acceptor, WebSocket};
use fullduplex_testkit::{Peer, wire};
use serde_json::json;
use tokio::task::yield_now;

use super::{
    Dialect, Ended, Parcel, Session,
    seat_tests::{CLIENT, V1, hub, json, session},
};
use crate::{
    auth::{Claims, Grant, Subject},
    visits::Visitor,
};

async fn connection() -> (WebSocket, Peer) {
    let (io, peer) = Peer::client();
    (Acceptor::new().accept(io).await.unwrap(), peer)
}

fn grant(user: &str) -> Arc<Grant> {
    let claims = json!({"sub": user, "rooms": {"*": ["read"]}});
    let claims: Claims = serde_json::from_value(claims).unwrap();
    Arc::new(Grant::from_claims(&claims).unwrap())
}

#[tokio::test]
async fn s27_a_plain_client_that_is_banned_while_it_connects_is_closed_at_once() {
    for (room, name) in [(None, "ana"), (Some("general".into()), "bo")] {
        let hub = hub().await;
        let mut session = Session::new(&hub, Dialect::Json, CLIENT);
        session.set_grant(grant(name));
        session.enter("general", 0).await.unwrap();
        hub.ban(Subject::User(name.into()), room, None, None)
            .unwrap();
        let (ws, peer) = connection().await;
        hub.spawn(session.run(ws));
        yield_now().await;
        assert_eq!(peer.frames(), [wire::close(4005, "banned")]);
    }
}

#[tokio::test]
async fn s27_what_follows_a_room_finds_a_ban_that_did_not_find_it() {
    let hub = hub().await;
    let general = Some("general".into());
    hub.ban(Subject::User("ana".into()), None, None, None)
        .unwrap();
    hub.ban(Subject::User("bo".into()), general.clone(), None, None)
        .unwrap();
    for (user, room, is_out) in [
        ("ana", general.clone(), true),
        ("bo", general.clone(), true),
        ("bo", Some("other".into()), false),
        ("cy", general, false),
    ] {
        let visitor = Visitor::new("sse", Some(user.into()), CLIENT.address, room);
        let visit = hub.enter(visitor);
        let ended = tokio::select! {
            biased;
            ended = visit.until(pending::<()>()) => Some(ended),
            () = yield_now() => None,
        };
        assert_eq!(ended, is_out.then_some(Err(Ended::Banned)), "{user}");
    }
}

#[tokio::test]
async fn s27_who_is_banned_on_the_way_into_rooms_stays_outside_and_the_reply_to_hello_says_so() {
    let hub = hub().await;
    let _author = session(&hub, Dialect::Json).await;
    let (mut ws, peer) = connection().await;
    let mut comes = Session::new(&hub, V1, CLIENT);
    let cursor = "none.0.000000";
    let resume = json!({"general": cursor, "other": cursor});
    let hello = json!({"op": "hello", "id": 1, "guest": "0123456789abcdef", "resume": resume});
    comes.take_command(&hello.to_string()).unwrap();
    let cx = &mut Context::from_waker(Waker::noop());
    comes.poll_log(cx).unwrap();
    // It is in the one, and waits for the other.
    assert!(comes.rooms.find("general").is_some() && comes.joining.is_some());
    let whom = Subject::User(Arc::clone(comes.client.id()));
    for room in ["general", "other"] {
        hub.ban(whom.clone(), Some(room.into()), None, None)
            .unwrap();
    }
    comes.send_away(Some("general"), Ended::Banned).unwrap();
    while comes.joining.is_some() {
        yield_now().await;
        comes.poll_log(cx).unwrap();
    }
    let mut parcel = Parcel::default();
    comes.pack(&mut parcel).unwrap();
    assert!(parcel.poll_send(&mut ws, cx).is_ready());
    let frames = peer.frames();
    assert_eq!(frames.len(), 1, "nothing but the reply: {frames:?}");
    let rooms = &json(&frames[0])["ok"]["rooms"];
    for room in ["general", "other"] {
        assert_eq!(rooms[room]["err"]["code"], "forbidden", "{rooms}");
        assert!(comes.rooms.find(room).is_none());
    }
}
