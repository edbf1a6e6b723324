//! Data to try the engine on: a simulated fleet, streams of device reports, and public captures.
//!
//! Everything here is a function of a seed or of a file: no clock, no randomness of its own.

pub mod catalogue;
mod document;
pub mod fleet_sim;
pub mod flows;
pub mod folder;
pub mod mqtt_capture;
pub mod recording;
pub mod reports;
pub mod rng;
mod table;
