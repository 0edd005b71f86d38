//! An unfinished file on disk, with a map of the blocks that are in it.
//!
//! The map keeps a CRC-32 of each block, so that after a crash or a power cut
//! nothing has to be believed: blocks that do not match are fetched again.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::cache::{parent, sync_folder};
use crate::error::{HubError, Result};

/// Bytes of a block: the most that is lost of each connection when a process dies.
pub(crate) const BLOCK: u64 = 256 << 10;

const MAGIC: &[u8; 8] = b"MOESTRO1";
/// Magic, bytes of the file, bytes of a block.
const HEADER: usize = 24;
/// CRC-32 and the block's number plus one, which tells it from a hole.
const ENTRY: usize = 8;

/// Number of blocks of a file.
pub(crate) fn blocks(size: u64) -> usize {
    size.div_ceil(BLOCK) as usize
}

/// Bytes of block `i` of a file of `size` bytes.
pub(crate) fn block_bytes(i: usize, size: u64) -> u64 {
    BLOCK.min(size - i as u64 * BLOCK)
}

#[derive(Debug)]
pub(crate) struct Partial {
    pub path: PathBuf,
    map_path: PathBuf,
    file: File,
    map: File,
    size: u64,
}

impl Partial {
    /// Opens or makes the file and tells which blocks are there, each with the
    /// checksum it should have.
    pub fn open(path: &Path, size: u64) -> Result<(Partial, Vec<Option<u32>>)> {
        let map_path = map_path(path);
        let failed = |source| HubError::disk(path, "cannot be written", source);
        fs::create_dir_all(parent(path)).map_err(failed)?;
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path).map_err(failed)?;
        let map = options.open(&map_path).map_err(failed)?;
        let partial = Partial {
            path: path.into(),
            map_path,
            file,
            map,
            size,
        };
        let found = match read_map(&partial.map, size) {
            Some(found) => found,
            None => {
                partial.clear().map_err(failed)?;
                vec![None; blocks(size)]
            }
        };
        Ok((partial, found))
    }

    /// Forgets everything fetched so far.
    pub fn clear(&self) -> io::Result<()> {
        self.map.set_len(0)?;
        self.file.set_len(0)?;
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(MAGIC);
        header[8..16].copy_from_slice(&self.size.to_le_bytes());
        header[16..].copy_from_slice(&BLOCK.to_le_bytes());
        self.map.write_all_at(&header, 0)
    }

    pub fn write(&self, at: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, at).map_err(|e| self.full(e))
    }

    pub fn read(&self, at: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, at)
    }

    /// Notes that block `i` is there.
    pub fn mark(&self, i: usize, crc: u32) -> Result<()> {
        let mut entry = [0; ENTRY];
        entry[..4].copy_from_slice(&crc.to_le_bytes());
        entry[4..].copy_from_slice(&(i as u32).wrapping_add(1).to_le_bytes());
        let at = (HEADER + i * ENTRY) as u64;
        self.map.write_all_at(&entry, at).map_err(|e| self.full(e))
    }

    /// Has the file been removed, with its folder or by itself?
    pub fn is_gone(&self) -> bool {
        self.file.metadata().is_ok_and(|m| m.nlink() == 0)
    }

    /// Starts to write to the disk what is only in memory.
    pub fn flush(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Gives the file its final name, durably.
    pub fn finish(&self, name: &Path) -> Result<()> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound => HubError::FolderGone(parent(name).into()),
            _ => HubError::disk(name, "cannot be written", source),
        };
        self.file.sync_all().map_err(failed)?;
        fs::rename(&self.path, name).map_err(failed)?;
        sync_folder(parent(name)).map_err(failed)?;
        let _ = fs::remove_file(&self.map_path);
        Ok(())
    }

    fn full(&self, source: io::Error) -> HubError {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let folder = parent(&self.path);
                HubError::Space {
                    folder: folder.into(),
                    free: super::space::free(folder).unwrap_or(0),
                    needed: BLOCK,
                }
            }
            _ => HubError::disk(&self.path, "cannot be written", source),
        }
    }
}

/// Bytes of an unfinished file that are there, without opening it for writing.
pub(crate) fn present(path: &Path, size: u64) -> u64 {
    let map = File::open(map_path(path)).ok();
    let found = map.and_then(|map| read_map(&map, size)).unwrap_or_default();
    let there = found.iter().enumerate().filter(|(_, crc)| crc.is_some());
    there.map(|(i, _)| block_bytes(i, size)).sum()
}

/// Bytes that the file at `path` takes on the disk, without its holes.
pub(crate) fn bytes_on_disk(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |m| m.blocks() * 512)
}

/// Removes an unfinished file; returns the bytes this freed.
pub(crate) fn remove(path: &Path) -> io::Result<u64> {
    let bytes = bytes_on_disk(path);
    for path in [path, &map_path(path)] {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(bytes)
}

fn map_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push("-map");
    path.with_file_name(name)
}

/// The map, or `None` if it is not one of a file of `size` bytes.
fn read_map(map: &File, size: u64) -> Option<Vec<Option<u32>>> {
    let count = blocks(size);
    let longest = HEADER + count * ENTRY;
    let length = map.metadata().ok()?.len().min(longest as u64) as usize;
    let mut bytes = vec![0; length];
    map.read_exact_at(&mut bytes, 0).ok()?;
    let field = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    if bytes.get(..8)? != MAGIC || field(8)? != size || field(16)? != BLOCK {
        return None;
    }
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let mut found = vec![None; count];
    for (i, entry) in bytes[HEADER..].chunks_exact(ENTRY).enumerate() {
        if word(&entry[4..]) == (i as u32).wrapping_add(1) {
            found[i] = Some(word(entry));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_remembered_and_other_maps_are_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blobs/x.moestro");
        let size = 2 * BLOCK + 5;
        let (partial, found) = Partial::open(&path, size).unwrap();
        assert_eq!(found, [None; 3]);
        partial.write(2 * BLOCK, b"hello").unwrap();
        partial.mark(2, 77).unwrap();
        drop(partial);
        assert_eq!(present(&path, size), 5);
        let (partial, found) = Partial::open(&path, size).unwrap();
        assert_eq!(found, [None, None, Some(77)]);
        partial.mark(0, 0).unwrap();
        drop(partial);
        assert_eq!(present(&path, size), BLOCK + 5);
        // Of another size, damaged, or cut short.
        assert_eq!(present(&path, size + 1), 0);
        let map = map_path(&path);
        let whole = fs::read(&map).unwrap();
        fs::write(&map, &whole[..HEADER + 3]).unwrap();
        assert_eq!(present(&path, size), 0);
        fs::write(&map, vec![b'x'; 1000]).unwrap();
        let (partial, found) = Partial::open(&path, size).unwrap();
        assert_eq!(found, [None; 3]);
        assert!(!partial.is_gone());
        let other = folder.path().join("final");
        partial.finish(&other).unwrap();
        assert!(other.exists() && !path.exists() && !map.exists());
    }
}
