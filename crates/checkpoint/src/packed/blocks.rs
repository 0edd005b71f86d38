//! From rows of codes with their scales to blocks of the kernels' formats.

use half::f16;
use moestro_kernels::{Format, e4m3};

/// What the codes of a matrix mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codes {
    /// Four bits that index the table of NF4.
    Nf4,
    /// Four bits that index the table of bitsandbytes' FP4.
    Fp4,
    /// Unsigned integers of four bits.
    Int4,
    /// Unsigned integers of eight bits.
    Int8,
    /// FP8 with four bits of exponent.
    E4m3,
}

impl Codes {
    /// The table that codes of four bits index.
    pub fn table(self) -> Option<&'static [f32; 16]> {
        match self {
            Codes::Nf4 => Format::NF4.codebook(),
            Codes::Fp4 => Format::FP4.codebook(),
            _ => None,
        }
    }

    pub fn bits(self) -> usize {
        match self {
            Codes::Nf4 | Codes::Fp4 | Codes::Int4 => 4,
            Codes::Int8 | Codes::E4m3 => 8,
        }
    }
}

/// The format in which a matrix is kept. Where its groups or rows do not divide
/// into blocks, which no model of a useful size does, single precision.
pub(super) fn format(codes: Codes, group: usize, cols: usize) -> Format {
    let whole = |n: usize| group.is_multiple_of(n);
    if !cols.is_multiple_of(BLOCK) {
        return Format::F32;
    }
    match codes {
        Codes::Nf4 if whole(64) => Format::NF4,
        Codes::Fp4 if whole(64) => Format::FP4,
        Codes::Int4 if whole(128) => Format::INT4_128,
        Codes::Int4 if whole(64) => Format::INT4_64,
        Codes::Int4 if whole(32) => Format::INT4_32,
        Codes::Int8 if whole(128) => Format::INT8_128,
        Codes::Int8 if whole(32) => Format::INT8_32,
        Codes::E4m3 if whole(128) => Format::FP8,
        _ => Format::F32,
    }
}

/// Values of a block in every format above.
const BLOCK: usize = 128;

/// Some rows in one order for all schemes.
pub(crate) struct Unpacked {
    kind: Codes,
    cols: usize,
    /// Columns that share a scale.
    group: usize,
    /// Row after row; of four bits, the first of two in the low ones. Rows begin at
    /// whole bytes.
    pub codes: Vec<u8>,
    /// `[rows, groups]`
    pub scales: Vec<f32>,
    /// `[rows, groups]`: what is subtracted from integers.
    pub zeros: Vec<u8>,
    /// Are columns wanted in the order of their groups?
    pub sorted: bool,
    /// The group of each column, where they are in no order.
    pub group_of: Vec<u32>,
    /// The columns in the order of their groups, where they are sorted.
    pub order: Vec<u32>,
    /// Where scales have scales.
    pub nested: Nested,
}

/// Scales of scales: one for every `block` of them, and what is added to all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Nested {
    pub block: usize,
    pub offset: f32,
}

impl Unpacked {
    pub fn new(kind: Codes, rows: usize, cols: usize, group: usize) -> Unpacked {
        let groups = cols.div_ceil(group);
        Unpacked {
            kind,
            cols,
            group,
            codes: vec![0; rows * (cols * kind.bits()).div_ceil(8)],
            scales: vec![0.0; rows * groups],
            zeros: vec![0; rows * groups],
            sorted: true,
            group_of: Vec::new(),
            order: Vec::new(),
            nested: Nested::default(),
        }
    }

    pub fn row_bytes(&self) -> usize {
        (self.cols * self.kind.bits()).div_ceil(8)
    }

    pub fn groups(&self) -> usize {
        self.cols.div_ceil(self.group)
    }

    /// Mutable codes, scales and zero points of row `i`.
    pub fn row(&mut self, i: usize) -> (&mut [u8], &mut [f32], &mut [u8]) {
        let (bytes, groups) = (self.row_bytes(), self.groups());
        (
            &mut self.codes[i * bytes..(i + 1) * bytes],
            &mut self.scales[i * groups..(i + 1) * groups],
            &mut self.zeros[i * groups..(i + 1) * groups],
        )
    }
}

