//! The measured window: when it begins and ends, what happened in it, what both processes used.

use std::io;
use std::process;
use std::time::{Duration, Instant};

use clap::Args;

use crate::latency::Latency;
use crate::report::Report;
use crate::usage::Cpu;

/// An exact number of messages is waited for so long; under valgrind they take minutes.
const PATIENCE: Duration = Duration::from_mins(10);

/// What is measured.
#[derive(Args)]
pub(crate) struct Window {
    /// Seconds that are measured
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Seconds before
    #[arg(long, default_value_t = 0.2)]
    warm_up: f64,
    /// Ends after exactly so many messages instead, without warm-up
    #[arg(long)]
    pub(crate) messages: Option<u64>,
}

pub(crate) struct Meter {
    server: u32,
    begins: Instant,
    ends: Instant,
    /// Ends with these many messages instead.
    exact: Option<u64>,
    begun: Option<Begun>,
    messages: u64,
    bytes: u64,
    pub(crate) latency: Latency,
}

struct Begun {
    at: Instant,
    server: Cpu,
    generator: Cpu,
}

impl Meter {
    pub(crate) fn new(server: u32, window: &Window) -> Self {
        let now = Instant::now();
        let (begins, measured) = match window.messages {
            Some(_) => (now, PATIENCE),
            None => (
                now + Duration::from_secs_f64(window.warm_up),
                Duration::from_secs_f64(window.seconds),
            ),
        };
        Self {
            server,
            begins,
            ends: begins + measured,
            exact: window.messages,
            begun: None,
            messages: 0,
            bytes: 0,
            latency: Latency::new(),
        }
    }

    /// To be called once in every turn of the loop: how long the turn may wait, or that it was the last.
    pub(crate) fn turn(&mut self, now: Instant) -> io::Result<Option<Duration>> {
        if self.begun.is_none() {
            if now < self.begins {
                return Ok(Some(self.begins - now));
            }
            self.begin()?;
        }
        if self.exact.is_some_and(|exact| self.messages >= exact) {
            return Ok(None);
        }
        if now < self.ends {
            return Ok(Some(self.ends - now));
        }
        match self.exact {
            None => Ok(None),
            Some(exact) => Err(io::Error::other(format!(
                "only {} of {exact} messages came in {PATIENCE:?}",
                self.messages
            ))),
        }
    }

    fn begin(&mut self) -> io::Result<()> {
        self.messages = 0;
        self.bytes = 0;
        self.latency.clear();
        let (server, generator) = self.used()?;
        self.begun = Some(Begun {
            at: Instant::now(),
            server,
            generator,
        });
        Ok(())
    }

    fn used(&self) -> io::Result<(Cpu, Cpu)> {
        Ok((Cpu::of(self.server)?, Cpu::of(process::id())?))
    }

    pub(crate) fn count(&mut self, messages: u64, bytes: usize) {
        self.messages += messages;
        self.bytes += bytes as u64;
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(crate) fn report(&self) -> io::Result<Report> {
        let ended = Instant::now();
        let (server, generator) = self.used()?;
        let Some(begun) = self.begun.as_ref().filter(|_| self.messages > 0) else {
            return Err(io::Error::other(
                "no message came back in the measured time",
            ));
        };
        let seconds = (ended - begun.at).as_secs_f64();
        let (server, generator) = (server - begun.server, generator - begun.generator);
        let messages = self.messages as f64;
        let each = |used: Duration| used.as_secs_f64() * 1e6 / messages;
        Ok(Report(vec![
            ("messages", messages),
            ("seconds", seconds),
            ("rate", messages / seconds),
            ("p50_us", self.latency.quantile(0.50)),
            ("p90_us", self.latency.quantile(0.90)),
            ("p99_us", self.latency.quantile(0.99)),
            ("server_cpu_us", each(server.total)),
            ("server_user_us", each(server.user)),
            ("server_system_us", each(server.system)),
            ("server_cpu", server.total.as_secs_f64() / seconds),
            ("generator_cpu", generator.total.as_secs_f64() / seconds),
            ("reply_bytes", self.bytes as f64 / messages),
        ]))
    }
}
