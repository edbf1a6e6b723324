//! Metric values in the form in which AWS IoT Device Defender exports them
//! (`device-defender-detect.md`, section 11).
//!
//! A message is `{"version":"1.0","metrics":[{"name":…,"thing":…,"value":{…},"version":…,
//! "timestamp":…,"dimension":{…}}]}`. For the same name, thing and time the highest version counts;
//! ours is the record of the journal, so that what is told again after a crash has the same one.
//! Times are milliseconds, of the window's end. A time away is told in seconds, as AWS does, known
//! to the minute. Of message sizes, AWS exports the least, the largest and the sum of the period
//! without saying how; here they are three metrics, told apart by the name's ending.

use serde::Serialize;

use crate::{output::Datapoints, transition::MetricValue};

/// Largest message unless configured otherwise, bytes: that of AWS IoT Core.
pub const MESSAGE_BYTES_MAX: usize = 128 << 10;

#[derive(Serialize)]
struct Exported<'a> {
    name: &'a str,
    thing: &'a str,
    value: &'a MetricValue,
    version: u64,
    timestamp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimension: Option<Dimension<'a>>,
}

#[derive(Serialize)]
struct Dimension<'a> {
    name: &'a str,
    operator: &'static str,
}

/// The messages of a block, none if it is not to be exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// JSON texts, each of at most the size asked for.
    pub messages: Vec<String>,
    /// Values that are in them.
    pub exported: u64,
    /// Values left out, because one alone would make a message too large.
    pub too_large: u64,
}

const HEAD: &str = r#"{"version":"1.0","metrics":["#;
const TAIL: &str = "]}";

/// A block of values as messages of at most `bytes_max` bytes each.
#[must_use]
pub fn messages(points: &Datapoints, bytes_max: usize) -> Messages {
    let mut made = Messages::default();
    if !points.export {
        return made;
    }
    let name = name(points);
    let mut open = String::new();
    for (thing, value) in &points.rows {
        let seconds;
        let value = match value {
            MetricValue::Count(minutes) if points.aggregate == "away" => {
                seconds = MetricValue::Count(minutes.saturating_mul(60));
                &seconds
            }
            other => other,
        };
        let dimension = points
            .dimension
            .as_ref()
            .map(|(name, negated)| Dimension { name, operator: if *negated { "NOT_IN" } else { "IN" } });
        let timestamp = points.end.millis();
        let exported = Exported { name: &name, thing, value, version: points.seq, timestamp, dimension };
        // A value of ours has no map with keys that are no text, and no number that is none.
        let Ok(text) = serde_json::to_string(&exported) else { continue };
        if HEAD.len() + text.len() + TAIL.len() > bytes_max {
            made.too_large += 1;
            continue;
        }
        if !open.is_empty() && HEAD.len() + open.len() + 1 + text.len() + TAIL.len() > bytes_max {
            made.messages.push(format!("{HEAD}{open}{TAIL}"));
            open.clear();
        }
        if !open.is_empty() {
            open.push(',');
        }
        open.push_str(&text);
        made.exported += 1;
    }
    if !open.is_empty() {
        made.messages.push(format!("{HEAD}{open}{TAIL}"));
    }
    made
}

fn name(points: &Datapoints) -> String {
    match points.aggregate {
        "max" | "min" => format!("{}/{}", points.metric, points.aggregate),
        _ => points.metric.clone(),
    }
}

#[cfg(test)]
mod tests {
    use fleet::time::Timestamp;

    use super::*;

    fn points(rows: Vec<(String, MetricValue)>) -> Datapoints {
        Datapoints {
            seq: 3,
            end: Timestamp::from_millis(1_735_689_600_000),
            secs: 300,
            metric: "aws:num-messages-sent".into(),
            dimension: None,
            aggregate: "count",
            export: true,
            rows,
        }
    }

    #[test]
    fn a_message_has_the_form_of_aws() {
        let mut block = points(vec![("pump-17".into(), MetricValue::Count(12))]);
        block.dimension = Some(("d".into(), false));
        // The example of the sheet.
        assert_eq!(
            messages(&block, MESSAGE_BYTES_MAX).messages,
            [
                r#"{"version":"1.0","metrics":[{"name":"aws:num-messages-sent","thing":"pump-17","value":{"count":12},"version":3,"timestamp":1735689600000,"dimension":{"name":"d","operator":"IN"}}]}"#
            ]
        );
        block.export = false;
        assert_eq!(messages(&block, MESSAGE_BYTES_MAX), Messages::default());
        let mut away = points(vec![("a".into(), MetricValue::Count(4))]);
        (away.metric, away.aggregate) = ("aws:disconnect-duration".into(), "away");
        assert!(messages(&away, MESSAGE_BYTES_MAX).messages[0].contains(r#""value":{"count":240}"#));
    }

    #[test]
    fn messages_are_bounded_and_hold_every_value_once() {
        let mut rows: Vec<_> = (0..1_000).map(|n| (format!("t{n}"), MetricValue::Count(n))).collect();
        rows.push(("large".into(), MetricValue::Strings(vec!["x".repeat(2_000)])));
        let made = messages(&points(rows), 1_000);
        assert_eq!((made.exported, made.too_large), (1_000, 1));
        assert!(made.messages.iter().all(|message| message.len() <= 1_000));
        let mut things = Vec::new();
        for message in &made.messages {
            let value: serde_json::Value = serde_json::from_str(message).unwrap();
            let metrics = value["metrics"].as_array().unwrap();
            things.extend(metrics.iter().map(|metric| metric["thing"].as_str().unwrap().to_owned()));
        }
        assert_eq!(things, (0..1_000).map(|n| format!("t{n}")).collect::<Vec<_>>());
    }
}
