//! Goal: what an application sends is stored once and what it is given is the room, however often the server goes away.
//! Method: clients against a hub that is stopped and started again on its data folder.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use fullduplex_client::{
    Client, Event, Events, Options, RequestError, Resume, Span, What, connect,
};
use fullduplex_hub::{Config, Hub, log::sqlite};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle, time::timeout};

const SOON: Duration = Duration::from_secs(60);

struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(address: SocketAddr, data: &tempfile::TempDir) -> (Self, SocketAddr) {
        let listener = TcpListener::bind(address).await.unwrap();
        let options = sqlite::Options::new(data.path());
        let hub = Hub::durable(Config::default(), listener, &options)
            .await
            .unwrap();
        let address = hub.local_addr();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(hub.run(async {
            drop(stopped.await);
        }));
        (Self { stop, task }, address)
    }

    async fn stop(self) {
        self.stop.send(()).unwrap();
        self.task.await.unwrap();
    }
}

fn client(address: SocketAddr, name: &str) -> (Client, Events) {
    let options = Options::new(&format!("ws://{address}/ws")).unwrap();
    connect(options.name(name))
}

/// Reads until so many messages were seen, and says what they are by position.
async fn read(events: &mut Events, wanted: usize) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    let mut lost = 0;
    while seen.len() < wanted {
        match timeout(SOON, events.next()).await.unwrap().unwrap() {
            Event::Placed(event) => {
                let What::Message { body, .. } = event.what else {
                    panic!("{event:?}")
                };
                seen.push((event.seq, body.unwrap()));
            }
            Event::Joined(joined) => assert_ne!(joined.resume, Some(Resume::Reset)),
            Event::Gap(gap) => panic!("{gap:?}"),
            Event::Lost { .. } => lost += 1,
            _ => {}
        }
    }
    assert!(lost > 0, "the server went away");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_have_the_same_room_though_the_server_goes_away_and_each_message_is_there_once()
{
    const EACH: usize = 300;
    let data = tempfile::tempdir().unwrap();
    let (mut server, address) = Server::start("127.0.0.1:0".parse().unwrap(), &data).await;
    let mut talkers = Vec::new();
    for name in ["ana", "bo"] {
        let (client, mut events) = client(address, name);
        client.join("general", 0).await.unwrap();
        let reader = tokio::spawn(async move { read(&mut events, 2 * EACH).await });
        talkers.push((name, client, reader));
    }
    let mut writers = Vec::new();
    for (name, client, _) in &talkers {
        for part in 0..3 {
            let (name, client) = (*name, client.clone());
            writers.push(tokio::spawn(async move {
                for at in 0..EACH / 3 {
                    let body = format!("{name} {part} {at}");
                    client.send("general", &body).await.unwrap();
                }
            }));
        }
    }
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        server.stop().await;
        (server, _) = Server::start(address, &data).await;
        // It serves for long enough that they are back.
        let (probe, _events) = client(address, "probe");
        probe.join("elsewhere", 0).await.unwrap();
        for (_, client, _) in &talkers {
            let ping = || serde_json::Map::from_iter([("op".to_owned(), "ping".into())]);
            while timeout(SOON, client.call(ping())).await.unwrap() == Err(RequestError::Lost) {}
        }
    }
    for writer in writers {
        timeout(SOON, writer).await.unwrap().unwrap();
    }
    let mut rooms = Vec::new();
    for (_, _, reader) in talkers {
        rooms.push(timeout(SOON, reader).await.unwrap().unwrap());
    }
    assert_eq!(rooms[0], rooms[1]);
    assert!(rooms[0].is_sorted_by(|(one, _), (next, _)| one < next));
    let bodies: BTreeSet<_> = rooms[0].iter().map(|(_, body)| body).collect();
    assert_eq!(bodies.len(), 2 * EACH);
    server.stop().await;
}

#[tokio::test]
async fn what_the_server_refuses_is_an_error_and_a_client_that_is_done_ends() {
    let data = tempfile::tempdir().unwrap();
    let (server, address) = Server::start("127.0.0.1:0".parse().unwrap(), &data).await;
    let (ana, events) = client(address, "ana");
    assert_eq!(ana.send("general", "x").await, Err(RequestError::NotJoined));
    ana.join("general", 0).await.unwrap();
    assert_eq!(
        ana.join("general", 0).await.unwrap_err(),
        RequestError::Joined
    );
    let refused = ana.join("a/b", 0).await.unwrap_err();
    assert!(matches!(&refused, RequestError::Refused { code, .. } if code == "bad_request"));
    let long = "x".repeat(20_000);
    let refused = ana.send("general", &long).await.unwrap_err();
    assert!(matches!(&refused, RequestError::Refused { code, .. } if code == "too_large"));
    ana.close().await;
    let end = timeout(SOON, events.end()).await.unwrap();
    assert_eq!(end, RequestError::Ended("closed".into()));
    assert_eq!(ana.send("general", "x").await, Err(end));

    let (nobody, events) = client(address, "\u{7}");
    let end = timeout(SOON, events.end()).await.unwrap();
    assert!(
        matches!(&end, RequestError::Ended(why) if why.contains("name")),
        "{end}"
    );
    drop(nobody);
    server.stop().await;
}

