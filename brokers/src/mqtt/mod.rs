//! MQTT: how Fleetward reaches a broker, and the source that receives device
//! reports, broker logs and lifecycle events from it.

pub mod answers;
pub(crate) mod backoff;
pub(crate) mod client;
mod ledger;
pub mod settings;
pub mod source;
pub mod status;
pub(crate) mod tls;
pub mod topics;
