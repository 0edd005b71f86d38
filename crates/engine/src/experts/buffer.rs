//! Memory for one matrix of one expert.

use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;

/// Zeroed pages of their own, which the system gets back the moment they are
/// dropped: a heap would keep them, and a smaller budget would free nothing.
pub struct Buffer {
    pages: MmapMut,
    len: usize,
}

impl Buffer {
    /// `None` if the system does not give that much memory.
    pub fn try_new(len: usize) -> Option<Buffer> {
        let pages = MmapMut::map_anon(len.max(1)).ok()?;
        Some(Buffer { pages, len })
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.pages[..self.len]
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.pages[..self.len]
    }
}

/// The matrices of one expert: gate, up, down.
pub type Held = [Buffer; 3];

pub fn bytes(held: &Held) -> u64 {
    held.iter().map(|b| b.len as u64).sum()
}

/// Experts whose memory one thread gives back while others do the same.
const FREED_BY_ONE: usize = 64;
const FREEING_THREADS: usize = 4;

/// Gives memory back to the system. Gigabytes of it take one thread longer than there
/// is time between two tokens.
pub fn free(mut held: Vec<Held>) {
    let threads = (held.len() / FREED_BY_ONE).clamp(1, FREEING_THREADS);
    let each = held.len().div_ceil(threads);
    std::thread::scope(|scope| {
        while held.len() > each {
            let part = held.split_off(held.len() - each);
            // Without another thread it is given back by this one.
            let _ = std::thread::Builder::new().spawn_scoped(scope, || drop(part));
        }
        drop(held);
    });
}

/// Buffers for experts on their way from disk, of the few sizes that there are.
pub struct Transit {
    free: Vec<Held>,
    /// Experts that may be on their way at once, for each size.
    most: usize,
}

impl Transit {
    pub fn new(most: usize) -> Transit {
        Transit {
            free: Vec::new(),
            most: most.max(1),
        }
    }

    /// Experts of one size that may be on their way at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Buffers of these sizes; `None` if the system has no memory left.
    pub fn take(&mut self, sizes: [usize; 3]) -> Option<Held> {
        let fits = |held: &Held| held.iter().zip(sizes).all(|(b, size)| b.len == size);
        if let Some(at) = self.free.iter().position(fits) {
            return Some(self.free.swap_remove(at));
        }
        let [gate, up, down] = sizes.map(Buffer::try_new);
        Some([gate?, up?, down?])
    }

    /// Takes back what is no longer needed. What is too much is freed.
    pub fn put(&mut self, held: Held) {
        let size = bytes(&held);
        let same = self.free.iter().filter(|h| bytes(h) == size).count();
        if same < self.most {
            self.free.push(held);
        }
    }

    pub fn bytes(&self) -> u64 {
        self.free.iter().map(bytes).sum()
    }
}