/// Reads until there is an event with a place.
async fn placed(events: &mut Events) -> (u64, What) {
    loop {
        let event = timeout(SOON, events.next()).await.unwrap().unwrap();
        if let Event::Placed(event) = event {
            return (event.seq, event.what);
        }
    }
}

#[tokio::test]
async fn messages_are_changed_and_history_shows_what_became_of_them() {
    let data = tempfile::tempdir().unwrap();
    let (server, address) = Server::start("127.0.0.1:0".parse().unwrap(), &data).await;
    let (ana, mut events) = client(address, "ana");
    let (bo, _events) = client(address, "bo");
    for client in [&ana, &bo] {
        client.join("general", 0).await.unwrap();
    }
    let first = ana.send("general", "frist").await.unwrap().seq;
    let second = ana.send("general", "second").await.unwrap().seq;
    let edit = ana.edit("general", first, "first").await.unwrap().seq;
    bo.react("general", first, "+1", true).await.unwrap();
    bo.react("general", first, "-1", true).await.unwrap();
    bo.react("general", first, "-1", false).await.unwrap();
    let delete = ana.delete("general", second).await.unwrap().seq;
    let refused = bo.edit("general", first, "mine").await.unwrap_err();
    assert!(matches!(&refused, RequestError::Refused { code, .. } if code == "forbidden"));

    let page = bo.history("general", Span::Newest, 200).await.unwrap();
    assert_eq!(
        (page.as_of, page.more_before, page.more_after),
        (delete, false, false)
    );
    let [one, two] = &page.events[..] else {
        panic!("{page:?}")
    };
    let body =
        |what: &What| matches!(what, What::Message { body: Some(body), .. } if body == "first");
    assert!(body(&one.event.what), "{one:?}");
    assert_eq!((one.event.seq, one.edited), (first, Some(edit)));
    let reactions: Vec<_> = one.reactions.iter().collect();
    assert!(
        matches!(&reactions[..], [(emoji, reaction)] if *emoji == "+1" && reaction.count == 1 && reaction.me)
    );
    assert!(matches!(two.event.what, What::Message { body: None, .. }));

    for (span, wanted) in [
        (Span::Before(second), first),
        (Span::After(first), second),
        (Span::After(0), first),
        (Span::Around(second), second),
    ] {
        let page = bo.history("general", span, 1).await.unwrap();
        let seqs: Vec<_> = page.events.iter().map(|shown| shown.event.seq).collect();
        assert_eq!(seqs, [wanted], "{span:?}");
    }

    for seq in [first, second] {
        assert_eq!(placed(&mut events).await.0, seq);
    }
    let (_, what) = placed(&mut events).await;
    assert!(matches!(what, What::Edit { target, .. } if target == first));
    for on in [true, true, false] {
        let (_, what) = placed(&mut events).await;
        assert!(
            matches!(what, What::React { target, on: is_on, .. } if target == first && is_on == on)
        );
    }
    let (_, what) = placed(&mut events).await;
    assert!(matches!(what, What::Delete { target } if target == second));
    server.stop().await;
}

#[tokio::test]
async fn who_subscribes_is_not_counted_and_goes_on_in_the_channel_after_a_restart() {
    let data = tempfile::tempdir().unwrap();
    let (server, address) = Server::start("127.0.0.1:0".parse().unwrap(), &data).await;
    let (feed, _events) = client(address, "feed");
    let (follower, mut events) = client(address, "follower");
    assert_eq!(feed.subscribe("prices", 0).await.unwrap().count, 0);
    let sent = feed.publish("prices", 1.into()).await.unwrap();
    let joined = follower.subscribe("prices", 1).await.unwrap();
    assert_eq!((joined.head, joined.count), (sent.seq, 0));
    assert_eq!(placed(&mut events).await.1, What::Data { data: 1.into() });
    server.stop().await;

    let (server, _) = Server::start(address, &data).await;
    feed.publish("prices", 2.into()).await.unwrap();
    let resume = loop {
        match timeout(SOON, events.next()).await.unwrap().unwrap() {
            Event::Joined(joined) => break joined.resume,
            Event::Placed(event) => panic!("before the room was joined: {event:?}"),
            _ => {}
        }
    };
    assert_eq!(resume, Some(Resume::Ok));
    assert_eq!(placed(&mut events).await.1, What::Data { data: 2.into() });
    server.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_told_of_and_found_when_it_is() {
    let data = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let (_ana, mut events) = client(address, "ana");
    let first = timeout(SOON, events.next()).await.unwrap().unwrap();
    assert!(
        matches!(&first, Event::Lost { reason } if reason.contains("refused")),
        "{first:?}"
    );
    let (server, _) = Server::start(address, &data).await;
    let welcomed = async {
        while let Some(event) = events.next().await {
            match event {
                Event::Lost { .. } => {}
                Event::Welcome(_) => return true,
                event => panic!("{event:?}"),
            }
        }
        false
    };
    assert!(timeout(SOON, welcomed).await.unwrap());
    server.stop().await;
}
