//! Inputs that could not be read, kept for whoever looks after bad input.

use crate::input::{Refusal, SourceId};

/// Most bytes of the payload that are kept.
pub(crate) const PREFIX_BYTES_MAX: usize = 256;

/// An input that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedInput {
    /// Where it came from.
    pub source: SourceId,
    /// Thing or client id that the topic names.
    pub subject: String,
    /// Why.
    pub refusal: Refusal,
    /// The first 256 bytes of the payload.
    pub payload_prefix: Box<[u8]>,
}

impl RefusedInput {
    pub(crate) fn new(source: SourceId, subject: &str, payload: &[u8], refusal: Refusal) -> Self {
        let prefix = payload.get(..PREFIX_BYTES_MAX).unwrap_or(payload);
        Self { source, subject: subject.to_owned(), refusal, payload_prefix: prefix.into() }
    }
}
