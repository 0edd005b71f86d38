//! Which blocks of a file are here, on their way, or still to be fetched.

use std::sync::{Condvar, Mutex};
use std::time::Duration;

use super::partial::{BLOCK, blocks};
use crate::locked;

/// Blocks that one request asks for at most. Small enough that the checksum,
/// which needs the blocks in order, does not fall far behind.
const LONGEST_RUN: usize = 256;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Block {
    Missing,
    Claimed,
    /// On disk, with this CRC-32.
    Here(u32),
}

/// Blocks `next..end` that one connection fetches in order.
#[derive(Debug, PartialEq)]
pub(super) struct Run {
    pub next: usize,
    pub end: usize,
}

#[derive(Debug)]
pub(super) struct Plan {
    state: Mutex<State>,
    /// Signalled when a block comes in and at the end.
    arrived: Condvar,
}

#[derive(Debug)]
struct State {
    blocks: Vec<Block>,
    /// No block before this one is missing.
    first: usize,
    /// The server sends files only from their start.
    whole_only: bool,
    /// Bytes have to be checked no more: the file is complete or given up.
    ended: bool,
}

impl Plan {
    pub fn new(found: &[Option<u32>]) -> Plan {
        let block = |crc: &Option<u32>| crc.map_or(Block::Missing, Block::Here);
        Plan {
            state: Mutex::new(State {
                blocks: found.iter().map(block).collect(),
                first: 0,
                whole_only: false,
                ended: false,
            }),
            arrived: Condvar::new(),
        }
    }

    /// The next blocks to fetch, for `connections` of which each may claim a share.
    pub fn claim(&self, connections: usize) -> Option<Run> {
        let state = &mut *locked(&self.state);
        let missing = |b: &Block| *b == Block::Missing;
        let start = state.first + state.blocks[state.first..].iter().position(missing)?;
        state.first = start;
        if state.whole_only && state.blocks.contains(&Block::Claimed) {
            return None;
        }
        let run = state.blocks[start..].iter().take_while(|b| missing(b));
        // Of the last missing blocks every connection gets some.
        let left = state.blocks[start..].iter().filter(|b| missing(b)).count();
        let share = left.div_ceil(connections.max(1)).clamp(1, LONGEST_RUN);
        let length = if state.whole_only {
            run.count()
        } else {
            run.take(share).count()
        };
        let end = start + length;
        state.blocks[start..end].fill(Block::Claimed);
        Some(Run { next: start, end })
    }

    /// Gives back what a connection did not fetch.
    pub fn release(&self, run: &Run) {
        let state = &mut *locked(&self.state);
        for block in &mut state.blocks[run.next..run.end] {
            if *block == Block::Claimed {
                *block = Block::Missing;
            }
        }
        state.first = state.first.min(run.next);
    }

    pub fn arrived(&self, i: usize, crc: u32) {
        locked(&self.state).blocks[i] = Block::Here(crc);
        self.arrived.notify_all();
    }

    /// A block that should be here but is not as it was fetched.
    pub fn lost(&self, i: usize) {
        let state = &mut *locked(&self.state);
        state.blocks[i] = Block::Missing;
        state.first = state.first.min(i);
    }

    /// Waits for block `i`; `None` when the fetch has ended without it.
    pub fn wait_for(&self, i: usize) -> Option<u32> {
        let mut state = locked(&self.state);
        loop {
            if state.ended {
                return None;
            }
            if let Block::Here(crc) = state.blocks[i] {
                return Some(crc);
            }
            let waited = self.arrived.wait_timeout(state, Duration::from_secs(1));
            state = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    pub fn end(&self) {
        locked(&self.state).ended = true;
        self.arrived.notify_all();
    }

    pub fn has_ended(&self) -> bool {
        locked(&self.state).ended
    }

    pub fn all_here(&self) -> bool {
        let here = |b: &Block| matches!(b, Block::Here(_));
        locked(&self.state).blocks.iter().all(here)
    }

    pub fn only_whole(&self) {
        locked(&self.state).whole_only = true;
    }

    /// Is anything but this run on its way?
    pub fn has_others(&self, run: &Run) -> bool {
        let state = locked(&self.state);
        let claimed = |blocks: &[Block]| blocks.contains(&Block::Claimed);
        claimed(&state.blocks[..run.next]) || claimed(&state.blocks[run.end..])
    }

    /// Bytes still to be fetched of a file of `size` bytes.
    pub fn missing_bytes(&self, size: u64) -> u64 {
        let state = locked(&self.state);
        debug_assert_eq!(state.blocks.len(), blocks(size));
        let missing = |b: &&Block| !matches!(b, Block::Here(_));
        (state.blocks.iter().filter(missing).count() as u64 * BLOCK).min(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_is_claimed_once() {
        let mut found = vec![None; 200];
        found[100] = Some(7);
        let plan = Plan::new(&found);
        let mut seen = vec![0; 200];
        while let Some(run) = plan.claim(4) {
            assert!(run.end - run.next <= LONGEST_RUN && !(run.next..run.end).contains(&100));
            seen[run.next..run.end].iter_mut().for_each(|n| *n += 1);
        }
        seen[100] += 1;
        assert!(seen.iter().all(|n| *n == 1));
        assert!(!plan.all_here() && plan.missing_bytes(200 * BLOCK) == 199 * BLOCK);
    }

    #[test]
    fn what_is_given_back_is_claimed_again() {
        let plan = Plan::new(&[None; 10]);
        let mut run = plan.claim(1).unwrap();
        assert_eq!((run.next, run.end), (0, 10));
        plan.arrived(0, 1);
        run.next = 1;
        plan.release(&run);
        assert_eq!(plan.claim(1), Some(Run { next: 1, end: 10 }));
        (1..10).for_each(|i| plan.arrived(i, 1));
        assert!(plan.all_here() && plan.claim(1).is_none());
        plan.lost(4);
        assert_eq!(plan.claim(3), Some(Run { next: 4, end: 5 }));
        assert_eq!(plan.wait_for(3), Some(1));
        plan.end();
        assert_eq!(plan.wait_for(4), None);
    }

    #[test]
    fn a_server_without_ranges_gets_one_request() {
        let plan = Plan::new(&[None; 500]);
        plan.only_whole();
        let run = plan.claim(4).unwrap();
        assert_eq!(run, Run { next: 0, end: 500 });
        assert_eq!(plan.claim(4), None);
        assert!(!plan.has_others(&run));
    }
}
