//! Definitions (`rabbitmqctl export_definitions`): users and what they may do. Hashes are those of the
//! Passwords guide: base64 of four bytes of salt and SHA-256 or SHA-512 of salt and password, which is
//! tried with the passwords that attackers try first.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::digest::{Algorithm, SHA256, SHA512, digest};

use super::{
    super::{
        file::ConfigFile,
        note::{At, Notes},
        rule::BROKER_CONFIGURATION_INVALID_CHECK,
        secret,
    },
    add,
    rules::{
        RABBITMQ_ACCESS_WIDE_CHECK, RABBITMQ_ADMINISTRATORS_CHECK, RABBITMQ_DEFAULT_PASSWORD_CHECK,
        RABBITMQ_PASSWORD_HASH_CHECK,
    },
    told,
};
use crate::{
    finding::Severity,
    policy::{
        check::answers,
        parse::{
            self,
            json::{Member, Source, get},
            shown,
        },
    },
};

/// Users whose permissions are decided at most; a decision takes about a millisecond.
const DECIDED_MAX: usize = 5_000;

/// All findings about a file; whether it has a user `guest`.
pub(super) fn audit(file: &ConfigFile, notes: &mut Notes) -> bool {
    let text = file.text();
    let mut source = Source::new(&file.path, &text);
    let mut has_guest = false;
    if let Some(root) = source.parse() {
        let members = source.members(&root, "");
        let mut administrators: Vec<(usize, String)> = Vec::new();
        let users = get(&members, "users").map(|users| source.list(users, "users")).unwrap_or_default();
        for (index, user) in users.into_iter().enumerate() {
            let (line, column) = source.position(jsonc_parser::common::Ranged::start(user));
            let at = At { file: file.path.clone(), line, column };
            let fields = source.members(user, &format!("users[{index}]"));
            let name = text_of(&fields, "name").unwrap_or_default();
            has_guest |= name == "guest";
            password(&fields, name, &at, notes);
            if is_administrator(&mut source, &fields) {
                administrators.push((line, name.to_owned()));
            }
        }
        if let [first, _, ..] = administrators.as_slice() {
            let names: Vec<String> = administrators.iter().take(10).map(|(_, name)| shown(name)).collect();
            let reason =
                format!("{} users are administrators: `{}`", administrators.len(), names.join("`, `"));
            let at = At { file: file.path.clone(), line: first.0, column: 0 };
            told(notes, &RABBITMQ_ADMINISTRATORS_CHECK, &at, reason);
        }
    }
    for problem in source.into_problems() {
        let at = At { file: problem.file, line: problem.line, column: problem.column };
        let place = if problem.place.is_empty() { String::new() } else { format!("{}: ", problem.place) };
        // A problem may show the value, which may be a secret: the place is enough.
        let message = if problem.place.contains("password") { "is not text" } else { &problem.message };
        told(notes, &BROKER_CONFIGURATION_INVALID_CHECK, &at, format!("{place}{message}"));
    }
    access(file, &text, notes);
    has_guest
}

fn text_of<'v>(fields: &[Member<'v>], key: &str) -> Option<&'v str> {
    match get(fields, key)? {
        jsonc_parser::ast::Value::StringLit(text) => Some(&text.value),
        _ => None,
    }
}

fn is_administrator(source: &mut Source<'_>, fields: &[Member<'_>]) -> bool {
    let Some(tags) = get(fields, "tags") else { return false };
    let tags = source.texts(tags, "tags");
    tags.iter().flat_map(|(_, tags)| tags.split(',')).any(|tag| tag.trim() == "administrator")
}

fn password(fields: &[Member<'_>], name: &str, at: &At, notes: &mut Notes) {
    let told_guess = |notes: &mut Notes, what: &str| {
        let reason = format!("the password of `{}` is {what}", shown(name));
        told(notes, &RABBITMQ_DEFAULT_PASSWORD_CHECK, at, reason);
    };
    if let Some(plain) = text_of(fields, "password").filter(|plain| !secret::stands_for_one(plain)) {
        let reason = format!("the password of `{}` is kept as plain text", shown(name));
        told(notes, &RABBITMQ_PASSWORD_HASH_CHECK, at, reason);
        if secret::is_guessable(plain, name) {
            told_guess(notes, "one that is tried first");
        }
    }
    let Some(hash) = text_of(fields, "password_hash").filter(|hash| !hash.is_empty()) else { return };
    let algorithm = match text_of(fields, "hashing_algorithm") {
        Some("rabbit_password_hashing_sha256") => &SHA256,
        Some("rabbit_password_hashing_sha512") => &SHA512,
        named => {
            let (severity, how) = match named {
                Some("rabbit_password_hashing_md5") => (Severity::High, "with MD5"),
                None => (Severity::High, "with MD5, as a definition without `hashing_algorithm` is"),
                Some(_) => (Severity::Low, "with an algorithm that is not known here"),
            };
            let reason = format!("the password of `{}` is kept {how}", shown(name));
            return add(notes, &RABBITMQ_PASSWORD_HASH_CHECK, severity, at, reason);
        }
    };
    if is_guessed(hash, algorithm, name) {
        told_guess(notes, "one that is tried first (its hash is that of a common password)");
    }
}

fn is_guessed(hash: &str, algorithm: &'static Algorithm, name: &str) -> bool {
    let Ok(bytes) = STANDARD.decode(hash) else { return false };
    let Some((salt, kept)) = bytes.split_at_checked(4) else { return false };
    secret::guesses(name).any(|guess| digest(algorithm, &[salt, guess.as_bytes()].concat()).as_ref() == kept)
}

/// Whoever may do everything and is no administrator, decided over what the permissions mean.
fn access(file: &ConfigFile, text: &str, notes: &mut Notes) {
    let document = parse::rabbitmq::parse(&file.path, text);
    for (index, subject) in document.subjects.iter().filter(|subject| !subject.administrator).enumerate() {
        let at = At { file: file.path.clone(), line: subject.line, column: 0 };
        if index >= DECIDED_MAX {
            let reason =
                format!("more than {DECIDED_MAX} permissions: those of further users were not decided");
            return told(notes, &super::super::rule::BROKER_BOUND_CHECK, &at, reason);
        }
        let answers = answers(&document, subject, &[]);
        if answers.reads_all == Ok(true) && answers.writes_all == Ok(true) {
            let reason = format!("{} may read and write every topic", subject.name);
            told(notes, &RABBITMQ_ACCESS_WIDE_CHECK, &at, reason);
        }
    }
}
