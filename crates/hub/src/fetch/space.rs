//! Free space on the disk below a folder.

use std::path::Path;

use crate::cache::parent;
use crate::error::{HubError, Result};

/// Left free for everything else on the disk.
const RESERVE: u64 = 64 << 20;

/// Bytes that a file in `folder`, which may not exist yet, could still take.
pub fn free(folder: &Path) -> Option<u64> {
    let existing = folder.ancestors().find(|path| path.exists())?;
    let existing = if existing.as_os_str().is_empty() {
        Path::new(".")
    } else {
        existing
    };
    let about = rustix::fs::statvfs(existing).ok()?;
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

/// Errors if `bytes` more do not fit on the disk of `path`. A disk that does not tell is taken as free.
pub fn check(path: &Path, bytes: u64) -> Result<()> {
    let folder = parent(path);
    match free(folder) {
        Some(free) if bytes > 0 && free < bytes.saturating_add(RESERVE.min(bytes / 8)) => {
            Err(HubError::Space {
                folder: folder.into(),
                free,
                needed: bytes,
            })
        }
        _ => Ok(()),
    }
}
