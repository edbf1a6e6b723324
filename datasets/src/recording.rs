//! Captures that tell a story: what happened, as a live source would have told it, and what it was.

use std::net::{IpAddr, Ipv4Addr};

use fleet::{
    event::{Event, EventKind},
    time::Timestamp,
};

use crate::{
    catalogue::DataSet,
    flows::{self, Flows, agent},
    folder::{DatasetError, Folder},
    mqtt_capture,
    table::{TableError, rows},
};

/// Whom an attack or fault is about: who does it or suffers it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entity {
    /// A thing.
    Thing(String),
    /// A peer address.
    Address(IpAddr),
    /// Everything in the capture.
    Anyone,
}

/// An attack or fault, as the set's labels say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truth {
    /// The set's word for it.
    pub kind: String,
    /// Whom it is about.
    pub entities: Vec<Entity>,
    /// Its first packet, flow or line.
    pub from: Timestamp,
    /// Its last.
    pub to: Timestamp,
    /// Labelled packets, flows or lines.
    pub parts: u64,
}

/// A part of a capture, in its order.
#[derive(Clone, Copy, Debug)]
pub enum Record<'a> {
    /// An event.
    Event(&'a Event<'a>),
    /// A line of Mosquitto's log, without its line end, for the log's own decoder.
    LogLine(&'a [u8]),
}

