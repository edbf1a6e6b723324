//! Scripts in, text out.
//!
//! A script has one line per input: `SECONDS VERB ARGUMENTS`. `SECONDS` is the event time, with
//! `/SECONDS` the time of arrival where it differs. Verbs: `connect THING [IP [USER]]`,
//! `disconnect THING [REASON]`, `fail IP CLAIMED [certain|address|ambiguous]`, `deny THING [TOPIC]`,
//! `publish THING [BYTES [TOPIC]]`, `deliver THING [TOPIC]`, `subscribe THING`, `restart`,
//! `broken IP tls|protocol|too-many|no-connect` (a connection without identity; `-` is no address), `tick`,
//! `report THING JSON`, `gap FROM`, `nonsense`, `noise`.

use std::collections::BTreeMap;

use detector::{
    change::Rules,
    engine::Engine,
    front::Decoders,
    input::{Decoded, Decoder, Format, Input, Refusal, SourceId},
    journal::{Entry, Kind},
    transition::{EntityName, Transition, TransitionKind},
};
use fleet::{
    event::{
        Action, Attribution, AuthFailure, Connect, ConnectionErrorKind, DisconnectReason, Event, EventKind,
    },
    registry::Registry,
    time::Timestamp,
};

/// Reads the lines of scripts. Its state is the number of lines read, so that save and restore
/// have something to get wrong.
#[derive(Default)]
pub(crate) struct ScriptDecoder {
    lines: u64,
    /// Failures that are told two seconds later, as a broker's log may need.
    waiting: BTreeMap<i64, String>,
}

impl Decoder for ScriptDecoder {
    fn decode(
        &mut self,
        _: SourceId,
        arrival: Timestamp,
        _: &str,
        payload: &[u8],
        sink: &mut dyn FnMut(&Event<'_>),
    ) -> Decoded {
        let line = std::str::from_utf8(payload).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        if words[1] == "nonsense" {
            let message = "a line of nonsense".into();
            return Decoded::Refused(Refusal { report_id: None, reason: "nonsense", message });
        }
        if words[1] == "noise" {
            return Decoded::Irrelevant;
        }
        self.lines += 1;
        let at = time(words[0].split('/').next().unwrap());
        if words[1] == "later" {
            self.waiting.insert(arrival.secs() + 2, words[2].to_owned());
            return Decoded::Relevant { report_id: None };
        }
        sink(&Event { at, kind: kind(&words) });
        Decoded::Relevant { report_id: None }
    }

    fn tick(&mut self, now: Timestamp, sink: &mut dyn FnMut(&Event<'_>)) {
        while let Some(entry) = self.waiting.first_entry() {
            if *entry.key() > now.secs() {
                break;
            }
            let at = Timestamp::from_secs(*entry.key());
            let client = entry.remove();
            sink(&Event { at, kind: EventKind::Publish { client: &client, topic: "t", bytes: 1 } });
        }
    }

    fn save(&self) -> Vec<u8> {
        serde_json::to_vec(&(self.lines, &self.waiting)).unwrap()
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), String> {
        (self.lines, self.waiting) = serde_json::from_slice(state).map_err(|error| error.to_string())?;
        Ok(())
    }
}

fn kind<'a>(words: &[&'a str]) -> EventKind<'a> {
    let word = |at: usize| words.get(at).copied();
    let client = word(2).unwrap_or_default();
    match words[1] {
        "connect" => EventKind::Connect(Connect {
            client,
            ip: word(3).map(|ip| ip.parse().unwrap()),
            user: word(4),
            bridge: false,
        }),
        "disconnect" => EventKind::Disconnect { client, reason: reason(word(3)), raw: "" },
        "fail" => EventKind::AuthFailure(AuthFailure {
            ip: Some(client).filter(|ip| *ip != "-").map(|ip| ip.parse().unwrap()),
            claimed_client: word(3),
            claimed_user: None,
            attribution: match word(4) {
                Some("ambiguous") => Attribution::Ambiguous,
                Some("address") => Attribution::Address,
                _ => Attribution::Certain,
            },
        }),
        "deny" => EventKind::Denied { client, action: Action::Publish, topic: word(3).unwrap_or("t") },
        "publish" => {
            let bytes = word(3).map_or(10, |bytes| bytes.parse().unwrap());
            EventKind::Publish { client, topic: word(4).unwrap_or("t"), bytes }
        }
        "deliver" => EventKind::Delivery { client, topic: word(3).unwrap_or("t"), bytes: 10 },
        "subscribe" => EventKind::Subscribe { client, filter: "t" },
        "restart" => EventKind::BrokerStart,
        "broken" => EventKind::ConnectionError {
            ip: Some(client).filter(|ip| *ip != "-").map(|ip| ip.parse().unwrap()),
            kind: match word(3) {
                Some("tls") => ConnectionErrorKind::Tls,
                Some("protocol") => ConnectionErrorKind::Protocol,
                Some("too-many") => ConnectionErrorKind::TooMany,
                Some("tls-setup") => ConnectionErrorKind::TlsSetup,
                _ => ConnectionErrorKind::NoConnect,
            },
        },
        other => panic!("unknown verb {other}"),
    }
}

