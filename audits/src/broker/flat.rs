//! Files of lines `key = value`, as cuttlefish reads them: RabbitMQ's `rabbitmq.conf`, and EMQX 3 and 4.
//!
//! `#` begins a comment, within a line too unless the value stands between `'`; the last line of a key
//! counts, and of several files the last (`cuttlefish_conf:files/1`). Bound: [`SETTINGS_MAX`] lines.

use std::collections::BTreeMap;

use super::{file::ConfigFile, mosquitto_conf::Setting, note::At, tree::Reading};
use crate::policy::parse::shown;

/// Settings of all files of one broker at most; further ones are left out, which is told.
const SETTINGS_MAX: usize = 100_000;

/// The settings that count, by key.
#[derive(Clone, Debug, Default)]
pub(super) struct Flat {
    /// The main file.
    pub(super) file: String,
    settings: BTreeMap<String, Setting>,
}

impl Flat {
    pub(super) fn get(&self, key: &str) -> Option<&Setting> {
        self.settings.get(key)
    }

    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.get(key).map(|setting| setting.value.as_str())
    }

    pub(super) fn flag(&self, key: &str) -> Option<bool> {
        self.value(key).and_then(super::tree::truth)
    }

    /// The settings whose key begins so, by key.
    pub(super) fn below<'s>(&'s self, prefix: &str) -> impl Iterator<Item = &'s Setting> {
        let from = self.settings.range(prefix.to_owned()..);
        from.map(|(_, setting)| setting).take_while(move |setting| setting.key.starts_with(prefix))
    }

    pub(super) fn has_below(&self, prefix: &str) -> bool {
        self.below(prefix).next().is_some()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.settings.values()
    }

    /// The place of a setting, or of the file if it is not there.
    pub(super) fn at(&self, key: &str) -> At {
        self.get(key).map_or_else(|| At::file(&self.file), Setting::at)
    }
}

/// Reads files one after the other.
pub(super) fn read(files: &[&ConfigFile], reading: &mut Reading<'_, '_>) -> Flat {
    let mut flat = Flat::default();
    for file in files {
        if flat.file.is_empty() {
            flat.file.clone_from(&file.path);
        }
        follow(file, 0, &mut flat, reading);
    }
    flat
}

fn follow(file: &ConfigFile, depth: usize, flat: &mut Flat, reading: &mut Reading<'_, '_>) {
    let text = file.text();
    for (index, line) in text.lines().enumerate() {
        let at = At { file: file.path.clone(), line: index + 1, column: 1 };
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        if let Some(path) = trimmed.strip_prefix("include ").filter(|path| !path.contains('=')) {
            if let Some(included) = reading.include(&at, without_comment(path), depth) {
                follow(included, depth + 1, flat, reading);
            }
            continue;
        }
        let Some((key, rest)) = trimmed.split_once('=') else {
            let key = shown(trimmed.split_whitespace().next().unwrap_or_default());
            reading.invalid(&at, format!("`{key}` has no `=`; expected `key = value`"));
            continue;
        };
        let (key, value) = (key.trim(), without_comment(rest));
        if flat.settings.len() >= SETTINGS_MAX {
            return reading.bound(&at, &format!("{SETTINGS_MAX} settings"));
        }
        let begin = line.len() - line.split_once('=').map_or(0, |(_, rest)| rest.trim_start().len());
        let column = line.get(..begin).map_or(1, |before| before.chars().count() + 1);
        let setting = Setting {
            file: file.path.clone(),
            line: index + 1,
            column,
            key: key.to_owned(),
            value: value.to_owned(),
        };
        flat.settings.insert(key.to_owned(), setting);
    }
}

/// The value, with neither the comment behind it nor the quotes around it.
fn without_comment(rest: &str) -> &str {
    let rest = rest.trim();
    let quoted = rest.strip_prefix('\'').and_then(|inner| inner.split_once('\''));
    match quoted {
        Some((inner, after)) if after.trim().is_empty() || after.trim_start().starts_with('#') => inner,
        _ => rest.split('#').next().unwrap_or_default().trim(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::{note::Notes, rule::System};

    #[test]
    fn the_last_line_of_a_key_counts() {
        let text = "a.b = 1 # one\n\n # c\na.b=2\na.c = 'x # y' # z\nwrong\n";
        let file = ConfigFile { path: "f".into(), bytes: text.into(), ..ConfigFile::default() };
        let mut notes = Notes::default();
        let flat = read(&[&file], &mut Reading::new(&[], &mut notes, System::RabbitMq));
        assert_eq!(flat.value("a.b"), Some("2"));
        assert_eq!(flat.get("a.b").map(|setting| (setting.line, setting.column)), Some((4, 5)));
        assert_eq!(flat.value("a.c"), Some("x # y"));
        assert_eq!(flat.below("a.").count(), 2);
        let found = notes.finish();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line(), &*found[0].check), (6, "BROKER_CONFIGURATION_INVALID_CHECK"));
    }
}
