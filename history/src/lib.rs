//! The last weeks of metric values, kept by the engine itself in a compact form.
//!
//! What comes in are [`Block`]s: all values of one metric (and dimension) in windows that ended at
//! one time. What is asked for are the values of one thing over a range of time. Between the two
//! stands a transposition in three steps, each of which keeps what it has until the next is on disk:
//!
//! ```text
//! blocks --append--> log (blocks as they came, one sync per commit)     + head (the same in memory)
//!           log full or an hour old --seal--> part (one day, sorted by metric and thing)
//!           eight parts of a level, or the day is over --merge--> larger part
//! ```
//!
//! A part is a file of checksummed frames, each with the chunks of some things next to each other;
//! a footer says where which begin, so that a query reads one frame of names and one of values per
//! part. A chunk holds the values of one series: its times as runs of equal distances, its values
//! as runs, bit-packed integers, XORed doubles or numbered lists, whichever is smallest (`chunk`).
//!
//! # What is promised
//!
//! - What [`History::commit`] returned for is on disk. A crash leaves at most a torn tail behind
//!   the last commit, which is cut and counted when the folder is opened.
//! - Blocks come in the order of the journal. A block whose record is not after
//!   [`History::committed`] was stored before (the engine folds its tail again after a crash) and is
//!   passed over: each is stored once.
//! - Files appear whole or not at all: written under another name, synced, renamed, and only then
//!   is deleted what they replace.
//! - Memory: at most five heads (one open, four that wait) of at most [`Options::log_points_max`]
//!   values and 32 MiB of names and lists; a merge holds the names of a day, a frame per part and the
//!   values of one thing and metric; footers are let go above 64 MiB.
//! - Disk: what is older than [`Options::days`] goes, then the oldest above [`Options::bytes_max`];
//!   what goes is counted.

mod bits;
mod chunk;
mod error;
mod files;
mod frame;
mod head;
mod key;
mod log;
mod maintain;
mod merge;
mod open;
mod part;
mod query;
mod store;
mod value;
mod wire;

pub use self::{
    error::HistoryError,
    key::{DAY_MS, Key, day_name, day_of},
    maintain::Maintained,
    query::{Answer, Day, DaySink, Point, Query},
    store::{Appended, History, Options, Recovery, Stats},
    value::{Block, LIST_BYTES_MAX, Row, Value},
};