/// The reason of a disconnect by its word in profiles; a clean one without.
fn reason(word: Option<&str>) -> DisconnectReason {
    let word = match word {
        None => return DisconnectReason::Clean,
        Some("unclean") => "connection-lost",
        Some("timeout") => "keep-alive-timeout",
        Some(word) => word,
    };
    let known = behaviors::learned::absence::REASONS.into_iter().find(|(name, _)| *name == word);
    known.unwrap_or_else(|| panic!("unknown reason {word}")).1
}

/// Seconds with up to three decimals; more are cut off.
fn time(text: &str) -> Timestamp {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let millis = format!("{decimals:0<3}");
    Timestamp::from_secs(whole.parse().unwrap()).plus_millis(millis[..3].parse().unwrap())
}

pub(crate) fn decoders() -> Decoders {
    Decoders::default().with(Format::Recorded, Box::new(ScriptDecoder::default()))
}

/// A profile file. Each behavior is `NAME: METRIC OPERATOR VALUE [in SECONDS] [alarm N] [clear N] [by ENTITY]
/// [prefix N] [distinct ITEM] [on DIMENSION] [off DIMENSION]`, the value as JSON without spaces, or a percentile such as
/// `p99`; or `NAME: METRIC OWN - [in SECONDS] …` with what is under `fleetward`.
pub(crate) fn profile(name: &str, target: &str, behaviors: &[&str]) -> (String, String) {
    let behaviors: Vec<serde_json::Value> = behaviors.iter().map(|text| behavior(text)).collect();
    let profile = serde_json::json!({
        "securityProfileName": name,
        "behaviors": behaviors,
        "fleetward": {"targets": [format!("arn:aws:iot:eu-west-1:123456789012:{target}")]},
    });
    (format!("{name}.json"), profile.to_string())
}

fn behavior(text: &str) -> serde_json::Value {
    let (name, rest) = text.split_once(": ").unwrap();
    let words: Vec<&str> = rest.split_whitespace().collect();
    let known = words[0].starts_with("fleetward:");
    let aws = || if known { words[0].to_owned() } else { format!("aws:{}", words[0]) };
    let metric = words[0].strip_prefix('~').map_or_else(aws, str::to_owned);
    if words[1].starts_with('{') {
        return learned(name, &metric, &words);
    }
    let statistic = words[2].starts_with('p').then(|| words[2]);
    let json = if statistic.is_some() { "0" } else { words[2] };
    let value: serde_json::Value = match serde_json::from_str(json).unwrap() {
        serde_json::Value::Number(number) if words[0].starts_with('~') => {
            serde_json::json!({"number": number})
        }
        serde_json::Value::Number(number) => serde_json::json!({"count": number}),
        other => other,
    };
    let mut criteria = match statistic {
        Some(name) => {
            serde_json::json!({"comparisonOperator": words[1], "statisticalThreshold": {"statistic": name}})
        }
        None => serde_json::json!({"comparisonOperator": words[1], "value": value}),
    };
    let mut behavior = serde_json::json!({"name": name, "metric": metric});
    for pair in words[3..].chunks(2) {
        let number = || pair[1].parse::<u64>().unwrap();
        match pair[0] {
            "in" => criteria["durationSeconds"] = number().into(),
            "alarm" => criteria["consecutiveDatapointsToAlarm"] = number().into(),
            "clear" => criteria["consecutiveDatapointsToClear"] = number().into(),
            "by" => {
                let entity = if pair[1] == "address" { "source-ip" } else { pair[1] };
                behavior["fleetward"]["entity"] = entity.into();
            }
            "distinct" => behavior["fleetward"]["distinct"] = pair[1].into(),
            "prefix" => behavior["fleetward"]["prefixV4"] = number().into(),
            "on" => behavior["metricDimension"] = serde_json::json!({"dimensionName": pair[1]}),
            "off" => {
                behavior["metricDimension"] =
                    serde_json::json!({"dimensionName": pair[1], "operator": "NOT_IN"});
            }
            other => panic!("unknown word {other}"),
        }
    }
    behavior["criteria"] = criteria;
    behavior
}