/// A capture of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capture {
    /// The set.
    pub set: &'static str,
    /// Name of the capture within the set.
    pub name: &'static str,
    /// File within the set's folder.
    pub file: &'static str,
    form: Form,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// MQTT in a packet capture, and what all of it is.
    Mqtt(Option<&'static str>),
    /// Zeek's connection log of a device, and the column that names the attack.
    Zeek(Ipv4Addr, &'static str),
    Nemea,
    Sentinel,
    Westermo,
    /// Mosquitto's log with incidents.
    FieldLog,
    /// Mosquitto's log of scenarios without attack labels.
    Log,
}

/// Interval of reports made of flows, seconds: the shortest that AWS IoT Device Defender takes.
pub const REPORT_SECS: u32 = 300;
/// The same for Westermo, where an attack lasts half a minute and the whole run 45.
pub const REPORT_SECS_WESTERMO: u32 = 60;

/// All captures, in the order of sets and names.
pub static CAPTURES: [Capture; 46] = [
    zeek("iot23-conn", "8-1", "8-1.conn.csv.gz", [192, 168, 100, 113]),
    zeek("iot23-conn", "20-1", "20-1.conn.csv.gz", [192, 168, 100, 103]),
    zeek("iot23-conn", "honeypot-4-1", "honeypot-4-1.conn.csv.gz", [192, 168, 1, 132]),
    zeek("iot23-conn", "honeypot-5-1", "honeypot-5-1.conn.csv.gz", [192, 168, 2, 3]),
    capture("iot-sentinel-setup", "flows", "flows.csv.gz", Form::Sentinel),
    log("2.0.11-burst-all", "2.0.11-burst-all.log"),
    log("2.0.11-burst-default", "2.0.11-burst-default.log"),
    log("2.0.11-dynsec-all", "2.0.11-dynsec-all.log"),
    log("2.0.11-plain-all", "2.0.11-plain-all.log"),
    log("2.0.11-plain-default", "2.0.11-plain-default.log"),
    log("2.0.11-tls-all", "2.0.11-tls-all.log"),
    log("2.0.11-tls-crl-failure-all", "2.0.11-tls-crl-failure-all.log"),
    log("2.1.2-dynsec-all", "2.1.2-dynsec-all.log"),
    log("2.1.2-plain-all", "2.1.2-plain-all.log"),
    log("2.1.2-plain-default", "2.1.2-plain-default.log"),
    log("2.1.2-tls-all", "2.1.2-tls-all.log"),
    log("2.1.2-tls-ca-swap-all", "2.1.2-tls-ca-swap-all.log"),
    field("backend", "backend.log.gz"),
    field("bike", "bike.log.gz"),
    field("brewery", "brewery.log.gz"),
    field("broker", "broker.log.gz"),
    field("docker", "docker.log.gz"),
    field("garden", "garden.log.gz"),
    field("home", "home.log.gz"),
    field("house", "house.log.gz"),
    field("lab1", "lab1.log.gz"),
    field("lab2", "lab2.log.gz"),
    field("logging", "logging.log.gz"),
    field("ming", "ming.log.gz"),
    field("monitoring", "monitoring.log.gz"),
    field("mono", "mono.log.gz"),
    field("ota", "ota.log.gz"),
    field("project", "project.log.gz"),
    field("sauna", "sauna.log.gz"),
    field("spaces", "spaces.log.gz"),
    field("tls-start", "tls-start.log.gz"),
    mqtt("benign-5mb-train", "benign-5mb-train.pcap.gz", None),
    mqtt("bruteforce-train", "bruteforce-train.pcapng.gz", Some("password guessing")),
    mqtt("flood-train", "flood-train.pcap.gz", Some("message flood")),
    mqtt("malformed-train", "malformed-train.pcap.gz", Some("fuzzed packets")),
    capture("nemea-siot-flows", "flows", "flows.csv.gz", Form::Nemea),
    stratosphere("008-zeek-mixed", "008-zeek-mixed.conn.csv.gz", [147, 32, 81, 167]),
    stratosphere("010-zeek-mixed", "010-zeek-mixed.conn.csv.gz", [147, 32, 83, 234]),
    capture("westermo-ics-flows", "bottom", "bottom.flows.csv.gz", Form::Westermo),
    capture("westermo-ics-flows", "left", "left.flows.csv.gz", Form::Westermo),
    capture("westermo-ics-flows", "right", "right.flows.csv.gz", Form::Westermo),
];

const fn capture(set: &'static str, name: &'static str, file: &'static str, form: Form) -> Capture {
    Capture { set, name, file, form }
}

const fn mqtt(name: &'static str, file: &'static str, kind: Option<&'static str>) -> Capture {
    capture("mqttset-pcap", name, file, Form::Mqtt(kind))
}

const fn zeek(set: &'static str, name: &'static str, file: &'static str, [a, b, c, d]: [u8; 4]) -> Capture {
    capture(set, name, file, Form::Zeek(Ipv4Addr::new(a, b, c, d), "detailed_label"))
}

const fn stratosphere(name: &'static str, file: &'static str, [a, b, c, d]: [u8; 4]) -> Capture {
    capture("stratosphere-zeek", name, file, Form::Zeek(Ipv4Addr::new(a, b, c, d), "detailedlabel"))
}

const fn field(name: &'static str, file: &'static str) -> Capture {
    capture("mosquitto-logs-field", name, file, Form::FieldLog)
}

const fn log(name: &'static str, file: &'static str) -> Capture {
    capture("mosquitto-logs", name, file, Form::Log)
}

/// The captures of a set.
pub fn captures(set: &str) -> impl Iterator<Item = &'static Capture> {
    CAPTURES.iter().filter(move |capture| capture.set == set)
}

/// A capture that was read.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Attacks and faults. What happens outside of them is benign.
    pub truths: Vec<Truth>,
    /// Whether the set says which part of the capture is an attack.
    pub labelled: bool,
    /// Whether the clients in it are devices. In a broker's log they are also tools and health
    /// checks that connect once under a name of the moment, and nobody says which.
    pub knows_devices: bool,
    /// Interval of the reports in it, seconds, if there are any.
    pub report_secs: Option<u32>,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    Packets(Vec<u8>),
    Reports(Vec<agent::DeviceReport>),
    Lines(Vec<u8>),
}

