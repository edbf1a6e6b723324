//! What people found out about violations, as rows of the store.
//!
//! The row outlives the end of its violation and goes with the last of its stored transitions
//! ([`super::backend::prune_transitions`]), so there are never more than stored violations.

use detector::verification::{Verification, VerificationError, VerificationState};
use fleet::store::{Batch, KeyRange, Store, StoreError, Table};
use serde_json::Value;
use thiserror::Error;

/// Active violations read at once.
const PAGE: usize = 4_096;

/// Why verifications cannot be read or written.
#[derive(Debug, Error)]
pub enum RowError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record cannot be read or written.
    #[error("a stored record cannot be read: {0}")]
    Record(#[from] serde_json::Error),
}

/// The state of that name.
///
/// # Errors
/// When there is none.
pub fn state(name: &str) -> Result<VerificationState, VerificationError> {
    Verification::new(name, None).map(|verification| verification.verification_state)
}

/// What is stored about a violation; where nothing is, nobody has looked.
///
/// # Errors
/// When the store fails or holds something else.
pub fn stored(store: &dyn Store, violation: &str) -> Result<Verification, RowError> {
    let row = store.get(Table::Verifications, violation.as_bytes())?;
    Ok(row.map(|row| serde_json::from_slice(&row)).transpose()?.unwrap_or_default())
}

/// Stores what people found out about a violation. What says nothing takes no row.
///
/// # Errors
/// When the store fails.
pub fn keep(store: &dyn Store, violation: &str, verification: &Verification) -> Result<(), RowError> {
    let mut batch = Batch::new();
    if *verification == Verification::default() {
        batch.delete(Table::Verifications, violation);
    } else {
        batch.put(Table::Verifications, violation, serde_json::to_vec(verification)?);
    }
    Ok(store.commit(&batch)?)
}

/// Active violations with the members of their verification, at most `limit`, only those in the state
/// `wanted` if there is one. In the order of their ids.
///
/// # Errors
/// When the store fails or holds something else.
pub fn active(
    store: &dyn Store,
    limit: usize,
    wanted: Option<VerificationState>,
) -> Result<Vec<Value>, RowError> {
    let mut found = Vec::new();
    let mut range = KeyRange::all();
    loop {
        let page = store.scan(Table::Violations, &range, PAGE)?;
        for (key, value) in &page {
            if found.len() >= limit {
                return Ok(found);
            }
            let verification = stored(store, &String::from_utf8_lossy(key))?;
            if wanted.is_none_or(|wanted| wanted == verification.verification_state) {
                let mut row: Value = serde_json::from_slice(value)?;
                put_into(&mut row, &verification)?;
                found.push(row);
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => range = range.after(key),
            _ => return Ok(found),
        }
    }
}

/// Adds the members of a verification to an object.
///
/// # Errors
/// When it cannot be written as JSON, which does not happen.
pub fn put_into(row: &mut Value, verification: &Verification) -> Result<(), serde_json::Error> {
    if let (Some(row), Value::Object(members)) = (row.as_object_mut(), serde_json::to_value(verification)?) {
        row.extend(members);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use fleet::{store::Engine, time::Timestamp};
    use serde_json::json;

    use super::*;
    use crate::serve::{backend::prune_transitions, recorder::transition_key};

    const DAY: i64 = 86_400_000;

    fn put(store: &dyn Store, seq: u64, violation: &str, kind: &str, day: i64) {
        let json = json!({"violationId": violation, "kind": kind, "at": day * DAY}).to_string();
        let mut batch = Batch::new();
        batch.put(Table::Transitions, transition_key(seq, "t"), json.clone());
        if kind == "in-alarm" {
            batch.put(Table::Violations, violation, json);
        } else {
            batch.delete(Table::Violations, violation);
        }
        store.commit(&batch).unwrap();
    }

    #[test]
    fn rows_last_as_long_as_the_violation_is_stored() {
        let folder = tempfile::tempdir().unwrap();
        let store = fleet::store::open(Engine::Redb, folder.path()).unwrap();
        let note = Verification::new("BENIGN_POSITIVE", Some("a test")).unwrap();
        let states = |store: &dyn Store| ["a", "b"].map(|id| stored(store, id).unwrap().verification_state);
        put(&*store, 1, "a", "in-alarm", 0);
        put(&*store, 2, "b", "in-alarm", 1);
        keep(&*store, "a", &note).unwrap();
        keep(&*store, "b", &note).unwrap();
        put(&*store, 3, "a", "alarm-cleared", 20);
        let benign = VerificationState::BenignPositive;
        assert_eq!(states(&*store), [benign, benign], "kept when it ends");
        assert_eq!(stored(&*store, "c").unwrap(), Verification::default());
        // The begins are old; one violation is active still, of the other the end is stored.
        let prune =
            |day: i64| prune_transitions(&*store, Timestamp::from_millis(day * DAY), 30, 100).unwrap();
        assert_eq!((prune(40), states(&*store)), (2, [benign, benign]));
        assert_eq!((prune(51), states(&*store)), (1, [VerificationState::Unknown, benign]));

        let rows = active(&*store, 10, None).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0]["verificationState"], "BENIGN_POSITIVE");
        assert_eq!(rows[0]["verificationStateDescription"], "a test");
        assert_eq!(active(&*store, 10, Some(benign)).unwrap(), rows);
        assert_eq!(active(&*store, 10, Some(VerificationState::Unknown)).unwrap(), [] as [Value; 0]);
        assert_eq!(active(&*store, 0, None).unwrap(), [] as [Value; 0]);
        // Back to nothing, which is no row.
        keep(&*store, "b", &Verification::default()).unwrap();
        assert_eq!(store.get(Table::Verifications, b"b").unwrap(), None);
        assert_eq!(active(&*store, 10, Some(VerificationState::Unknown)).unwrap().len(), 1);
    }
}
