//! How many messages a second a log takes: `cargo run --release --example appends -- [full|normal|memory] [WRITERS] [SECONDS]`.
//!
//! Each writer waits for the answer before it sends the next. With `full` it is the disk that is measured.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "it is its purpose"
)]

use std::{
    env,
    error::Error,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use fullduplex_hub::{
    Author, Event, User, What,
    log::{
        Bounds, Committed, Draft, Log, Mark, MemoryLimits, MemoryLog,
        sqlite::{Durability, Options, SqliteLog},
    },
};

/// Nobody listens.
struct Nobody;

impl Committed for Nobody {
    fn committed(&self, _event: Event) {}

    fn trimmed(&self, _room: &str, _floor: Mark) {}

    fn follows(&self, _room: &str) -> bool {
        false
    }

    fn erased(&self, _user: &str) {}

    fn forked(&self, _room: &str, _bounds: &Bounds) {}
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = env::args().skip(1);
    let mode = args.next().unwrap_or_else(|| "full".into());
    let writers: usize = args.next().map_or(Ok(16), |text| text.parse())?;
    let seconds: u64 = args.next().map_or(Ok(5), |text| text.parse())?;
    let folder =
        env::var_os("FOLDER").map_or_else(|| env::temp_dir().join("appends"), PathBuf::from);
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    let file = |durability| -> Result<Arc<dyn Log>, Box<dyn Error>> {
        let options = Options {
            durability,
            ..Options::new(&folder)
        };
        Ok(Arc::new(SqliteLog::open(&options, Arc::new(Nobody))?))
    };
    let log = match &*mode {
        "full" => file(Durability::Full)?,
        "normal" => file(Durability::Normal)?,
        "memory" => Arc::new(MemoryLog::new(
            MemoryLimits {
                room_events: 1_024,
                events: 65_536,
                bytes: 64 << 20,
            },
            Arc::new(Nobody),
        )),
        _ => return Err("full, normal or memory".into()),
    };
    let until = Instant::now() + Duration::from_secs(seconds);
    let writing: Vec<_> = (0..writers)
        .map(|writer| tokio::spawn(write(Arc::clone(&log), writer, until)))
        .collect();
    let mut waits = Vec::new();
    for writer in writing {
        waits.append(&mut writer.await?);
    }
    waits.sort_unstable();
    let at = |part: f64| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::cast_sign_loss,
            reason = "a place in a list"
        )]
        let at = (part * (waits.len() - 1) as f64) as usize;
        waits[at]
    };
    let rate = waits.len() as u64 / seconds;
    println!(
        "{mode}, {writers} writers: {rate}/s, median {:?}, 99 % {:?}",
        at(0.5),
        at(0.99)
    );
    Ok(())
}

/// Says things until it is time, and returns how long each took.
async fn write(log: Arc<dyn Log>, writer: usize, until: Instant) -> Vec<Duration> {
    let user = Author::User(Arc::new(User {
        id: format!("u_{writer:016x}").into(),
        name: "Ana".into(),
        avatar: "9c1d2e3f".into(),
    }));
    let room: Arc<str> = format!("room {}", writer % 20).into();
    let body: Arc<str> =
        "a message as people write them, of some ninety characters, so that it is no lie".into();
    let mut waits = Vec::new();
    while Instant::now() < until {
        let draft = Draft {
            room: Arc::clone(&room),
            from: user.clone(),
            what: What::message(Arc::clone(&body)),
            cid: Some(format!("{writer}-{}", waits.len()).into()),
            moderates: false,
            now: 1_767_225_600_000,
        };
        let begin = Instant::now();
        if let Err(error) = log.append(draft).await {
            eprintln!("{error}");
            break;
        }
        waits.push(begin.elapsed());
    }
    waits
}
