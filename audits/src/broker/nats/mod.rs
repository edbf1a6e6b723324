//! NATS server 2.x with MQTT: its configuration with the files it includes.

mod access;
pub(super) mod conf;
mod limits;
mod listeners;
pub(super) mod rules;

use super::{
    file::{ConfigFile, included},
    kind::{Kind, kind},
    note::{At, Notes},
    rule::{Rule, System},
    tree::{Node, Reading},
};
use crate::finding::Severity;

pub(super) fn audit(files: &[ConfigFile], notes: &mut Notes) {
    let included = included(files, Kind::NatsConf);
    let is_included = |file: &&ConfigFile| included.iter().any(|other| other.path == file.path);
    let mut first = None;
    for file in files.iter().filter(|file| kind(file) == Kind::NatsConf && !is_included(file)) {
        let root = conf::read(file, &mut Reading::new(files, notes, System::Nats));
        listeners::audit(&root, notes);
        access::audit(&root, notes);
        access::permissions(&root, file, notes);
        limits::audit(&root, notes);
        first.get_or_insert(root);
    }
    // Permissions are decided file by file.
    let root = first.unwrap_or_default();
    included.iter().for_each(|file| access::permissions(&root, file, notes));
}

/// `host` and `port`, or `listen`, of a block; the address on which it listens.
fn listen(block: &Node, port: &str) -> (Option<String>, At) {
    if let Some(node) = block.any(&["listen", "addr"]) {
        return (node.text().map(str::to_owned), node.at.clone());
    }
    let at = block.any(&["port", "host", "net"]).map_or_else(|| block.at.clone(), |node| node.at.clone());
    if block.any(&["port", "host", "net"]).is_some_and(Node::is_unresolved) {
        return (None, at);
    }
    let host = block.any(&["host", "net"]).and_then(Node::text).unwrap_or("0.0.0.0");
    let port = block.text_of("port").unwrap_or(port);
    let host =
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() };
    (Some(format!("{host}:{port}")), at)
}

/// The block of a kind of listener that is off without a port (`server/opts.go`).
fn enabled<'c>(root: &'c Node, keys: &[&str]) -> Option<&'c Node> {
    root.any(keys).filter(|block| block.any(&["port", "listen"]).is_some() || block.is_unresolved())
}

fn told(notes: &mut Notes, rule: &'static Rule, at: &At, reason: String) {
    notes.told(rule, System::Nats, at, reason);
}

fn add(notes: &mut Notes, rule: &'static Rule, severity: Severity, at: &At, reason: String) {
    notes.add(rule, severity, System::Nats, at.clone(), reason);
}
