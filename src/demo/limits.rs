//! Open files: each device costs two, one on either end of its connection.

/// Files that everything else needs.
const OTHERS: u64 = 256;

/// Files that `devices` devices need.
pub(super) const fn needed(devices: u64) -> u64 {
    2 * devices + OTHERS
}

/// Devices that `files` open files are enough for.
pub(super) const fn devices(files: u64) -> u64 {
    files.saturating_sub(OTHERS) / 2
}

/// Raises the soft limit of open files to `files`, as far as the hard limit allows, and gives
/// back what it is then.
#[cfg(unix)]
pub(super) fn raise(files: u64) -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= files {
        return current;
    }
    let wanted = limit.maximum.map_or(files, |maximum| maximum.min(files));
    match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }) {
        Ok(()) => wanted,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            current
        }
    }
}

/// Systems without such a limit.
#[cfg(not(unix))]
pub(super) fn raise(_files: u64) -> u64 {
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_devices_match() {
        assert_eq!(needed(1_000), 2_256);
        assert_eq!(devices(needed(1_000)), 1_000);
        assert_eq!(devices(100), 0);
        assert!(raise(10) >= 10);
    }
}
