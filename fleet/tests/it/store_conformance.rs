//! What every engine of the store does alike.

use std::{collections::BTreeMap, error::Error, fs, path::Path};

use fleet::store::{
    BATCH_BYTES_MAX, BATCH_OPS_MAX, Batch, Engine, Entry, KEY_BYTES_MAX, KeyRange, SCAN_ENTRIES_MAX, Store,
    Table, VALUE_BYTES_MAX, open,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// Runs `test` with each engine on an empty folder.
fn each_engine(test: impl Fn(Engine, &Path)) {
    for engine in Engine::ALL {
        let folder = TempDir::new().unwrap();
        test(engine, &folder.path().join("store"));
    }
}

fn batch(puts: &[(Table, &str, &str)]) -> Batch {
    let mut batch = Batch::new();
    puts.iter().for_each(|&(table, key, value)| batch.put(table, key, value));
    batch
}

fn keys(store: &dyn Store, table: Table, range: &KeyRange, limit: usize) -> Vec<String> {
    let entries = store.scan(table, range, limit).unwrap();
    entries.into_iter().map(|(key, _)| String::from_utf8(key).unwrap()).collect()
}

#[test]
fn a_store_is_empty_at_first_and_keeps_what_is_committed() {
    each_engine(|engine, path| {
        let store = open(engine, path).unwrap();
        assert_eq!(store.engine(), engine);
        for table in Table::ALL {
            assert_eq!(store.get(table, b"a").unwrap(), None);
            assert!(store.scan(table, &KeyRange::all(), 10).unwrap().is_empty());
        }
        store.commit(&Batch::new()).unwrap();
        store
            .commit(&batch(&[(Table::Tasks, "a", "1"), (Table::Outbox, "a", "2"), (Table::Tasks, "", "")]))
            .unwrap();
        drop(store);
        let store = open(engine, path).unwrap();
        assert_eq!(store.get(Table::Tasks, b"a").unwrap().unwrap(), b"1");
        assert_eq!(store.get(Table::Outbox, b"a").unwrap().unwrap(), b"2");
        assert_eq!(store.get(Table::Tasks, b"").unwrap().unwrap(), b"");
        assert_eq!(store.get(Table::Meta, b"a").unwrap(), None);
    });
}

#[test]
fn later_changes_of_a_batch_win() {
    each_engine(|engine, path| {
        let store = open(engine, path).unwrap();
        let mut changes =
            batch(&[(Table::Tasks, "a", "1"), (Table::Meta, "m", "1"), (Table::Tasks, "a", "2")]);
        changes.delete(Table::Meta, "m");
        changes.delete(Table::Meta, "never there");
        store.commit(&changes).unwrap();
        assert_eq!(store.get(Table::Tasks, b"a").unwrap().unwrap(), b"2");
        assert_eq!(store.get(Table::Meta, b"m").unwrap(), None);
    });
}

#[test]
fn scans_are_in_the_order_of_keys_and_end_where_the_range_ends() {
    each_engine(|engine, path| {
        let store = open(engine, path).unwrap();
        let names = ["b/2", "a", "b/10", "c", "b", "b/", "b0"];
        for table in [Table::Violations, Table::Findings, Table::AuditLog] {
            let puts: Vec<_> = names.iter().map(|name| (table, *name, "")).collect();
            store.commit(&batch(&puts)).unwrap();
        }
        let table = Table::Findings;
        let all = KeyRange::all();
        assert_eq!(keys(&*store, table, &all, 99), ["a", "b", "b/", "b/10", "b/2", "b0", "c"]);
        assert_eq!(keys(&*store, table, &all, 2), ["a", "b"]);
        assert_eq!(keys(&*store, table, &all, 0), [""; 0]);
        assert_eq!(keys(&*store, table, &all.after(b"b"), 3), ["b/", "b/10", "b/2"]);
        let prefix = KeyRange::prefix(b"b/");
        assert_eq!(keys(&*store, table, &prefix, 99), ["b/", "b/10", "b/2"]);
        assert_eq!(keys(&*store, table, &prefix.after(b"b/10"), 99), ["b/2"]);
        assert_eq!(keys(&*store, table, &prefix.after(b"a"), 99), ["b/", "b/10", "b/2"]);
        assert_eq!(keys(&*store, table, &prefix.after(b"z"), 99), [""; 0]);
        let backwards = KeyRange { start: b"c".into(), end: Some(b"a".into()) };
        assert_eq!(keys(&*store, table, &backwards, 99), [""; 0]);
    });
}

#[test]
fn prefixes_end_where_the_next_prefix_begins() {
    let end = |prefix: &[u8]| KeyRange::prefix(prefix).end;
    assert_eq!(end(b"a"), Some(b"b".to_vec()));
    assert_eq!(end(b"a\xff\xff"), Some(b"b".to_vec()));
    assert_eq!(end(b"\xff"), None);
    assert_eq!(end(b""), None);
}

#[test]
fn what_is_too_large_is_refused_and_changes_nothing() {
    each_engine(|engine, path| {
        let store = open(engine, path).unwrap();
        let mut good = Batch::new();
        good.put(Table::Meta, vec![b'k'; KEY_BYTES_MAX], vec![7; VALUE_BYTES_MAX]);
        store.commit(&good).unwrap();
        assert_eq!(
            store.get(Table::Meta, &[b'k'; KEY_BYTES_MAX]).unwrap().unwrap(),
            vec![7; VALUE_BYTES_MAX]
        );

        let mut long_key = batch(&[(Table::Tasks, "first", "")]);
        long_key.delete(Table::Registry, vec![b'k'; KEY_BYTES_MAX + 1]);
        let mut long_value = batch(&[(Table::Tasks, "first", "")]);
        long_value.put(Table::Outbox, "k", vec![0; VALUE_BYTES_MAX + 1]);
        let mut many = Batch::new();
        (0..=BATCH_OPS_MAX).for_each(|_| many.delete(Table::Tasks, "first"));
        let mut heavy = batch(&[(Table::Tasks, "first", "")]);
        (0..=BATCH_BYTES_MAX / VALUE_BYTES_MAX)
            .for_each(|_| heavy.put(Table::Tasks, "k", vec![0; VALUE_BYTES_MAX]));
        let cases = [
            (long_key, "table `registry`: the key (bytes) is 1025; allowed are up to 1024"),
            (long_value, "table `outbox`: the value (bytes) is 4194305; allowed are up to 4194304"),
            (many, "table `tasks`: the batch (operations) is 65537; allowed are up to 65536"),
            (heavy, "table `tasks`: the batch (bytes) is 37748750; allowed are up to 33554432"),
        ];
        for (batch, message) in cases {
            assert_eq!(store.commit(&batch).unwrap_err().to_string(), message);
        }
        let error = store.scan(Table::Tasks, &KeyRange::all(), SCAN_ENTRIES_MAX + 1).unwrap_err();
        let message = "table `tasks`: the limit of a scan (entries) is 65537; allowed are up to 65536";
        assert_eq!(error.to_string(), message);
        assert!(store.scan(Table::Tasks, &KeyRange::all(), SCAN_ENTRIES_MAX).unwrap().is_empty());
    });
}

#[test]
fn a_store_is_open_once() {
    each_engine(|engine, path| {
        let store = open(engine, path).unwrap();
        let message =
            format!("the store {} is open already; only one process can use it at a time", path.display());
        for other in Engine::ALL {
            assert_eq!(open(other, path).unwrap_err().to_string(), message);
        }
        drop(store);
        open(engine, path).unwrap();
    });
}

#[test]
fn a_folder_of_the_other_engine_is_refused() {
    let words = [
        (
            Engine::Redb,
            Engine::Sled,
            "holds a store of engine `redb`, but `sled` was asked for; name another folder, or engine `redb`",
        ),
        (
            Engine::Sled,
            Engine::Redb,
            "holds a store of engine `sled`, but `redb` was asked for; name another folder, or engine `sled`",
        ),
    ];
    for (first, second, message) in words {
        let folder = TempDir::new().unwrap();
        drop(open(first, folder.path()).unwrap());
        let error = open(second, folder.path()).unwrap_err();
        assert_eq!(error.to_string(), format!("{} {message}", folder.path().display()));
        open(first, folder.path()).unwrap();
    }
}

#[test]
fn folders_with_something_else_are_refused_and_left_alone() {
    each_engine(|engine, path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("photo.jpg"), "x").unwrap();
        let error = open(engine, path).unwrap_err().to_string();
        assert_eq!(
            error,
            format!("{} is no store: it holds `photo.jpg`; name an empty or new folder", path.display())
        );
        assert_eq!(fs::read_dir(path).unwrap().count(), 1);
    });
    each_engine(|engine, path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("store-engine"), "redb 99\nmore").unwrap();
        let error = open(engine, path).unwrap_err().to_string();
        let found = "is no store: it holds `store-engine: redb 99`; name an empty or new folder";
        assert_eq!(error, format!("{} {found}", path.display()));
    });
    each_engine(|engine, path| {
        fs::write(path, "a file").unwrap();
        let error = open(engine, path).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot make the folder {}", path.display()));
        assert!(error.source().is_some());
    });
}

