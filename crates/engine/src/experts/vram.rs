//! Copies of experts in VRAM, and the layout by which a GPU computes them.

use std::collections::HashMap;

use moestro_cuda::{CudaError, Gpu, Matrix, Slots};

use super::buffer::Held;
use super::source::{parts, sizes};
use crate::error::{EngineError, Result};
use crate::weights::ExpertLayout;

/// The slots of all rows; rows whose layer is computed on the processor have none.
pub struct Vram {
    rows: Vec<Option<Row>>,
    arenas: Vec<Arena>,
}

struct Row {
    layout: ExpertLayout,
    /// Where its slots are.
    arena: usize,
    capacity: usize,
    /// The slot of each expert that has one.
    of: HashMap<u32, usize>,
}

/// Slots of rows whose experts are equally large, so that little is lost when a few
/// of each row are given back.
struct Arena {
    sizes: [usize; 3],
    slots: Slots,
    free: Vec<usize>,
}

impl Vram {
    /// As [`Vram::new`], with as many slots as there is memory for, and their number.
    ///
    /// Errors: the GPU failed.
    pub fn as_fits(
        gpu: &Gpu,
        layouts: Vec<Option<ExpertLayout>>,
        mut capacity: usize,
    ) -> Result<(Vram, usize)> {
        loop {
            match Vram::new(gpu, layouts.clone(), capacity) {
                Err(EngineError::Gpu(CudaError::OutOfMemory { .. })) if capacity > 0 => {
                    capacity -= capacity.div_ceil(16);
                }
                made => return made.map(|vram| (vram, capacity)),
            }
        }
    }

    /// `capacity` slots of each layout; those of `None` get none.
    ///
    /// Errors: not enough memory on the GPU.
    pub fn new(gpu: &Gpu, layouts: Vec<Option<ExpertLayout>>, capacity: usize) -> Result<Vram> {
        let mut arenas: Vec<Arena> = Vec::new();
        let mut rows = Vec::with_capacity(layouts.len());
        for layout in layouts {
            let Some(layout) = layout else {
                rows.push(None);
                continue;
            };
            let sizes = sizes(&layout);
            let arena = match arenas.iter().position(|a| a.sizes == sizes) {
                Some(arena) => arena,
                None => {
                    arenas.push(Arena {
                        sizes,
                        slots: Slots::new(gpu, 0, sizes)?,
                        free: Vec::new(),
                    });
                    arenas.len() - 1
                }
            };
            rows.push(Some(Row {
                layout,
                arena,
                capacity: 0,
                of: HashMap::new(),
            }));
        }
        let mut vram = Vram { rows, arenas };
        vram.resize(capacity)?;
        Ok(vram)
    }

    /// Takes a copy of an expert; false if there is no room, or none to send it.
    ///
    /// Errors: the GPU failed.
    pub fn put(&mut self, row: usize, expert: u32, held: &Held) -> Result<bool> {
        let Some(row) = &mut self.rows[row] else {
            return Ok(false);
        };
        let arena = &mut self.arenas[row.arena];
        if row.of.contains_key(&expert) {
            return Ok(true);
        }
        if row.of.len() >= row.capacity || !arena.slots.has_room()? {
            return Ok(false);
        }
        let Some(slot) = arena.free.pop() else {
            return Ok(false);
        };
        let [gate, up, down] = held;
        arena.slots.upload(slot, [gate, up, down])?;
        row.of.insert(expert, slot);
        Ok(true)
    }

    pub fn remove(&mut self, row: usize, expert: u32) {
        if let Some(row) = &mut self.rows[row]
            && let Some(slot) = row.of.remove(&expert)
        {
            self.arenas[row.arena].free.push(slot);
        }
    }

    /// Is a whole copy there?
    pub fn has(&self, row: usize, expert: u32) -> bool {
        let Some(row) = &self.rows[row] else {
            return false;
        };
        let arrived = |slot: &usize| self.arenas[row.arena].slots.arrived(*slot);
        // A failing GPU shows itself in what is computed next.
        row.of
            .get(&expert)
            .is_some_and(|s| arrived(s).unwrap_or(false))
    }

    /// Gate, up and down of an expert that is there.
    pub fn matrices(&self, row: usize, expert: u32) -> [Matrix<'_>; 3] {
        let row = self.rows[row].as_ref().expect("this row has slots");
        matrices(&self.arenas[row.arena].slots, row.of[&expert], &row.layout)
    }

    /// Changes the slots of every row, and moves what is still held out of those that
    /// go. No row may hold more than its new slots.
    ///
    /// Errors: not enough memory on the GPU; then nothing has changed.
    pub fn resize(&mut self, capacity: usize) -> Result<()> {
        let wanted: Vec<usize> = (0..self.arenas.len())
            .map(|arena| self.rows_of(arena).count() * capacity)
            .collect();
        let before: Vec<usize> = self.arenas.iter().map(|a| a.slots.len()).collect();
        for (number, slots) in wanted.iter().enumerate() {
            if *slots <= before[number] {
                continue;
            }
            if let Err(error) = self.arenas[number].slots.resize(*slots) {
                for (arena, slots) in self.arenas.iter_mut().zip(&before) {
                    arena.slots.resize(*slots)?;
                }
                return Err(error.into());
            }
        }
        for (number, slots) in wanted.into_iter().enumerate() {
            self.pack(number, slots)?;
            self.rows_of(number).for_each(|row| row.capacity = capacity);
        }
        Ok(())
    }

    fn rows_of(&mut self, arena: usize) -> impl Iterator<Item = &mut Row> {
        let rows = self.rows.iter_mut().flatten();
        rows.filter(move |row| row.arena == arena)
    }

    /// Moves what is held in an arena into its first `wanted` slots and lets go of the
    /// others.
    fn pack(&mut self, number: usize, wanted: usize) -> Result<()> {
        let arena = &mut self.arenas[number];
        let rows = self.rows.iter_mut().flatten();
        let mut rows: Vec<&mut Row> = rows.filter(|row| row.arena == number).collect();
        let mut held = vec![false; arena.slots.len()];
        let used = rows.iter().flat_map(|row| row.of.values());
        used.for_each(|slot| held[*slot] = true);
        let mut low = (0..wanted).filter(|slot| !held[*slot]);
        for slot in rows.iter_mut().flat_map(|row| row.of.values_mut()) {
            if *slot >= wanted {
                let to = low.next().expect("rows hold no more than their slots");
                arena.slots.relocate(*slot, to)?;
                *slot = to;
            }
        }
        arena.free = low.rev().collect();
        Ok(arena.slots.resize(wanted)?)
    }

    /// Experts of a row that have a slot.
    pub fn held(&self, row: usize) -> usize {
        self.rows[row].as_ref().map_or(0, |row| row.of.len())
    }

    pub fn bytes(&self) -> u64 {
        self.arenas.iter().map(|arena| arena.slots.bytes()).sum()
    }
}

/// Gate, up and down of the expert in a slot.
pub fn matrices<'a>(slots: &'a Slots, slot: usize, layout: &ExpertLayout) -> [Matrix<'a>; 3] {
    let mut number = 0;
    parts(layout).map(|part| {
        let matrix = slots.matrix(slot, number, part.kept_as, part.rows, part.cols);
        number += 1;
        matrix
            .and_then(|matrix| match part.order {
                0 => Some(matrix),
                order => matrix.ordered(part.bytes - order),
            })
            .expect("the layout was computed from the same format and shape")
    })
}
