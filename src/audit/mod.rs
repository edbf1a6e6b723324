//! Audits of what lies in a folder: the files become the fleet that the engine of `audits` looks at.
//!
//! Reads and never writes, but for [`suppressions`]. Every bound stands beside its constant; what is
//! left out because of one is told by name.

mod certificates;
mod deployments;
pub mod facts;
pub mod folder;
pub mod report;
pub mod suppressions;
mod walk;

pub use walk::LeftOut;
