//! Which parts of a file the system has in memory anyway, because it was just
//! downloaded or another program uses it.

use std::fs::File;
use std::os::unix::fs::MetadataExt;

use memmap2::Mmap;
use rustix::process::geteuid;

/// Pages that are asked about at once.
const AT_ONCE: usize = 1024;

/// A file that can be asked about. Takes addresses, but no memory.
#[derive(Debug)]
pub struct PageCache {
    map: Mmap,
    page: usize,
}

impl PageCache {
    /// `None` where the system does not tell.
    pub fn of(file: &File) -> Option<PageCache> {
        // Of other people's files Linux says that all of it was in memory.
        let user = geteuid();
        let own = user.is_root() || file.metadata().ok()?.uid() == user.as_raw();
        if !own {
            return None;
        }
        // SAFETY: nobody reads through the map, so it does not matter who changes
        // or cuts the file.
        let map = unsafe { Mmap::map(file) }.ok()?;
        // SAFETY: asks for a constant.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        let page = usize::try_from(page).ok().filter(|p| *p > 0)?;
        Some(PageCache { map, page })
    }

    /// Can these bytes be read without the disk?
    pub fn holds(&self, start: u64, len: usize) -> bool {
        let (map, page) = (&self.map, self.page);
        let Some(end) = usize::try_from(start).ok().and_then(|s| s.checked_add(len)) else {
            return false;
        };
        if end > map.len() {
            return false;
        }
        let mut at = start as usize / page * page;
        let mut present = [0_u8; AT_ONCE];
        while at < end {
            let pages = (end - at).div_ceil(page).min(AT_ONCE);
            let bytes = (pages * page).min(map.len() - at);
            // SAFETY: `at` is a multiple of the page size and `bytes` ends within the
            // map; there is a byte of `present` for each page of it.
            let told = unsafe {
                let from = map.as_ptr().add(at).cast_mut().cast();
                libc::mincore(from, bytes, present.as_mut_ptr())
            };
            if told != 0 || present[..pages].iter().any(|p| p & 1 == 0) {
                return false;
            }
            at += pages * page;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_just_written_is_in_memory() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; 5 << 20]).unwrap();
        let cache = PageCache::of(&file).unwrap();
        assert!(cache.holds(0, 5 << 20));
        assert!(cache.holds(4097, 100) && cache.holds((5 << 20) - 1, 1));
        assert!(!cache.holds(1, 5 << 20) && !cache.holds(u64::MAX, 1));
    }

    #[test]
    fn a_hole_is_not() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(1 << 20).unwrap();
        assert!(!PageCache::of(&file).unwrap().holds(0, 1 << 20));
    }
}
