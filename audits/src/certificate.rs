//! Certificates, CRLs, and the checks of both.
//!
//! Bytes and the time go in, facts and findings come out; whoever reads files or a registry is
//! the caller. Nothing that outside bytes hold makes these functions panic: what cannot be read
//! is a [`der::Fault`] or [`pem::BadBlock`] that names its place.

pub mod check;
mod constraint;
pub mod crl;
pub mod der;
pub mod extension;
pub mod facts;
pub mod finding;
pub mod id;
pub mod key;
pub mod lists;
pub mod load;
pub mod name;
pub mod name_rule;
pub mod parameters;
pub mod parse;
pub mod path;
pub mod pem;
mod policy_tree;
mod revocation;
mod revoked;
pub mod rsa;
mod rules;
pub mod run;
pub mod shared_primes;
pub mod signature;
pub mod view;
mod when;
