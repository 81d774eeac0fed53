//! Starts the program, and ends what a test leaves running.

use std::{
    env, fs,
    io::{self, Write as _},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    process::{Child, ChildStdin, Command},
    sync::watch,
    time::timeout,
};

/// For anything that should happen at once; generous, because machines may be busy, and thousands connect to one server.
pub(crate) const SOON: Duration = Duration::from_mins(2);

/// Waits for what should happen at once.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = timeout(SOON, future).await;
    done.unwrap_or_else(|_| panic!("{what}: not in time"))
}

/// Tells of what can't be tested on this machine: past the harness, which keeps to itself what passing tests print. Where all has to
/// be tested it fails.
pub(crate) fn not_tested(what: &str) {
    assert!(env::var_os("CI").is_none(), "not tested: {what}");
    let mut out = io::stderr();
    writeln!(out, "NOT TESTED: {what}").unwrap();
}

/// How much of something, if a test is to do more than it does by default.
pub(crate) fn from_env(name: &str, default: usize) -> usize {
    env::var(name).map_or(default, |value| value.parse().unwrap())
}

/// Descriptors that a test and a server need for other things than connections.
const RESERVED: u64 = 100;

/// Raises the limit of open files, ours and that of the programs started from now on, as far as it may be raised. Where so many
/// connections don't fit, tells that `what` is not tested.
pub(crate) fn has_descriptors_for(connections: usize, what: &str) -> bool {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let needed = u64::try_from(connections).unwrap() + RESERVED;
    let fits = limit
        .maximum
        .is_none_or(|descriptors| descriptors >= needed);
    if !fits {
        not_tested(&format!(
            "{what}: that takes {needed} open files, see `ulimit -Hn`"
        ));
    }
    fits
}

/// A program that runs; it is killed when this is dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: Output,
    stderr: Output,
}

/// How a program ended, and all it said.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program with these arguments, and nothing of the user's own around it.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fdx"));
    command
        .args(args)
        .env_remove("RUST_LOG")
        .env_remove("COLUMNS")
        // Not the user's own rooms.
        .env("XDG_DATA_HOME", env!("CARGO_TARGET_TMPDIR"));
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("FDX_")) {
            command.env_remove(name);
        }
    }
    for name in ["http", "https", "ws", "wss", "all", "no"] {
        let name = format!("{name}_proxy");
        command.env_remove(name.to_uppercase()).env_remove(name);
    }
    command
}

impl Program {
    /// Starts it with its standard streams in pipes.
    pub(crate) fn start(args: &[&str]) -> Self {
        Self::spawn(&mut command(args))
    }

    /// The same for a command of one's own.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            stdin: child.stdin.take(),
            stdout: Output::collect(child.stdout.take().unwrap()),
            stderr: Output::collect(child.stderr.take().unwrap()),
            child,
        }
    }

    /// Starts one of the servers on a free port. Rooms are on disk only where a test names a folder.
    pub(crate) async fn listen(args: &[&str]) -> (Self, Url) {
        let keeps_nothing = args[0] == "serve" && !args.contains(&"--data");
        let store: &[&str] = if keeps_nothing { &["--memory"] } else { &[] };
        let args = [args, store, &["--listen", "127.0.0.1:0"]].concat();
        let mut program = Self::start(&args);
        program.stdin = None;
        let url = program.listening().await;
        (program, url)
    }

    /// Where a server says that it listens.
    pub(crate) async fn listening(&self) -> Url {
        let said = self.said(|text| text.ends_with('\n')).await;
        let url = said
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("listening on "));
        Url(url
            .unwrap_or_else(|| panic!("unexpected: {said:?}"))
            .to_owned())
    }

    /// Waits until what it has written on standard output satisfies `is_enough`.
    pub(crate) async fn said(&self, is_enough: impl Fn(&str) -> bool) -> String {
        self.stdout.until(is_enough).await
    }

    /// The same for standard error.
    pub(crate) async fn told(&self, is_enough: impl Fn(&str) -> bool) -> String {
        self.stderr.until(is_enough).await
    }

    pub(crate) async fn write(&mut self, text: impl AsRef<[u8]>) {
        self.stdin
            .as_mut()
            .unwrap()
            .write_all(text.as_ref())
            .await
            .unwrap();
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Tells it that its terminal is gone, or to read its files anew.
    pub(crate) fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Ends it as a crash would, and waits until it is gone.
    pub(crate) async fn crash(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.end().await.code, None);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// What `/proc` says of its memory, in KiB: `VmRSS` now, `VmHWM` at most so far.
    pub(crate) fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let size = line.unwrap().trim_start_matches(':').trim();
        size.strip_suffix(" kB").unwrap().parse().unwrap()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().unwrap());
        kill_process(pid.unwrap(), signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(mut self) -> Ended {
        drop(self.stdin.take());
        self.end_with_open_input().await
    }

    /// The same, while its standard input stays open.
    pub(crate) async fn end_with_open_input(mut self) -> Ended {
        let status: ExitStatus = soon("the end of the program", self.child.wait())
            .await
            .unwrap();
        Ended {
            code: status.code(),
            stdout: self.stdout.all().await,
            stderr: self.stderr.all().await,
        }
    }
}

