//! The control plane, driven by unmodified boto3 against the running program.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};

use crate::{
    mosquitto::Setup,
    support::{
        program::{Home, run},
        python, script,
    },
};

#[expect(clippy::disallowed_methods, reason = "the log of a broker that runs now")]
fn seconds_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Publishes by `loud`, far over what the profiles of the tests allow.
fn shout(home: &Home) {
    let mut log = fs::OpenOptions::new().create(true).append(true).open(home.path("m.log")).unwrap();
    let now = seconds_now();
    writeln!(log, "{now}: Received PUBLISH from loud (d0, q0, r0, m0, 'data', ... (5000 bytes))").unwrap();
}

/// Shouts until dropped.
struct Shouting<'a>(&'a AtomicBool);

impl Drop for Shouting<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn while_it_shouts(home: &Home, test: impl FnOnce()) {
    let quiet = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !quiet.load(Ordering::Relaxed) {
                shout(home);
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let _shouting = Shouting(&quiet);
        test();
    });
}

/// A Fleetward with a log to read, three users, and whatever else.
fn home(more: &str) -> (Home, Value) {
    let home = Home::new();
    fs::write(home.path("m.log"), "").unwrap();
    home.configure(&format!(
        "{more}[detect]\nbucket_secs = 1\n\n[[source.mosquitto_log]]\nname = \"log\"\npath = \"{}\"\nfrom = \"start\"\n\
         debug = true\n",
        home.path("m.log").display()
    ));
    let users = ["viewer", "responder", "administrator"].map(|role| {
        let said = home.done(&["user", "add", &format!("{role}-1"), "--role", role, "--json"]);
        let issued: Value = serde_json::from_str(&said).unwrap();
        (role, json!([issued["accessKeyId"], issued["secretAccessKey"]]))
    });
    (home, users.into_iter().collect())
}

fn client(home: &Home, users: &Value, phase: &str, argument: &str) -> std::process::Command {
    let mut client = python();
    client
        .arg(script("control_plane.py"))
        .args([phase, &home.endpoint()])
        .arg(home.path("data/api-cert.pem"))
        .arg(argument)
        .env("FLEETWARD_USERS", users.to_string())
        .env("AWS_EC2_METADATA_DISABLED", "true");
    client
}

/// Runs a phase of the script, which must succeed; gives what it printed.
#[track_caller]
fn drive(home: &Home, users: &Value, phase: &str, argument: &str) -> String {
    finish(phase, &mut client(home, users, phase, argument))
}

#[track_caller]
fn finish(phase: &str, client: &mut std::process::Command) -> String {
    let said = client.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    assert!(said.status.success(), "{phase}: {out}\n{err}");
    out.into_owned()
}

fn certificates() -> Value {
    let made = (0..2).map(|_| {
        let key = rcgen::KeyPair::generate().unwrap();
        rcgen::CertificateParams::new(vec!["device".into()]).unwrap().self_signed(&key).unwrap().pem()
    });
    made.collect()
}

#[test]
fn every_backed_operation_with_its_errors_pages_and_roles() {
    let broker = Setup::plain().start();
    let mqtt = format!(
        "[[source.mqtt]]\nname = \"broker\"\nhost = \"127.0.0.1\"\nport = {}\n\
         tls = {{ enabled = false }}\n\n",
        broker.port
    );
    let (home, users) = home(&mqtt);
    let serve = home.serve();
    let said = run(&["api", "operations", "--json"]);
    let rows: Vec<Value> = said.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let backed: Vec<&str> = rows
        .iter()
        .filter(|row| row["backed"] == true)
        .map(|row| row["operation"].as_str().unwrap())
        .collect();
    assert!(backed.len() >= 90, "{backed:?}");
    let roles: Value =
        rows.iter().map(|row| (row["operation"].as_str().unwrap(), row["role"].clone())).collect();
    while_it_shouts(&home, || {
        let mut suite = client(&home, &users, "suite", &json!(backed).to_string());
        suite.env("FLEETWARD_ROLES", roles.to_string());
        suite.env("FLEETWARD_CERTIFICATES", certificates().to_string());
        let told = finish("suite", &mut suite);
        println!("{told}");
        let (covered, all) = (backed.len() - 1, backed.len());
        assert!(told.contains(&format!("operations covered: {covered} / {all}")), "{told}");
    });
    // Every change is in the chained record, by whom, and no secret is in it or in the log.
    assert_eq!(home.done(&["verify-log"]).matches("unbroken as the store says").count(), 2);
    let record = fs::read_to_string(home.path("data/control.log")).unwrap();
    let made = record.lines().find(|line| line.contains("\"operation\":\"CreateThing\"")).unwrap();
    assert!(
        made.contains("\"by\":\"administrator-1\"") && made.contains("\"thingName\":\"pump-1\""),
        "{made}"
    );
    for (_, keys) in users.as_object().unwrap() {
        let secret = keys[1].as_str().unwrap();
        assert!(!record.contains(secret) && !home.log().contains(secret));
    }
    serve.stop();
    // From the files alone, too; nothing was answered, so that the store knows no end of the other record.
    let told = home.done(&["verify-log"]);
    assert!(told.contains("control.log: unbroken as the store says"), "{told}");
}

#[test]
fn a_profile_made_over_http_detects_at_once_and_outlives_a_crash() {
    let (home, users) = home("");
    let serve = home.serve();
    drive(&home, &users, "profile", "");
    while_it_shouts(&home, || {
        drive(&home, &users, "caught", "");
    });
    drive(&home, &users, "begin", "");
    let mut writer = client(&home, &users, "write", "").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "begun");
    std::thread::sleep(Duration::from_millis(300));
    serve.kill();
    let made = lines.next().unwrap().unwrap();
    writer.wait().unwrap();
    assert!(made.parse::<u32>().unwrap() >= 20, "{made}");

    let serve = home.serve();
    println!("{}", drive(&home, &users, "survived", &made));
    assert_eq!(home.done(&["verify-log"]).matches("unbroken as the store says").count(), 2);
    // What was made over the API detects after the crash, too, and stays when the files are read again.
    serve.reload("are read again");
    while_it_shouts(&home, || {
        drive(&home, &users, "caught", "");
    });
    // A user who is removed is out at once.
    home.done(&["user", "remove", "viewer-1"]);
    drive(&home, &users, "locked_out", "");
    serve.stop();
}

#[test]
fn who_asks_too_often_is_told_to_wait() {
    let (home, users) = home("");
    home.api_line("requests_per_sec = 5");
    let serve = home.serve();
    drive(&home, &users, "throttled", "");
    serve.stop();
}

#[test]
fn users_are_shown_their_secrets_once() {
    let (home, users) = home("");
    let listed = home.done(&["user", "list"]);
    let file = fs::read_to_string(home.path("data/users.json")).unwrap();
    for (role, keys) in users.as_object().unwrap() {
        let (key, secret) = (keys[0].as_str().unwrap(), keys[1].as_str().unwrap());
        assert!(listed.contains(&format!("{role}-1")) && listed.contains(key), "{listed}");
        assert!(!listed.contains(secret) && file.contains(secret));
    }
    let again = home.run(&["user", "add", "viewer-1", "--role", "viewer"]);
    assert!(again.code == Some(1) && again.err.contains("there is a user `viewer-1` already"), "{again:?}");
    let role = home.run(&["user", "add", "x", "--role", "king"]);
    assert!(role.code == Some(2) && role.err.contains("unknown role `king`; allowed are"), "{role:?}");
    let none = home.run(&["user", "remove", "x"]);
    assert!(none.code == Some(1) && none.err.contains("there is no user `x`"), "{none:?}");
}
