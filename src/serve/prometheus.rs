//! Counters in the Prometheus text format. No device is named in a label.

use std::fmt::Write as _;

use detector::{front::KINDS, runner::Counters};
use mitigations::outbox::SinkStats;

/// Counters of one source: its name, and pairs of what and how many.
pub type SourceCounters = (String, Vec<(&'static str, u64)>);

/// The whole text.
#[must_use]
pub fn text(
    engine: &Counters,
    sinks: &[SinkStats],
    sources: &[SourceCounters],
    history: &[(&'static str, &'static str, u64)],
) -> String {
    let mut out = String::new();
    let plain = [
        ("inputs_received_total", "counter", engine.received),
        ("inputs_journaled_total", "counter", engine.journaled),
        ("inputs_repeated_total", "counter", engine.repeated),
        ("inputs_irrelevant_total", "counter", engine.irrelevant),
        ("receipts_dropped_total", "counter", engine.receipts_dropped),
        ("journal_bytes_total", "counter", engine.journal_bytes),
        ("journal_commits_total", "counter", engine.commits),
        ("snapshots_total", "counter", engine.snapshots),
        ("snapshots_failed_total", "counter", engine.snapshots_failed),
        ("things", "gauge", u64::from(engine.things)),
        ("addresses", "gauge", u64::from(engine.addresses)),
        ("violations_open", "gauge", engine.open_violations as u64),
    ];
    for (name, kind, value) in plain.into_iter().chain(history.iter().copied()) {
        header(&mut out, name, kind);
        line(&mut out, name, &[], value);
    }
    header(&mut out, "inputs_refused_total", "counter");
    for (reason, count) in &engine.refused {
        line(&mut out, "inputs_refused_total", &[("reason", reason)], *count);
    }
    header(&mut out, "source_events_total", "counter");
    for (source, counters) in sources {
        for (what, count) in counters {
            line(&mut out, "source_events_total", &[("source", source), ("what", what)], *count);
        }
    }
    type Read = fn(&SinkStats) -> u64;
    let of_sinks: [(&str, &str, Read); 5] = [
        ("alerts_waiting", "gauge", |sink| sink.waiting as u64),
        ("alerts_delivered_total", "counter", |sink| sink.delivered_total),
        ("alerts_retried_total", "counter", |sink| sink.retried_total),
        ("alerts_given_up_total", "counter", |sink| sink.given_up_total),
        ("alerts_overflowed_total", "counter", |sink| sink.overflowed_total),
    ];
    for (name, kind, read) in of_sinks {
        header(&mut out, name, kind);
        for sink in sinks {
            line(&mut out, name, &[("sink", &sink.sink)], read(sink));
        }
    }
    fold(&mut out, engine);
    out
}

fn fold(out: &mut String, engine: &Counters) {
    let (front, shards) = (&engine.fold.front, &engine.fold.shards);
    header(out, "events_total", "counter");
    for (kind, count) in KINDS.iter().zip(front.kinds) {
        line(out, "events_total", &[("kind", kind)], count);
    }
    let rows = [
        ("events_untracked_total", front.untracked),
        ("things_evicted_total", front.things_evicted),
        ("events_nameless_total", front.nameless),
        ("auth_failures_unattributed_total", front.unattributed),
        ("auth_failures_ambiguous_total", front.ambiguous),
        ("windows_skipped_total", front.windows_skipped),
        ("datapoints_total", shards.datapoints),
        ("datapoints_late_total", shards.late),
        ("transitions_total", shards.transitions),
        ("entities_evicted_total", shards.evicted),
    ];
    for (name, count) in rows {
        header(out, name, "counter");
        line(out, name, &[], count);
    }
}

fn header(out: &mut String, name: &str, kind: &str) {
    // Writing to a String cannot fail.
    writeln!(out, "# TYPE fleetward_{name} {kind}").ok();
}

fn line(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}=\"{}\"", escaped(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    writeln!(out, "fleetward_{name}{labels} {value}").ok();
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_escaped_and_each_metric_has_its_type() {
        let mut engine = Counters { received: 3, ..Counters::default() };
        engine.refused.insert("not-json", 2);
        let sources = vec![("a\"b".to_owned(), vec![("received", 7)])];
        let text = text(&engine, &[], &sources, &[("history_values", "gauge", 5)]);
        for expected in [
            "# TYPE fleetward_inputs_received_total counter\nfleetward_inputs_received_total 3\n",
            "# TYPE fleetward_history_values gauge\nfleetward_history_values 5\n",
            "fleetward_inputs_refused_total{reason=\"not-json\"} 2\n",
            "fleetward_source_events_total{source=\"a\\\"b\",what=\"received\"} 7\n",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }
}
