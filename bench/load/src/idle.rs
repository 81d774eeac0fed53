//! What connections cost in resident memory that are only open.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::thread::sleep;
use std::time::Duration;

use clap::Args;

use crate::frames::{BINARY, encode};
use crate::replies::{Expected, Replies};
use crate::report::Report;
use crate::usage::resident;
use crate::{Server, upgrade};

/// Opened, used and closed before anything is measured: buffers that are shared by all, and code, are nobody's.
const WARM: usize = 8;

#[derive(Args)]
pub(crate) struct Load {
    #[command(flatten)]
    server: Server,
    #[arg(long, default_value_t = 10_000)]
    connections: usize,
    /// Messages that each has had echoed before the second look
    #[arg(long, default_value_t = 1)]
    messages: usize,
    /// Bytes per message
    #[arg(long, default_value_t = 32)]
    size: usize,
    /// Seconds for the server to come to rest before each look
    #[arg(long, default_value_t = 1.0)]
    settle: f64,
}

struct Connection {
    stream: TcpStream,
    replies: Replies,
}

impl Load {
    pub(crate) fn run(&self) -> io::Result<Report> {
        let payload: Vec<u8> = (b'a'..=b'z').cycle().take(self.size).collect();
        let frame = encode(BINARY, &payload);
        let expected = Expected::Messages {
            first: BINARY,
            length: Some(self.size as u64),
            check: Box::new(move |reply| reply == payload),
        };
        self.echo(&mut self.open(WARM)?, &frame, &expected)?;
        let before = self.resident()?;
        let mut connections = self.open(self.connections)?;
        let idle = self.resident()?;
        self.echo(&mut connections, &frame, &expected)?;
        let after = self.resident()?;
        drop(connections);
        let closed = self.resident()?;
        #[expect(
            clippy::cast_precision_loss,
            reason = "bytes and counts are far below 2^53"
        )]
        let each = |bytes: u64| (bytes as f64 - before as f64) / self.connections as f64;
        Ok(Report(vec![
            #[expect(clippy::cast_precision_loss, reason = "bytes are far below 2^53")]
            ("before_bytes", before as f64),
            ("idle_bytes", each(idle)),
            ("after_bytes", each(after)),
            ("closed_bytes", each(closed)),
        ]))
    }

    fn open(&self, count: usize) -> io::Result<Vec<Connection>> {
        (0..count)
            .map(|_| {
                let (stream, _) = upgrade::open(&self.server, None)?;
                Ok(Connection {
                    stream,
                    replies: Replies::new(),
                })
            })
            .collect()
    }

    fn echo(
        &self,
        connections: &mut [Connection],
        frame: &[u8],
        expected: &Expected,
    ) -> io::Result<()> {
        for connection in connections {
            for _ in 0..self.messages {
                connection.echo(frame, expected)?;
            }
        }
        Ok(())
    }

    fn resident(&self) -> io::Result<u64> {
        sleep(Duration::from_secs_f64(self.settle));
        resident(self.server.pid)
    }
}

impl Connection {
    fn echo(&mut self, frame: &[u8], expected: &Expected) -> io::Result<()> {
        self.stream.write_all(frame)?;
        let mut buffer = [0; 4096];
        loop {
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(io::Error::other("the server closed a connection"));
            }
            if self.replies.take(&buffer[..count], expected)? > 0 {
                return Ok(());
            }
        }
    }
}
