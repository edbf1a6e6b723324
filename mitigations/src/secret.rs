//! Where the configuration says that a secret is kept.

use std::{fmt, path::PathBuf};

use fleet::secret::Secret;
use serde::Deserialize;

/// Where a secret is kept; the configuration never holds the secret itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretRef {
    /// `{ file = "/run/secrets/webhook" }`
    File(PathBuf),
    /// `{ env = "FLEETWARD_WEBHOOK_SECRET" }`
    Env(String),
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file `{}`", path.display()),
            Self::Env(name) => write!(f, "the environment variable `{name}`"),
        }
    }
}

/// Reads a secret; given by the wiring, since only it may read files and the environment.
pub type SecretReader<'a> = &'a dyn Fn(&SecretRef) -> Result<Secret, String>;
