//! Where the data sets are, and tables in plain form.

use std::{collections::BTreeMap, path::PathBuf};

use datasets::{
    catalogue::DataSet,
    folder::Folder,
    recording::{Capture, Record, Recording, captures},
};
use fleet::event::{Event, EventKind};

/// Folder of the data sets.
pub(crate) fn path() -> PathBuf {
    let folder = std::env::var_os("FLEETWARD_DATASETS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/datasets"),
        PathBuf::from,
    );
    assert!(
        folder.join("mqttset-pcap/README.md").is_file(),
        "`{}` is not the folder of the datasets; set FLEETWARD_DATASETS to it",
        folder.display()
    );
    folder
}

pub(crate) fn folder() -> Folder {
    Folder::new(path())
}

pub(crate) fn read(set: &str, file: &str) -> Vec<u8> {
    folder().read(DataSet::named(set).unwrap(), file).unwrap()
}

pub(crate) fn capture(set: &str, name: &str) -> &'static Capture {
    captures(set).find(|capture| capture.name == name).unwrap()
}

pub(crate) fn open(set: &str, name: &str) -> Recording {
    Recording::open(&folder(), capture(set, name)).unwrap()
}

/// A table whose cells have no commas, as maps from column to cell.
pub(crate) fn table(bytes: &[u8]) -> Vec<BTreeMap<String, String>> {
    let mut lines = std::str::from_utf8(bytes).unwrap().lines();
    let heading: Vec<&str> = lines.next().unwrap().split(',').collect();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        assert_eq!(cells.len(), heading.len(), "{line}");
        heading.iter().zip(cells).map(|(name, cell)| (name.to_string(), cell.to_owned())).collect()
    };
    lines.map(row).collect()
}

pub(crate) fn play(recording: &Recording, take: &mut dyn FnMut(&Event<'_>)) {
    recording.play(&mut |record| match record {
        Record::Event(event) => take(event),
        Record::LogLine(_) => panic!("a log"),
    });
}

/// How many events of each kind.
pub(crate) fn kinds(recording: &Recording) -> BTreeMap<&'static str, u64> {
    let mut kinds = BTreeMap::new();
    play(recording, &mut |event| *kinds.entry(kind(&event.kind)).or_default() += 1);
    kinds
}

pub(crate) fn kind(kind: &EventKind<'_>) -> &'static str {
    match kind {
        EventKind::Connect(_) => "connect",
        EventKind::Disconnect { .. } => "disconnect",
        EventKind::AuthFailure(_) => "auth-failure",
        EventKind::Denied { .. } => "denied",
        EventKind::Publish { .. } => "publish",
        EventKind::Delivery { .. } => "delivery",
        EventKind::Subscribe { .. } => "subscribe",
        EventKind::Unsubscribe { .. } => "unsubscribe",
        EventKind::Report { .. } => "report",
        EventKind::ConnectionError { .. } => "connection-error",
        EventKind::AdminChange { .. }
        | EventKind::BrokerStart
        | EventKind::BrokerStop
        | EventKind::BrokerReload => "broker",
    }
}
