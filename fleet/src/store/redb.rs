//! The store on redb: one file, copy-on-write, a batch is one transaction.

use std::{ops::Bound, path::Path};

use redb::{Database, ReadableDatabase, TableDefinition, TableError};

use super::{
    Batch, Engine, Entry, KeyRange, Op, Store, StoreError, Table, check_batch, check_limit,
    place::{Claim, claim, sync_folder},
};

/// Bytes of pages that redb keeps in memory. The store is small; its own default is 1 GiB.
const CACHE_BYTES: usize = 32 << 20;

type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

#[derive(Debug)]
pub(super) struct RedbStore {
    database: Database,
    _claim: Claim,
}

impl RedbStore {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let claim = claim(Engine::Redb, path)?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path.join("store.redb"))
            .map_err(failed("open"))?;
        sync_folder(path)?;
        Ok(Self { database, _claim: claim })
    }
}

impl Store for RedbStore {
    fn engine(&self) -> Engine {
        Engine::Redb
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let transaction = self.database.begin_read().map_err(failed("read"))?;
        match transaction.open_table(definition(table)) {
            Ok(table) => {
                let value = table.get(key).map_err(failed("read"))?;
                Ok(value.map(|value| value.value().to_vec()))
            }
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(failed("read")(error)),
        }
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        check_batch(batch)?;
        let transaction = self.database.begin_write().map_err(failed("commit"))?;
        // One table is open at a time; runs of the same table share it.
        for run in batch.ops.chunk_by(|a, b| a.table() == b.table()) {
            let Some(first) = run.first() else { continue };
            let mut table = transaction.open_table(definition(first.table())).map_err(failed("commit"))?;
            for op in run {
                match op {
                    Op::Put { key, value, .. } => {
                        table.insert(key.as_slice(), value.as_slice()).map_err(failed("commit"))?;
                    }
                    Op::Delete { key, .. } => {
                        table.remove(key.as_slice()).map_err(failed("commit"))?;
                    }
                }
            }
        }
        // The default durability: synced before this returns.
        transaction.commit().map_err(failed("commit"))
    }

    fn scan(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        check_limit(table, limit)?;
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let transaction = self.database.begin_read().map_err(failed("scan"))?;
        let table = match transaction.open_table(definition(table)) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(failed("scan")(error)),
        };
        let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let bounds = (Bound::Included(range.start.as_slice()), end);
        let mut entries = Vec::new();
        for entry in table.range::<&[u8]>(bounds).map_err(failed("scan"))?.take(limit) {
            let (key, value) = entry.map_err(failed("scan"))?;
            entries.push((key.value().to_vec(), value.value().to_vec()));
        }
        Ok(entries)
    }
}

const fn definition(table: Table) -> Definition {
    TableDefinition::new(table.name())
}

fn failed<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::Engine { engine: Engine::Redb, doing, source: Box::new(source) }
}
