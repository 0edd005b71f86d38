//! Reading past the page cache, so that what a program keeps in memory is what it
//! decided to keep. What the system has in memory anyway is taken from there, and
//! left there.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};

use rustix::fs::{Advice, OFlags, fadvise};

use crate::checkpoint::Checkpoint;
use crate::error::CheckpointError;
use crate::packed::{Packed, read};
use crate::page_cache::PageCache;
use crate::source::SourceFile;
use crate::tensor::TensorInfo;

/// Offsets, lengths and memory of direct reads are multiples of this: the size of
/// a page, and of the largest sectors in use.
pub const DIRECT_ALIGNMENT: usize = 4096;

/// The files of a checkpoint for reads that leave nothing in the page cache.
#[derive(Debug)]
pub struct DirectReader<'a> {
    checkpoint: &'a Checkpoint,
    files: &'a [Option<Direct>],
}

/// The second handles of a checkpoint's files.
#[derive(Debug, Default)]
pub struct DirectFiles(Vec<Option<Direct>>);

/// A file once more, where its file system can read directly.
#[derive(Debug)]
struct Direct {
    file: File,
    cache: Option<PageCache>,
}

impl DirectFiles {
    /// Opens all files again. One whose file system cannot read directly is read
    /// through the page cache, which is told afterwards to forget it.
    pub fn open(checkpoint: &Checkpoint) -> DirectFiles {
        DirectFiles(checkpoint.sources().iter().map(open_direct).collect())
    }

    pub fn reader<'a>(&'a self, checkpoint: &'a Checkpoint) -> DirectReader<'a> {
        DirectReader {
            checkpoint,
            files: &self.0,
        }
    }

    /// Do all files bypass the page cache?
    pub fn all_direct(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }
}

/// Scratch memory that a read of `len` bytes of a tensor needs.
pub fn scratch_for(t: &TensorInfo, len: usize) -> usize {
    match &t.packed {
        None => scratch_bytes(len),
        // What was read stays while it is decoded. No packing takes more bytes than
        // its blocks by more than its small tables.
        Some(packed) => {
            let share = len as u64 * t.stored_bytes() / t.bytes.max(1);
            let tables = packed.parts.len() * 2 * DIRECT_ALIGNMENT + TABLES;
            scratch_bytes(len) + scratch_bytes(share as usize) + tables
        }
    }
}

/// Bytes of tables and states of a packed matrix, of which a part needs all.
const TABLES: usize = 16 << 10;

/// Scratch memory that a read of `len` bytes that lie together needs.
fn scratch_bytes(len: usize) -> usize {
    len.next_multiple_of(DIRECT_ALIGNMENT) + DIRECT_ALIGNMENT
}