impl Recording {
    /// Reads a capture with its labels.
    ///
    /// # Errors
    /// When a file is missing, damaged or not in its form.
    pub fn open(folder: &Folder, capture: &Capture) -> Result<Self, DatasetError> {
        let set = DataSet::named(capture.set).unwrap_or(&DataSet::UNKNOWN);
        let bytes = folder.read(set, capture.file)?;
        let place = |file: &str| {
            let path = folder.path(capture.set, file);
            move |error| DatasetError::Table { path, error }
        };
        let flows = match capture.form {
            Form::Mqtt(kind) => {
                let truths = kind.map(|kind| whole(&bytes, kind)).transpose();
                let path = folder.path(capture.set, capture.file);
                let truths = truths.map_err(|error| DatasetError::Capture { path, error })?;
                return Ok(Self {
                    truths: truths.into_iter().collect(),
                    labelled: true,
                    knows_devices: true,
                    report_secs: None,
                    body: Body::Packets(bytes),
                });
            }
            Form::Log => {
                return Ok(Self::of_log(Vec::new(), false, bytes));
            }
            Form::FieldLog => {
                let incidents = folder.read(set, "incidents.csv")?;
                let truths = incidents_of(&incidents, capture.name).map_err(place("incidents.csv"))?;
                return Ok(Self::of_log(truths, true, bytes));
            }
            Form::Zeek(device, kind) => flows::zeek(&bytes, IpAddr::V4(device), kind),
            Form::Nemea => flows::nemea(&bytes),
            Form::Sentinel => flows::sentinel(&bytes),
            Form::Westermo => flows::westermo(&bytes, &folder.read(set, "events.csv")?),
        };
        let flows = flows.map_err(place(capture.file))?;
        let westermo = capture.form == Form::Westermo;
        Ok(Self::of_flows(flows, if westermo { REPORT_SECS_WESTERMO } else { REPORT_SECS }))
    }

    fn of_flows(flows: Flows, report_secs: u32) -> Self {
        let reports = agent::reports(&flows, report_secs);
        let (truths, report_secs) = (flows.truths, Some(report_secs));
        Self { truths, labelled: true, knows_devices: true, report_secs, body: Body::Reports(reports) }
    }

    const fn of_log(truths: Vec<Truth>, labelled: bool, lines: Vec<u8>) -> Self {
        Self { truths, labelled, knows_devices: false, report_secs: None, body: Body::Lines(lines) }
    }

    /// Hands over what happened, in order.
    pub fn play(&self, sink: &mut dyn FnMut(Record<'_>)) {
        match &self.body {
            Body::Packets(bytes) => {
                // It was read once already, by `open`; a benign capture may end in damage, which is
                // where its events end.
                mqtt_capture::decode(bytes, &mut |event| sink(Record::Event(event))).ok();
            }
            Body::Reports(reports) => {
                for each in reports {
                    let identity = each.report.report_id;
                    let kind = EventKind::Report { thing: &each.thing, report: &each.report, identity };
                    sink(Record::Event(&Event { at: each.at, kind }));
                }
            }
            Body::Lines(bytes) => {
                let lines = bytes.strip_suffix(b"\n").unwrap_or(bytes).split(|&byte| byte == b'\n');
                lines.for_each(|line| sink(Record::LogLine(line)));
            }
        }
    }
}

/// A capture that is an attack from its first packet to its last, about everybody in it.
fn whole(bytes: &[u8], kind: &str) -> Result<Truth, mqtt_capture::CaptureError> {
    let counts = mqtt_capture::decode(bytes, &mut |_| ())?;
    let (from, to) = (counts.first.unwrap_or_default(), counts.last.unwrap_or_default());
    Ok(Truth { kind: kind.to_owned(), entities: vec![Entity::Anyone], from, to, parts: counts.packets })
}

/// The incidents of a log.
fn incidents_of(bytes: &[u8], log: &str) -> Result<Vec<Truth>, TableError> {
    let mut truths = Vec::new();
    rows(bytes, &mut |row| {
        if row.text("log")? != log {
            return Ok(());
        }
        let entity = match row.given("entity")? {
            None => Entity::Anyone,
            Some(text) => match text.parse() {
                Ok(ip) => Entity::Address(ip),
                Err(_) => Entity::Thing(text.to_owned()),
            },
        };
        truths.push(Truth {
            kind: row.text("kind")?.to_owned(),
            entities: vec![entity],
            from: Timestamp::from_millis(row.millis("start")?),
            // The log has whole seconds.
            to: Timestamp::from_millis(row.millis("end")?).plus_millis(999),
            parts: row.count("events")?,
        });
        Ok(())
    })?;
    Ok(truths)
}
