//! The audit engine: every check over one view of the fleet.
//!
//! [`Fleet`] is what is known at one moment; [`run()`] walks it with every chosen check on all cores
//! and gives a [`Run`]: per check a status, counts and findings, in an order that depends on the fleet
//! alone. Pure: who reads files, registry and clock is the caller. What a check has no data for is
//! told with the reason, not passed over.

mod certificates;
mod data;
mod deployments;
pub(crate) mod entries;
mod grants;
mod identities;
mod policies;
mod pool;
mod run;
mod view;

pub use pool::Progress;
pub use run::{Control, Options, Run, run};
pub use view::{AccessList, Certificates, Deployment, Displaced, Fleet, Holder, Logging, Policy};
