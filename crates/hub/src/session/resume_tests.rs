//! Goal: the reply to a `hello` that goes on in rooms comes before all that these have, and knows what happened meanwhile.
//! Method: a session that is polled and written for by hand, one of whose rooms is still on its way out of the log.

use std::{sync::Arc, task::Context, task::Waker};

use fullduplex::{Acceptor, Forwarded, WebSocket};
use fullduplex_testkit::Peer;
use serde_json::{Value, json};
use tokio::task::yield_now;

use super::{
    Dialect, Parcel, Session,
    seat_tests::{CLIENT, V1, hub, json, kind, round, say, session},
};
use crate::{hub::Shared, log::ReadMark};

const GUEST: &str = "0123456789abcdef";

/// A client that wants into a room that is open and into one that is not, and got no answer yet.
struct Comes {
    session: Box<Session>,
    ws: WebSocket,
    peer: Peer,
}

impl Comes {
    async fn with(hub: &Arc<Shared>, commands: &[Value]) -> Self {
        let (io, peer) = Peer::client();
        let ws = Acceptor::new().accept(io).await.unwrap();
        let mut session = Session::new(hub, V1, CLIENT);
        for command in commands {
            session.take_command(&command.to_string()).unwrap();
            session
                .poll_log(&mut Context::from_waker(Waker::noop()))
                .unwrap();
        }
        Self { session, ws, peer }
    }

    /// Waits for its rooms, and writes what there is then.
    async fn come_in(&mut self) {
        while self.session.joining.is_some() {
            yield_now().await;
            self.write();
        }
    }

    /// Writes what there is for it. Says whether that was all it is owed.
    fn write(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        self.session.poll_log(cx).unwrap();
        let mut parcel = Parcel::default();
        let all = self.session.pack(&mut parcel).unwrap();
        assert!(parcel.poll_send(&mut self.ws, cx).is_ready());
        all
    }

    fn kinds(&self) -> Vec<String> {
        self.peer.frames().iter().map(kind).collect()
    }
}

fn resume() -> Value {
    let cursor = "none.0.000000";
    json!({"op": "hello", "id": 1, "guest": GUEST, "resume": {"general": cursor, "other": cursor}})
}

#[tokio::test]
async fn the_reply_to_hello_comes_before_what_its_rooms_have_however_that_comes() {
    let hub = hub().await;
    let mut author = session(&hub, Dialect::Json).await;
    let mut comes = Comes::with(&hub, &[resume()]).await;
    say(&mut author, 0..1);
    let first = round(&hub, &author);
    let followed = comes.session.follow(&first, &mut comes.ws);
    assert_eq!(followed, Some(Forwarded::Refused));
    assert!(comes.write(), "what rooms have is not owed yet");
    assert_eq!(comes.kinds(), [""; 0]);
    comes.come_in().await;
    assert_eq!(comes.kinds(), ["ok", "msg"]);
}

#[tokio::test]
async fn a_join_that_takes_its_time_holds_up_no_other_room() {
    let hub = hub().await;
    let mut author = session(&hub, Dialect::Json).await;
    let joins = ["general", "other"].map(|room| json!({"op": "join", "id": 2, "room": room}));
    let [general, other] = joins;
    let mut comes = Comes::with(&hub, &[json!({"op": "hello", "id": 1}), general, other]).await;
    assert!(comes.session.joining.is_some());
    say(&mut author, 0..1);
    let first = round(&hub, &author);
    comes.write();
    assert_eq!(comes.kinds(), ["ok", "ok", "msg"]);
    assert_eq!(comes.session.follow(&first, &mut comes.ws), None);
    assert_eq!(comes.kinds(), ["ok", "ok", "msg"]);
}

#[tokio::test]
async fn what_is_read_elsewhere_while_a_client_comes_is_in_its_reply() {
    let hub = hub().await;
    let mut comes = Comes::with(&hub, &[resume()]).await;
    let user = Arc::clone(comes.session.client.id());
    let mark = |seq| ReadMark {
        seq,
        unread: 3,
        is_raised: true,
    };
    for (room, seq) in [("general", 7), ("other", 8), ("general", 6), ("third", 9)] {
        comes.session.hear_of_read(&user, room, mark(seq));
    }
    comes
        .session
        .hear_of_read("somebody else", "general", mark(9));
    comes.come_in().await;
    assert_eq!(comes.kinds(), ["ok"]);
    let rooms = &json(&comes.peer.frames()[0])["ok"]["rooms"];
    let marks = ["general", "other"].map(|room| rooms[room]["read"].clone());
    assert_eq!(marks, [json!(7), json!(8)]);
    // From now on it is told.
    comes.session.hear_of_read(&user, "general", mark(8));
    comes.write();
    assert_eq!(comes.kinds(), ["ok", "read"]);
}
