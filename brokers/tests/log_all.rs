//! Tests of the log decoder and of the sources beside it, over real captures where there are any.
//!
//! The captures are read from the folder that `FLEETWARD_DATASETS` names, by default
//! `../shared/datasets` beside the workspace. Tests fail, and do not pass quietly, without it.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests, and their helpers, fail by panicking"
)]

#[path = "log_all/attribution.rs"]
mod attribution;
#[path = "log_all/burst.rs"]
mod burst;
#[path = "log_all/captures.rs"]
mod captures;
#[path = "log_all/field.rs"]
mod field;
#[path = "log_all/lines.rs"]
mod lines;
#[path = "log_all/properties.rs"]
mod properties;
#[path = "log_all/support.rs"]
mod support;
#[path = "log_all/tail.rs"]
mod tail;
