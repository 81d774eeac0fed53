//! Goal: ten thousand idle connections cost no more memory that is really in use than stated here, before and after traffic: the
//! library's by `fdx echo`, the hub's by `fdx serve`. Method: the program in a process of its own, whose resident memory the system tells.
#![cfg(target_os = "linux")]
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test, which shows what it measured, and which what goes wrong should stop"
)]

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread::sleep,
    time::Duration,
};

use rustix::process::{Resource, getrlimit, setrlimit};

/// As many as a server admits by default.
const CONNECTIONS: usize = 10_000;

/// Descriptors for everything else.
const RESERVED: u64 = 100;

/// Messages and their length, for the traffic on each connection: as many as one read brings.
const MESSAGES: usize = 16;
const LENGTH: u16 = 1024;

/// What `fdx serve` needs to be told besides: room for them all on `/echo`.
const SERVE: &[&str] = &["--memory", "--limits.echo-connections", "11000"];

/// Both tests want all descriptors.
static ALONE: Mutex<()> = Mutex::new(());

/// The program, ended with the test.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(command: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_fdx"))
            // Pings that nobody answers would end the connections of a test that is slow; the timer for them is there.
            .args([command, "--listen", "127.0.0.1:0", "--ping-interval", "600"])
            .args(if command == "serve" { SERVE } else { &[] })
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines
            .map(Result::unwrap)
            .find(|line| line.starts_with("listening"));
        let line = line.unwrap();
        let address = line.trim().rsplit("//").next().unwrap();
        let address = address.trim_end_matches('/').to_owned();
        Self { child, address }
    }

    fn open(&self) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!(
            "GET /echo HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
            self.address
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut piece = [0; 1024];
            let read = stream.read(&mut piece).unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&head));
            head.extend_from_slice(&piece[..read]);
        }
        assert!(head.starts_with(b"HTTP/1.1 101 "));
        stream
    }

    /// Bytes of memory in use, once that has come to rest.
    fn resident(&self) -> usize {
        let mut before = None;
        loop {
            let path = format!("/proc/{}/smaps_rollup", self.child.id());
            let smaps = fs::read_to_string(path).unwrap();
            let line = smaps.lines().find(|line| line.starts_with("Rss:")).unwrap();
            let now: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
            if before.replace(now) == Some(now) {
                return now << 10;
            }
            sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Sends messages at once and waits until all have come back.
fn exchange(stream: &mut TcpStream) {
    let [high, low] = LENGTH.to_be_bytes();
    let payload = vec![7; usize::from(LENGTH)];
    // A mask of zeros is legal, and leaves the payload as it is.
    let frame = [&[0x82, 0xFE, high, low, 0, 0, 0, 0], &payload[..]].concat();
    stream.write_all(&frame.repeat(MESSAGES)).unwrap();
    let mut reply = vec![0; (frame.len() - 4) * MESSAGES];
    stream.read_exact(&mut reply).unwrap();
    assert!(reply.ends_with(&payload));
}

/// How many connections fit: each takes a descriptor here and one there.
fn connections() -> usize {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let fitting = limit.maximum.map_or(CONNECTIONS, |descriptors| {
        usize::try_from(descriptors.saturating_sub(RESERVED)).unwrap()
    });
    if fitting < CONNECTIONS {
        println!("{fitting} connections instead of {CONNECTIONS}: the limit of open files");
    }
    fitting.min(CONNECTIONS)
}

/// Whatever the traffic was, an idle connection costs no more than this.
fn costs_at_most(command: &str, bound: usize) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let count = connections();
    let server = Server::start(command);
    // What all share, and code, is nobody's.
    for _ in 0..8 {
        exchange(&mut server.open());
    }
    let before = server.resident();
    let mut open: Vec<_> = (0..count).map(|_| server.open()).collect();
    let idle = server.resident().saturating_sub(before) / count;
    open.iter_mut().for_each(exchange);
    let after = server.resident().saturating_sub(before) / count;
    println!("{command}: {idle} bytes for each of {count} connections, {after} after traffic");
    assert!(idle <= bound, "{idle} bytes");
    assert!(after <= bound, "{after} bytes after traffic");
}

#[test]
fn a_connection_of_the_library_with_its_task_and_handler_costs_no_more_than_2_kib() {
    costs_at_most("echo", 2 << 10);
}

#[test]
fn a_session_of_the_hub_costs_no_more_than_3_kib() {
    costs_at_most("serve", 3 << 10);
}
