//! Goal: what an application sends is stored once and what it is given is the room, however often the server goes away.
//! Method: clients against a hub that is stopped and started again on its data folder.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use fullduplex_client::{Client, Event, Events, Options, RequestError, Resume, What, connect};
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
