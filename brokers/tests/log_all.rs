//! Tests of the log decoder and of the sources beside it, over real captures where there are any.
//!
//! The captures are read from the folder that `FLEETWARD_DATASETS` names, by default
//! `../shared/datasets` beside the workspace. Tests fail, and do not pass quietly, without it.

#[path = "log_all/captures.rs"]
mod captures;
#[path = "log_all/support.rs"]
mod support;
