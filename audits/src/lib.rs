//! Audits: how the fleet and its broker are configured.
//!
//! Checks are pure functions of a configuration's text; who reads files is the caller.
//! Check names that AWS IoT Device Defender has keep its names and severities
//! (`device-defender-audit.md`); ours carry a word of their own.

pub mod broker;
pub mod catalogue;
pub mod certificate;
pub mod engine;
pub mod finding;
pub mod lens;
pub mod policy;
pub mod run;
