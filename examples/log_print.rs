//! `cargo run -p fullduplex-examples --bin log_print -- app.log 127.0.0.1:8080`
//!
//! Seed 001: a file, line by line, to everybody who looks: what is there, and what is still written. Rotated files are
//! followed, unfinished lines are waited for, and all viewers share one reader of the file.
#![expect(clippy::print_stdout, reason = "says where it listens")]

use std::{env, error::Error, sync::Arc};

use fullduplex::{Server, WebSocket};
use fullduplex_tail::{Backlog, Item, Options, Reader, Source};
use tokio::select;

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let mut args = env::args().skip(1);
    let file = args.next().ok_or("usage: log_print FILE [ADDR]")?;
    let addr = args.next();
    let source = Arc::new(Source::follow(file, Options::default()).await?);
    let server = Server::bind(addr.as_deref().unwrap_or("127.0.0.1:8080")).await?;
    println!("listening on ws://{}/echo", server.local_addr()?);
    server
        .serve(move |ws| viewer(ws, source.reader(Backlog::All)))
        .await;
    Ok(())
}

async fn viewer(ws: WebSocket, mut lines: Reader) -> Result<(), Failure> {
    let (mut read, mut write) = ws.split();
    loop {
        select! {
            // A viewer has nothing to say, but only who receives answers pings and hears of a Close.
            message = read.recv() => if message?.is_none() {
                return Ok(());
            },
            item = lines.next() => match item? {
                Some(Item::Lines(lines)) => {
                    for line in lines {
                        write.feed(&**line.text()).await?;
                    }
                    write.flush().await?;
                }
                Some(Item::Skipped(lines)) => write.send(format!("({lines} lines skipped)")).await?,
                Some(Item::File(_)) => {}
                None => return Ok(()),
            }
        }
    }
}
