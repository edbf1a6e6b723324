//! Mosquitto's dynamic-security plugin: its control API over MQTT, and the quarantine that
//! Fleetward carries out with it.
//!
//! Facts: `broker-integration.md`, section 2.9. What matters most here:
//! - client roles are checked before all group roles, so a quarantine is a *client role* with a
//!   higher priority than the client's other roles; a group would not hold;
//! - attaching or removing a client role ends all sessions of that user name;
//! - `disableClient` does not keep a client certificate out, the role does;
//! - a certificate client may be unknown to the plugin; it is then made known, without a password;
//! - the topic filter `#` does not match topics that begin with `$`, so these are denied by name.

pub mod client;
pub mod control;
mod memory;
mod role;
