//! Follows growing files the way `tail -F` does, for any number of readers at once.
//!
//! A [`Source`] follows one name: through rotation, truncation, absence and return, by the system's
//! notices where they work and by polling where they do not. It keeps the newest lines in a bounded
//! ring. A [`Reader`] is a place in that ring, and before that in the file itself: it costs no
//! queue, and when it is too slow it learns how many lines it missed.
//!
//! Memory does not grow with the file, its lines or its readers' slowness. There is no network
//! here.
//!
//! ```no_run
//! use fullduplex_tail::{Backlog, Item, Options, Source};
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let source = Source::follow("app.log", Options::default()).await?;
//! let mut reader = source.reader(Backlog::Last(10));
//! while let Some(item) = reader.next().await? {
//!     match item {
//!         Item::Lines(lines) => lines.iter().for_each(|line| println!("{line}")),
//!         Item::Skipped(lines) => println!("({lines} lines skipped)"),
//!         Item::File(event) => println!("({event:?})"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! How it fits together:
//!
//! | file | idea |
//! | --- | --- |
//! | `file` | what may be opened, and telling files apart |
//! | `follow` | one name, step by step, without clock or thread |
//! | `lines`, `backward` | from bytes to lines; finding a line from the end |
//! | `ring` | the recent past, and where it meets the file |
//! | `bookmark` | a place that outlives its reader |
//! | `feed`, `pace`, `watch` | from the follower to the ring; when to look |
//! | `source`, `reader` | what a program uses |

mod backward;
mod bookmark;
mod feed;
mod file;
mod follow;
mod lines;
mod name;
mod pace;
mod reader;
mod ring;
mod source;
#[cfg_attr(not(target_os = "linux"), path = "no_watch.rs")]
mod watch;

pub use bookmark::{Bookmark, NoBookmark};
pub use file::FollowError;
pub use lines::{Line, MAX_BATCH_BYTES, MAX_BATCH_LINES, MAX_LINE};
pub use reader::{Backlog, FileEvent, Item, Reader, Resumed};
pub use source::{Options, Source};
