//! Keys and values of one layer, in blocks of positions, so that memory follows the
//! conversation and nothing is copied when it grows.

use std::ops::Range;

use crate::arguments::Append;
use crate::array::Array;
use crate::driver::Address;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::memory::Buffer;
use crate::pinned::bytes_of;

/// Positions of a block.
pub(crate) const BLOCK: usize = 256;

/// Number format of cached keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KvFormat {
    /// Half precision.
    #[default]
    F16,
    /// Single precision.
    F32,
}

impl KvFormat {
    fn bytes(self) -> usize {
        match self {
            KvFormat::F16 => 2,
            KvFormat::F32 => 4,
        }
    }
}

/// A KV cache, `[positions, kv_heads * head_dim]` of keys and of values.
pub struct KvCache {
    gpu: Gpu,
    width: usize,
    format: KvFormat,
    positions: usize,
    /// Keys of a block's positions, then their values.
    blocks: Vec<Buffer>,
    /// The addresses of the blocks, for the kernels.
    table: Option<Buffer>,
}

impl KvCache {
    /// An empty cache for `width` numbers per position; it takes no memory yet.
    pub fn new(gpu: &Gpu, width: usize, format: KvFormat) -> KvCache {
        KvCache {
            gpu: gpu.clone(),
            width,
            format,
            positions: 0,
            blocks: Vec::new(),
            table: None,
        }
    }

    /// Positions held.
    pub fn positions(&self) -> usize {
        self.positions
    }

    /// Numbers per position.
    pub fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn format(&self) -> KvFormat {
        self.format
    }

    /// Bytes of the GPU's memory that it takes.
    pub fn bytes(&self) -> u64 {
        let buffers = self.blocks.iter().chain(&self.table);
        buffers.map(|buffer| buffer.bytes).sum()
    }

    /// Where the addresses of the blocks are.
    pub(crate) fn table(&self) -> Address {
        self.table.map_or(0, |table| table.address)
    }

    fn block_bytes(&self) -> usize {
        2 * BLOCK * self.width * self.format.bytes()
    }

    /// Adds the rows `rows` of `k` and `v`, `[t, width]`, as further positions.
    ///
    /// # Panics
    /// If the lengths do not fit.
    pub fn append(&mut self, k: &Array, v: &Array, rows: Range<usize>) -> Result<()> {
        assert_eq!(k.len(), v.len(), "kv cache: as many values as keys");
        assert!(
            rows.start <= rows.end && rows.end * self.width <= k.len(),
            "kv cache: rows {rows:?} of {} floats",
            k.len()
        );
        self.grow(self.positions + rows.len())?;
        let word = |n: usize| u32::try_from(n).expect("a size that fits in a word");
        let arguments = Append {
            blocks: self.table(),
            k: k.address(),
            v: v.address(),
            first_row: word(rows.start),
            rows: word(rows.len()),
            width: word(self.width),
            first_position: word(self.positions),
        };
        let kernel = match self.format {
            KvFormat::F16 => "append_f16",
            KvFormat::F32 => "append_f32",
        };
        self.gpu
            .launch(kernel, [rows.len(), 1, 1], 256, &arguments)?;
        self.positions += rows.len();
        Ok(())
    }

    /// Room for this many positions. After an error the cache is as it was.
    fn grow(&mut self, positions: usize) -> Result<()> {
        let before = self.blocks.len();
        let needed = positions.div_ceil(BLOCK);
        if needed <= before {
            return Ok(());
        }
        let grown = self.add_blocks(needed);
        if grown.is_err() {
            self.drop_blocks(before);
        }
        grown
    }

    fn add_blocks(&mut self, needed: usize) -> Result<()> {
        let mut known = self.blocks.len();
        while self.blocks.len() < needed {
            let block = self.gpu.take(self.block_bytes() as u64)?;
            self.blocks.push(block);
        }
        let room = self.table.map_or(0, |table| table.bytes / 8);
        if (room as usize) < needed {
            let table = self.gpu.take(8 * needed.next_power_of_two() as u64)?;
            if let Some(old) = self.table.replace(table) {
                self.gpu.memory().give(old);
            }
            known = 0;
        }
        let addresses: Vec<u64> = self.blocks[known..].iter().map(|b| b.address).collect();
        let to = self.table() + 8 * known as Address;
        self.gpu.send(bytes_of(&addresses), to)
    }

    fn drop_blocks(&mut self, from: usize) {
        for block in self.blocks.drain(from.min(self.blocks.len())..) {
            self.gpu.memory().give(block);
        }
    }

    /// Forgets all positions from `positions` on. Blocks that hold no other are free
    /// for other use.
    pub fn truncate(&mut self, positions: usize) {
        self.positions = self.positions.min(positions);
        self.drop_blocks(self.positions.div_ceil(BLOCK));
    }

    /// A copy of the first positions.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn prefix(&self, positions: usize) -> Result<KvCache> {
        assert!(
            positions <= self.positions,
            "kv cache: {positions} of {} positions",
            self.positions
        );
        let mut copy = KvCache::new(&self.gpu, self.width, self.format);
        copy.grow(positions)?;
        for (to, from) in copy.blocks.iter().zip(&self.blocks) {
            let (context, main) = (self.gpu.context(), self.gpu.main());
            context.copy_within(to.address, from.address, self.block_bytes(), main)?;
        }
        copy.positions = positions;
        Ok(copy)
    }
}

impl Drop for KvCache {
    fn drop(&mut self) {
        self.drop_blocks(0);
        if let Some(table) = self.table.take() {
            self.gpu.memory().give(table);
        }
    }
}

impl std::fmt::Debug for KvCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KvCache([{}, {}])", self.positions, self.width)
    }
}
