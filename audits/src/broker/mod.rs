//! Checks of brokers' own configuration files.
//!
//! Pure: the caller reads the files and tells what else it knows of them ([`ConfigFile`]); what a
//! file is, is recognised by its content and name ([`kind()`]). All findings are bounded by
//! `note::FINDINGS_MAX`; what is left out is counted in a last finding.

mod file;
mod kind;
mod mosquitto;
mod note;
mod password;
mod rule;

pub use file::{ConfigFile, Options};
pub use kind::{Kind, kind};
pub use mosquitto::conf as mosquitto_conf;
pub use rule::{RULES, Rule, System};

use crate::{finding::Finding, policy::form::ClientIds};
use note::Notes;

/// All findings about the files of one broker, by file, line and check. What access lists grant is not
/// looked at here: that is `policy::check::acl`, which is told [`client_ids()`].
#[must_use]
pub fn audit(files: &[ConfigFile], options: &Options) -> Vec<Finding> {
    let mut notes = Notes::default();
    mosquitto::audit(files, options, &mut notes);
    file::modes(files, &mut notes);
    notes.finish()
}

/// Whether the configuration ties client ids to credentials: set it as `client_ids` of the documents
/// that `policy::parse::mosquitto` reads, before `policy::check::acl`.
#[must_use]
pub fn client_ids(files: &[ConfigFile]) -> ClientIds {
    mosquitto::client_ids(files)
}
