//! The store: small durable tables behind one narrow interface with two engines.
//!
//! The store keeps what is small and must survive: registry, profiles, transitions,
//! tasks, outbox. Its content can be rebuilt from the journal and a snapshot.
//!
//! | | redb (default) | sled 0.34 |
//! |---|---|---|
//! | atomic batch, durable when `commit` returns | yes | yes, see below |
//! | space | one file, stable | grows under updates, shrinks late |
//! | open after use | milliseconds | up to a second |
//!
//! What sled does not promise:
//! - Its own flush asks the kernel with `sync_file_range`, which leaves the disk's cache and
//!   the file's length alone, and it never syncs the files that it makes for large values.
//!   The adapter syncs both after each flush, so that a commit is as durable as redb's; but
//!   when the power fails between sled's write and that sync, sled itself may find its log
//!   damaged, and the store is then rebuilt from the journal.
//! - A scan is no snapshot: it may see a part of a batch that is committed meanwhile.
//! - It was seen to hang for good under millions of updates of the same few keys.

mod place;
mod redb;
mod sled;

use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

use thiserror::Error;

/// Longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;
/// Longest value, in bytes.
pub const VALUE_BYTES_MAX: usize = 4 << 20;
/// Most operations in a batch.
pub const BATCH_OPS_MAX: usize = 65_536;
/// Most bytes of keys and values in a batch.
pub const BATCH_BYTES_MAX: usize = 32 << 20;
/// Most entries that one scan returns; more is read page by page.
pub const SCAN_ENTRIES_MAX: usize = 65_536;

/// The tables. Their order is fixed: it is part of the format on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// Small facts about the store's content, such as how far the journal was applied.
    Meta = 0,
    /// Things, groups and the like.
    Registry = 1,
    /// Security profiles.
    Profiles = 2,
    /// Transitions of violations, by id.
    Transitions = 3,
    /// Open violations.
    Violations = 4,
    /// Findings of audits.
    Findings = 5,
    /// Mitigation tasks, with what is needed to undo them.
    Tasks = 6,
    /// Alerts waiting for delivery.
    Outbox = 7,
    /// Alerts that were given up.
    DeadLetters = 8,
    /// The append-only log of changes and actions.
    AuditLog = 9,
    /// Incidents, and which violation belongs to which.
    Incidents = 10,
    /// What people found out about violations, by violation.
    Verifications = 11,
}

impl Table {
    /// All tables in their order.
    pub const ALL: [Self; 12] = [
        Self::Meta,
        Self::Registry,
        Self::Profiles,
        Self::Transitions,
        Self::Violations,
        Self::Findings,
        Self::Tasks,
        Self::Outbox,
        Self::DeadLetters,
        Self::AuditLog,
        Self::Incidents,
        Self::Verifications,
    ];

    /// The table's name on disk and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Meta => "meta",
            Self::Registry => "registry",
            Self::Profiles => "profiles",
            Self::Transitions => "transitions",
            Self::Violations => "violations",
            Self::Findings => "findings",
            Self::Tasks => "tasks",
            Self::Outbox => "outbox",
            Self::DeadLetters => "dead-letters",
            Self::AuditLog => "audit-log",
            Self::Incidents => "incidents",
            Self::Verifications => "verifications",
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An engine that keeps the tables on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// redb 4.
    #[default]
    Redb,
    /// sled 0.34.
    Sled,
}

impl Engine {
    /// All engines.
    pub const ALL: [Self; 2] = [Self::Redb, Self::Sled];

    /// The word used in configuration and on disk.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redb => "redb",
            Self::Sled => "sled",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Engine {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|engine| engine.name() == text)
            .ok_or_else(|| StoreError::UnknownEngine { found: text.to_owned() })
    }
}

/// Why the store refused or failed.
#[derive(Debug, Error)]
pub enum StoreError {
    /// No engine has this name.
    #[error("unknown store engine `{found}`; allowed are `redb` and `sled`")]
    UnknownEngine {
        /// The name found.
        found: String,
    },
    /// The folder belongs to another engine.
    #[error(
        "{} holds a store of engine `{found}`, but `{wanted}` was asked for; name another folder, or engine `{found}`",
        path.display()
    )]
    OtherEngine {
        /// Folder of the store.
        path: PathBuf,
        /// Engine that the folder names.
        found: Engine,
        /// Engine asked for.
        wanted: Engine,
    },
    /// The folder holds something else than a store.
    #[error("{} is no store: it holds `{found}`; name an empty or new folder", path.display())]
    Foreign {
        /// Folder asked for.
        path: PathBuf,
        /// What is there.
        found: String,
    },
    /// Another process, or this one, has the store open.
    #[error("the store {} is open already; only one process can use it at a time", path.display())]
    Locked {
        /// Folder of the store.
        path: PathBuf,
    },
    /// Something is over its bound.
    #[error("table `{table}`: the {what} is {found}; allowed are up to {max}")]
    TooLarge {
        /// The table.
        table: Table,
        /// What is too large, with its unit.
        what: &'static str,
        /// Size found.
        found: usize,
        /// Most allowed.
        max: usize,
    },
    /// The file system failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// File or folder.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The engine failed.
    #[error("store engine `{engine}` failed to {doing}")]
    Engine {
        /// The engine.
        engine: Engine,
        /// What was tried.
        doing: &'static str,
        /// Cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Keys from `start` (included) to `end` (excluded; `None` is the end of the table).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// First key.
    pub start: Vec<u8>,
    /// First key no longer in the range.
    pub end: Option<Vec<u8>>,
}

