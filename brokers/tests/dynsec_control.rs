//! Quarantine through the dynamic-security plugin of real Mosquitto processes, tried out with
//! Mosquitto's own clients.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail like tests")]

mod support;

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use brokers::{
    mosquitto::dynsec::{
        client::{self, DynsecClient},
        control::{DynsecControl, DynsecSettings},
    },
    mqtt::{
        settings::{Connection, Identity, Protocol, Tls},
        status::Status,
    },
};
use fleet::{secret::Secret, time::Timestamp};
use mitigations::control::{Control, ControlError, Subject, Undo};
use serde_json::{Value, json};
use support::{Mosquitto, Setup, Who, pki::Pki, wait_for};

const ADMIN: Who = Who::User("admin", "admin-pw");
const DEVICE: Who = Who::User("dev1", "dev1-pw");
const WATCHER: Who = Who::User("watcher", "watcher-pw");
const KICK: &str = "been disconnected by administrative action";

fn connection(broker: &Mosquitto, user: &str, password: &str) -> Connection {
    let mut connection = Connection::new("127.0.0.1", broker.port, &format!("fleetward-{user}"));
    connection.username = Some(user.into());
    connection.password = Some(Secret::new(password));
    connection
}

fn spawn(connection: Connection) -> DynsecClient {
    client::spawn(connection, Arc::new(|| Timestamp::from_millis(0)), Duration::from_secs(3)).unwrap()
}

