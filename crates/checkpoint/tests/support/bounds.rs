//! The bounds within which every file must be opened or refused, counted for the
//! calling thread alone, so that tests may run side by side.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes on the heap at most, above what there was before.
const MEMORY: usize = 512 << 20;
/// Nanoseconds on a processor at most. Waiting for one does not count.
const PROCESSOR_TIME: u64 = 2_000_000_000;

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(bytes: usize) {
    LIVE.set(LIVE.get() + bytes);
    PEAK.set(PEAK.get().max(LIVE.get()));
}

fn shrink(bytes: usize) {
    LIVE.set(LIVE.get().saturating_sub(bytes));
}

// SAFETY: every call goes to the system's allocator unchanged; the counters are
// constants at first and need no destructor, so that counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller's promises are those `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new may exist side by side.
        grow(size);
        shrink(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

/// Runs `work` and asserts that it stayed within the bounds.
#[track_caller]
pub fn bounded<T>(work: impl FnOnce() -> T) -> T {
    let live = LIVE.get();
    PEAK.set(live);
    let start = processor_time();
    let result = work();
    let time = processor_time() - start;
    let memory = PEAK.get() - live;
    if memory > 32 << 20 {
        println!(
            "{} MiB, {} ms of processor time",
            memory >> 20,
            time / 1_000_000
        );
    }
    assert!(memory < MEMORY, "took {memory} bytes of memory");
    assert!(time < PROCESSOR_TIME, "took {time} ns of processor time");
    result
}

/// Nanoseconds this thread has run.
fn processor_time() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}
