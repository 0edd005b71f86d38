//! How fast this machine reads memory and disk: measured once, and remembered.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use moestro_kernels::Compute;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use crate::experts::READING_THREADS;
use crate::hardware;

/// Bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Bandwidth {
    pub memory: f64,
    /// Of reads in pieces as large as an expert, at scattered places.
    pub disk: f64,
}

/// A measurement, with what has to be the same for it to hold.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Remembered {
    cpu: String,
    threads: usize,
    /// Number of the device that was read.
    device: u64,
    bandwidth: Bandwidth,
}

const PIECE: usize = 2 << 20;
const PIECES: usize = 48;
/// Of direct reads: offsets, lengths and memory.
const ALIGNMENT: usize = 4096;
/// Assumed of a disk that cannot be measured: a slow SSD.
const USUAL_DISK: f64 = 500e6;
/// A file of one measurement is a few hundred bytes.
const LONGEST_FILE: u64 = 1 << 16;

/// As measured earlier with as many threads and on the disk of `folder`, if
/// `store` remembers it; else measured now, which takes about a second and 100 MB
/// of disk for that time. What was measured while others used the processor is
/// not remembered.
pub fn bandwidth(threads: usize, folder: &Path, store: Option<&Path>) -> Bandwidth {
    let folder = folder.ancestors().find(|path| path.is_dir());
    let folder = folder.unwrap_or(Path::new("."));
    let threads = threads.max(1);
    let now = |bandwidth| Remembered {
        cpu: hardware::probe().cpu,
        threads,
        device: fs::metadata(folder).map_or(0, |about| about.dev()),
        bandwidth,
    };
    let known = store.and_then(recall);
    if let Some(known) = known
        && known == now(known.bandwidth)
    {
        return known.bandwidth;
    }
    let is_quiet = waiting() < threads as f64 / 2.0;
    let bandwidth = Bandwidth {
        memory: hardware::read_bandwidth(&Compute::new(threads)),
        disk: disk(folder).unwrap_or(USUAL_DISK),
    };
    if let Some(store) = store.filter(|_| is_quiet) {
        // Not to be able to remember it costs a second the next time.
        let _ = remember(store, &now(bandwidth));
    }
    bandwidth
}

fn recall(store: &Path) -> Option<Remembered> {
    let about = fs::metadata(store).ok()?;
    let text = (about.len() <= LONGEST_FILE).then(|| fs::read(store).ok())??;
    let known: Remembered = serde_json::from_slice(&text).ok()?;
    let Bandwidth { memory, disk } = known.bandwidth;
    let plausible = |speed: f64| speed.is_finite() && speed > 1e6;
    (plausible(memory) && plausible(disk)).then_some(known)
}

fn remember(store: &Path, measured: &Remembered) -> io::Result<()> {
    let folder = store.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(&serde_json::to_vec_pretty(measured)?)?;
    file.persist(store)?;
    Ok(())
}

/// Programs that wanted a processor, averaged over the last minute.
fn waiting() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let average = load.split(' ').next().and_then(|text| text.parse().ok());
    average.unwrap_or(0.0)
}

/// Reads as the engine reads experts: a few threads, past the page cache.
fn disk(folder: &Path) -> io::Result<f64> {
    let path: PathBuf = folder.join(format!(".moestro-speed-{}", std::process::id()));
    let mut options = File::options();
    let options = options.read(true).write(true).create_new(true);
    let mut file = options.open(&path)?;
    // Without a name it is gone whatever happens.
    fs::remove_file(&path)?;
    let piece: Vec<u8> = (0..PIECE).map(|i| (i * 31 % 251) as u8).collect();
    for _ in 0..PIECES {
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let direct = File::options()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()));
    // Some file systems cannot.
    let file = direct.unwrap_or(file);

    let next = AtomicUsize::new(0);
    let read = || {
        let mut memory = vec![0; PIECE + ALIGNMENT];
        let from = memory.as_ptr().align_offset(ALIGNMENT);
        let buffer = &mut memory[from..from + PIECE];
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            if i >= PIECES {
                return Ok(());
            }
            // Every piece once, in an order that no reading ahead expects.
            let at = i * 29 % PIECES;
            file.read_exact_at(buffer, (at * PIECE) as u64)?;
        }
    };
    let start = Instant::now();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..READING_THREADS).map(|_| scope.spawn(read)).collect();
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|end| end.unwrap_or_else(|_| Err(io::Error::other("a read panicked"))))
    })?;
    Ok((PIECES * PIECE) as f64 / start.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_has_a_speed_and_keeps_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let speed = disk(folder.path()).unwrap();
        assert!(speed > 1e6 && speed < 1e12, "{speed}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_was_measured_holds_for_the_same_machine_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("data/speed.json");
        let known = Bandwidth {
            memory: 123e9,
            disk: 4.5e9,
        };
        let mut measured = Remembered {
            cpu: hardware::probe().cpu,
            threads: 2,
            device: fs::metadata(folder.path()).unwrap().dev(),
            bandwidth: known,
        };
        remember(&store, &measured).unwrap();
        let below = folder.path().join("not/yet/made");
        assert_eq!(bandwidth(2, &below, Some(&store)), known);
        assert_ne!(bandwidth(1, &below, Some(&store)), known);
        measured.bandwidth.disk = f64::NAN;
        let _ = remember(&store, &measured);
        assert!(recall(&store).is_none());
    }
}
