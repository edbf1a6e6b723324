//! See ARCHITECTURE.md.

pub mod embedded;
pub mod mosquitto;
pub mod mqtt;
