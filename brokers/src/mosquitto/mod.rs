//! Mosquitto: its log, and its dynamic-security plugin.

pub mod dynsec;
pub mod log;
