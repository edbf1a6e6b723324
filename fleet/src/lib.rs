//! The vocabulary that every room of Fleetward shares: identifiers, time,
//! metrics, events, device reports, the registry, and the store.
//!
//! Nothing here reads a clock, draws a random number or knows a broker.

pub mod arn;
pub mod event;
pub mod ids;
pub mod metric;
pub mod problem;
pub mod registry;
pub mod report;
pub mod secret;
pub mod store;
pub mod time;
