//! Learns a security profile from what devices did.
//!
//! [`learn`] keeps of each metric what is needed, [`tail`] says which threshold is passed how often,
//! [`novelty`] how often something never seen comes, [`advice`] puts both together for one metric,
//! [`profile`] writes the result down.

pub mod advice;
pub mod learn;
pub mod novelty;
pub mod profile;
pub mod tail;
