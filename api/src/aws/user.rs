//! Users of the control plane: a file with names, roles, access keys and hashes of bearer tokens.
//!
//! SigV4 needs the secret itself to verify a signature, so the file holds it and is readable by its
//! owner alone (mode 0600). A bearer token is kept as its SHA-256. A running Fleetward reads the file
//! again when it has changed.

use std::{
    fmt, fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use axum::http::HeaderMap;
use fleet::secret::Secret;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

use super::{allow::Role, sigv4::hex};

/// Users at most.
pub const USERS_MAX: usize = 1000;
/// Longest name, bytes.
const NAME_BYTES_MAX: usize = 64;

/// One user as in the file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct User {
    /// Name, unique.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Access key.
    pub access_key_id: String,
    secret_access_key: String,
    token_sha256: String,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).field("role", &self.role).finish_non_exhaustive()
    }
}

impl User {
    /// The secret that signatures are made with.
    #[must_use]
    pub fn secret(&self) -> Secret {
        Secret::new(&self.secret_access_key)
    }
}

/// What a new user gets; the only time that secrets are shown.
#[derive(Clone, Debug)]
pub struct Issued {
    /// Access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: Secret,
    /// Bearer token.
    pub token: Secret,
}

/// Why the file of users cannot be used as asked.
#[derive(Debug, Error)]
pub enum UserError {
    /// The file system failed.
    #[error("cannot {doing} `{}`", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: std::io::Error,
    },
    /// The file is not as written by us.
    #[error("`{}` cannot be read as a list of users: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        message: String,
    },
    /// The name cannot be used.
    #[error("the user name `{0}` has other characters than `a-z A-Z 0-9 . _ -`, or not 1 to 64 of them")]
    Name(String),
    /// There is one already.
    #[error("there is a user `{0}` already")]
    Exists(String),
    /// There is none.
    #[error("there is no user `{0}`")]
    Unknown(String),
    /// Too many.
    #[error("there are {USERS_MAX} users, the most that are kept")]
    TooMany,
}

/// Reads the users of a file; without the file there are none.
///
/// # Errors
/// When the file cannot be read.
pub fn read(path: &Path) -> Result<Vec<User>, UserError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(UserError::Io { doing: "read", path: path.into(), source }),
    };
    serde_json::from_str(&text)
        .map_err(|error| UserError::Malformed { path: path.into(), message: error.to_string() })
}

fn write(path: &Path, users: &[User]) -> Result<(), UserError> {
    let io = |doing, source| UserError::Io { doing, path: path.to_owned(), source };
    let text = serde_json::to_string_pretty(users)
        .map_err(|error| UserError::Malformed { path: path.into(), message: error.to_string() })?;
    // Whole or not at all, and never readable by others.
    let draft = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(|error| io("write", error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| io("write", error))?;
    fs::rename(&draft, path).map_err(|error| io("replace", error))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io("sync the folder of", error))
}

/// Keeps two commands from changing the file at once, until it is dropped.
fn lock(path: &Path) -> Result<fs::File, UserError> {
    let path = path.with_extension("lock");
    let opened = fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    opened.and_then(|file| file.lock().map(|()| file)).map_err(|source| UserError::Io {
        doing: "lock",
        path,
        source,
    })
}

/// Adds a user with keys made of `random`.
///
/// # Errors
/// When the name is taken or malformed, or the file fails.
pub fn add(path: &Path, name: &str, role: Role, random: &[u8; 80]) -> Result<Issued, UserError> {
    let ok = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(ok) {
        return Err(UserError::Name(name.into()));
    }
    let _alone = lock(path)?;
    let mut users = read(path)?;
    if users.iter().any(|user| user.name == name) {
        return Err(UserError::Exists(name.into()));
    }
    if users.len() >= USERS_MAX {
        return Err(UserError::TooMany);
    }
    let (key, rest) = random.split_at(8);
    let (secret, token) = rest.split_at(30);
    let (access_key_id, secret, token) =
        (format!("FLEET{}", hex(key).to_uppercase()), hex(secret), hex(token));
    users.push(User {
        name: name.into(),
        role,
        access_key_id: access_key_id.clone(),
        secret_access_key: secret.clone(),
        token_sha256: hex(&Sha256::digest(&token)),
    });
    users.sort_by(|a, b| a.name.cmp(&b.name));
    write(path, &users)?;
    Ok(Issued { access_key_id, secret_access_key: Secret::new(&secret), token: Secret::new(&token) })
}

