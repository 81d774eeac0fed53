//! Instructions per message, counted by callgrind: what is counted is the same each time, whatever else the machine does.
//!
//! Each benchmark does its work for [`MESSAGES`] messages. What comes before, the opening handshake and a warm-up, is not
//! counted, nor what comes behind. There are no sockets and there is one thread, so nothing is left to chance.

mod broadcast;
mod connection;
mod frames;
mod protocol;

use broadcast::fan_out;
use connection::ws;
use gungraun::{Callgrind, LibraryBenchmarkConfig, main};
use protocol::proto;

/// Messages of each benchmark, and those before them; `compare` divides by the first number.
pub const MESSAGES: usize = 800;
const WARM_UP: usize = 160;

main!(
    config = LibraryBenchmarkConfig::default()
        .tool(Callgrind::with_args(["--cache-sim=no"]))
        // Else the C library copies with `rep movsb`, of which callgrind counts every byte.
        .env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS");
    library_benchmark_groups = proto, ws, fan_out
);
