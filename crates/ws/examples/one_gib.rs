//! Streams a message of 1 GiB each way between a client and a server of this process, plain and compressed, and says how much the
//! process grew by it. It fails if that is over 10 MB.
//!
//! Its growth is the peak of resident memory, from `/proc`, so it runs on Linux only; `./check` does.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{error::Error, process::ExitCode};

use bytes::Bytes;
use fullduplex::{Acceptor, Client, Deflate, MessageKind, Server, WebSocket};

const GIB: usize = 1 << 30;
const PART: usize = 64 << 10;
/// What the process may grow by, in bytes.
const ALLOWED: usize = 10_000_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    // What every connection of a thread shares, and the runtime, is there before.
    pass(16 * PART, None).await?;
    let before = peak()?;
    let mut failed = false;
    for (what, deflate) in [("plain", None), ("compressed", Some(Deflate::for_server()))] {
        pass(GIB, deflate).await?;
        let grown = peak()? - before;
        println!("1 GiB each way, {what}: grown by {grown} bytes");
        failed |= grown > ALLOWED;
    }
    Ok(ExitCode::from(u8::from(failed)))
}

/// Passes a message of `len` bytes each way.
async fn pass(len: usize, deflate: Option<Deflate>) -> Result<(), Box<dyn Error>> {
    let server = Server::bind("127.0.0.1:0").await?;
    let mut acceptor = Acceptor::new();
    let mut client = Client::new(&format!("ws://{}/", server.local_addr()?))?;
    if let Some(deflate) = deflate {
        acceptor = acceptor.deflate(deflate);
        client = client.require_deflate(deflate);
    }
    let serving = tokio::spawn(server.acceptor(acceptor).serve(
        move |mut ws: WebSocket| async move {
            let received = take(&mut ws).await?;
            give(&mut ws, received).await?;
            while ws.recv().await?.is_some() {}
            Ok::<_, fullduplex::Error>(())
        },
    ));
    let (mut ws, _response) = client.connect().await?;
    give(&mut ws, len).await?;
    let received = take(&mut ws).await?;
    serving.abort();
    if received == len {
        Ok(())
    } else {
        Err(format!("{received} of {len} bytes came back").into())
    }
}

/// Sends a message of so many bytes, which a compressor makes something of.
async fn give(ws: &mut WebSocket, len: usize) -> Result<(), fullduplex::Error> {
    let lines = (0_u32..).flat_map(|n| format!("{n:07}\n").into_bytes());
    let part: Bytes = lines.take(PART).collect();
    let mut message = ws.send_stream(MessageKind::Binary);
    let mut left = len;
    while left > 0 {
        let n = left.min(PART);
        message.write(part.slice(..n)).await?;
        left -= n;
    }
    message.finish().await
}

/// Receives a message and counts its bytes.
async fn take(ws: &mut WebSocket) -> Result<usize, fullduplex::Error> {
    let mut received = 0;
    if let Some(mut message) = ws.recv_stream().await? {
        while let Some(chunk) = message.chunk().await? {
            received += chunk.len();
        }
    }
    Ok(received)
}

/// The most memory that this process has had resident, in bytes.
fn peak() -> Result<usize, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.ok_or("no VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kibibytes.parse::<usize>()? << 10)
}
