//! Findings about policies.

pub mod acl;
pub mod permissive;
pub mod misconfigured;
mod questions;

pub use questions::{Answers, Template, answers};
