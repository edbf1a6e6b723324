//! All bad inputs in between good ones, through the engine that `serve` runs.

use std::{collections::BTreeMap, path::Path};

use brokers::{
    lifecycle::LifecycleDecoder,
    mosquitto::log::{LogDecoder, topic_line},
    recorded::RecordedDecoder,
};
use detector::{
    change::Rules,
    front::Decoders,
    input::{Format, Input, Outcome, Receipt, SourceId},
    output::Output,
    runner::{Counters, Runner, RunnerConfig},
    transition::{Transition, TransitionKind},
};
use fleet::{registry::Registry, time::Timestamp};
use tempfile::TempDir;
use tokio::sync::mpsc;

use crate::{kinds, table};

const SOURCE: SourceId = SourceId(1);
/// Start of the story, ms.
const START: i64 = 1_767_225_600_000;

const PROFILE: &str = r#"{
  "securityProfileName": "watch",
  "fleetward": {"targets": ["arn:aws:iot:eu-central-1:123456789012:all/things"]},
  "behaviors": [
    {"name": "ports", "metric": "aws:listening-tcp-ports",
     "criteria": {"comparisonOperator": "in-port-set", "value": {"ports": [22]}}},
    {"name": "messages", "metric": "aws:num-messages-sent",
     "criteria": {"comparisonOperator": "less-than", "value": {"count": 3}, "durationSeconds": 300}},
    {"name": "disconnects", "metric": "aws:num-disconnects",
     "criteria": {"comparisonOperator": "less-than", "value": {"count": 2}, "durationSeconds": 300}},
    {"name": "logins", "metric": "aws:num-authorization-failures", "fleetward": {"entity": "source-ip"},
     "criteria": {"comparisonOperator": "less-than", "value": {"count": 2}, "durationSeconds": 300}}
  ]
}"#;