/// Fills `out` with the blocks of as many rows as it holds.
pub(super) fn encode(from: &Unpacked, format: Format, out: &mut [u8]) {
    let row_bytes = format.row_bytes(from.cols).expect("chosen to be whole");
    let (codes, groups) = (from.row_bytes(), from.groups());
    for (i, out) in out.chunks_exact_mut(row_bytes).enumerate() {
        let row = Row {
            codes: &from.codes[i * codes..(i + 1) * codes],
            scales: &from.scales[i * groups..(i + 1) * groups],
            zeros: &from.zeros[i * groups..(i + 1) * groups],
            group: from.group,
        };
        match format {
            Format::F32 => row.values(from.kind, &from.group_of, out),
            Format::NF4 | Format::FP4 => row.blocks(out, 4, 4, 2, 0),
            Format::INT4_128 => row.blocks(out, 4, 4, 1, 1),
            Format::INT4_64 => row.blocks(out, 4, 8, 2, 2),
            Format::INT4_32 => row.blocks(out, 4, 12, 4, 4),
            Format::INT8_128 => row.blocks(out, 8, 4, 1, 1),
            Format::INT8_32 => row.blocks(out, 8, 12, 4, 4),
            Format::FP8 => row.floats(out),
            other => unreachable!("nothing is packed as {other}"),
        }
    }
}

struct Row<'a> {
    codes: &'a [u8],
    scales: &'a [f32],
    zeros: &'a [u8],
    group: usize,
}

impl Row<'_> {
    /// Blocks of `header` bytes with `scales` halves and `zeros` bytes, then codes.
    fn blocks(&self, out: &mut [u8], bits: usize, header: usize, scales: usize, zeros: usize) {
        let codes = self.codes.chunks_exact(BLOCK * bits / 8);
        let block_bytes = header + BLOCK * bits / 8;
        for (b, (codes, out)) in codes.zip(out.chunks_exact_mut(block_bytes)).enumerate() {
            let (head, quants) = out.split_at_mut(header);
            head.fill(0);
            for i in 0..scales {
                let group = (b * BLOCK + i * BLOCK / scales) / self.group;
                let scale = f16::from_f32(self.scales[group]).to_le_bytes();
                head[2 * i..2 * i + 2].copy_from_slice(&scale);
                if zeros > 0 {
                    let flip = if bits == 8 { 0x80 } else { 0 };
                    head[2 * scales + i] = self.zeros[group] ^ flip;
                }
            }
            if bits == 8 {
                for (q, code) in quants.iter_mut().zip(codes) {
                    *q = code ^ 0x80;
                }
            } else {
                nibbles(codes, quants);
            }
        }
    }

    fn floats(&self, out: &mut [u8]) {
        let codes = self.codes.chunks_exact(BLOCK);
        for (b, (codes, out)) in codes.zip(out.chunks_exact_mut(4 + BLOCK)).enumerate() {
            let scale = self.scales[b * BLOCK / self.group];
            out[..4].copy_from_slice(&scale.to_le_bytes());
            out[4..].copy_from_slice(codes);
        }
    }

    /// In single precision.
    fn values(&self, kind: Codes, group_of: &[u32], out: &mut [u8]) {
        let table = kind.table().unwrap_or(&[0.0; 16]);
        for (j, out) in out.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let group = group_of.get(j).map_or(j / self.group, |g| *g as usize);
            let code = match kind.bits() {
                4 => self.codes[j / 2] >> (4 * (j % 2)) & 15,
                _ => self.codes[j],
            };
            let number = match kind {
                Codes::Nf4 | Codes::Fp4 => table[usize::from(code)],
                Codes::Int4 | Codes::Int8 => f32::from(code) - f32::from(self.zeros[group]),
                Codes::E4m3 => e4m3(code),
            };
            *out = (number * self.scales[group]).to_le_bytes();
        }
    }
}

/// From the order of values to that of Q4_0: of 32, the first sixteen in the low
/// nibbles, the others in the high ones.
fn nibbles(codes: &[u8], out: &mut [u8]) {
    let spread = |codes: &[u8; 8]| {
        // Sixteen nibbles to a byte each.
        let x = u64::from_le_bytes(*codes);
        let (low, high) = (x & 0x0f0f_0f0f_0f0f_0f0f, x >> 4 & 0x0f0f_0f0f_0f0f_0f0f);
        let (low, high) = (low.to_le_bytes(), high.to_le_bytes());
        let mut bytes = [0; 16];
        for i in 0..8 {
            bytes[2 * i] = low[i];
            bytes[2 * i + 1] = high[i];
        }
        bytes
    };
    let codes = codes.as_chunks::<16>().0;
    for (codes, out) in codes.iter().zip(out.as_chunks_mut::<16>().0) {
        let (first, last) = codes.split_at(8);
        let first = spread(first.first_chunk().expect("eight of sixteen"));
        let last = spread(last.first_chunk().expect("eight of sixteen"));
        for i in 0..16 {
            out[i] = first[i] | last[i] << 4;
        }
    }
}
