//! The program `fleetward`: command line and wiring. The rooms do the work; see `ARCHITECTURE.md`.

pub mod audit;
pub mod cli;
pub mod config;
pub mod demo;
pub mod explain;
pub mod files;
pub mod lens;
pub mod replay;
pub mod serve;
pub mod stories;
pub mod suggest;