impl KeyRange {
    /// The whole table.
    #[must_use]
    pub const fn all() -> Self {
        Self { start: Vec::new(), end: None }
    }

    /// Keys that begin with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &[u8]) -> Self {
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if let Some(next) = last.checked_add(1) {
                end.push(next);
                return Self { start: prefix.to_vec(), end: Some(end) };
            }
        }
        Self { start: prefix.to_vec(), end: None }
    }

    /// The part of the range after `key`, to read the next page.
    #[must_use]
    pub fn after(&self, key: &[u8]) -> Self {
        let mut start = key.to_vec();
        start.push(0);
        Self { start: start.max(self.start.clone()), end: self.end.clone() }
    }

    /// Whether no key can be in the range.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// Sets a key to a value.
    Put {
        /// Table.
        table: Table,
        /// Key.
        key: Vec<u8>,
        /// Value.
        value: Vec<u8>,
    },
    /// Removes a key; a key that is not there is no error.
    Delete {
        /// Table.
        table: Table,
        /// Key.
        key: Vec<u8>,
    },
}

impl Op {
    /// The table that it changes.
    #[must_use]
    pub const fn table(&self) -> Table {
        match self {
            Self::Put { table, .. } | Self::Delete { table, .. } => *table,
        }
    }
}

/// Changes that happen together or not at all. Later ones of the same key win.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The changes in their order.
    pub ops: Vec<Op>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub const fn new() -> Self {
        Self { ops: Vec::new() }
    }

    /// Sets `key` of `table` to `value`.
    pub fn put(&mut self, table: Table, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.ops.push(Op::Put { table, key: key.into(), value: value.into() });
    }

    /// Removes `key` of `table`.
    pub fn delete(&mut self, table: Table, key: impl Into<Vec<u8>>) {
        self.ops.push(Op::Delete { table, key: key.into() });
    }
}

/// A key and its value.
pub type Entry = (Vec<u8>, Vec<u8>);

/// Durable tables. Calls may block on the disk; all are safe from several threads.
pub trait Store: Send + Sync + fmt::Debug {
    /// The engine.
    fn engine(&self) -> Engine;

    /// The value of `key`.
    ///
    /// # Errors
    /// When the engine fails.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Applies all changes of `batch` or none; they are on disk when this returns `Ok`.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] over a bound, and then nothing is changed; else when the
    /// engine fails, and then it is not known whether the batch was applied.
    fn commit(&self, batch: &Batch) -> Result<(), StoreError>;

    /// Up to `limit` entries of `range` in the order of their keys.
    ///
    /// Fewer than `limit` means that the range ended. Changes committed between two
    /// pages are seen by the later page.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] when `limit` is over [`SCAN_ENTRIES_MAX`]; else when the engine fails.
    fn scan(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError>;
}

/// Opens the store in the folder `path`, which is made if it is missing.
///
/// # Errors
/// When the folder is in use, belongs to the other engine, holds other files, or fails.
pub fn open(engine: Engine, path: &Path) -> Result<Box<dyn Store>, StoreError> {
    Ok(match engine {
        Engine::Redb => Box::new(redb::RedbStore::open(path)?),
        Engine::Sled => Box::new(sled::SledStore::open(path)?),
    })
}

/// Refuses a batch that is over a bound.
fn check_batch(batch: &Batch) -> Result<(), StoreError> {
    let Some(first) = batch.ops.first() else { return Ok(()) };
    check(first.table(), "batch (operations)", batch.ops.len(), BATCH_OPS_MAX)?;
    let mut bytes = 0_usize;
    for op in &batch.ops {
        let (key, value) = match op {
            Op::Put { key, value, .. } => (key.len(), value.len()),
            Op::Delete { key, .. } => (key.len(), 0),
        };
        check(op.table(), "key (bytes)", key, KEY_BYTES_MAX)?;
        check(op.table(), "value (bytes)", value, VALUE_BYTES_MAX)?;
        bytes = bytes.saturating_add(key).saturating_add(value);
    }
    check(first.table(), "batch (bytes)", bytes, BATCH_BYTES_MAX)
}

/// Refuses a scan that would hold too much in memory.
fn check_limit(table: Table, limit: usize) -> Result<(), StoreError> {
    check(table, "limit of a scan (entries)", limit, SCAN_ENTRIES_MAX)
}

fn check(table: Table, what: &'static str, found: usize, max: usize) -> Result<(), StoreError> {
    if found > max {
        return Err(StoreError::TooLarge { table, what, found, max });
    }
    Ok(())
}
