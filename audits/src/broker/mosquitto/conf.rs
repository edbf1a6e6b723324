//! `mosquitto.conf`, read as the broker reads it (`src/conf.c` of 2.0): one setting a line, `#` begins
//! a comment line, a truth value is the next word, a text the rest of the line. The files of an
//! `include_dir` follow at its place, by name.

use super::super::{
    file::{ConfigFile, named},
    kind::{Kind, kind},
    note::At,
};

/// Settings of all files at most; further ones are left out, which is told.
const SETTINGS_MAX: usize = 200_000;
/// Files that are followed at most: folders that include each other would be without end.
const FILES_MAX: usize = 2_000;
/// Folders within folders at most.
const DEPTH_MAX: usize = 8;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// File, as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column of the value, or of the key if there is none; from 1, in characters.
    pub column: usize,
    /// Key.
    pub key: String,
    /// Rest of the line.
    pub value: String,
}

impl Setting {
    pub(in super::super) fn at(&self) -> At {
        At { file: self.file.clone(), line: self.line, column: self.column }
    }

    /// A truth value, as far as it is one.
    pub(in super::super) fn flag(&self) -> Option<bool> {
        match self.value.split(' ').next()?.trim() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        }
    }
}

/// The settings of one text, in order.
#[must_use]
pub fn settings(file: &str, text: &str) -> Vec<Setting> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        // One more than is looked at, so that the end is seen to be none.
        if found.len() > SETTINGS_MAX {
            break;
        }
        let (key, rest) = trimmed.split_once([' ', '\t']).unwrap_or((trimmed, ""));
        let value = rest.trim();
        let after = if value.is_empty() { trimmed } else { value };
        let before = line.trim_end().len().saturating_sub(after.len());
        let column = line.get(..before).map_or(1, |before| before.chars().count() + 1);
        found.push(Setting {
            file: file.to_owned(),
            line: index + 1,
            column,
            key: key.into(),
            value: value.into(),
        });
    }
    found
}

/// All settings from the main file on, and the folders that are not among the files.
#[derive(Clone, Debug, Default)]
pub(super) struct Read {
    pub(super) settings: Vec<Setting>,
    pub(super) missing: Vec<Setting>,
    /// Files followed; one counts each time.
    files: usize,
    /// From where on something was left out.
    pub(super) cut: Option<At>,
}

/// Follows `include_dir` from `main` on. A folder is that whose path ends the same.
pub(super) fn read(files: &[ConfigFile], main: &ConfigFile) -> Read {
    let mut read = Read::default();
    follow(files, main, 0, &mut read);
    read
}

fn follow(files: &[ConfigFile], file: &ConfigFile, depth: usize, read: &mut Read) {
    read.files += 1;
    for setting in settings(&file.path, &file.text()) {
        if read.settings.len() >= SETTINGS_MAX || read.files > FILES_MAX {
            read.cut.get_or_insert_with(|| setting.at());
            return;
        }
        if setting.key != "include_dir" {
            read.settings.push(setting);
            continue;
        }
        let mut inside = of_folder(files, &setting.value);
        inside.retain(|found| found.path != file.path);
        if inside.is_empty() {
            read.missing.push(setting);
        } else if depth < DEPTH_MAX {
            inside.into_iter().for_each(|found| follow(files, found, depth + 1, read));
        } else {
            read.cut.get_or_insert_with(|| setting.at());
        }
    }
}

/// The `.conf` files of a folder, by name.
pub(super) fn of_folder<'f>(files: &'f [ConfigFile], folder: &str) -> Vec<&'f ConfigFile> {
    let last = folder.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let is_inside = |file: &&ConfigFile| {
        let parent = file.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        parent.rsplit('/').next() == Some(last) && file.name().to_ascii_lowercase().ends_with(".conf")
    };
    let mut inside: Vec<&ConfigFile> = files.iter().filter(is_inside).collect();
    inside.sort_by_key(|file| file.path.clone());
    inside
}

/// The main files: configurations that no `include_dir` of another takes in.
pub(super) fn mains(files: &[ConfigFile]) -> Vec<&ConfigFile> {
    let confs: Vec<&ConfigFile> = files.iter().filter(|file| kind(file) == Kind::MosquittoConf).collect();
    let mut included = Vec::new();
    for conf in &confs {
        for setting in
            settings(&conf.path, &conf.text()).iter().filter(|setting| setting.key == "include_dir")
        {
            let inside = of_folder(files, &setting.value);
            included
                .extend(inside.iter().filter(|file| file.path != conf.path).map(|file| file.path.clone()));
        }
    }
    confs.into_iter().filter(|conf| !included.contains(&conf.path)).collect()
}

/// The file that a setting names, if the caller has it.
pub(super) fn target<'f>(files: &'f [ConfigFile], setting: &Setting) -> Option<&'f ConfigFile> {
    named(files, &setting.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_values() {
        let text = "# c\n\nlistener  1883 0.0.0.0\r\n  user\n";
        let found: Vec<_> = settings("m", text)
            .into_iter()
            .map(|setting| (setting.line, setting.column, setting.key, setting.value))
            .collect();
        assert_eq!(
            found,
            [(3, 11, "listener".into(), "1883 0.0.0.0".into()), (4, 3, "user".into(), String::new())]
        );
    }
}
