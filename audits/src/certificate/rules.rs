//! The rules behind the checks, by what they look at.

pub(crate) mod encoding;
pub(crate) mod keys;
pub(crate) mod lists;
pub(crate) mod names;
pub(crate) mod revocation;
pub(crate) mod sharing;
pub(crate) mod usage;
pub(crate) mod validity;