/// Seconds, what, and of whom: a good story with an alarm of each behavior. The log has times of its
/// own, which are the same.
fn story() -> Vec<Input> {
    let report = |id: u32, port: u16| {
        format!(
            r#"{{"header":{{"report_id":{id},"version":"1.0"}},"metrics":{{"tp":{{"pts":[{{"pt":{port}}}],"t":1}}}}}}"#
        )
    };
    let publish = |second: i64| {
        let at = START + second * 1000;
        format!(r#"{{"at":{at},"event":"publish","client":"meter-1","topic":"t","bytes":9}}"#)
    };
    let failure = |second: i64| {
        let at = START + second * 1000;
        format!(
            r#"{{"at":{at},"event":"auth-failure","client":"pump-1","ip":"203.0.113.7","attribution":"address"}}"#
        )
    };
    let presence = |second: i64, kind: &str, version: u32| {
        let (at, session) = (START + second * 1000, version);
        format!(
            r#"{{"clientId":"cam-1","timestamp":{at},"eventType":"{kind}","sessionIdentifier":"s{session}","principalIdentifier":"p","ipAddress":"192.0.2.8","versionNumber":{version}}}"#
        )
    };
    let log = |second: i64, text: &str| format!("{}: {text}", START / 1000 + second);
    let mut story = vec![
        (0, Format::MosquittoLog, "", String::from_utf8(kinds::FIRST_LOG_LINE.to_vec()).unwrap()),
        (
            1,
            Format::MosquittoLog,
            "",
            log(1, "New client connected from 192.0.2.1:4711 as pump-1 (p2, c1, k60)."),
        ),
        (2, Format::ReportJson, "pump-1", report(1, 22)),
        (3, Format::ReportJson, "pump-2", report(2, 4444)),
        (4, Format::Lifecycle, "cam-1", presence(4, "connected", 0)),
        (5, Format::Lifecycle, "cam-1", presence(5, "disconnected", 0)),
        (6, Format::Lifecycle, "cam-1", presence(6, "connected", 1)),
        (7, Format::Lifecycle, "cam-1", presence(7, "disconnected", 1)),
    ];
    story.extend((8..12).map(|second| (second, Format::Recorded, "", publish(second))));
    story.extend((12..15).map(|second| (second, Format::Recorded, "", failure(second))));
    story.push((16, Format::MosquittoLog, "", log(16, "Client pump-1 closed its connection.")));
    story.push((17, Format::ReportJson, "pump-2", report(3, 22)));
    let input = |(second, format, subject, payload): (i64, Format, &str, String)| {
        input(format, START + second * 1000, subject, payload.as_bytes())
    };
    story.into_iter().map(input).collect()
}

fn input(format: Format, arrival_ms: i64, subject: &str, payload: &[u8]) -> Input {
    Input {
        source: SOURCE,
        format,
        arrival: Timestamp::from_millis(arrival_ms),
        position: 0,
        subject: subject.into(),
        payload: payload.into(),
        tag: 0,
    }
}

/// The rows that reach the engine as inputs: how each is read and whose it is, and what is to be
/// said about it.
fn bad() -> Vec<(Format, String, Vec<u8>, String)> {
    let mut bad = Vec::new();
    for (kind, format) in [
        (kinds::JSON, Format::ReportJson),
        (kinds::CBOR, Format::ReportCbor),
        (kinds::LOG, Format::MosquittoLog),
        (kinds::LIFECYCLE, Format::Lifecycle),
        (kinds::RECORDED, Format::Recorded),
    ] {
        // A line that says little, such as the end of an unknown session, still belongs in the journal.
        for row in table::rows(&kind).into_iter().filter(|row| !row.expected.ends_with(", journaled")) {
            let (subject, payload) = match format {
                Format::Lifecycle => kinds::subject_and_payload(&row.input),
                Format::ReportJson | Format::ReportCbor => ("pump-1", &row.input[..]),
                Format::MosquittoLog | Format::Recorded => ("", &row.input[..]),
            };
            bad.push((format, subject.to_owned(), payload.to_vec(), row.expected));
        }
    }
    // The same lines as they come over MQTT.
    for row in table::rows(&kinds::LOG).iter().filter(|row| row.expected.contains(": ")) {
        let line = topic_line("$SYS/broker/log/N", &row.input).unwrap();
        let said = row.expected.clone();
        bad.push((Format::MosquittoLog, String::new(), line, said));
    }
    bad
}

/// The reason at the beginning of what is said; nothing for a line that is counted elsewhere.
fn reason(said: &str) -> Option<&str> {
    let (head, _) = said.split_once(": ")?;
    head.split(' ').next()
}

/// What became of a stream.
struct Done {
    transitions: Vec<Transition>,
    receipts: Vec<Outcome>,
    refused_told: usize,
    counters: Counters,
}

#[tokio::test]
async fn bad_inputs_change_nothing_but_their_counters() {
    let good = story();
    let clean = run(good.clone()).await;
    let alarms: Vec<&str> = clean
        .transitions
        .iter()
        .filter(|transition| transition.kind == TransitionKind::InAlarm)
        .map(|transition| transition.behavior.as_str())
        .collect();
    assert_eq!(alarms, ["ports", "disconnects", "messages", "logins"]);
    assert!(clean.counters.refused.is_empty() && clean.receipts.len() == good.len());

    let bad = bad();
    let mut mixed = Vec::new();
    let mut bads = bad.iter().cycle();
    let each = bad.len().div_ceil(good.len());
    for (index, next) in good.iter().enumerate() {
        // A millisecond before the next good one, so that time would go on if they moved it.
        let arrival = next.arrival.millis() - 1;
        let count = if index == 0 { 0 } else { each + 1 };
        for (format, subject, payload, _) in bads.by_ref().take(count) {
            mixed.push(input(*format, arrival, subject, payload));
        }
        mixed.push(next.clone());
    }
    let rows_sent = mixed.len() - good.len();
    assert!(rows_sent >= bad.len());
    let dirty = run(mixed).await;

    assert_eq!(dirty.transitions, clean.transitions);
    let accepted = |done: &Done| {
        let good = done.receipts.iter().filter(|outcome| matches!(outcome, Outcome::Journaled { .. }));
        good.cloned().collect::<Vec<_>>()
    };
    assert_eq!(accepted(&dirty), accepted(&clean), "good inputs keep their receipts");
    let mut expected: BTreeMap<&str, u64> = BTreeMap::new();
    let mut irrelevant = 0;
    for (.., said) in bad.iter().cycle().take(rows_sent) {
        match reason(said) {
            Some(reason) => *expected.entry(reason).or_default() += 1,
            None => irrelevant += 1,
        }
    }
    assert_eq!(dirty.counters.refused, expected);
    assert_eq!(dirty.counters.irrelevant, irrelevant);
    let refused: u64 = expected.values().sum();
    assert_eq!(dirty.refused_told as u64 + dirty.counters.refused_not_told, refused);
    assert_eq!(dirty.counters.journaled, clean.counters.journaled, "none is in the journal");
    assert_eq!(dirty.counters.fold, clean.counters.fold);
    assert_eq!(dirty.counters.received, (good.len() + rows_sent) as u64);
}

/// Every refused input gets a receipt with exactly what the table says.
#[tokio::test]
async fn receipts_say_what_the_tables_say() {
    let bad = bad();
    let mut inputs = vec![input(Format::MosquittoLog, START, "", kinds::FIRST_LOG_LINE)];
    inputs.extend(bad.iter().map(|(format, subject, payload, _)| input(*format, START, subject, payload)));
    let done = run(inputs).await;
    assert_eq!(done.receipts.len(), bad.len() + 1);
    for (outcome, (format, _, payload, said)) in done.receipts.iter().skip(1).zip(&bad) {
        let shown = String::from_utf8_lossy(payload.get(..60).unwrap_or(payload)).into_owned();
        match outcome {
            Outcome::Refused(refusal) => {
                let id = match format {
                    Format::MosquittoLog | Format::Lifecycle => String::new(),
                    _ => refusal.report_id.map_or_else(|| " -".into(), |id| format!(" {id}")),
                };
                let message = refusal.message.replace('\u{7}', "\\x07");
                assert_eq!(format!("{}{id}: {message}", refusal.reason), *said, "{shown}");
            }
            other => assert!(*other == Outcome::Irrelevant && reason(said).is_none(), "{other:?}: {shown}"),
        }
    }
}

async fn run(inputs: Vec<Input>) -> Done {
    let dir = TempDir::new().unwrap();
    let rules = Rules { profiles: vec![("watch.json".into(), PROFILE.into())], ..Rules::default() };
    let config = RunnerConfig { shards: 2, input_bytes_max: 1 << 20, ..RunnerConfig::new(dir.path().into()) };
    let (handle, mut outputs) = Runner::open(config, decoders(), rules, Registry::default()).unwrap();
    let confirming = handle.clone();
    let consumer = tokio::spawn(async move {
        let mut all = Vec::new();
        while let Some(output) = outputs.recv().await {
            if let Output::Folded { seq } = output {
                confirming.applied(seq);
            }
            all.push(output);
        }
        all
    });
    handle.ready().await.unwrap();
    let (sender, mut receipts) = mpsc::channel::<Vec<Receipt>>(inputs.len());
    handle.register(SOURCE, sender).await.unwrap();
    let (sent, last) = (inputs.len(), inputs.last().unwrap().arrival);
    handle.send(inputs).await.unwrap();
    let mut outcomes = Vec::new();
    while outcomes.len() < sent {
        outcomes.extend(receipts.recv().await.unwrap().into_iter().map(|receipt| receipt.outcome));
    }
    handle.tick(last.plus_millis(700_000)).await.unwrap();
    handle.shutdown().await.unwrap();
    let outputs = consumer.await.unwrap();
    let counters = handle.counters();
    let refused_told = outputs.iter().filter(|output| matches!(output, Output::Refused(_))).count();
    let transitions = outputs.into_iter().filter_map(|output| match output {
        Output::Transition(transition) => Some(transition),
        Output::Violating(_)
        | Output::Watched(_)
        | Output::Datapoints(_)
        | Output::Refused(_)
        | Output::Folded { .. } => None,
    });
    Done { transitions: transitions.collect(), receipts: outcomes, refused_told, counters }
}

fn decoders() -> Decoders {
    Decoders::default()
        .with(Format::MosquittoLog, Box::new(LogDecoder::new()))
        .with(Format::Lifecycle, Box::new(LifecycleDecoder::new()))
        .with(Format::Recorded, Box::new(RecordedDecoder::new()))
}

/// The folder of tables has no file that no test reads.
#[test]
fn every_table_is_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".txt"))
        .collect();
    files.sort();
    let mut known: Vec<&str> = kinds::KINDS.iter().map(|kind| kind.file).collect();
    known.sort_unstable();
    assert_eq!(files, known);
}
