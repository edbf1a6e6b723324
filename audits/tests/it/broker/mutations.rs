//! Any text as a broker's file: no panic, places that lie in the file, the same findings again.

use audits::broker::{ConfigFile, Options, audit, client_ids, emqx_no_match};
use proptest::prelude::*;

/// Names by which a file is taken for that of each broker.
const NAMES: [&str; 9] = [
    "mosquitto.conf",
    "rabbitmq.conf",
    "definitions.json",
    "enabled_plugins",
    "rabbitmq-env.conf",
    "emqx.conf",
    "acl.conf",
    "nats-server.conf",
    "any",
];

const TEXTS: [&str; 8] = [
    "listener 1883\nallow_anonymous true\ninclude_dir conf.d\n",
    "listeners.tcp.default = 5672\nmqtt.allow_anonymous = true\nssl_options.versions.1 = tlsv1.1\n",
    "{\"users\":[{\"name\":\"a\",\"password_hash\":\"eA==\",\"tags\":\"administrator\"}],\"vhosts\":[],\"permissions\":[{\"user\":\"a\",\"vhost\":\"/\",\"configure\":\".*\",\"write\":\".*\",\"read\":\".*\"}]}",
    "listeners.ssl.default { bind = \"0.0.0.0:8883\", ssl_options { verify = verify_peer, versions = [tlsv1, ${x}] } }\nauthentication = [{mechanism = jwt}]\n",
    "node.cookie = c\nlistener.tcp.external = 0.0.0.0:1883\nallow_anonymous = true\nauth.mysql.server = a:1\n",
    "{allow, {user, \"a\"}, subscribe, [\"$SYS/#\"]}.\n{allow, all}.\n",
    "port: 4222\nmqtt { port: 1883, tls { verify: true } }\nauthorization { users = [{user: a, password: $P, permissions: {publish: \">\"}}] }\ncluster { listen: 0.0.0.0:1, routes = [\"nats://a:b@h\"] }\n",
    "a = [${a}]\nb = ${a}\ninclude \"any\"\n$x: 1\ny: $x\n",
];

proptest! {
    #[test]
    fn any_text(
        name in 0..NAMES.len(), text in 0..TEXTS.len(), from in any::<prop::sample::Index>(),
        to in any::<prop::sample::Index>(), put in "[\\PC\\n]{0,12}", other in 0..TEXTS.len(),
    ) {
        let letters: Vec<char> = TEXTS[text].chars().collect();
        let (from, to) = (from.index(letters.len() + 1), to.index(letters.len() + 1));
        let (from, to) = (from.min(to), from.max(to));
        let mutated: String = letters[..from].iter().copied().chain(put.chars()).chain(letters[to..].iter().copied()).collect();
        let file = |name: &str, text: &str| ConfigFile { path: format!("d/{name}"), bytes: text.into(), ..ConfigFile::default() };
        let files = [file(NAMES[name], &mutated), file("other", TEXTS[other])];
        let findings = audit(&files, &Options::default());
        for finding in &findings {
            let place = finding.place.as_ref().unwrap();
            let file = files.iter().find(|file| file.path == place.file).unwrap();
            let lines = file.bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
            prop_assert!(place.line <= lines, "{finding}");
        }
        prop_assert_eq!(&findings, &audit(&files, &Options::default()));
        let _ = (client_ids(&files), emqx_no_match(&files));
    }
}
