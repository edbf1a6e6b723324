//! Data to try the engine on: a simulated fleet, and streams of device reports.
//!
//! Everything here is a function of a seed or of a file: no clock, no randomness of its own.

mod document;
pub mod fleet_sim;
pub mod reports;
pub mod rng;