/// Removes a user; its keys are refused from then on.
///
/// # Errors
/// When there is none of that name, or the file fails.
pub fn remove(path: &Path, name: &str) -> Result<(), UserError> {
    let _alone = lock(path)?;
    let mut users = read(path)?;
    let before = users.len();
    users.retain(|user| user.name != name);
    if users.len() == before {
        return Err(UserError::Unknown(name.into()));
    }
    write(path, &users)
}

#[derive(Debug, Default)]
struct Seen {
    /// Time, length and number of the file: it is replaced as a whole, and so has another number then.
    mark: Option<(SystemTime, u64, u64)>,
    users: Arc<[User]>,
}

/// The users of a file, read again when it has changed.
#[derive(Debug)]
pub struct Users {
    path: PathBuf,
    seen: Mutex<Seen>,
}

impl Users {
    /// Of this file, which may come later.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, seen: Mutex::default() }
    }

    /// All users. A file that cannot be read has none, so that nobody gets in by a broken file.
    #[must_use]
    pub fn all(&self) -> Arc<[User]> {
        let mark = fs::metadata(&self.path)
            .ok()
            .and_then(|file| Some((file.modified().ok()?, file.len(), file.ino())));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.mark != mark {
            let users = read(&self.path).unwrap_or_else(|error| {
                tracing::error!(%error, "nobody can log in");
                Vec::new()
            });
            *seen = Seen { mark, users: users.into() };
        }
        Arc::clone(&seen.users)
    }

    /// The user whose bearer token the request carries.
    #[must_use]
    pub fn by_token(&self, headers: &HeaderMap) -> Option<User> {
        let sent = headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")?;
        let hash = hex(&Sha256::digest(sent));
        let users = self.all();
        let admitted = |user: &&User| bool::from(user.token_sha256.as_bytes().ct_eq(hash.as_bytes()));
        users.iter().find(admitted).cloned()
    }

    /// The user of an access key.
    #[must_use]
    pub fn by_key(&self, access_key: &str) -> Option<User> {
        self.all().iter().find(|user| user.access_key_id == access_key).cloned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn users_come_and_go_and_only_the_owner_can_read_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.json");
        let users = Users::new(path.clone());
        assert!(users.all().is_empty());
        let issued = add(&path, "ann", Role::Responder, &[7; 80]).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let ann = users.by_key(&issued.access_key_id).unwrap();
        assert_eq!((ann.name.as_str(), ann.role), ("ann", Role::Responder));
        assert_eq!(ann.secret(), issued.secret_access_key);
        let mut headers = HeaderMap::new();
        headers.insert("authorization", format!("Bearer {}", issued.token.expose()).parse().unwrap());
        assert_eq!(users.by_token(&headers).unwrap().name, "ann");
        assert!(!fs::read_to_string(&path).unwrap().contains(issued.token.expose()));
        let shown = format!("{ann:?} {issued:?}");
        assert!(!shown.contains(issued.secret_access_key.expose()) && !shown.contains(issued.token.expose()));

        assert!(matches!(add(&path, "ann", Role::Viewer, &[8; 80]), Err(UserError::Exists(_))));
        assert!(matches!(add(&path, "a b", Role::Viewer, &[8; 80]), Err(UserError::Name(_))));
        remove(&path, "ann").unwrap();
        assert!(matches!(remove(&path, "ann"), Err(UserError::Unknown(_))));
        assert!(users.by_key(&issued.access_key_id).is_none() && users.by_token(&headers).is_none());
    }

    #[test]
    fn a_broken_file_lets_nobody_in() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("users.json");
        add(&path, "ann", Role::Viewer, &[7; 80]).unwrap();
        fs::write(&path, "[{}]").unwrap();
        assert!(Users::new(path.clone()).all().is_empty());
        assert!(read(&path).unwrap_err().to_string().contains("users.json"));
    }
}
