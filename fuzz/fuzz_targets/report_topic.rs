//! Topics of MQTT messages: no panic, and what is taken for a report's topic is exactly that.
#![no_main]

use std::sync::LazyLock;

use brokers::mqtt::{
    settings::{Connection, Settings},
    topics::{Class, Topics},
};
use detector::input::{Format, SourceId};
use fleet::ids::ThingName;
use libfuzzer_sys::fuzz_target;

static TOPICS: LazyLock<Vec<(&str, Topics)>> = LazyLock::new(|| {
    ["$aws/things/", "aws/things/", "fleet/a/"]
        .into_iter()
        .map(|prefix| {
            let mut settings = Settings::new(SourceId(1), Connection::new("localhost", 1883, "c"));
            settings.report_prefix = prefix.into();
            settings.mosquitto_log = true;
            settings.lifecycle = true;
            (prefix, Topics::new(&settings))
        })
        .collect()
});

fuzz_target!(|topic: &str| {
    for (prefix, topics) in &*TOPICS {
        let Class::Wanted { format, subject } = topics.class(topic) else { continue };
        match format {
            Format::ReportJson | Format::ReportCbor => {
                assert!(ThingName::check(subject).is_ok() && !subject.contains('/'));
                let encoding = if format == Format::ReportCbor { "cbor" } else { "json" };
                assert_eq!(topic, format!("{prefix}{subject}/defender/metrics/{encoding}"));
                assert_eq!(topics.answer(subject, format, true), format!("{topic}/accepted"));
            }
            Format::Lifecycle => assert!(!subject.is_empty() && topic.ends_with(subject)),
            Format::MosquittoLog => assert!(subject.is_empty() && topic.starts_with("$SYS/broker/log/")),
            Format::Recorded => panic!("no topic carries recorded events"),
        }
    }
});