#[test]
fn a_first_start_that_was_cut_off_is_begun_again() {
    each_engine(|engine, path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("lock"), "").unwrap();
        fs::write(path.join("store-engine.new"), "re").unwrap();
        open(engine, path).unwrap().commit(&batch(&[(Table::Meta, "a", "1")])).unwrap();
    });
}

#[test]
fn engine_names_parse_back() {
    for engine in Engine::ALL {
        assert_eq!(engine.name().parse::<Engine>().unwrap(), engine);
    }
    let error = "rocksdb".parse::<Engine>().unwrap_err().to_string();
    assert_eq!(error, "unknown store engine `rocksdb`; allowed are `redb` and `sled`");
}

#[test]
fn readers_see_whole_batches_while_one_writes() {
    each_engine(|engine, path| {
        let store = open(engine, path).unwrap();
        let store = &*store;
        std::thread::scope(|scope| {
            let writer = scope.spawn(move || {
                for round in 0..50_u32 {
                    let mut changes = Batch::new();
                    (0..4_u8).for_each(|key| changes.put(Table::Meta, vec![key], round.to_be_bytes()));
                    store.commit(&changes).unwrap();
                }
            });
            while !writer.is_finished() {
                let entries = store.scan(Table::Meta, &KeyRange::all(), 10).unwrap();
                assert!(entries.is_empty() || entries.len() == 4, "{engine}");
                // A scan of sled is no snapshot, so only redb's values are all of one batch.
                assert!(engine == Engine::Sled || entries.windows(2).all(|pair| pair[0].1 == pair[1].1));
            }
        });
    });
}

