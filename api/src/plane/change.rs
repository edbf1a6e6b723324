//! One operation at work: its members, the state, what it stores.

use fleet::{
    store::{Op, Store, Table},
    time::Timestamp,
};
use serde_json::{Value, json};

use super::{Names, state::State};
use crate::aws::{Members, fault::Fault, page::Page};

/// Who has to be told of a change.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// Security profiles or dimensions changed.
    pub(super) profiles: bool,
    /// Things or groups changed.
    pub(super) registry: bool,
}

/// One operation at work. INVARIANT of handlers: nothing is changed before the last error can be raised.
pub(super) struct Change<'a> {
    pub(super) state: &'a mut State,
    pub(super) names: &'a Names,
    pub(super) store: &'a dyn Store,
    pub(super) now: Timestamp,
    pub(super) told: Told,
    operation: &'a str,
    members: &'a Members,
    ops: Vec<Op>,
}

impl<'a> Change<'a> {
    pub(super) fn new(
        state: &'a mut State,
        names: &'a Names,
        store: &'a dyn Store,
        (operation, members): (&'a str, &'a Members),
        now: Timestamp,
    ) -> Self {
        Self { state, names, store, now, operation, members, ops: Vec::new(), told: Told::default() }
    }

    pub(super) fn into_parts(self) -> (Vec<Op>, Told) {
        (self.ops, self.told)
    }

    pub(super) fn members(&self) -> &'a Members {
        self.members
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name)
    }

    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.get(name)?.as_str()
    }

    /// A member that the model requires.
    pub(super) fn required(&self, name: &str) -> Result<&'a str, Fault> {
        self.text(name).ok_or_else(|| Fault::invalid(format!("`{name}` is missing")))
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Refuses if the caller expects another version than there is.
    pub(super) fn expect_version(&self, name: &str, found: u64) -> Result<(), Fault> {
        match self.get("expectedVersion").and_then(Value::as_i64) {
            Some(expected) if u64::try_from(expected) != Ok(found) => {
                Err(Fault::version(name, expected, found))
            }
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn page(&self) -> Result<Page, Fault> {
        Page::of(self.operation, self.members)
    }

    pub(super) fn put(&mut self, table: Table, key: String, value: Vec<u8>) {
        self.ops.push(Op::Put { table, key: key.into_bytes(), value });
    }

    pub(super) fn delete(&mut self, table: Table, key: String) {
        self.ops.push(Op::Delete { table, key: key.into_bytes() });
    }

    /// Seconds since the epoch, as the wire has them.
    pub(super) fn seconds(&self) -> Value {
        seconds(self.now)
    }
}

/// Seconds since the epoch, as the wire has them.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of this age fit into 53 bits")]
pub(super) fn seconds(at: Timestamp) -> Value {
    json!(at.millis() as f64 / 1000.0)
}

/// An answer of these members.
pub(super) fn answer<const N: usize>(members: [(&str, Value); N]) -> Members {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
