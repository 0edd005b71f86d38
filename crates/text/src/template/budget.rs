//! The bounds of one rendering.
//!
//! Three budgets are spent: minijinja's fuel counts instructions; *memory* counts
//! every byte of every text and list that is created, whether or not it is kept;
//! *work* counts the bytes that are looked at, in comparisons or searches. What
//! creates or looks at more than a few bytes is charged before it happens, so
//! that doubling a text in a loop ends at the memory budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// Instructions. A turn of a conversation takes a few hundred.
pub const FUEL: u64 = 1_000_000;

/// Bytes that may be created beyond what the conversation's size explains.
const MEMORY: u64 = 32 << 20;
const MEMORY_PER_INPUT_BYTE: u64 = 64;
const MOST_MEMORY: u64 = 1 << 30;

const WORK: u64 = 1 << 29;
const WORK_PER_INPUT_BYTE: u64 = 256;

/// What an item of a list costs besides its text.
pub const ITEM: u64 = 32;

/// Lists in lists in lists; comparing and printing them recurses.
const MAX_DEPTH: usize = 200;

#[derive(Clone)]
pub struct Budget {
    memory: Arc<AtomicU64>,
    work: Arc<AtomicU64>,
}

impl Budget {
    /// For a conversation of `input` bytes.
    pub fn new(input: u64) -> Budget {
        let memory = MEMORY.saturating_add(input.saturating_mul(MEMORY_PER_INPUT_BYTE));
        let work = WORK.saturating_add(input.saturating_mul(WORK_PER_INPUT_BYTE));
        Budget {
            memory: Arc::new(AtomicU64::new(memory.min(MOST_MEMORY))),
            work: Arc::new(AtomicU64::new(work)),
        }
    }

    /// Before creating `bytes`.
    pub fn create(&self, bytes: u64) -> Result<(), Error> {
        self.look(bytes)?;
        spend(&self.memory, bytes, "it needs too much memory")
    }

    /// Before looking at `bytes`.
    pub fn look(&self, bytes: u64) -> Result<(), Error> {
        spend(&self.work, bytes, "it takes too long")
    }

    /// The size of a value with all that is in it, charged as work.
    ///
    /// Errors: larger than the budget allows to look at, or nested too deeply.
    pub fn weigh(&self, value: &Value) -> Result<u64, Error> {
        let mut total = 0;
        let mut open = vec![(value.clone(), 0)];
        while let Some((value, depth)) = open.pop() {
            if depth > MAX_DEPTH {
                return Err(exceeded("it nests lists too deeply"));
            }
            let weight = match value.kind() {
                ValueKind::String | ValueKind::Bytes => {
                    ITEM + value
                        .as_str()
                        .map_or_else(|| value.len().unwrap_or(0), str::len)
                        as u64
                }
                _ => ITEM,
            };
            self.look(weight)?;
            total += weight;
            match value.kind() {
                ValueKind::Map => {
                    for key in value.try_iter()? {
                        let item = value.get_item(&key)?;
                        self.look(2 * ITEM)?;
                        open.push((key, depth + 1));
                        open.push((item, depth + 1));
                    }
                }
                ValueKind::Seq | ValueKind::Iterable => {
                    for item in value.try_iter()? {
                        self.look(ITEM)?;
                        open.push((item, depth + 1));
                    }
                }
                _ => {}
            }
        }
        Ok(total)
    }
}

fn spend(budget: &AtomicU64, amount: u64, reason: &'static str) -> Result<(), Error> {
    let take = |left: u64| left.checked_sub(amount);
    match budget.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
        Ok(_) => Ok(()),
        Err(_) => Err(exceeded(reason)),
    }
}

/// Every bound answers with the kind that running out of fuel has.
pub fn exceeded(reason: &'static str) -> Error {
    Error::new(ErrorKind::OutOfFuel, reason)
}
