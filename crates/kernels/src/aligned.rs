//! Zeroed buffers aligned to cache lines.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const ALIGNMENT: usize = 64;

/// Bytes on the heap, aligned to 64, whose allocation may fail.
///
/// The allocation itself is longer and less aligned: only then are fresh pages,
/// which the system clears, not cleared once more.
pub struct AlignedBytes {
    allocated: NonNull<u8>,
    /// From the allocation to the first byte in use.
    skipped: usize,
    len: usize,
}

// SAFETY: it owns its bytes, as a `Vec<u8>` does.
unsafe impl Send for AlignedBytes {}
// SAFETY: as above; shared access only reads.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// `len` zero bytes; `None` if the system does not give that much memory.
    pub fn try_new(len: usize) -> Option<AlignedBytes> {
        // SAFETY: the layout is not of size zero.
        let allocated = NonNull::new(unsafe { alloc_zeroed(layout(len)?) })?;
        let skipped = allocated.addr().get().wrapping_neg() % ALIGNMENT;
        Some(AlignedBytes {
            allocated,
            skipped,
            len,
        })
    }

    fn start(&self) -> NonNull<u8> {
        // SAFETY: the allocation is longer than `len` by more than what is skipped.
        unsafe { self.allocated.add(self.skipped) }
    }
}

/// Of an allocation with room for `len` bytes after the skipped ones.
fn layout(len: usize) -> Option<Layout> {
    Layout::from_size_align(len.checked_add(ALIGNMENT)?, 1).ok()
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        let layout = layout(self.len).expect("the buffer was made with this layout");
        // SAFETY: allocated in `try_new` with this layout.
        unsafe { dealloc(self.allocated.as_ptr(), layout) }
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` initialised bytes that `self` owns.
        unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `len` initialised bytes that `self` owns exclusively.
        unsafe { std::slice::from_raw_parts_mut(self.start().as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AlignedBytes({})", self.len)
    }
}

/// Zeroed floats that begin on a cache line, so that no vector of a row of whole
/// vectors lies on two.
pub(crate) struct Floats {
    data: Vec<f32>,
    start: usize,
    len: usize,
}

impl Floats {
    pub(crate) fn zeros(len: usize) -> Floats {
        let data = vec![0.0; len + ALIGNMENT / size_of::<f32>()];
        let start = data.as_ptr().align_offset(ALIGNMENT).min(data.len() - len);
        Floats { data, start, len }
    }
}

impl Deref for Floats {
    type Target = [f32];

    #[inline(always)]
    fn deref(&self) -> &[f32] {
        &self.data[self.start..self.start + self.len]
    }
}

impl DerefMut for Floats {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.data[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_zeroed_aligned_and_writable() {
        for len in [0, 1, 63, 64, 100_000] {
            let mut bytes = AlignedBytes::try_new(len).expect("little memory");
            assert_eq!(bytes.len(), len);
            assert_eq!(bytes.as_ptr().addr() % ALIGNMENT, 0);
            assert!(bytes.iter().all(|b| *b == 0));
            bytes.fill(7);
            assert!(bytes.iter().all(|b| *b == 7));
        }
    }

    #[test]
    fn refuses_what_no_machine_has() {
        assert!(AlignedBytes::try_new(usize::MAX).is_none());
        assert!(AlignedBytes::try_new(isize::MAX as usize / 2).is_none());
    }
}