/// Dimensions that behaviors may use: `up`, `own` with the client id, and `cmd`.
fn dimensions() -> (String, String) {
    let text = r#"[{"name":"up","type":"TOPIC_FILTER","stringValues":["dev/+/up","up/#"]},
        {"name":"own","type":"TOPIC_FILTER","stringValues":["dev/${iot:ClientId}/#"]},
        {"name":"cmd","type":"TOPIC_FILTER","stringValues":["cmd/#"]}]"#;
    ("dimensions.json".into(), text.into())
}

/// A behavior with a judgement of our own.
fn learned(name: &str, metric: &str, words: &[&str]) -> serde_json::Value {
    let mut own: serde_json::Value = serde_json::from_str(words[1]).unwrap();
    let (mut criteria, mut dimension) = (serde_json::json!({}), serde_json::Value::Null);
    for pair in words[3..].chunks(2) {
        let key = match pair[0] {
            "in" => "durationSeconds",
            "alarm" => "consecutiveDatapointsToAlarm",
            "clear" => "consecutiveDatapointsToClear",
            "by" => {
                own["entity"] = pair[1].into();
                continue;
            }
            "on" | "off" => {
                let operator = if pair[0] == "on" { "IN" } else { "NOT_IN" };
                dimension = serde_json::json!({"dimensionName": pair[1], "operator": operator});
                continue;
            }
            "count" => {
                criteria["comparisonOperator"] = "less-than".into();
                criteria["value"] = serde_json::json!({"count": pair[1].parse::<u64>().unwrap()});
                continue;
            }
            other => panic!("unknown word {other}"),
        };
        criteria[key] = pair[1].parse::<u64>().unwrap().into();
    }
    let mut behavior =
        serde_json::json!({"name": name, "metric": metric, "criteria": criteria, "fleetward": own});
    if !dimension.is_null() {
        behavior["metricDimension"] = dimension;
    }
    behavior
}

/// Rules of one profile for all things.
pub(crate) fn rules(behaviors: &[&str]) -> Rules {
    let profiles = vec![profile("p", "all/things", behaviors), dimensions()];
    let rules = Rules { profiles, ..Rules::default() };
    let (_, problems) = behaviors::profile::parse_files(&rules.profiles);
    let errors: Vec<_> =
        problems.iter().filter(|problem| problem.severity == fleet::problem::Severity::Error).collect();
    assert!(errors.is_empty(), "{errors:?}");
    rules
}

/// The inputs of a script; ticks and gaps are [`Line::Control`].
pub(crate) enum Line {
    Input(Input),
    Tick(Timestamp),
    Gap(Timestamp, Timestamp),
}

pub(crate) fn parse(script: &str) -> Vec<Line> {
    let lines = script.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.enumerate().map(|(index, line)| parse_line(index, line)).collect()
}

fn parse_line(index: usize, line: &str) -> Line {
    let mut words = line.splitn(4, ' ');
    let (times, verb) = (words.next().unwrap(), words.next().unwrap());
    let arrival = time(times.split('/').next_back().unwrap());
    let mut input = Input {
        source: SourceId(1),
        format: Format::Recorded,
        arrival,
        position: 0,
        subject: "".into(),
        payload: line.as_bytes().into(),
        tag: index as u64,
    };
    match verb {
        "tick" => return Line::Tick(arrival),
        "gap" => return Line::Gap(Timestamp::from_secs(words.next().unwrap().parse().unwrap()), arrival),
        "report" => {
            input.format = Format::ReportJson;
            input.subject = words.next().unwrap().into();
            input.payload = report(words.next().unwrap(), index).into();
        }
        _ => {}
    }
    Line::Input(input)
}

