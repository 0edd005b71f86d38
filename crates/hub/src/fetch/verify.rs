//! The checksum of a file while it comes in: follows the blocks in order, also
//! through those that an earlier run fetched.

use std::io;

use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use super::partial::{BLOCK, Partial, block_bytes, blocks};
use super::plan::Plan;
use super::progress::Progress;
use crate::error::{HubError, Result};
use crate::names::Digest;

/// Blocks that may read back wrong, beyond each one once, before the disk is
/// called faulty.
const MOST_FAULTS: usize = 8;
/// Bytes after which what was written is sent on to the disk, so that the end
/// does not have to wait for all of it.
const FLUSH: u64 = 512 << 20;

/// A running checksum of either kind.
#[derive(Clone)]
pub(crate) enum Hasher {
    Sha256(Sha256),
    GitBlob(Sha1),
}

impl Hasher {
    pub fn new(digest: &Digest, size: u64) -> Hasher {
        match digest {
            Digest::Sha256(_) => Hasher::Sha256(Sha256::new()),
            Digest::GitBlob(_) => {
                let mut sha = Sha1::new();
                sha.update(format!("blob {size}\0"));
                Hasher::GitBlob(sha)
            }
        }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        match self {
            Hasher::Sha256(sha) => sha.update(bytes),
            Hasher::GitBlob(sha) => sha.update(bytes),
        }
    }

    pub fn matches(self, digest: &Digest) -> bool {
        let bytes = match self {
            Hasher::Sha256(sha) => sha.finalize().to_vec(),
            Hasher::GitBlob(sha) => sha.finalize().to_vec(),
        };
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        hex == digest.hex()
    }
}

/// Reads each block as soon as it is there. Returns whether the whole file has
/// its digest, or `None` if the fetch ended before.
pub(super) fn follow(
    plan: &Plan,
    partial: &Partial,
    progress: &Progress,
    digest: &Digest,
    size: u64,
) -> Result<Option<bool>> {
    let mut hasher = Hasher::new(digest, size);
    let mut buffer = vec![0; BLOCK.min(size) as usize];
    let mut faults = 0;
    let mut at = 0;
    for i in 0..blocks(size) {
        let bytes = block_bytes(i, size);
        let block = &mut buffer[..bytes as usize];
        loop {
            let Some(crc) = plan.wait_for(i) else {
                return Ok(None);
            };
            match partial.read(at, block) {
                Ok(()) if crc32fast::hash(block) == crc => break,
                Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => {
                    return Err(HubError::disk(&partial.path, "cannot be read", e));
                }
                // Left by a run that was cut off before the disk had it all.
                _ => {
                    faults += 1;
                    if faults > blocks(size) + MOST_FAULTS {
                        return Err(HubError::FaultyDisk(partial.path.clone()));
                    }
                    progress.remove_present(bytes);
                    plan.lost(i);
                }
            }
        }
        hasher.update(block);
        at += bytes;
        progress.set_verified(at);
        if at % FLUSH == 0 {
            let failed = |e| HubError::disk(&partial.path, "cannot be written", e);
            partial.flush().map_err(failed)?;
        }
    }
    Ok(Some(hasher.matches(digest)))
}
