//! The bearer token of the local endpoint.

use std::fmt;

use axum::http::{HeaderMap, header::AUTHORIZATION};
use subtle::ConstantTimeEq;

/// A bearer token; compared in constant time and never shown.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Wraps a token. An empty one lets nobody in.
    #[must_use]
    pub const fn new(token: String) -> Self {
        Self(token)
    }

    /// Whether the request carries the token.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let sent = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .unwrap_or_default();
        !self.0.is_empty() && bool::from(sent.as_bytes().ct_eq(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}
