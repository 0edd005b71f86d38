//! One process at a time fetches a file: an advisory lock (flock) on the file
//! that Python's library locks too. The system frees it when its holder dies.

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::time::Duration;

use crate::cache::parent;
use crate::error::{HubError, Result};

const POLL: Duration = Duration::from_millis(200);

/// Waits for the lock, however long; `waiting` is called while somebody else
/// has it. Dropping the file frees it.
pub(super) async fn wait(path: &Path, mut waiting: impl FnMut()) -> Result<File> {
    let failed = |source| HubError::disk(path, "cannot be locked", source);
    fs::create_dir_all(parent(path)).map_err(failed)?;
    loop {
        let mut options = File::options();
        let file = options
            .create(true)
            .append(true)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => waiting(),
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        tokio::time::sleep(POLL).await;
    }
}
