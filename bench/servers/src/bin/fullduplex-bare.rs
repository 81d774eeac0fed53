//! fullduplex without what its helpers do: nothing is corked, so each `send` is a write, and a message goes to the members of a
//! group one by one, encoded anew for each. What it loses is what the helpers bring.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bench_servers::{Mode, serve, start};
use fullduplex::{Acceptor, Error, Overflow, Sender, WebSocket};

type Members = Mutex<HashMap<u64, Sender>>;

fn main() -> io::Result<()> {
    let (mode, listener) = start(&[Mode::Echo, Mode::Broadcast]);
    let members = Arc::new(Members::default());
    serve(listener, move |stream| {
        let members = Arc::clone(&members);
        async move {
            let Ok(ws) = Acceptor::new().accept(stream).await else {
                return;
            };
            // A connection that breaks is the generator's to report.
            let _ = match mode {
                Mode::Broadcast => chat(&members, ws).await,
                _ => echo(ws).await,
            };
        }
    })
}

async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    while let Some(message) = ws.recv().await? {
        ws.send(message).await?;
    }
    Ok(())
}

async fn chat(members: &Members, ws: WebSocket) -> Result<(), Error> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (mut read, write) = ws.split();
    let sender = write.into_sender(Overflow::Close);
    let lock = || members.lock().unwrap_or_else(PoisonError::into_inner);
    let key = NEXT.fetch_add(1, Ordering::Relaxed);
    lock().insert(key, sender);
    while let Some(message) = read.recv().await? {
        lock().retain(|_, sender| sender.try_send(message.clone()).is_ok());
    }
    lock().remove(&key);
    Ok(())
}
