//! The wire of AWS IoT (restJson1): one table of operations, interpreted.
//!
//! `model.json` holds the facts of the published service model (`scripts/api-model` writes and checks
//! it): method, path, members with their constraints, errors. [`model`] reads it, [`route`] finds the
//! operation of a request, [`read`] takes its members from path, query, header and body, [`validate`]
//! checks them, [`page`] cuts listings, [`shape`] makes the answer. [`endpoint`] puts these in order. A handler of
//! [`crate::plane`] sees members by their names alone. Source of the rules: spec sheet `device-defender-api.md`, section 1.

pub mod allow;
pub mod endpoint;
pub mod fault;
pub mod meter;
pub mod model;
pub mod page;
pub mod read;
pub mod route;
pub mod shape;
pub mod sigv4;
pub mod user;
pub mod validate;

/// Members of a request or an answer, by name.
pub type Members = serde_json::Map<String, serde_json::Value>;