impl DirectReader<'_> {
    /// Reads `len` bytes of the tensor from its byte `from` on into `scratch`, and
    /// returns the part of it in which they lie.
    ///
    /// `scratch` begins at a multiple of [`DIRECT_ALIGNMENT`] and has at least
    /// [`scratch_for`] of `len`; otherwise the page cache is used.
    pub fn read<'s>(
        &self,
        t: &TensorInfo,
        from: u64,
        len: usize,
        scratch: &'s mut [u8],
    ) -> Result<&'s [u8], CheckpointError> {
        let (source, start) = self.checkpoint.locate(t, from, len)?;
        if let Some(packed) = &t.packed {
            return self.read_packed(t, packed, from, len, scratch);
        }
        self.read_bytes(source, t.file, start, len, scratch)
    }

    fn read_packed<'s>(
        &self,
        t: &TensorInfo,
        packed: &Packed,
        from: u64,
        len: usize,
        scratch: &'s mut [u8],
    ) -> Result<&'s [u8], CheckpointError> {
        let files = self.checkpoint.sources();
        let (rows, skip) = read::rows(t.row_bytes(), from, len);
        let spans = read::spans(t, packed, files, &rows)?;
        let needed: usize = spans.iter().map(|s| scratch_bytes(s.bytes())).sum();
        let direct = spans.iter().all(|span| span.count == 1);
        let room = len.next_multiple_of(DIRECT_ALIGNMENT);
        if !direct || scratch.len() < room + needed {
            let out = &mut scratch[..len];
            self.checkpoint.read(t, from, out)?;
            return Ok(out);
        }
        let (out, mut left) = scratch.split_at_mut(room);
        let mut pieces = Vec::with_capacity(spans.len());
        for (part, span) in packed.parts.iter().zip(&spans) {
            let (now, rest) = left.split_at_mut(scratch_bytes(span.len));
            left = rest;
            let source = &files[part.file as usize];
            let start = part.offset + span.start as u64;
            pieces.push(self.read_bytes(source, part.file, start, span.len, now)?);
        }
        let out = &mut out[..len];
        read::decode(t, packed, files, &rows, &pieces, skip, out)?;
        Ok(out)
    }

    fn read_bytes<'s>(
        &self,
        source: &SourceFile,
        file: u32,
        start: u64,
        len: usize,
        scratch: &'s mut [u8],
    ) -> Result<&'s [u8], CheckpointError> {
        let direct = self.files.get(file as usize).and_then(Option::as_ref);
        let cache = direct.and_then(|d| d.cache.as_ref());
        if cache.is_some_and(|cache| cache.holds(start, len)) {
            source.read_at(start, &mut scratch[..len])?;
            return Ok(&scratch[..len]);
        }
        let aligned = scratch.as_ptr().addr().is_multiple_of(DIRECT_ALIGNMENT);
        match direct {
            Some(Direct { file, .. }) if aligned && scratch.len() >= scratch_bytes(len) => {
                let lead = (start % DIRECT_ALIGNMENT as u64) as usize;
                let whole = (lead + len).next_multiple_of(DIRECT_ALIGNMENT);
                let out = &mut scratch[..whole];
                let read = read_blocks(file, start - lead as u64, lead + len, out);
                match read {
                    Ok(true) => Ok(&scratch[lead..lead + len]),
                    // Let the ordinary way find the words for what is wrong.
                    Ok(false) | Err(_) => cached(source, start, &mut scratch[..len]),
                }
            }
            _ => cached(source, start, &mut scratch[..len]),
        }
    }
}

/// Reads whole blocks from `at` until `needed` bytes are there; false if the file
/// ends before.
fn read_blocks(file: &File, at: u64, needed: usize, out: &mut [u8]) -> std::io::Result<bool> {
    let mut filled = 0;
    while filled < needed {
        match file.read_at(&mut out[filled..], at + filled as u64) {
            Ok(0) => return Ok(false),
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        }
        // Only the end of a file comes in part of a block.
        if filled < needed && !filled.is_multiple_of(DIRECT_ALIGNMENT) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn cached<'s>(
    source: &SourceFile,
    start: u64,
    out: &'s mut [u8],
) -> Result<&'s [u8], CheckpointError> {
    source.read_at(start, out)?;
    let len = std::num::NonZeroU64::new(out.len() as u64);
    // Only advice: a system that does not take it keeps the pages.
    let _ = fadvise(source.file(), start, len, Advice::DontNeed);
    Ok(out)
}

/// The open file once more by its descriptor, so that it is the same one even if
/// its name now means another.
fn open_direct(source: &SourceFile) -> Option<Direct> {
    let path = format!("/proc/self/fd/{}", source.file().as_raw_fd());
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(OFlags::DIRECT.bits() as i32)
        .open(path)
        .ok()?;
    // Some file systems take the flag and fail the read.
    let mut probe = vec![0; 2 * DIRECT_ALIGNMENT];
    let start = probe.as_ptr().align_offset(DIRECT_ALIGNMENT);
    let block = probe.get_mut(start..start + DIRECT_ALIGNMENT)?;
    file.read_at(block, 0).ok().filter(|n| *n > 0)?;
    let cache = PageCache::of(&file);
    Some(Direct { file, cache })
}
