//! The process keeps itself small and polite.

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use serde::Deserialize;

/// The least favourable niceness. It is the weight of disk access as well, where a scheduler that
/// knows weights is in use (ioprio_set(2): without a class of its own, that of the niceness counts).
const NICENESS: i32 = 19;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Limits {
    memory_mib: Option<u64>,
}

/// Lowers the priority, and bounds the memory to what the request says.
///
/// `RLIMIT_DATA` bounds what is allocated (since Linux 4.7 private mappings as well), and leaves out
/// files that are mapped for reading and address space that allocators only reserve. An allocation
/// beyond it ends this process; the engine sees that and goes on.
pub(crate) fn apply(request: &str) -> anyhow::Result<()> {
    let limits: Limits = serde_json::from_str(request).context("the request cannot be read")?;
    // Nobody is worse off if the system refuses.
    nice(NICENESS).ok();
    if let Some(mib) = limits.memory_mib {
        let bytes = Some(mib.saturating_mul(1 << 20));
        setrlimit(Resource::Data, Rlimit { current: bytes, maximum: bytes })
            .with_context(|| format!("cannot bound the memory to {mib} MiB"))?;
    }
    Ok(())
}
