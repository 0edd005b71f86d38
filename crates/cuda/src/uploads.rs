//! Copies beside the main stream: through a few pinned buffers in turn, on a stream
//! of their own, with events that say what has arrived and what was used.

use std::sync::Arc;

use crate::context::{Context, Event, Stream};
use crate::driver::Address;
use crate::error::Result;
use crate::pinned::Pinned;

/// Copies that may be under way at once.
const BUFFERS: u64 = 8;

/// Points of the main stream that are told apart; of older ones the next is taken.
const MARKS: u64 = 64;

pub(crate) struct Uploads {
    context: Arc<Context>,
    /// Copy `n` is in buffer `n % BUFFERS`.
    buffers: Vec<Staging>,
    next: u64,
    /// Use `n` of the main stream ends at mark `n % MARKS`.
    marks: Vec<Event>,
    uses: u64,
}

struct Staging {
    memory: Pinned,
    /// Behind its last copy.
    end: Event,
}

impl Uploads {
    pub(crate) fn new(context: &Arc<Context>) -> Uploads {
        Uploads {
            context: context.clone(),
            buffers: Vec::new(),
            next: 0,
            marks: Vec::new(),
            uses: 0,
        }
    }

    /// Is a buffer free, so that [`Uploads::send`] would not wait?
    pub(crate) fn has_room(&self) -> Result<bool> {
        match self.buffers.get((self.next % BUFFERS) as usize) {
            Some(staging) => staging.end.is_past(),
            None => Ok(true),
        }
    }

    /// Copies each `(data, address)` to the GPU, behind use number `after` of the main
    /// stream. Returns the number of the copy as soon as all data is in pinned memory,
    /// for which it waits if all buffers are in use.
    pub(crate) fn send(
        &mut self,
        parts: &[(&[u8], Address)],
        after: Option<u64>,
        copies: &Stream,
    ) -> Result<u64> {
        let total = parts.iter().map(|(data, _)| data.len()).sum();
        let at = (self.next % BUFFERS) as usize;
        match self.buffers.get_mut(at) {
            Some(staging) => {
                staging.end.wait()?;
                if staging.memory.len() < total {
                    staging.memory = Pinned::new(&self.context, total)?;
                }
            }
            None => self.buffers.push(Staging {
                memory: Pinned::new(&self.context, total)?,
                end: Event::new(&self.context)?,
            }),
        }
        if let Some(after) = after {
            copies.wait_for(&self.marks[(after % MARKS) as usize])?;
        }
        let staging = &mut self.buffers[at];
        let mut from = 0;
        let mut copied = Ok(());
        for (data, to) in parts {
            copied = copied.and_then(|()| staging.memory.send(from, data, *to, copies));
            from += data.len();
        }
        copied
            .and_then(|()| staging.end.record(copies))
            .inspect_err(|_| {
                // What was queued must not read the buffer later.
                let _ = copies.wait();
            })?;
        self.next += 1;
        Ok(self.next - 1)
    }

    /// The event of a copy; `None` if it is long done.
    fn end(&self, copy: u64) -> Option<&Event> {
        // Whoever took its buffer has waited for it.
        (copy + BUFFERS >= self.next).then(|| &self.buffers[(copy % BUFFERS) as usize].end)
    }

    pub(crate) fn has_arrived(&self, copy: u64) -> Result<bool> {
        self.end(copy).map_or(Ok(true), Event::is_past)
    }

    /// Makes the main stream wait for a copy.
    pub(crate) fn await_on(&self, main: &Stream, copy: u64) -> Result<()> {
        self.end(copy).map_or(Ok(()), |end| main.wait_for(end))
    }

    /// Marks the end of a use in the main stream and returns its number.
    pub(crate) fn mark(&mut self, main: &Stream) -> Result<u64> {
        let at = (self.uses % MARKS) as usize;
        if at == self.marks.len() {
            self.marks.push(Event::new(&self.context)?);
        }
        self.marks[at].record(main)?;
        self.uses += 1;
        Ok(self.uses - 1)
    }
}
