//! The streaming engine: journal, front, shards, windows, violation life cycle,
//! snapshots and replay.

pub mod input;
pub mod transition;
