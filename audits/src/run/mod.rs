//! What a run of the audit says: per check a status and counts, over all the statistics of the task
//! (`device-defender-audit.md`, section 6), with findings that are suppressed marked as such
//! (section 7). Pure: who reads files and clocks is the caller.

pub mod compare;
pub mod outcome;
pub mod suppression;
