//! Where the configuration says that a secret is kept.

use std::{fmt, path::PathBuf};

use fleet::secret::Secret;
use serde::{
    Deserialize, Deserializer,
    de::{Error, MapAccess, Visitor},
};

/// Where a secret is kept; the configuration never holds the secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
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

const FIELDS: [&str; 2] = ["file", "env"];

impl<'de> Deserialize<'de> for SecretRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RefVisitor)
    }
}

/// Not derived: serde's messages show the value found, and whoever writes another value here has
/// written the secret itself.
struct RefVisitor;

impl RefVisitor {
    fn not_here<E: Error>() -> Result<SecretRef, E> {
        Err(E::custom(
            "a secret does not belong into this file; expected where it is kept, `{ file = \"...\" }` or `{ env = \"...\" }`",
        ))
    }
}

impl<'de> Visitor<'de> for RefVisitor {
    type Value = SecretRef;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("where the secret is kept, `{ file = \"...\" }` or `{ env = \"...\" }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretRef, A::Error> {
        let found = match map.next_key::<String>()?.as_deref() {
            Some("file") => SecretRef::File(map.next_value()?),
            Some("env") => SecretRef::Env(map.next_value()?),
            Some(other) => return Err(A::Error::unknown_field(other, &FIELDS)),
            None => return Err(A::Error::custom("found nothing; expected `file` or `env`")),
        };
        match map.next_key::<String>()? {
            None => Ok(found),
            Some(_) => Err(A::Error::custom("found more than one key; expected either `file` or `env`")),
        }
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<SecretRef, E> {
        Self::not_here()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<SecretRef, E> {
        Self::not_here()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<SecretRef, E> {
        Self::not_here()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<SecretRef, E> {
        Self::not_here()
    }
}

/// Reads a secret; given by the wiring, since only it may read files and the environment.
pub type SecretReader<'a> = &'a dyn Fn(&SecretRef) -> Result<Secret, String>;

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        secret: SecretRef,
    }

    fn read(value: &str) -> Result<SecretRef, String> {
        let read = toml::from_str::<Holder>(&format!("secret = {value}"));
        read.map(|holder| holder.secret).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_reference_is_a_file_or_a_variable() {
        assert_eq!(read("{ file = \"/run/x\" }"), Ok(SecretRef::File("/run/x".into())));
        assert_eq!(read("{ env = \"X\" }"), Ok(SecretRef::Env("X".into())));
    }

    #[test]
    fn a_secret_in_its_place_is_refused_and_not_shown() {
        let here = "a secret does not belong into this file; expected where it is kept, `{ file = \"...\" }` or `{ env = \"...\" }`";
        let cases = [
            ("\"hunter2\"", here),
            ("20001224", here),
            ("-20001224", here),
            ("2000.1224", here),
            ("{ value = \"hunter2\" }", "unknown field `value`, expected `file` or `env`"),
            (
                "{ env = \"X\", value = \"hunter2\" }",
                "found more than one key; expected either `file` or `env`",
            ),
            ("{}", "found nothing; expected `file` or `env`"),
        ];
        for (value, message) in cases {
            assert_eq!(read(value), Err(message.to_owned()), "{value}");
        }
    }
}
