//! A persistent thread pool with fork-join of a few microseconds.
//!
//! A token needs hundreds of parallel regions with little between them, so the
//! workers spin for a while after a region before they go to sleep, the calling
//! thread works too, and the join waits only for workers that took part: a
//! worker that was asleep or had lost its core does not hold up a short region.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// How long a worker looks for the next region before it sleeps.
const SPIN: Duration = Duration::from_micros(100);

/// The state word: whether a region is open for workers to enter, its number,
/// and how many workers are in it.
const OPEN: u64 = 1 << 63;
const REGION: u64 = 1 << 32;
const INSIDE: u64 = REGION - 1;

/// The function of a region; it outlives the region, and no one calls it after.
#[derive(Clone, Copy)]
struct Job {
    run: *const (dyn Fn(usize) + Sync),
    tasks: usize,
}

struct Shared {
    state: AtomicU64,
    /// Written by the caller while no region is open and no worker inside.
    job: UnsafeCell<Option<Job>>,
    /// The next task that nobody has claimed.
    next: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    asleep: Box<[AtomicBool]>,
    stop: AtomicBool,
}

// SAFETY: `job` is written only by the thread that holds `Pool::busy`, while the
// state is closed with nobody inside, and read only by threads inside an open
// region; the state word orders the two. What it points to is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer is dereferenced only during its region.
unsafe impl Send for Shared {}

/// Worker threads; the calling thread is one more.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    threads: Vec<Thread>,
    handles: Vec<JoinHandle<()>>,
    busy: AtomicBool,
}

impl Pool {
    /// A pool in which `threads` threads work, the caller included. Fewer, if
    /// the system does not give as many.
    pub(crate) fn new(threads: usize) -> Pool {
        let workers = threads.max(1) - 1;
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            panic: Mutex::new(None),
            asleep: (0..workers).map(|_| AtomicBool::new(false)).collect(),
            stop: AtomicBool::new(false),
        });
        let handles: Vec<_> = (0..workers)
            .map_while(|index| {
                let shared = Arc::clone(&shared);
                std::thread::Builder::new()
                    .name(format!("compute-{}", index + 1))
                    .spawn(move || shared.work(index))
                    .ok()
            })
            .collect();
        Pool {
            shared,
            threads: handles.iter().map(|h| h.thread().clone()).collect(),
            handles,
            busy: AtomicBool::new(false),
        }
    }

    pub(crate) fn threads(&self) -> usize {
        self.handles.len() + 1
    }

    /// Runs `f(0..tasks)`; returns when all are done. Runs on the calling thread
    /// alone if the pool is in use, which is so for a call from within a task.
    pub(crate) fn run(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        if tasks <= 1 || self.handles.is_empty() || self.busy.swap(true, Ordering::Acquire) {
            (0..tasks).for_each(f);
            return;
        }
        let shared = &*self.shared;
        // SAFETY: only the lifetime is forgotten. Before this function returns,
        // by panic or not, the region is closed and every worker has left it.
        let run = unsafe {
            std::mem::transmute::<*const (dyn Fn(usize) + Sync), *const (dyn Fn(usize) + Sync)>(f)
        };
        // SAFETY: `busy` is held, the state is closed and nobody inside.
        unsafe { *shared.job.get() = Some(Job { run, tasks }) };
        shared.next.store(0, Ordering::Relaxed);
        let region = (shared.state.load(Ordering::Relaxed) & !OPEN & !INSIDE).wrapping_add(REGION);
        shared
            .state
            .store((region & !OPEN) | OPEN, Ordering::SeqCst);
        let wanted = self.threads.len().min(tasks - 1);
        for (thread, asleep) in self.threads.iter().zip(&shared.asleep).take(wanted) {
            if asleep.load(Ordering::SeqCst) {
                thread.unpark();
            }
        }

        shared.claim(Job { run, tasks });
        shared.state.fetch_and(!OPEN, Ordering::AcqRel);
        let mut waits = 0u32;
        while shared.state.load(Ordering::Acquire) & INSIDE != 0 {
            waits += 1;
            if waits < 2000 {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        let panic = shared.take_panic();
        self.busy.store(false, Ordering::Release);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for handle in self.handles.drain(..) {
            handle.thread().unpark();
            // A worker catches the panics of its tasks; there is no error to report.
            let _ = handle.join();
        }
    }
}

impl Shared {
    /// Runs tasks until none is left; a panic ends the region for everyone.
    fn claim(&self, job: Job) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the caller keeps the function alive until all have left.
            let run = unsafe { &*job.run };
            loop {
                let task = self.next.fetch_add(1, Ordering::Relaxed);
                if task >= job.tasks {
                    break;
                }
                run(task);
            }
        }));
        if let Err(panic) = result {
            self.next.store(job.tasks, Ordering::Relaxed);
            self.panic
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .get_or_insert(panic);
        }
    }

    fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        self.panic
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The life of worker `index`.
    fn work(&self, index: usize) {
        let mut seen = 0;
        while let Some(region) = self.next_region(index, seen) {
            seen = region;
            // SAFETY: this thread is inside an open region, so the job is set
            // and nobody writes it.
            if let Some(job) = unsafe { *self.job.get() } {
                self.claim(job);
            }
            self.state.fetch_sub(1, Ordering::Release);
        }
    }

    /// Waits for an open region other than `seen` and enters it; `None` when the
    /// pool is dropped.
    fn next_region(&self, index: usize, seen: u64) -> Option<u64> {
        let mut idle_since = None;
        loop {
            for _ in 0..64 {
                if let Some(region) = self.enter(seen) {
                    return Some(region);
                }
                std::hint::spin_loop();
            }
            if self.stop.load(Ordering::SeqCst) {
                return None;
            }
            if idle_since.get_or_insert_with(Instant::now).elapsed() < SPIN {
                continue;
            }
            // Announce the sleep, then look once more: a caller publishes the
            // region before it looks for sleepers, so one of the two sees it.
            self.asleep[index].store(true, Ordering::SeqCst);
            let state = self.state.load(Ordering::SeqCst);
            let waiting = state & OPEN != 0 && state & !OPEN & !INSIDE != seen;
            if !waiting && !self.stop.load(Ordering::SeqCst) {
                std::thread::park();
                idle_since = None;
            }
            self.asleep[index].store(false, Ordering::SeqCst);
        }
    }

    fn enter(&self, seen: u64) -> Option<u64> {
        let state = self.state.load(Ordering::Acquire);
        let region = state & !OPEN & !INSIDE;
        if state & OPEN == 0 || region == seen {
            return None;
        }
        self.state
            .compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
            .then_some(region)
    }
}
