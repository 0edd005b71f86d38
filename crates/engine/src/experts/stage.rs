//! Experts of a prompt that are sent up only to be computed there, a few at a time,
//! while those before them are computed.

use std::time::Instant;

use moestro_cuda::{Array, ExpertTask, Gpu, Slots, swiglu};
use moestro_residency::Stream;

use super::buffer::Held;
use super::source::sizes;
use super::vram::matrices;
use crate::error::Result;
use crate::weights::ExpertLayout;

/// Experts that are computed at once, while as many are copied.
const TOGETHER: usize = 8;

/// Slots that experts pass through, of each size there is.
pub struct Stage {
    gpu: Gpu,
    slots: Vec<([usize; 3], Slots)>,
    /// Which half is filled next.
    second: bool,
    pub stream: Stream,
}

/// An expert to be sent up.
pub struct Sent<'a> {
    pub held: &'a Held,
    /// Rows of the input, and where the outputs begin.
    pub tokens: &'a [u32],
    pub first_row: usize,
}

/// Bytes of the slots for experts of these sizes.
pub fn stage_bytes(slot_bytes: impl Iterator<Item = u64>) -> u64 {
    let mut kinds: Vec<u64> = slot_bytes.filter(|b| *b > 0).collect();
    kinds.sort_unstable();
    kinds.dedup();
    2 * TOGETHER as u64 * kinds.iter().sum::<u64>()
}

impl Stage {
    /// Errors: not enough memory on the GPU.
    pub fn new<'a>(
        gpu: &Gpu,
        layouts: impl Iterator<Item = &'a ExpertLayout>,
        stream: Stream,
    ) -> Result<Stage> {
        let mut slots: Vec<([usize; 3], Slots)> = Vec::new();
        for layout in layouts {
            let sizes = sizes(layout);
            if slots.iter().all(|(known, _)| *known != sizes) {
                slots.push((sizes, Slots::new(gpu, 2 * TOGETHER, sizes)?));
            }
        }
        Ok(Stage {
            gpu: gpu.clone(),
            slots,
            second: false,
            stream,
        })
    }

    /// Sends experts of one layer up and has them computed from `x` to their rows of
    /// `out`. Waits only for copies.
    ///
    /// Errors: the GPU failed.
    pub fn send(
        &mut self,
        layout: &ExpertLayout,
        experts: &[Sent],
        x: &Array,
        out: &mut Array,
    ) -> Result<()> {
        let sizes = sizes(layout);
        let of_size = self.slots.iter_mut().find(|(known, _)| *known == sizes);
        let (_, slots) = of_size.expect("there are slots for every layout");
        let start = Instant::now();
        for batch in experts.chunks(TOGETHER) {
            let first = usize::from(self.second) * TOGETHER;
            self.second = !self.second;
            for (i, expert) in batch.iter().enumerate() {
                let [gate, up, down] = expert.held;
                slots.upload(first + i, [gate, up, down])?;
            }
            let tasks: Vec<ExpertTask> = batch
                .iter()
                .enumerate()
                .map(|(i, expert)| {
                    let [gate, up, down] = matrices(slots, first + i, layout);
                    ExpertTask {
                        gate,
                        up,
                        down,
                        tokens: expert.tokens,
                        first_row: expert.first_row,
                    }
                })
                .collect();
            swiglu(&self.gpu, x, &tasks, out)?;
        }
        let seconds = start.elapsed().as_secs_f64();
        self.stream.took_copies(experts.len(), seconds);
        Ok(())
    }
}
