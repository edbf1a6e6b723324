//! See ARCHITECTURE.md.

mod borrowed;
pub mod embedded;
pub mod lifecycle;
pub mod mosquitto;
pub mod mqtt;
pub mod recorded;
pub mod tail;
