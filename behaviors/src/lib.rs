//! Security profiles and their behaviors: a datapoint in, a verdict out.
//!
//! Pure and synchronous: no I/O, no clock, no randomness. [`profile`] reads what people
//! wrote, [`set`] compiles it to what the detector looks up, [`slot`] is the state of one
//! behavior for one entity and its steps, [`criterion`] is what is compliant.
//! Source of the rules: `device-defender-detect.md`.

pub mod allow;
pub mod criterion;
pub mod dimension;
pub mod distinct;
pub mod learned;
pub mod limit;
pub mod own;
pub mod profile;
pub mod recent;
pub mod set;
pub mod sketch;
pub mod slot;
pub mod statistic;