/// Runs it to its end with this standard input.
pub(crate) async fn run(args: &[&str], input: impl AsRef<[u8]>) -> Ended {
    let mut program = Program::start(args);
    let mut stdin = program.stdin.take().unwrap();
    let input = input.as_ref().to_vec();
    let writing = tokio::spawn(async move {
        // It may end before it has read everything.
        stdin.write_all(&input).await.ok();
    });
    let ended = program.end().await;
    writing.abort();
    ended
}

/// `connect` with this standard input.
pub(crate) async fn connect(args: &[&str], input: impl AsRef<[u8]>) -> Ended {
    run(&[&["connect"], args].concat(), input).await
}

/// Where a server listens.
#[derive(Clone)]
pub(crate) struct Url(pub(crate) String);

impl Url {
    /// The address, without scheme.
    pub(crate) fn addr(&self) -> &str {
        self.0.split_once("://").unwrap().1
    }

    /// A path there, for WebSocket.
    pub(crate) fn ws(&self, path: &str) -> String {
        let scheme = match self.0.split_once("://").unwrap().0 {
            "ws" | "http" => "ws",
            "wss" | "https" => "wss",
            other => panic!("unexpected scheme {other}"),
        };
        format!("{scheme}://{}{path}", self.addr())
    }
}

/// What was read so far.
struct Output {
    text: Arc<Mutex<Vec<u8>>>,
    changed: watch::Receiver<()>,
}

impl Output {
    fn collect(mut stream: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let (change, changed) = watch::channel(());
        let collected = Arc::clone(&text);
        tokio::spawn(async move {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                collected.lock().unwrap().extend_from_slice(&buffer[..n]);
                change.send_replace(());
            }
        });
        Self { text, changed }
    }

    fn so_far(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    async fn until(&self, is_enough: impl Fn(&str) -> bool) -> String {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.borrow_and_update();
                // In the middle of a character there is more to come.
                if let Ok(text) = String::from_utf8(self.text.lock().unwrap().clone())
                    && is_enough(&text)
                {
                    return;
                }
                if changed.changed().await.is_err() {
                    assert!(
                        is_enough(&self.so_far()),
                        "it ended after {:?}",
                        self.so_far()
                    );
                    return;
                }
            }
        };
        let waited = timeout(SOON, waiting).await;
        assert!(waited.is_ok(), "it only said {:?}", self.so_far());
        self.so_far()
    }

    /// All of it, once the program has ended.
    async fn all(mut self) -> String {
        let end = async { while self.changed.changed().await.is_ok() {} };
        soon("the end of the output", end).await;
        self.so_far()
    }
}
