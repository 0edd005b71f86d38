//! Memory for one matrix of one expert.

use std::ops::{Deref, DerefMut};
use std::time::{Duration, Instant};

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

/// Buffers for experts on their way from disk, of the few sizes that there are.
pub struct Transit {
    free: Vec<Held>,
    /// Those of given up slots, which go back to the system bit by bit.
    leaving: Vec<Held>,
    /// Experts that may be on their way at once, for each size.
    most: usize,
}

impl Transit {
    pub fn new(most: usize) -> Transit {
        Transit {
            free: Vec::new(),
            leaving: Vec::new(),
            most: most.max(1),
        }
    }

    /// Experts of one size that may be on their way at once.
    pub fn most(&self) -> usize {
        self.most
    }

    /// Buffers of these sizes; `None` if the system has no memory left. While memory is
    /// leaving no more is taken from the system than it gets back.
    pub fn take(&mut self, sizes: [usize; 3]) -> Option<Held> {
        let fits = |held: &Held| held.iter().zip(sizes).all(|(b, size)| b.len == size);
        if let Some(at) = self.free.iter().position(fits) {
            return Some(self.free.swap_remove(at));
        }
        match self.leaving.iter().rposition(fits) {
            Some(at) => return Some(self.leaving.swap_remove(at)),
            None => drop(self.leaving.pop()),
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

    /// Takes the buffers of slots that were given up.
    pub fn retire(&mut self, held: impl Iterator<Item = Held>) {
        self.leaving.extend(held);
    }

    /// Gives memory of retired buffers back to the system for about this long. Gigabytes
    /// of it take longer than anyone should wait for a token.
    pub fn give_back(&mut self, time: Duration) {
        let start = Instant::now();
        while self.leaving.pop().is_some() && start.elapsed() < time {}
        if self.leaving.is_empty() {
            self.leaving = Vec::new();
        }
    }

    /// Bytes that are still to be given back.
    pub fn leaving_bytes(&self) -> u64 {
        self.leaving.iter().map(bytes).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.free.iter().map(bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(sizes: [usize; 3]) -> Held {
        sizes.map(|size| Buffer::try_new(size).unwrap())
    }

    #[test]
    fn what_leaves_is_used_again_before_more_is_taken() {
        let (small, large) = ([10, 20, 30], [100, 100, 100]);
        let mut transit = Transit::new(4);
        transit.retire((0..6).map(|_| held(small)));
        assert_eq!(transit.leaving_bytes(), 6 * 60);
        transit.take(small).unwrap();
        assert_eq!(transit.leaving_bytes(), 5 * 60, "used again");
        transit.take(large).unwrap();
        assert_eq!(transit.leaving_bytes(), 4 * 60, "one went for another");
        transit.give_back(Duration::ZERO);
        assert_eq!(transit.leaving_bytes(), 3 * 60, "never none");
        transit.give_back(Duration::from_secs(60));
        assert_eq!(transit.leaving_bytes(), 0);
        assert_eq!(transit.bytes(), 0);
    }
}
