//! What the store knows about an alarm. All of it is bounded.

use detector::transition::Transition;
use fleet::store::{KeyRange, Store, StoreError, Table};
use mitigations::incident;
use serde_json::{Value, json};
use thiserror::Error;

use crate::serve::verification::{self, RowError};

/// Stored transitions that are looked at, newest first.
const SCANNED_MAX: usize = 200_000;
/// Rows read at once.
const PAGE: usize = 4_096;
/// Earlier transitions of the same entity that are given.
const EARLIER_MAX: usize = 20;
/// Tasks that are given.
const TASKS_MAX: usize = 20;
/// Digits of an id that must be given.
const DIGITS_MIN: usize = 4;

/// Why nothing can be told.
#[derive(Debug, Error)]
pub enum GatherError {
    /// The text cannot be (the beginning of) an id.
    #[error("found `{0}`; expected an alarm's id of 32 hex digits, or at least its first {DIGITS_MIN}")]
    Malformed(String),
    /// No stored alarm has it.
    #[error("no alarm begins with `{text}` among the newest {scanned} stored transitions")]
    Unknown {
        /// What was asked for.
        text: String,
        /// Rows that were looked at.
        scanned: usize,
    },
    /// Several have it.
    #[error("`{text}` is the beginning of several alarms: {}; give more digits", .found.join(", "))]
    Ambiguous {
        /// What was asked for.
        text: String,
        /// Violations, at most five.
        found: Vec<String>,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record cannot be read.
    #[error("a stored record cannot be read: {0}")]
    Record(#[from] serde_json::Error),
    /// The verification cannot be read.
    #[error(transparent)]
    Verification(#[from] RowError),
}

/// What is stored about the alarm whose violation or transition id begins with `alarm`: an object
/// with `transitions` (of the violation, oldest first), `earlier` (those of other violations of the
/// same entity before it, newest first), `tasks` that answered it, `incident` while it lasts, and
/// `verification`.
///
/// # Errors
/// See [`GatherError`].
pub fn gather(store: &dyn Store, alarm: &str) -> Result<Value, GatherError> {
    let violation = violation(store, alarm)?;
    // Asked for by the id of one transition, its violation has others.
    let (mut own, scanned) = find(store, &violation)?;
    own.retain(|transition| transition.violation_id == violation);
    own.reverse();
    let Some(first) = own.first().cloned() else {
        return Err(GatherError::Unknown { text: violation, scanned });
    };
    Ok(json!({
        "violationId": violation,
        "transitions": own,
        "earlier": earlier(store, &first)?,
        "tasks": tasks(store, &violation)?,
        "incident": incident::of_violation(store, &violation)?,
        "verification": verification::stored(store, &violation)?,
    }))
}

/// Id of the violation that `alarm` begins, or whose transition's id it begins.
///
/// # Errors
/// See [`GatherError`].
pub fn violation(store: &dyn Store, alarm: &str) -> Result<String, GatherError> {
    let text = alarm.trim().to_ascii_lowercase();
    if !(DIGITS_MIN..=32).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(GatherError::Malformed(alarm.chars().take(64).collect()));
    }
    let (own, scanned) = find(store, &text)?;
    // An active violation may be older than every stored transition.
    let active = store.scan(Table::Violations, &KeyRange::prefix(text.as_bytes()), 6)?;
    let active: Vec<String> =
        active.iter().map(|(key, _)| String::from_utf8_lossy(key).into_owned()).collect();
    let stored = own.iter().map(|transition| transition.violation_id.as_str());
    let mut violations: Vec<&str> = stored.chain(active.iter().map(String::as_str)).collect();
    violations.sort_unstable();
    violations.dedup();
    match *violations.as_slice() {
        [] => Err(GatherError::Unknown { text, scanned }),
        [only] => Ok(only.to_owned()),
        _ => {
            let found = violations.iter().take(5).map(|id| (*id).to_owned()).collect();
            Err(GatherError::Ambiguous { text, found })
        }
    }
}

/// Calls `each` with the text of stored transitions, newest first, until it gives false. How many.
fn scan(
    store: &dyn Store,
    mut each: impl FnMut(&str) -> Result<bool, GatherError>,
) -> Result<usize, GatherError> {
    let mut range = KeyRange::all();
    let mut scanned = 0;
    loop {
        let page = store.scan(Table::Transitions, &range, PAGE)?;
        for (_, value) in &page {
            scanned += 1;
            if scanned > SCANNED_MAX || !each(std::str::from_utf8(value).unwrap_or_default())? {
                return Ok(scanned);
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE => range = range.after(key),
            _ => return Ok(scanned),
        }
    }
}

/// Transitions whose own id or violation's id begins with `text`.
fn find(store: &dyn Store, text: &str) -> Result<(Vec<Transition>, usize), GatherError> {
    let mut found = Vec::new();
    let quoted = format!("\"{text}");
    let scanned = scan(store, |row| {
        // A quick look first: parsing every row would take seconds.
        if row.contains(&quoted) {
            let transition: Transition = serde_json::from_str(row)?;
            if transition.id.starts_with(text) || transition.violation_id.starts_with(text) {
                found.push(transition);
            }
        }
        Ok(true)
    })?;
    Ok((found, scanned))
}

/// Transitions of the same entity before `first`, newest first.
fn earlier(store: &dyn Store, first: &Transition) -> Result<Vec<Transition>, GatherError> {
    let entity = serde_json::to_string(&first.entity)?;
    let mut found: Vec<Transition> = Vec::new();
    scan(store, |row| {
        if row.contains(&entity) {
            let transition: Transition = serde_json::from_str(row)?;
            let is_before = transition.seq <= first.seq && transition.violation_id != first.violation_id;
            if is_before && transition.entity == first.entity {
                found.push(transition);
            }
        }
        Ok(found.len() < EARLIER_MAX)
    })?;
    Ok(found)
}

/// Tasks that the violation led to or keeps in effect.
fn tasks(store: &dyn Store, violation: &str) -> Result<Vec<Value>, GatherError> {
    let mut found = Vec::new();
    let mut range = KeyRange::all();
    loop {
        let page = store.scan(Table::Tasks, &range, PAGE)?;
        for (_, value) in &page {
            let text = std::str::from_utf8(value).unwrap_or_default();
            if text.contains(violation) && found.len() < TASKS_MAX {
                found.push(serde_json::from_str(text)?);
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == PAGE && found.len() < TASKS_MAX => range = range.after(key),
            _ => return Ok(found),
        }
    }
}