/// Runs commands that must all succeed.
async fn set_up(admin: &DynsecClient, commands: Value) {
    let replies = admin.run(commands.as_array().unwrap().clone()).await.unwrap();
    let errors: Vec<_> = replies.iter().filter_map(|reply| reply.error.clone()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

/// A role that allows much, also topics that begin with `$`; a device with it directly *and* through
/// a group; a watcher that sees what gets through; defaults that allow what no role speaks of.
async fn fleet(broker: &Mosquitto) -> DynsecClient {
    let admin = spawn(connection(broker, "admin", "admin-pw"));
    let allow =
        |kind: &str, topic: &str| json!({ "acltype": kind, "topic": topic, "priority": 5, "allow": true });
    let mut device = Vec::new();
    for topic in ["#", "$aws/#", "$odd/#"] {
        for kind in ["publishClientSend", "publishClientReceive", "subscribePattern"] {
            device.push(allow(kind, topic));
        }
    }
    let watch = [
        allow("subscribePattern", "#"),
        allow("subscribePattern", "$aws/#"),
        allow("subscribePattern", "$odd/#"),
    ];
    set_up(
        &admin,
        json!([
            { "command": "createRole", "rolename": "device", "acls": device },
            { "command": "createRole", "rolename": "watch", "acls": watch },
            { "command": "createRole", "rolename": "send", "acls": [allow("publishClientSend", "#")] },
            { "command": "createGroup", "groupname": "fleet", "roles": [{ "rolename": "device", "priority": 999_999 }] },
            { "command": "createClient", "username": "dev1", "password": "dev1-pw",
              "groups": [{ "groupname": "fleet" }], "roles": [{ "rolename": "device", "priority": 7 }] },
            { "command": "createClient", "username": "dev2", "password": "dev2-pw", "roles": [{ "rolename": "device" }] },
            { "command": "createClient", "username": "watcher", "password": "watcher-pw",
              "roles": [{ "rolename": "watch" }, { "rolename": "send" }] },
            { "command": "setDefaultACLAccess", "acls": [
                { "acltype": "subscribe", "allow": true }, { "acltype": "publishClientReceive", "allow": true }] },
        ]),
    )
    .await;
    admin
}

fn control(client: DynsecClient) -> DynsecControl {
    let settings =
        DynsecSettings { never_touch: BTreeSet::from(["bridge".into()]), ..DynsecSettings::default() };
    DynsecControl::new(client, settings.with_report_prefix("$aws/things/"))
}

fn subject(principal: Option<&str>) -> Subject {
    Subject { thing: "dev1".into(), client_id: "dev1-id".into(), principal: principal.map(Into::into) }
}

/// What gets through to a watcher when the device publishes on plain and `$` topics.
fn gets_through(broker: &Mosquitto, device: &Who, watcher: &Who) -> Vec<String> {
    let watch = broker.subscribe(watcher, &["-t", "#", "-t", "$aws/#", "-t", "$odd/#"]);
    for topic in ["plant/1", "$aws/things/dev1/defender/metrics/json", "$odd/1"] {
        // With 3.1.1 a denied publish is acknowledged as if it had been accepted.
        broker.publish(device, &["-q", "1", "-t", topic, "-m", "x", "-i", "dev1-id"]);
    }
    let (ok, said) = broker.publish(watcher, &["-q", "1", "-t", "end", "-m", "x"]);
    assert!(ok, "{said}");
    watch.messages_before("end").into_iter().map(|(topic, _)| topic).collect()
}

/// What the device still receives of plain, `$`, and shared subscriptions.
fn hears(broker: &Mosquitto, device: &Who) -> Vec<String> {
    let ear = broker
        .try_subscribe(device, &["-i", "dev1-ear", "-t", "#", "-t", "$aws/#", "-t", "$share/g/plant/2"]);
    let refused = wait_for("an answer to the subscription", || ear.subscribed());
    refused.split(", ").map(str::to_owned).collect()
}

async fn quarantined(control: &DynsecControl, subject: &Subject) -> Undo {
    let undo = control.prepare(subject).await.unwrap();
    control.quarantine(subject, &undo).await.unwrap();
    let checks = control.verify(subject, &undo).await.unwrap();
    assert!(checks.iter().all(|check| check.held), "{checks:?}");
    undo
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_client_loses_its_session_and_all_its_rights_and_gets_them_back() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let control = control(fleet(&broker).await);
    let all = ["plant/1", "$aws/things/dev1/defender/metrics/json", "$odd/1"];
    assert_eq!(gets_through(&broker, &DEVICE, &WATCHER), all);
    assert_eq!(hears(&broker, &DEVICE), ["0", "0", "0"]);

    let session = broker.subscribe(&DEVICE, &["-i", "dev1-id", "-t", "plant/#"]);
    let subject = subject(Some("dev1"));
    let undo = quarantined(&control, &subject).await;
    broker.wait_log(&format!("Client dev1-id {KICK}"));
    drop(session);
    assert_eq!(gets_through(&broker, &DEVICE, &WATCHER), [""; 0], "connects again, but without any right");
    assert_eq!(hears(&broker, &DEVICE), ["128", "128", "128"]);

    // Doing it twice changes nothing.
    let kicks = broker.log_count(KICK);
    control.quarantine(&subject, &undo).await.unwrap();
    assert_eq!(broker.log_count(KICK), kicks);
    let later = control.prepare(&subject).await.unwrap();
    assert_eq!((&later.0["hadRole"], &undo.0["hadRole"]), (&json!(true), &json!(false)));

    control.release(&subject, &undo).await.unwrap();
    control.release(&subject, &undo).await.unwrap();
    assert_eq!(gets_through(&broker, &DEVICE, &WATCHER), all);
    assert_eq!(hears(&broker, &DEVICE), ["0", "0", "0"]);
    let checks = control.verify(&subject, &undo).await.unwrap();
    assert_eq!(checks[0].seen, "not attached");
    // Another device of the same role was never touched.
    assert_eq!(gets_through(&broker, &Who::User("dev2", "dev2-pw"), &WATCHER), all);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undo_survives_being_written_down() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let control = control(fleet(&broker).await);
    let subject = subject(Some("dev1"));
    let undo = control.prepare(&subject).await.unwrap();
    let text = serde_json::to_string(&undo).unwrap();
    assert_eq!(
        text,
        "{\"adapter\":\"mosquitto-dynamic-security\",\"user\":\"dev1\",\"role\":\"fleetward-quarantine\",\
         \"priority\":100000,\"known\":true,\"hadRole\":false,\"wasDisabled\":false,\"disable\":false,\
         \"roots\":[\"$aws\",\"$odd\"],\"roles\":[{\"rolename\":\"device\",\"priority\":7}],\
         \"groups\":[{\"groupname\":\"fleet\",\"priority\":-1}]}"
    );
    let undo: Undo = serde_json::from_str(&text).unwrap();
    control.quarantine(&subject, &undo).await.unwrap();
    control.release(&subject, &undo).await.unwrap();
    let foreign = Undo(json!({ "adapter": "emqx" }));
    assert!(matches!(control.release(&subject, &foreign).await, Err(ControlError::Refused(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn once_the_role_is_there_two_exchanges_are_enough_and_its_change_is_noticed() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let control = control(fleet(&broker).await);
    quarantined(&control, &subject(Some("dev1"))).await;
    let asked = || broker.log_count("Received PUBLISH from fleetward-admin");
    let (second, before) = (subject(Some("dev2")), asked());
    let undo = control.prepare(&second).await.unwrap();
    control.quarantine(&second, &undo).await.unwrap();
    assert_eq!(asked() - before, 2, "{}", broker.log());
    assert!(control.verify(&second, &undo).await.unwrap().iter().all(|check| check.held));
    control.release(&second, &undo).await.unwrap();

    let allow = json!([{ "command": "addRoleACL", "rolename": "fleetward-quarantine",
        "acltype": "publishClientSend", "topic": "x/#", "allow": true, "priority": 9999 }]);
    set_up(control.client(), allow).await;
    let error = control.quarantine(&second, &undo).await.unwrap_err().to_string();
    assert!(error.contains("allows publishClientSend x/#; a quarantine role may only deny"), "{error}");
    assert!(!control.verify(&second, &undo).await.unwrap()[0].held, "it must not keep that role");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disabled_password_client_is_kept_out() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let settings = DynsecSettings { also_disable: true, ..DynsecSettings::default() };
    let control = DynsecControl::new(fleet(&broker).await, settings);
    let subject = subject(Some("dev1"));
    let undo = quarantined(&control, &subject).await;
    let (ok, said) = broker.publish(&DEVICE, &["-t", "x", "-m", "x"]);
    assert!(!ok && said.contains("not authorised"), "{said}");
    control.release(&subject, &undo).await.unwrap();
    assert!(broker.publish(&DEVICE, &["-t", "x", "-m", "x"]).0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_is_higher_than_ours_is_topped() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let control = control(fleet(&broker).await);
    let subject = subject(Some("dev1"));
    let undo = quarantined(&control, &subject).await;
    let give = |priority: i64| json!([{ "command": "addClientRole", "username": "dev1", "rolename": "send", "priority": priority }]);
    set_up(control.client(), give(2_000_000)).await;
    let checks = control.verify(&subject, &undo).await.unwrap();
    assert!(!checks[0].held, "{checks:?}");
    assert_eq!(checks[0].seen, "priority 100000, another role has 2000000");
    control.quarantine(&subject, &undo).await.unwrap();
    assert!(control.verify(&subject, &undo).await.unwrap().iter().all(|check| check.held));
    assert_eq!(gets_through(&broker, &DEVICE, &WATCHER), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_clients_known_and_unknown_are_quarantined() {
    let broker = Setup::dynsec("admin", "admin-pw").tls().start();
    let dir = broker.dir.path();
    for name in ["admin", "known", "unknown", "watcher"] {
        Pki::client(dir, name);
    }
    let mut connection = connection(&broker, "admin", "not used with certificates");
    connection.host = "localhost".into();
    let identity = Identity { cert_file: broker.file("admin.pem"), key_file: broker.file("admin.key") };
    connection.tls =
        Some(Tls { ca_file: Some(broker.file("ca.pem")), identity: Some(identity), server_name: None });
    let admin = spawn(connection);
    let allow = |kind: &str, topic: &str| json!({ "acltype": kind, "topic": topic, "allow": true });
    set_up(
        &admin,
        json!([
            { "command": "createRole", "rolename": "device", "acls": [
                allow("publishClientSend", "#"), allow("publishClientSend", "$aws/#"), allow("publishClientSend", "$odd/#"),
                allow("subscribePattern", "#"), allow("subscribePattern", "$aws/#"), allow("subscribePattern", "$odd/#")] },
            { "command": "createClient", "username": "known", "roles": [{ "rolename": "device" }] },
            { "command": "createClient", "username": "watcher", "roles": [{ "rolename": "device" }] },
        ]),
    )
    .await;
    let control = control(admin);
    let watcher = Who::Certificate("watcher");
    let all = ["plant/1", "$aws/things/dev1/defender/metrics/json", "$odd/1"];
    // The plugin lets a certificate that it does not know connect, and denies it all that it does.
    for (name, rights) in [("known", &all[..]), ("unknown", &[])] {
        let device = Who::Certificate(name);
        assert_eq!(gets_through(&broker, &device, &watcher), rights, "{name}");
        let session = broker.hold(&device, &format!("{name}-held"));
        let kicks = broker.log_count(KICK);
        let subject = subject(Some(name));
        let undo = quarantined(&control, &subject).await;
        assert_eq!(undo.0["known"], json!(name == "known"));
        assert!(broker.log_count(KICK) > kicks, "{name}: its session ended");
        drop(session);
        assert_eq!(gets_through(&broker, &device, &watcher), [""; 0], "{name}");
        control.quarantine(&subject, &undo).await.unwrap();
        control.release(&subject, &undo).await.unwrap();
        control.release(&subject, &undo).await.unwrap();
        assert_eq!(gets_through(&broker, &device, &watcher), rights, "{name}");
        let gone = control
            .client()
            .run_one(json!({ "command": "getClient", "username": name }))
            .await
            .unwrap()
            .error;
        assert_eq!(gone.is_none(), name == "known", "what was made for the quarantine is gone after it");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_made_known_for_its_quarantine_cannot_log_in_with_a_password() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let control = control(fleet(&broker).await);
    let subject = subject(Some("stranger"));
    let undo = quarantined(&control, &subject).await;
    for who in [Who::User("stranger", ""), Who::User("stranger", "x")] {
        let (ok, said) = broker.publish(&who, &["-t", "x", "-m", "x"]);
        assert!(!ok && said.contains("not authorised"), "{said}");
    }
    control.release(&subject, &undo).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn administrators_our_own_user_and_configured_names_are_never_touched() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let client = fleet(&broker).await;
    set_up(
        &client,
        json!([
            { "command": "createGroup", "groupname": "operators", "roles": [{ "rolename": "admin" }] },
            { "command": "createClient", "username": "second", "password": "x", "roles": [{ "rolename": "admin" }] },
            { "command": "createClient", "username": "third", "password": "x", "groups": [{ "groupname": "operators" }] },
        ]),
    )
    .await;
    let before = client.run_one(json!({ "command": "listClients", "verbose": true })).await.unwrap();
    let control = control(client);
    let cases = [
        (
            None,
            "the broker refused: `dev1` has no user name at the broker: an action would hit every anonymous client",
        ),
        (Some("admin"), "the broker refused: user `admin` is Fleetward's own"),
        (Some("bridge"), "the broker refused: user `bridge` is configured never to be touched"),
        (Some("second"), "the broker refused: user `second` administers the broker"),
        (Some("third"), "the broker refused: user `third` administers the broker"),
    ];
    let undo = control.prepare(&subject(Some("dev1"))).await.unwrap();
    for (user, message) in cases {
        let subject = subject(user);
        assert_eq!(control.prepare(&subject).await.unwrap_err().to_string(), message);
        assert!(
            control.quarantine(&subject, &undo).await.is_err(),
            "not with the undo record of another either"
        );
        assert!(control.release(&subject, &undo).await.is_err());
    }
    let after = control.client().run_one(json!({ "command": "listClients", "verbose": true })).await.unwrap();
    assert_eq!(before, after);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_of_that_name_that_allows_something_is_not_used() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let settings = DynsecSettings { role: "device".into(), ..DynsecSettings::default() };
    let control = DynsecControl::new(fleet(&broker).await, settings);
    let subject = subject(Some("dev2"));
    let undo = control.prepare(&subject).await.unwrap();
    let error = control.quarantine(&subject, &undo).await.unwrap_err().to_string();
    assert!(error.contains("a quarantine role may only deny"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_allows_by_default_fails_the_check() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let control = control(fleet(&broker).await);
    let open = json!([{ "acltype": "publishClientSend", "allow": true }]);
    set_up(control.client(), json!([{ "command": "setDefaultACLAccess", "acls": open }])).await;
    let subject = subject(Some("dev1"));
    let undo = control.prepare(&subject).await.unwrap();
    control.quarantine(&subject, &undo).await.unwrap();
    let checks = control.verify(&subject, &undo).await.unwrap();
    let held: Vec<bool> = checks.iter().map(|check| check.held).collect();
    assert_eq!(held, [true, true, false], "{checks:?}");
    assert_eq!(
        gets_through(&broker, &DEVICE, &WATCHER),
        [""; 0],
        "the trees that roles name are closed all the same"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_incomplete_role_is_completed() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let control = control(fleet(&broker).await);
    let only = json!([{ "acltype": "publishClientSend", "topic": "#", "priority": 1000, "allow": false }]);
    set_up(
        control.client(),
        json!([{ "command": "createRole", "rolename": "fleetward-quarantine", "acls": only }]),
    )
    .await;
    quarantined(&control, &subject(Some("dev1"))).await;
    assert_eq!(gets_through(&broker, &DEVICE, &WATCHER), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_down_is_unavailable_and_used_again_when_back() {
    for protocol in [Protocol::V311, Protocol::V5] {
        let mut broker = Setup::dynsec("admin", "admin-pw").start();
        fleet(&broker).await;
        let mut connection = connection(&broker, "admin", "admin-pw");
        connection.client_id = "second".into();
        connection.protocol = protocol;
        let control = control(spawn(connection));
        let subject = subject(Some("dev1"));
        control.prepare(&subject).await.unwrap();
        broker.stop();
        let error = control.prepare(&subject).await.unwrap_err();
        assert!(matches!(error, ControlError::Unavailable(_)), "{error:?}");
        broker.start_again();
        let mut status = control.client().status();
        status.wait_for(Status::is_connected).await.unwrap();
        quarantined(&control, &subject).await;
        assert_eq!(gets_through(&broker, &DEVICE, &WATCHER), [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_without_the_right_is_told_so_and_a_wrong_password_is_not_shown() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    fleet(&broker).await;
    let control = control(spawn(connection(&broker, "dev2", "dev2-pw")));
    let error = control.prepare(&subject(Some("dev1"))).await.unwrap_err();
    assert!(error.to_string().contains("user `dev2` may not"), "{error}");
    let control = self::control(spawn(connection(&broker, "admin", "wrong-pw")));
    let error = control.prepare(&subject(Some("dev1"))).await.unwrap_err();
    assert!(matches!(error, ControlError::Unavailable(_)), "{error:?}");
    assert!(error.to_string().contains("refused") && !error.to_string().contains("wrong-pw"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_requests_at_once_each_get_their_own_answer() {
    let broker = Setup::dynsec("admin", "admin-pw").start();
    let client = Arc::new(fleet(&broker).await);
    // Another administrator's requests share the response topic.
    let noise = broker.publish(
        &ADMIN,
        &[
            "-t",
            "$CONTROL/dynamic-security/v1",
            "-m",
            r#"{"commands":[{"command":"listRoles","correlationData":"x"}]}"#,
        ],
    );
    assert!(noise.0);
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..300 {
        let client = Arc::clone(&client);
        tasks.spawn(async move {
            let user = if n % 2 == 0 { "dev1" } else { "nobody" };
            (n, client.run_one(json!({ "command": "getClient", "username": user })).await.unwrap())
        });
    }
    while let Some(done) = tasks.join_next().await {
        let (n, reply) = done.unwrap();
        if n % 2 == 0 {
            assert_eq!(reply.data["client"]["username"], "dev1");
        } else {
            assert_eq!(reply.error.as_deref(), Some("Client not found"));
        }
    }
}
