//! Where kernels run: threads and an instruction set, passed explicitly.

use crate::isa::{Isa, Level};
use crate::pool::Pool;
use std::ops::Range;
use std::sync::Arc;

/// A thread pool and the instruction set of its code. Clones share the pool.
///
/// No result depends on the number of threads.
#[derive(Clone)]
pub struct Compute {
    pool: Arc<Pool>,
    level: Level,
}

impl Compute {
    /// `threads` threads, the calling one included (at least one; fewer, if the
    /// system refuses to start as many), with the best instruction set of the CPU.
    pub fn new(threads: usize) -> Compute {
        Compute {
            pool: Arc::new(Pool::new(threads)),
            level: Level::fastest(),
        }
    }

    /// As [`Compute::new`] with a given instruction set; `None` if the CPU lacks it.
    pub fn with_isa(threads: usize, isa: Isa) -> Option<Compute> {
        Some(Compute {
            level: Level::detect(isa)?,
            pool: Arc::new(Pool::new(threads)),
        })
    }

    /// Threads that work in a parallel region, the calling one included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set in use.
    pub fn isa(&self) -> Isa {
        self.level.isa()
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    /// Runs `f(0)` to `f(tasks - 1)` on the pool, in any order, and returns when
    /// all are done. A call from within a task, or while another thread uses the
    /// pool, runs on the calling thread alone.
    ///
    /// # Panics
    /// With the panic of a task, after all running tasks have ended.
    pub fn parallel(&self, tasks: usize, f: &(dyn Fn(usize) + Sync)) {
        self.pool.run(tasks, f);
    }

    /// Runs `f` over `0..items` in contiguous ranges, in parallel if the work is
    /// worth it. `cost` is the work of an item, in about vector operations.
    pub(crate) fn split(&self, items: usize, cost: usize, f: impl Fn(Range<usize>) + Sync) {
        let length = self.piece(items, cost, 1);
        self.parallel(items.div_ceil(length), &|task| {
            let start = task * length;
            f(start..items.min(start + length));
        });
    }

    /// The length of the ranges that `items` of work `cost` each are split into,
    /// a multiple of `multiple`: small enough to balance the threads, large
    /// enough to be worth a task.
    pub(crate) fn piece(&self, items: usize, cost: usize, multiple: usize) -> usize {
        /// Some microseconds.
        const WORTH_A_TASK: usize = 4096;
        const TASKS_PER_THREAD: usize = 8;
        if self.threads() == 1 {
            return items.max(1);
        }
        let balanced = items.div_ceil(self.threads() * TASKS_PER_THREAD);
        let worth = WORTH_A_TASK.div_ceil(cost.max(1));
        balanced.max(worth).max(1).next_multiple_of(multiple)
    }
}

impl std::fmt::Debug for Compute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Compute({} threads, {})", self.threads(), self.isa())
    }
}
