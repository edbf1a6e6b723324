//! What the engine would decide, and what it decided: folding records of the past, and comparing.
//!
//! [`records`] says where records come from, [`archive`] reads those that the journal has let go, [`start`] where the fold of a data folder begins,
//! [`fold`] runs the engine over them, [`select`] says what of it is wanted, [`violations`] pairs
//! transitions, [`summary`] and [`diff`] make reports of them, [`raised`] reads what was really raised.

pub mod archive;
pub mod diff;
pub mod fold;
pub mod raised;
pub mod records;
pub mod select;
pub mod start;
pub mod summary;
pub mod violations;
