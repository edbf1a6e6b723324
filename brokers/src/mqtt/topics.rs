//! Which topics a source subscribes to, and what a message's topic says.

use detector::input::Format;
use fleet::ids::{IdError, ThingName};

use super::settings::Settings;

const LOG: &str = "$SYS/broker/log/";
const EVENTS: &str = "$aws/events/";
const REPORT: &str = "/defender/metrics/";

/// What a topic says of its message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Class<'a> {
    /// A message for the engine.
    Wanted {
        /// How to read it.
        format: Format,
        /// The thing or client id that the topic names; empty for logs.
        subject: &'a str,
    },
    /// A report topic whose thing has an impossible name.
    BadThing(IdError),
    /// None of our topics: left over in the session from another configuration.
    Foreign,
}

/// The topics of one source.
#[derive(Clone, Debug)]
pub struct Topics {
    prefix: String,
    filters: Vec<String>,
}

impl Topics {
    /// From checked settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let mut filters = Vec::new();
        if settings.reports {
            let filter = format!("{}+{REPORT}+", settings.report_prefix);
            filters.push(match &settings.shared_group {
                Some(group) => format!("$share/{group}/{filter}"),
                None => filter,
            });
        }
        if settings.mosquitto_log {
            filters.push(format!("{LOG}#"));
        }
        if settings.lifecycle {
            filters.push(format!("{EVENTS}presence/#"));
            filters.push(format!("{EVENTS}subscriptions/#"));
        }
        Self { prefix: settings.report_prefix.clone(), filters }
    }

    /// Topic filters to subscribe to.
    #[must_use]
    pub fn filters(&self) -> &[String] {
        &self.filters
    }

    /// Reads a topic.
    #[must_use]
    pub fn class<'a>(&self, topic: &'a str) -> Class<'a> {
        if let Some(rest) = topic.strip_prefix(&self.prefix)
            && let Some(class) = report(rest)
        {
            return class;
        }
        if topic.strip_prefix(LOG).is_some_and(|kind| !kind.is_empty()) {
            return Class::Wanted { format: Format::MosquittoLog, subject: "" };
        }
        topic.strip_prefix(EVENTS).and_then(lifecycle).unwrap_or(Class::Foreign)
    }

    /// Topic of the answer to a report of `thing`.
    #[must_use]
    pub fn answer(&self, thing: &str, format: Format, accepted: bool) -> String {
        let encoding = if format == Format::ReportCbor { "cbor" } else { "json" };
        let outcome = if accepted { "accepted" } else { "rejected" };
        format!("{}{thing}{REPORT}{encoding}/{outcome}", self.prefix)
    }
}

/// `THING/defender/metrics/{json,cbor}`.
fn report(rest: &str) -> Option<Class<'_>> {
    let (thing, encoding) = rest.split_once('/')?;
    let format = match encoding.strip_prefix("defender/metrics/")? {
        "json" => Format::ReportJson,
        "cbor" => Format::ReportCbor,
        _ => return None,
    };
    Some(match ThingName::check(thing) {
        Ok(()) => Class::Wanted { format, subject: thing },
        Err(error) => Class::BadThing(error),
    })
}

/// `presence/KIND/CLIENT` or `subscriptions/KIND/CLIENT`; the client id may hold `/`.
fn lifecycle(rest: &str) -> Option<Class<'_>> {
    let rest = rest.strip_prefix("presence/").or_else(|| rest.strip_prefix("subscriptions/"))?;
    let (_, client) = rest.split_once('/')?;
    (!client.is_empty()).then_some(Class::Wanted { format: Format::Lifecycle, subject: client })
}

#[cfg(test)]
mod tests {
    use detector::input::SourceId;

    use super::{super::settings::Connection, *};

    fn topics(prefix: &str) -> Topics {
        let mut settings = Settings::new(SourceId(0), Connection::new("h", 1, "c"));
        settings.report_prefix = prefix.into();
        settings.mosquitto_log = true;
        settings.lifecycle = true;
        Topics::new(&settings)
    }

    #[test]
    fn topics_are_read_strictly() {
        let wanted = |format, subject| Class::Wanted { format, subject };
        let long = "n".repeat(129);
        let too_long = format!("$aws/things/{long}/defender/metrics/json");
        let cases = [
            ("$aws/things/pump 7/ä", Class::Foreign),
            ("$aws/things/pump-7/defender/metrics/json", wanted(Format::ReportJson, "pump-7")),
            ("$aws/things/ventil ä/defender/metrics/cbor", wanted(Format::ReportCbor, "ventil ä")),
            ("$aws/things/a/defender/metrics/JSON", Class::Foreign),
            ("$aws/things/a/defender/metrics/json/accepted", Class::Foreign),
            ("$aws/things/a/b/defender/metrics/json", Class::Foreign),
            ("aws/things/a/defender/metrics/json", Class::Foreign),
            ("$aws/things//defender/metrics/json", Class::BadThing(ThingName::check("").unwrap_err())),
            (&too_long, Class::BadThing(ThingName::check(&long).unwrap_err())),
            ("$SYS/broker/log/N", wanted(Format::MosquittoLog, "")),
            ("$SYS/broker/log/M/subscribe", wanted(Format::MosquittoLog, "")),
            ("$SYS/broker/uptime", Class::Foreign),
            ("$SYS/broker/log/", Class::Foreign),
            ("$aws/events/presence/connected/cam/1", wanted(Format::Lifecycle, "cam/1")),
            ("$aws/events/subscriptions/subscribed/cam", wanted(Format::Lifecycle, "cam")),
            ("$aws/events/presence/connected/", Class::Foreign),
            ("$aws/events/jobs/x/y", Class::Foreign),
            ("", Class::Foreign),
        ];
        let topics = topics("$aws/things/");
        for (topic, class) in cases {
            assert_eq!(topics.class(topic), class, "{topic}");
        }
    }

    #[test]
    fn another_prefix_moves_reports_and_answers() {
        let topics = topics("aws/things/");
        assert_eq!(topics.filters()[0], "aws/things/+/defender/metrics/+");
        assert_eq!(
            topics.class("aws/things/a/defender/metrics/json"),
            Class::Wanted { format: Format::ReportJson, subject: "a" }
        );
        assert_eq!(topics.class("$aws/things/a/defender/metrics/json"), Class::Foreign);
        assert_eq!(
            topics.answer("a", Format::ReportCbor, false),
            "aws/things/a/defender/metrics/cbor/rejected"
        );
    }
}
