//! Evidence for the IoT Lens review: what configuration, registry, events and a running Fleetward say.
//! The review itself is `audits::lens`.

pub mod configuration;
pub mod events;
pub mod registry;
pub mod running;
