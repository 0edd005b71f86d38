//! The file that remembers downloads. One process at a time has it.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::Job;
use crate::cache::sync_folder;
use crate::error::{HubError, Result};

/// A list of downloads is a few hundred kilobytes at most.
const LONGEST: u64 = 16 << 20;

#[derive(Debug)]
pub struct QueueFile {
    path: PathBuf,
    /// Held as long as this process lives.
    _turn: File,
}

impl QueueFile {
    /// Reads the list in `folder`, which is made if it is not there. A damaged
    /// list is set aside, and the last value says so.
    pub(super) fn open(folder: &Path) -> Result<(QueueFile, Vec<Job>, Option<String>)> {
        let path = folder.join("downloads.json");
        let failed = |source| HubError::disk(&path, "cannot be used", source);
        fs::create_dir_all(folder).map_err(failed)?;
        let turn = File::create(folder.join("downloads.lock")).map_err(failed)?;
        match turn.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(HubError::Request(
                    "another window of this app takes care of the downloads; use that one".into(),
                ));
            }
            Err(TryLockError::Error(e)) => return Err(failed(e)),
        }
        let file = QueueFile { path, _turn: turn };
        let (jobs, notice) = match file.read() {
            Ok(jobs) => (jobs, None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (Vec::new(), None),
            Err(e) => (Vec::new(), Some(file.set_aside(&e))),
        };
        Ok((file, jobs, notice))
    }

    /// After this returns, the list survives a power cut.
    pub(super) fn save(&self, jobs: &[Job]) -> Result<()> {
        let failed = |source| HubError::disk(&self.path, "cannot be written", source);
        let write = || {
            let folder = crate::cache::parent(&self.path);
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec_pretty(jobs)?)?;
            file.as_file().sync_all()?;
            file.persist(&self.path).map_err(|e| e.error)?;
            sync_folder(folder)
        };
        write().map_err(failed)
    }

    fn read(&self) -> io::Result<Vec<Job>> {
        if fs::metadata(&self.path)?.len() > LONGEST {
            let problem = format!("it is larger than {LONGEST} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(serde_json::from_slice(&fs::read(&self.path)?)?)
    }

    fn set_aside(&self, error: &io::Error) -> String {
        let aside = self.path.with_file_name("downloads.damaged.json");
        let _ = fs::rename(&self.path, &aside);
        format!(
            "The list of downloads in {} is damaged ({error}). What was fetched is still in the \
             cache: start the downloads again and they go on where they were.",
            self.path.display()
        )
    }
}
