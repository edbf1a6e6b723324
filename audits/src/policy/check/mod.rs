//! Findings about policies.

pub mod acl;
pub mod misconfigured;
pub mod permissive;
mod questions;

pub use questions::{Answers, Template, answers};
