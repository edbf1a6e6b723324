//! What is wrong at the moment, for `/readyz`, `status` and the log.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Parts that are not as they should be, by name. Bounded by the number of parts.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<String, String>>);

impl Health {
    /// Says what is wrong with a part, or that nothing is. Logs changes only.
    pub fn set(&self, part: &str, wrong: Option<String>) {
        let mut parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match wrong {
            Some(reason) => {
                if parts.get(part) != Some(&reason) {
                    tracing::warn!(part, reason, "not ready");
                }
                parts.insert(part.to_owned(), reason);
            }
            None => {
                if parts.remove(part).is_some() {
                    tracing::info!(part, "ready again");
                }
            }
        }
    }

    /// `PART: REASON`, in the order of parts.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let parts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(part, reason)| format!("{part}: {reason}")).collect()
    }
}
