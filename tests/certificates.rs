//! TLS with client certificates on both sides, and reports of the device agent of AWS, which is not ours:
//! by its own program, and byte for byte through Mosquitto's client.

use std::{fs, path::Path, process::Stdio};

use serde_json::json;

use crate::{
    mosquitto::{Mosquitto, Setup, Who, pki::Pki},
    support::{Ended, Lines, program::Home, python, script, until, until_is},
};

fn broker(clients: &[&str]) -> Mosquitto {
    let broker = Setup::plain().tls().start();
    for client in clients {
        Pki::client(broker.dir.path(), client);
    }
    broker
}

/// A Fleetward that connects with the certificate `sidecar`.
fn home(broker: &Mosquitto, certificate: &str) -> Home {
    let home = Home::new();
    home.profile(
        "agents",
        // Each report is judged, and none has so few ports.
        &json!([{"name": "reported", "metric": "aws:num-listening-tcp-ports",
                 "criteria": {"comparisonOperator": "less-than", "value": {"count": 0},
                              "consecutiveDatapointsToAlarm": 1, "consecutiveDatapointsToClear": 1}}]),
    );
    let path = |name: &str| broker.file(name).display().to_string();
    let identity = format!(
        "cert_file = \"{}\", key_file = \"{}\"",
        path(&format!("{certificate}.pem")),
        path(&format!("{certificate}.key"))
    );
    home.configure(&format!(
        "[[source.mqtt]]\nname = \"reports\"\nhost = \"localhost\"\nport = {}\n\
         tls = {{ ca_file = \"{}\", {identity} }}\n",
        broker.port,
        path("ca.pem")
    ));
    home
}

/// Alarms of `reported`: the things whose reports were understood.
fn reporting(home: &Home) -> Vec<String> {
    home.alarmed().into_iter().map(|(thing, _)| thing).collect()
}

#[test]
fn the_device_agent_reports_and_is_answered() {
    let things = ["agent-json", "agent-cbor"];
    let broker = broker(&[&["sidecar"], &things[..]].concat());
    let home = home(&broker, "sidecar");
    let serve = home.serve();
    let agents: Vec<(Ended, Lines)> = things.iter().map(|thing| agent(&broker, thing)).collect();
    for (thing, (_, lines)) in things.iter().zip(&agents) {
        let answered = format!("'$aws/things/{thing}/defender/metrics/{}/accepted'", format_of(thing));
        until(&format!("{thing} is told that its report was accepted"), || {
            let lines = lines.all();
            assert!(!lines.iter().any(|line| line.contains("/rejected'")), "{lines:?}");
            if lines.iter().any(|line| line.contains(&answered)) { Ok(()) } else { Err(lines.join("\n")) }
        });
    }
    until_is("all reports are judged", || reporting(&home), |names| *names == ["agent-cbor", "agent-json"]);
    assert_eq!(home.get("/fleetward/v1/status")["inputs"]["refused"], json!({}));
    serve.stop();
}

fn format_of(thing: &str) -> &str {
    thing.rsplit('-').next().unwrap()
}

/// The agent's own program with its own MQTT client, reporting each second. With long names only:
/// version 2.0.0 stops at its second report with short ones.
fn agent(broker: &Mosquitto, thing: &str) -> (Ended, Lines) {
    let path = |name: String| broker.file(&name).display().to_string();
    let mut command = python();
    command.arg("-u").arg(script("device_agent.py")).args(["agent", &broker.port.to_string()]);
    command.args(["-e", "localhost", "-r", &path("ca.pem".into()), "-c", &path(format!("{thing}.pem"))]);
    command.args(["-k", &path(format!("{thing}.key")), "-id", thing, "-i", "1", "-f", format_of(thing)]);
    if format_of(thing) == "json" {
        command.arg("--include-custom-metrics");
    }
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python is installed, with AWSIoTDeviceDefenderAgentSDK");
    let lines = Lines::of(child.stdout.take().unwrap());
    lines.and(child.stderr.take().unwrap());
    (Ended(child), lines)
}

#[test]
fn what_the_agents_collector_writes_is_understood_byte_for_byte() {
    let broker = broker(&["sidecar", "pump"]);
    collect(broker.dir.path());
    let home = home(&broker, "sidecar");
    let serve = home.serve();
    let pump = Who::Certificate("pump");
    let answers = broker.subscribe(&pump, &["-q", "1", "-t", "$aws/things/+/defender/metrics/#"]);
    for (name, format) in [("long", "json"), ("short", "json"), ("long", "cbor"), ("short", "cbor")] {
        let topic = format!("$aws/things/{name}-{format}/defender/metrics/{format}");
        let file = broker.file(&format!("{name}.{format}"));
        let (ok, said) = broker.publish(&pump, &["-q", "1", "-t", &topic, "-f", file.to_str().unwrap()]);
        assert!(ok, "{said}");
        let own = answers.message();
        assert_eq!((own.0, own.1), (topic.clone(), fs::read(&file).unwrap()));
        let (answered, payload) = answers.message();
        assert_eq!(answered, format!("{topic}/accepted"), "{}", String::from_utf8_lossy(&payload));
    }
    let names = ["long-cbor", "long-json", "short-cbor", "short-json"];
    until_is("all reports are judged", || reporting(&home), |found| *found == names);
    serve.stop();
}

fn collect(folder: &Path) {
    let output = python().arg(script("device_agent.py")).arg("collect").arg(folder).output().unwrap();
    assert!(output.status.success(), "pip install AWSIoTDeviceDefenderAgentSDK? {output:?}");
}

#[test]
fn a_broker_that_others_signed_is_not_trusted_and_a_stranger_is_not_let_in() {
    let broker = broker(&["sidecar"]);
    let others = tempfile::TempDir::new().unwrap();
    Pki::create(others.path());
    Pki::client(others.path(), "stranger");
    for file in ["stranger.pem", "stranger.key"] {
        fs::copy(others.path().join(file), broker.file(file)).unwrap();
    }
    let home = home(&broker, "stranger");
    let mut serve = home.start();
    let seen = until("the failure is shown", || {
        let status = home.try_get("/fleetward/v1/status")?;
        let failure = status["sources"][0]["lastFailure"]["message"].as_str().map(str::to_owned);
        failure.ok_or_else(|| status.to_string())
    });
    assert!(!seen.is_empty());
    assert!(serve.runs(), "it keeps trying");
    assert!(
        broker
            .log()
            .lines()
            .all(|line| !line.contains("New client connected") || !line.contains("fleetward"))
    );
    serve.stop();

    let trusting = fs::read_to_string(home.path("fleetward.toml")).unwrap();
    let other_ca = others.path().join("ca.pem").display().to_string();
    let text = trusting.replace(&broker.file("ca.pem").display().to_string(), &other_ca);
    assert_ne!(text, trusting);
    home.write("fleetward.toml", &text);
    let serve = home.start();
    until("the broker's certificate is refused", || {
        let status = home.try_get("/fleetward/v1/status")?;
        let failure = status["sources"][0]["lastFailure"]["message"].as_str().unwrap_or_default().to_owned();
        if failure.contains("certificate") || failure.contains("UnknownIssuer") {
            Ok(())
        } else {
            Err(status.to_string())
        }
    });
    serve.stop();
}
