//! What a file is, by its content, then by its name.

use super::file::ConfigFile;

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `mosquitto.conf`, or a file of its `include_dir`.
    MosquittoConf,
    /// Mosquitto's `password_file`.
    MosquittoPasswords,
    /// Mosquitto's `acl_file`.
    MosquittoAcl,
    /// The state of Mosquitto's dynamic security.
    MosquittoDynsec,
    /// Nothing that is known here.
    Unknown,
}

/// Lines looked at to recognise a file.
const LINES_MAX: usize = 2_000;

/// What a file is.
#[must_use]
pub fn kind(file: &ConfigFile) -> Kind {
    let text = file.text();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '%']))
        .take(LINES_MAX)
        .collect();
    if text.trim_start().starts_with('{') {
        let dynsec = text.contains("\"defaultACLAccess\"") || text.contains("\"acltype\"");
        return if dynsec { Kind::MosquittoDynsec } else { Kind::Unknown };
    }
    let most = |is: &dyn Fn(&str) -> bool| {
        let hits = lines.iter().filter(|line| is(line)).count();
        hits > 0 && hits * 2 > lines.len()
    };
    let first = |line: &str| line.split_whitespace().next().unwrap_or_default().to_owned();
    if most(&|line| matches!(first(line).as_str(), "topic" | "pattern" | "user"))
        && lines.iter().any(|line| line.starts_with("topic ") || line.starts_with("pattern "))
    {
        return Kind::MosquittoAcl;
    }
    if most(&|line| {
        line.split_once(':').is_some_and(|(_, hash)| hash.starts_with("$6$") || hash.starts_with("$7$"))
    }) {
        return Kind::MosquittoPasswords;
    }
    // By name alone only where each line is `name:password`: the host's own `passwd` has seven parts.
    let is_pair = |line: &&str| line.matches(':').count() == 1;
    if matches!(file.name(), "passwd" | "password_file" | "passwordfile" | "pwfile")
        && !lines.is_empty()
        && lines.iter().all(is_pair)
    {
        return Kind::MosquittoPasswords;
    }
    let by_keys = most(&|line| !line.contains('=') && super::mosquitto::keys::is_known(&first(line)));
    if by_keys || file.name() == "mosquitto.conf" { Kind::MosquittoConf } else { Kind::Unknown }
}