/// Table, key, and the value or `None` for a removal.
type Change = (Table, Vec<u8>, Option<Vec<u8>>);

/// One change, over few keys so that they meet.
fn change() -> impl Strategy<Value = Change> {
    let table = prop::sample::select(vec![Table::Meta, Table::Registry, Table::AuditLog]);
    let key = prop::collection::vec(prop::sample::select(vec![0, 1, b'a', 0xff]), 0..3);
    let value = prop::option::of((any::<u8>(), prop::sample::select(vec![0, 1, 100, 5000, 200_000])));
    (table, key, value.prop_map(|value| value.map(|(byte, len)| vec![byte; len])))
}

type Model = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

fn check_against(store: &dyn Store, model: &Model, range: &KeyRange, limit: usize) {
    for table in Table::ALL {
        let of_table = model
            .iter()
            .filter(|((of, _), _)| *of == table)
            .map(|((_, key), value)| (key.clone(), value.clone()));
        let within = |key: &Vec<u8>| *key >= range.start && range.end.as_ref().is_none_or(|end| key < end);
        let expected: Vec<Entry> = of_table.filter(|(key, _)| within(key)).take(limit).collect();
        assert_eq!(store.scan(table, range, limit).unwrap(), expected);
        for (key, value) in expected {
            assert_eq!(store.get(table, &key).unwrap(), Some(value));
        }
    }
}

fn check_model(engine: Engine, rounds: Vec<Vec<Vec<Change>>>, range: &KeyRange, limit: usize) {
    let folder = TempDir::new().unwrap();
    let mut model = Model::new();
    for batches in rounds {
        let store = open(engine, folder.path()).unwrap();
        check_against(&*store, &model, &KeyRange::all(), 100);
        for changes in batches {
            let mut batch = Batch::new();
            for (table, key, value) in changes {
                match value {
                    Some(value) => {
                        batch.put(table, key.clone(), value.clone());
                        model.insert((table, key), value);
                    }
                    None => {
                        batch.delete(table, key.clone());
                        model.remove(&(table, key));
                    }
                }
            }
            store.commit(&batch).unwrap();
        }
        check_against(&*store, &model, &KeyRange::all(), 100);
        check_against(&*store, &model, range, limit);
    }
}

fn rounds() -> impl Strategy<Value = Vec<Vec<Vec<Change>>>> {
    let batch = prop::collection::vec(change(), 0..8);
    prop::collection::vec(prop::collection::vec(batch, 0..4), 1..4)
}

fn range() -> impl Strategy<Value = KeyRange> {
    let key = || prop::collection::vec(prop::sample::select(vec![0, 1, b'a', 0xff]), 0..3);
    (key(), prop::option::of(key())).prop_map(|(start, end)| KeyRange { start, end })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn redb_is_a_sorted_map_across_reopening(rounds in rounds(), range in range(), limit in 0_usize..6) {
        check_model(Engine::Redb, rounds, &range, limit);
    }

    #[test]
    fn sled_is_a_sorted_map_across_reopening(rounds in rounds(), range in range(), limit in 0_usize..6) {
        check_model(Engine::Sled, rounds, &range, limit);
    }
}
