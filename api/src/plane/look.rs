//! Operations that only look at the store and the history: they hold no lock, and may take their time.

use fleet::store::Store;
use serde_json::Value;

use super::Engine;
use crate::aws::{Members, fault::Fault, page::Page};

/// What an operation does that only looks at the store.
pub(super) type Looker = fn(&Look<'_>) -> Result<Members, Fault>;

/// An operation that only looks at the store.
pub(super) struct Look<'a> {
    pub(super) operation: &'a str,
    pub(super) members: &'a Members,
    pub(super) store: &'a dyn Store,
    pub(super) engine: Option<&'a dyn Engine>,
}

impl Look<'_> {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.members.get(name)?.as_str()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.members.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// A time of the request, which the wire has in seconds.
    pub(super) fn millis(&self, name: &str) -> i64 {
        let seconds = self.members.get(name).and_then(Value::as_f64).unwrap_or_default();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float that is too large becomes the largest number"
        )]
        let millis = (seconds * 1000.0).round() as i64;
        millis
    }

    pub(super) fn page(&self) -> Result<Page, Fault> {
        Page::of(self.operation, self.members)
    }
}