/// A report with these metrics. `#N` at the end sets the report's id; else it is the line's number.
fn report(metrics: &str, index: usize) -> Vec<u8> {
    let (metrics, id) = match metrics.rsplit_once(" #") {
        Some((metrics, id)) => (metrics, id.parse().unwrap()),
        None => (metrics, index + 1000),
    };
    let (block, custom) = match metrics.strip_prefix("custom ") {
        Some(custom) => ("{}", custom),
        None => (metrics, "{}"),
    };
    let custom = if custom == "{}" { String::new() } else { format!(r#","custom_metrics":{custom}"#) };
    let text = format!(r#"{{"header":{{"report_id":{id},"version":"1.0"}},"metrics":{block}{custom}}}"#);
    text.into_bytes()
}

pub(crate) fn stage(engine: &mut Engine, line: &Line) -> detector::front::Verdict {
    let now = engine.front().now();
    let control = |kind, arrival: Timestamp, position| Entry {
        arrival: arrival.max(now),
        source: SourceId(1),
        kind,
        position,
        subject: "log",
        payload: b"why",
    };
    let entry = match line {
        Line::Input(input) => Entry {
            arrival: input.arrival.max(now),
            source: input.source,
            kind: Kind::Input(input.format),
            position: input.position,
            subject: &input.subject,
            payload: &input.payload,
        },
        Line::Tick(at) => control(Kind::Tick, *at, 0),
        Line::Gap(from, to) => control(Kind::Gap, *to, u64::try_from(from.millis()).unwrap()),
    };
    engine.stage(&entry.at(engine.seq() + 1))
}

/// A new engine under these rules.
pub(crate) fn engine(rules: &Rules, registry: &Registry, shards: usize) -> Engine {
    let engine = Engine::new(decoders(), shards, Vec::new());
    detector::replay::Replay::new(engine, rules, registry).finish(&mut |_| {}).0
}

/// Folds a script in one go.
pub(crate) fn fold(engine: &mut Engine, script: &str) -> Vec<Transition> {
    let mut transitions = Vec::new();
    for line in parse(script) {
        stage(engine, &line);
        engine.flush(&mut |transition| transitions.push(transition));
    }
    transitions
}

/// One line of text per transition.
pub(crate) fn text(transitions: &[Transition]) -> String {
    transitions.iter().map(line_of).collect::<Vec<_>>().join("\n")
}

fn line_of(transition: &Transition) -> String {
    let kind = match transition.kind {
        TransitionKind::InAlarm => "alarm",
        TransitionKind::AlarmCleared => "clear",
        TransitionKind::AlarmInvalidated => "invalid",
    };
    let entity = match &transition.entity {
        EntityName::Thing(_) | EntityName::SourceIp(_) | EntityName::Network(_) => transition.entity.text(),
        EntityName::Principal(name) => format!("principal:{name}"),
        EntityName::Topic(name) => format!("topic:{name}"),
        EntityName::ThingGroup(name) => format!("group:{name}"),
        EntityName::Fleet => "fleet".into(),
        EntityName::ClaimedClientId(name) => format!("claimed:{name}"),
    };
    let value =
        transition.value.as_ref().map_or_else(|| "-".into(), |value| serde_json::to_string(value).unwrap());
    let attribution = serde_json::to_value(transition.attribution).unwrap();
    let seconds = transition.at.millis() as f64 / 1000.0;
    format!("{seconds} {kind} {entity} {} {value} {}", transition.behavior, attribution.as_str().unwrap())
}

/// Rules of one profile, a script, and the transitions expected, one a line.
#[track_caller]
pub(crate) fn check(behaviors: &[&str], script: &str, expected: &str) {
    let mut engine = engine(&rules(behaviors), &Registry::default(), 1);
    let transitions = fold(&mut engine, script);
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(text(&transitions), expected.join("\n"), "behaviors {behaviors:?}\nscript\n{script}");
}
