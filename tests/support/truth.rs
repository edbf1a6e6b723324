//! What must be in journal and store, found out without the program: from what was sent, from the
//! broker's log, and by folding the journal again in this process.

use std::{collections::BTreeMap, path::Path};

use brokers::mosquitto::log::LogDecoder;
use detector::{
    engine::Engine,
    input::{Decoded, Decoder, Format},
    journal::{Kind, Reader},
    replay,
    transition::Transition,
};
use fleet::{
    store::{self, KeyRange, Table},
    time::Timestamp,
};
use fleetward::serve::{decoders, sources};
use serde_json::Value;

use super::program::Home;

/// What the journal holds of inputs.
#[derive(Debug, Default)]
pub(crate) struct Journaled {
    /// For each thing its report ids with how often they are there.
    pub(crate) reports: BTreeMap<String, BTreeMap<u64, u32>>,
    /// Lines of Mosquitto's log, in order.
    pub(crate) lines: Vec<String>,
}

fn journal(home: &Home) -> Reader {
    Reader::open(&home.path("data/engine/journal"), 1).expect("the journal is complete")
}

/// Reads the whole journal. The program must have stopped.
pub(crate) fn journaled(home: &Home) -> Journaled {
    let mut found = Journaled::default();
    let mut reader = journal(home);
    while let Some(record) = reader.next().unwrap() {
        match record.kind {
            Kind::Input(Format::ReportJson) => {
                let report: Value = serde_json::from_slice(record.payload).unwrap();
                let id = report["header"]["report_id"].as_u64().unwrap();
                *found.reports.entry(record.subject.to_owned()).or_default().entry(id).or_default() += 1;
            }
            Kind::Input(Format::MosquittoLog) => {
                found.lines.push(String::from_utf8_lossy(record.payload).into_owned());
            }
            _ => {}
        }
    }
    found
}

/// The lines of a log that the journal must hold: all that a decoder, seeing the whole log once and
/// in order, finds relevant.
pub(crate) fn relevant(log: &str) -> Vec<String> {
    let mut decoder = LogDecoder::new();
    let id = sources::number("broker-log");
    let mut relevant = |line: &&str| {
        let decoded = decoder.decode(id, Timestamp::from_millis(0), "", line.as_bytes(), &mut |_| {});
        matches!(decoded, Decoded::Relevant { .. })
    };
    log.lines().filter(|line| relevant(line)).map(str::to_owned).collect()
}

/// The journal's lines are those of the log, each once and in order, up to one with `last` at least:
/// what the broker wrote after that need not have been read yet. Says where they part.
#[track_caller]
pub(crate) fn assert_same_lines(journaled: &[String], log: &str, last: &str) {
    let expected = relevant(log);
    let parting = journaled.iter().zip(&expected).position(|(found, wanted)| found != wanted);
    if let Some(at) = parting {
        let around = |lines: &[String]| lines[at.saturating_sub(1)..(at + 3).min(lines.len())].join("\n  ");
        panic!("line {at}: the journal has\n  {}\nthe log has\n  {}", around(journaled), around(&expected));
    }
    assert!(journaled.len() <= expected.len(), "line too many: `{}`", journaled[expected.len()]);
    assert!(
        journaled.iter().any(|line| line.contains(last)),
        "no line with `{last}`; the first that is missing: `{}`",
        expected[journaled.len()]
    );
}

/// What the whole journal gives when it is folded again from its first record, by one shard.
pub(crate) fn replayed(home: &Home) -> Vec<Transition> {
    let loaded = fleetward::config::load(&home.path("fleetward.toml"), &|_| None);
    let settings = loaded.settings.unwrap_or_else(|| panic!("{:?}", loaded.problems));
    let mut engine = Engine::new(decoders(&settings.mosquitto_log), 1, Vec::new());
    let mut transitions = Vec::new();
    replay::journal(&mut engine, &mut journal(home), None, &mut |transition| transitions.push(transition))
        .unwrap();
    transitions
}

/// The transitions in the store, in the order of the journal. The program must have stopped.
pub(crate) fn stored(home: &Home) -> Vec<Transition> {
    let store = open_store(&home.path("data/store"));
    let (mut transitions, mut range): (Vec<Transition>, _) = (Vec::new(), KeyRange::all());
    loop {
        let entries = store.scan(Table::Transitions, &range, 4096).unwrap();
        let Some((last, _)) = entries.last() else { break };
        range = range.after(last);
        transitions
            .extend(entries.iter().map(|(_, value)| serde_json::from_slice::<Transition>(value).unwrap()));
    }
    // The store has the newest first.
    transitions.reverse();
    transitions
}

fn open_store(path: &Path) -> Box<dyn store::Store> {
    store::open(store::Engine::Redb, path).unwrap()
}

/// The store holds what the fold gives: nothing lost, nothing doubled, nothing else.
#[track_caller]
pub(crate) fn assert_stored(stored: &[Transition], replayed: &[Transition]) {
    let ids = |transitions: &[Transition]| -> Vec<String> {
        let mut ids: Vec<String> = transitions.iter().map(|transition| transition.id.clone()).collect();
        ids.sort();
        ids
    };
    let (have, want) = (ids(stored), ids(replayed));
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|id| b.binary_search(id).is_err()).take(5).cloned().collect()
    };
    assert!(have.windows(2).all(|pair| pair[0] != pair[1]), "an id is stored twice");
    assert!(have == want, "lost: {:?}; invented: {:?}", only(&want, &have), only(&have, &want));
    let by_id: BTreeMap<&str, &Transition> = replayed.iter().map(|t| (t.id.as_str(), t)).collect();
    for transition in stored {
        assert_eq!(Some(&transition), by_id.get(transition.id.as_str()));
    }
}
