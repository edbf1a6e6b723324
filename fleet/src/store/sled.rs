//! The store on sled: one tree, keys behind a byte for their table, a batch is one sled batch.
//!
//! What sled promises and what not is said in the documentation of [`super`].

use std::{
    fs::{self, File},
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    thread,
    time::Duration,
};

use super::{
    Batch, Engine, Entry, KeyRange, Op, Store, StoreError, Table, check_batch, check_limit,
    place::{Claim, claim, io_error, sync_folder},
};

/// Bytes of pages that sled keeps in memory. The store is small; its own default is 1 GiB.
const CACHE_BYTES: u64 = 32 << 20;

#[derive(Debug)]
pub(super) struct SledStore {
    database: ::sled::Db,
    /// sled's log, opened once more to sync it.
    log: File,
    folder: PathBuf,
    /// Number of the newest file in `blobs` that is synced.
    blobs_synced: Mutex<i64>,
    _claim: Claim,
}

impl SledStore {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let claim = claim(Engine::Sled, path)?;
        let folder = path.join("sled");
        let database = open_released(&folder)?;
        let log = folder.join("db");
        let log = File::open(&log).map_err(|source| io_error("open", &log, source))?;
        let store = Self { database, log, folder, blobs_synced: Mutex::new(-1), _claim: claim };
        store.sync()?;
        sync_folder(&store.folder)?;
        sync_folder(path)?;
        Ok(store)
    }

    /// Makes what sled has written durable. Its own flush ends with `sync_file_range`,
    /// which leaves the disk's cache and the file's length alone, and it never syncs the
    /// files that it makes for large values; this does both.
    fn sync(&self) -> Result<(), StoreError> {
        self.sync_blobs()?;
        self.log.sync_all().map_err(|source| io_error("sync", &self.folder, source))
    }

    fn sync_blobs(&self) -> Result<(), StoreError> {
        let blobs = self.folder.join("blobs");
        let entries = match fs::read_dir(&blobs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(io_error("list", &blobs, source)),
        };
        let mut synced = self.blobs_synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut newest = *synced;
        for entry in entries {
            let entry = entry.map_err(|source| io_error("list", &blobs, source))?;
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<i64>().ok()) else {
                continue;
            };
            if number > *synced {
                sync_if_there(&entry.path())?;
                newest = newest.max(number);
            }
        }
        if newest > *synced {
            sync_folder(&blobs)?;
            *synced = newest;
        }
        Ok(())
    }
}

/// Opens sled. Its threads hold its lock for a moment after a store was dropped; as the
/// folder is claimed by us alone, a held lock can only be that, and is waited for.
fn open_released(folder: &Path) -> Result<::sled::Db, StoreError> {
    const TRIES: u32 = 500;
    const PAUSE: Duration = Duration::from_millis(10);
    let mut tries = 0;
    loop {
        let opened =
            ::sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None).open();
        match opened {
            Ok(database) => return Ok(database),
            Err(::sled::Error::Io(error))
                if tries < TRIES && error.to_string().contains("could not acquire lock") =>
            {
                tries += 1;
                thread::sleep(PAUSE);
            }
            Err(error) => return Err(failed("open")(error)),
        }
    }
}

/// Syncs a file that sled may remove at any time.
fn sync_if_there(path: &Path) -> Result<(), StoreError> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.map_err(|source| io_error("sync", path, source)),
    }
}

impl Store for SledStore {
    fn engine(&self) -> Engine {
        Engine::Sled
    }

    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let value = self.database.get(full_key(table, key)).map_err(failed("read"))?;
        Ok(value.map(|value| value.to_vec()))
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        check_batch(batch)?;
        let mut changes = ::sled::Batch::default();
        for op in &batch.ops {
            match op {
                Op::Put { table, key, value } => changes.insert(full_key(*table, key), value.as_slice()),
                Op::Delete { table, key } => changes.remove(full_key(*table, key)),
            }
        }
        self.database.apply_batch(changes).map_err(failed("commit"))?;
        self.database.flush().map_err(failed("commit"))?;
        self.sync()
    }

    fn scan(&self, table: Table, range: &KeyRange, limit: usize) -> Result<Vec<Entry>, StoreError> {
        check_limit(table, limit)?;
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let end = match &range.end {
            Some(end) => full_key(table, end),
            None => vec![table as u8 + 1],
        };
        let bounds = (Bound::Included(full_key(table, &range.start)), Bound::Excluded(end));
        let mut entries = Vec::new();
        for entry in self.database.range(bounds).take(limit) {
            let (key, value) = entry.map_err(failed("scan"))?;
            entries.push((key.get(1..).unwrap_or_default().to_vec(), value.to_vec()));
        }
        Ok(entries)
    }
}

fn full_key(table: Table, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(key.len() + 1);
    full.push(table as u8);
    full.extend_from_slice(key);
    full
}

fn failed<E: std::error::Error + Send + Sync + 'static>(doing: &'static str) -> impl FnOnce(E) -> StoreError {
    move |source| StoreError::Engine { engine: Engine::Sled, doing, source: Box::new(source) }
}
