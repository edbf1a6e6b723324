//! The streaming engine: journal, front, shards, windows, violation life cycle,
//! snapshots and replay.
//!
//! The fold ([`engine`], with its stages in [`front`] and [`shard`]) is synchronous code without a
//! clock; [`journal`] and [`snapshot`] are its files, [`runner`] its threads.

pub mod batch;
mod blob;
pub mod change;
pub mod engine;
pub mod evidence;
pub mod export;
pub mod front;
pub mod input;
pub mod journal;
mod meeting;
mod names;
pub mod output;
mod refused;
pub mod replay;
mod resolve;
pub mod runner;
pub mod shard;
pub mod snapshot;
pub mod transition;
pub mod verification;
