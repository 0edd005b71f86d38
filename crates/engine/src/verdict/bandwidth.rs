//! How fast this machine reads memory and disk.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

use moestro_kernels::Compute;
use serde::{Deserialize, Serialize};

use crate::hardware;

/// Bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Bandwidth {
    pub memory: f64,
    /// Of reads in pieces as large as an expert, at scattered places.
    pub disk: f64,
}

const PIECE: usize = 2 << 20;
const PIECES: usize = 48;
/// Assumed of a disk that cannot be measured: a slow SSD.
const USUAL_DISK: f64 = 500e6;

/// Measures with `threads` threads and the disk of `folder`; takes about a second
/// and 100 MB of disk for that time.
pub fn measure(threads: usize, folder: &Path) -> Bandwidth {
    Bandwidth {
        memory: hardware::read_bandwidth(&Compute::new(threads.max(1))),
        disk: disk(folder).unwrap_or(USUAL_DISK),
    }
}

fn disk(folder: &Path) -> io::Result<f64> {
    let existing = folder.ancestors().find(|path| path.is_dir());
    let path = existing
        .unwrap_or(Path::new("."))
        .join(format!(".moestro-speed-{}", std::process::id()));
    let mut file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path)?;
    // Without a name it is gone whatever happens.
    std::fs::remove_file(&path)?;
    let piece: Vec<u8> = (0..PIECE).map(|i| (i * 31 % 251) as u8).collect();
    for _ in 0..PIECES {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    forget(&file)?;
    let mut buffer = vec![0; PIECE];
    let start = Instant::now();
    for i in 0..PIECES {
        // Every piece once, in an order that no reading ahead expects.
        let at = i * 29 % PIECES;
        file.seek(SeekFrom::Start((at * PIECE) as u64))?;
        file.read_exact(&mut buffer)?;
    }
    Ok((PIECES * PIECE) as f64 / start.elapsed().as_secs_f64())
}

/// Makes the system read the file from disk the next time.
fn forget(file: &File) -> io::Result<()> {
    rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_a_speed_and_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let speed = disk(&folder.path().join("not/yet/made")).unwrap();
        assert!(speed > 1e6 && speed < 1e12, "{speed}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
