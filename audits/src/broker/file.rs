//! What the caller has read, and what can be said of a file without its content.

use super::{
    kind::{Kind, kind},
    note::{At, Notes},
    rule::{BROKER_BOUND_CHECK, BROKER_FILE_MODE_CHECK, BROKER_FILE_UNKNOWN_CHECK, System},
};
use crate::finding::Severity;

/// Bytes of a file that are looked at; a longer file is cut, which is told ([`unread`]).
pub(super) const TEXT_MAX: usize = 4 << 20;

/// A file of a broker's configuration, or one that its configuration names.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    /// As the user named it.
    pub path: String,
    /// Content; what is not UTF-8 is replaced.
    pub bytes: Vec<u8>,
    /// Permission bits of Unix, if known; of a file copied for the audit they say nothing.
    pub mode: Option<u32>,
    /// Name of the owner, if known.
    pub owner: Option<String>,
}

/// What is known besides the files.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Seconds since 1970, for lists of revoked certificates that run out.
    pub now: Option<i64>,
}

impl ConfigFile {
    pub(super) fn text(&self) -> String {
        let bytes = self.bytes.get(..TEXT_MAX).unwrap_or(&self.bytes);
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// Last part of the path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit(['/', '\\']).next().unwrap_or_default()
    }
}

/// The file that a configuration names by the path it has on the broker's host: the same path, else
/// the only one with the same last part.
pub(super) fn named<'f>(files: &'f [ConfigFile], path: &str) -> Option<&'f ConfigFile> {
    let same = files.iter().find(|file| file.path == path);
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    same.or_else(|| {
        let mut alike = files.iter().filter(|file| file.name() == last);
        alike.next().filter(|_| alike.next().is_none())
    })
}

/// Files with secrets that others than their owner and group may read, and any that others may write.
pub(super) fn modes(files: &[ConfigFile], notes: &mut Notes) {
    let named = super::mosquitto::secret_files(files);
    for file in files {
        let Some(mode) = file.mode else { continue };
        let called = named.iter().find(|(path, _)| *path == file.path);
        let is_key = called.is_some_and(|(_, is_key)| *is_key) || is_private_key(&file.bytes);
        let secret = is_key
            || called.is_some()
            || matches!(
                kind(file),
                Kind::MosquittoPasswords
                    | Kind::MosquittoDynsec
                    | Kind::RabbitMqDefinitions
                    | Kind::RabbitMqEnv
                    | Kind::ErlangCookie
            )
            || holds_secrets(file);
        let (severity, what) = if mode & 0o002 != 0 {
            (Severity::High, "may be written by everybody on the host")
        } else if secret && mode & 0o004 != 0 {
            (
                if is_key { Severity::High } else { Severity::Medium },
                "holds secrets and may be read by everybody on the host",
            )
        } else {
            continue;
        };
        let owner = file.owner.as_ref().map_or(String::new(), |owner| format!(", owner `{owner}`"));
        let reason = format!("the file {what} (mode {:04o}{owner})", mode & 0o7777);
        notes.add(&BROKER_FILE_MODE_CHECK, severity, System::Any, At::file(&file.path), reason);
    }
}

/// Files that an `include` names at most; further ones are told as unknown.
const INCLUDED_MAX: usize = 10_000;

/// Whether a configuration sets something that a name calls secret.
fn holds_secrets(file: &ConfigFile) -> bool {
    const WORDS: [&str; 6] = ["password", "_pass", "secret", "token", "cookie", "passphrase"];
    let is_conf = matches!(kind(file), Kind::RabbitMqConf | Kind::EmqxConf | Kind::EmqxFlat | Kind::NatsConf);
    is_conf
        && file.text().lines().any(|line| {
            let line = line.trim().to_ascii_lowercase();
            !line.starts_with(['#', '/']) && WORDS.iter().any(|word| line.contains(word))
        })
}

/// The files that others of a kind include, wherever on a line: they are read there, not by themselves.
pub(super) fn included(files: &[ConfigFile], of: Kind) -> Vec<&ConfigFile> {
    let mut found = Vec::new();
    for file in files.iter().filter(|file| kind(file) == of) {
        let text = file.text();
        for line in text.lines().filter(|line| !line.trim_start().starts_with(['#', '/'])) {
            for rest in line.split("include").skip(1).filter(|rest| rest.starts_with([' ', '\t'])) {
                let rest = rest.trim().trim_start_matches("required(").trim_start_matches("file(");
                let path = match rest.strip_prefix(['"', '\'']) {
                    Some(quoted) => quoted.split(['"', '\'']).next(),
                    None => rest.split([' ', '\t', ',', ';', '}', '#']).next(),
                };
                let target = path.and_then(|path| named(files, path.trim_start_matches("./")));
                let other = target.filter(|target| target.path != file.path && found.len() < INCLUDED_MAX);
                found.extend(other);
            }
        }
    }
    found
}

/// Files that are nobody's, and those that are looked at in part.
pub(super) fn unread(files: &[ConfigFile], notes: &mut Notes) {
    let mut named = super::mosquitto::named_files(files);
    for of in [Kind::RabbitMqConf, Kind::EmqxConf, Kind::EmqxFlat, Kind::NatsConf] {
        named.extend(included(files, of).iter().map(|file| file.path.as_str()));
    }
    for file in files {
        let at = At::file(&file.path);
        let kind = kind(file);
        if kind == Kind::Unknown && !named.contains(&file.path.as_str()) {
            let reason = "no configuration of a broker that is known here: it was not looked at".to_owned();
            notes.told(&BROKER_FILE_UNKNOWN_CHECK, System::Any, &at, reason);
        } else if kind != Kind::Certificate && file.bytes.len() > TEXT_MAX {
            let reason = format!("of {} bytes the first {TEXT_MAX} were looked at", file.bytes.len());
            notes.told(&BROKER_BOUND_CHECK, System::Any, &at, reason);
        }
    }
}

/// A private key in PEM, or in DER: a SEQUENCE that begins with the version 0 (PKCS #1, PKCS #8) or 1
/// (RFC 5915, followed by the octets of the key). A certificate or CRL begins with another SEQUENCE.
fn is_private_key(bytes: &[u8]) -> bool {
    let pem = bytes.windows(11).take(TEXT_MAX).any(|window| window == b"PRIVATE KEY");
    let content = match bytes {
        [0x30, 0x82, _, _, rest @ ..] | [0x30, 0x81, _, rest @ ..] | [0x30, 0..=0x7f, rest @ ..] => rest,
        _ => return pem,
    };
    pem || content.starts_with(&[2, 1, 0]) || content.starts_with(&[2, 1, 1, 4])
}
