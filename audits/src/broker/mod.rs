//! Checks of brokers' own configuration files.
//!
//! Pure: the caller reads the files and tells what else it knows of them ([`ConfigFile`]); what a
//! file is, is recognised by its content and name ([`kind()`]). All findings are bounded by
//! `note::FINDINGS_MAX`; what is left out is counted in a last finding.

mod address;
mod emqx;
mod file;
mod flat;
mod kind;
mod mosquitto;
mod nats;
mod note;
mod password;
mod rabbitmq;
mod rule;
mod secret;
mod tls;
mod tree;

pub use file::{ConfigFile, Options};
pub use kind::{Kind, kind};
pub use mosquitto::conf as mosquitto_conf;
pub use rule::{RULES, Rule, System};

use crate::{
    finding::Finding,
    policy::{form::ClientIds, parse::emqx::NoMatch},
};
use note::Notes;

/// All findings about the files of one broker, by file, line and check; each file is read as that of the
/// broker whose it is ([`kind()`]), and one that is nobody's is told. Of what access lists grant only
/// that is told here which is open to all: the rest is `policy::check::acl`, which is told
/// [`client_ids()`] and [`emqx_no_match()`].
#[must_use]
pub fn audit(files: &[ConfigFile], options: &Options) -> Vec<Finding> {
    let mut notes = Notes::default();
    mosquitto::audit(files, options, &mut notes);
    rabbitmq::audit(files, &mut notes);
    emqx::audit(files, &mut notes);
    nats::audit(files, &mut notes);
    file::modes(files, &mut notes);
    file::unread(files, &mut notes);
    notes.finish()
}

/// Whether the configuration ties client ids to credentials: set it as `client_ids` of the documents
/// that `policy::parse::mosquitto` reads, before `policy::check::acl`.
#[must_use]
pub fn client_ids(files: &[ConfigFile]) -> ClientIds {
    mosquitto::client_ids(files)
}

/// What EMQX does with topics that no rule of `acl.conf` names: for `policy::parse::emqx::parse`.
#[must_use]
pub fn emqx_no_match(files: &[ConfigFile]) -> NoMatch {
    emqx::no_match(files)
}
