//! Weight formats: how many values a block holds, in how many bytes, and what
//! they are. One file per format and one line in the registry below.
//!
//! The layouts are those of GGUF files, as ggml (`ggml-common.h`,
//! `ggml-quants.c`) and its Python package `gguf` define them. Multi-byte
//! numbers are little-endian. The arithmetic keeps ggml's order of operations
//! and rounds after each, so the values equal `gguf.dequantize` bit for bit on
//! every instruction set.

mod bf16;
mod fp16;
mod fp32;
mod iq4_nl;
mod iq4_xs;
mod k_scales;
mod mxfp4;
mod nibbles;
mod q2_k;
mod q3_k;
mod q4_0;
mod q4_1;
mod q4_k;
mod q5_0;
mod q5_1;
mod q5_k;
mod q6_k;
mod q8_0;
mod tile;

pub(crate) use fp16::f16_to_f32;

use crate::activations::Group;
use crate::dot::{Integers as _, multiply_tile};
use crate::isa::{Level, vectorized};
use crate::simd::portable::Portable;
use crate::simd::{LANES, Simd, Words};

/// A weight format: blocks of `LEN` values in `BYTES` bytes.
pub(crate) trait Blocks {
    const LEN: usize;
    const BYTES: usize;

    /// Dequantizes whole blocks: `bytes` holds `n * BYTES` bytes, `out`
    /// `n * LEN` values.
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]);
}

macro_rules! registry {
    (
        floats { $($float:ident $float_name:literal $float_id:literal $float_file:ident;)* }
        integers { $($integer:ident $integer_name:literal $integer_id:literal $integer_file:ident;)* }
    ) => {
        registry! {
            $($float $float_name $float_id $float_file;)*
            $($integer $integer_name $integer_id $integer_file;)*
        }

        /// The numbers a block of an integer format consists of, in order: bytes of
        /// each, and how many.
        pub(crate) fn numbers(format: Format) -> Option<&'static [(usize, usize)]> {
            match format {
                $(Format::$float => None,)*
                $(Format::$integer => Some($integer_file::Layout::NUMBERS),)*
            }
        }

        /// Dequantizes whole blocks: floats with the code of `level`, integers, of
        /// which only single rows are ever needed, with plain code.
        pub(crate) fn dequantize(level: Level, format: Format, bytes: &[u8], out: &mut [f32]) {
            match format {
                $(Format::$float => {
                    vectorized!(level, |s| $float_file::Layout::dequantize(s, bytes, out))
                })*
                $(Format::$integer => $integer_file::Layout::dequantize(Portable, bytes, out),)*
            }
        }

        /// [`multiply_tile`] for weights of an integer format.
        #[inline(always)]
        pub(crate) fn multiply_tile_of<S: Words>(
            s: S,
            format: Format,
            tile: &[u8],
            x: &[Group],
            out: &mut [[f32; LANES]],
        ) {
            match format {
                $(Format::$float => unreachable!("float formats have no tiles"),)*
                $(Format::$integer => multiply_tile::<S, $integer_file::Layout>(s, tile, x, out),)*
            }
        }
    };
    ($($format:ident $name:literal $id:literal $file:ident;)*) => {
        /// The format of a weight tensor.
        #[allow(non_camel_case_types, reason = "the names the field knows")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format { $($format,)* }

        impl Format {
            /// llama.cpp's name, such as `Q4_K`.
            pub fn name(self) -> &'static str {
                match self { $(Format::$format => $name,)* }
            }

            /// The format with this `ggml_type` number, if it is supported.
            pub fn from_ggml(id: u32) -> Option<Format> {
                match id { $($id => Some(Format::$format),)* _ => None }
            }

            /// The `ggml_type` number that GGUF files carry.
            pub fn ggml(self) -> u32 {
                match self { $(Format::$format => $id,)* }
            }

            /// Values per block; a row consists of whole blocks.
            pub fn block_len(self) -> usize {
                match self { $(Format::$format => $file::Layout::LEN,)* }
            }

            /// Bytes per block.
            pub fn block_bytes(self) -> usize {
                match self { $(Format::$format => $file::Layout::BYTES,)* }
            }

            /// Every supported format.
            pub fn all() -> &'static [Format] {
                &[$(Format::$format,)*]
            }
        }

    };
}

registry! {
    floats {
        F32 "F32" 0 fp32;
        F16 "F16" 1 fp16;
        BF16 "BF16" 30 bf16;
    }
    integers {
        Q4_0 "Q4_0" 2 q4_0;
        Q4_1 "Q4_1" 3 q4_1;
        Q5_0 "Q5_0" 6 q5_0;
        Q5_1 "Q5_1" 7 q5_1;
        Q8_0 "Q8_0" 8 q8_0;
        Q2K "Q2_K" 10 q2_k;
        Q3K "Q3_K" 11 q3_k;
        Q4K "Q4_K" 12 q4_k;
        Q5K "Q5_K" 13 q5_k;
        Q6K "Q6_K" 14 q6_k;
        IQ4NL "IQ4_NL" 20 iq4_nl;
        IQ4XS "IQ4_XS" 23 iq4_xs;
        MXFP4 "MXFP4" 39 mxfp4;
    }
}

impl Format {
    /// Bytes of a row of `cols` values; `None` if the row is not made of whole
    /// blocks or its size is beyond `usize`.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        if !cols.is_multiple_of(self.block_len()) {
            return None;
        }
        (cols / self.block_len()).checked_mul(self.block_bytes())
    }

    /// Writes the values of `bytes`, a run of whole blocks, to `out`.
    ///
    /// # Panics
    /// If `out` is not made of whole blocks or `bytes` is not their size.
    pub fn dequantize(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(
            self.row_bytes(out.len()),
            Some(bytes.len()),
            "{self}: {} bytes do not hold {} values",
            bytes.len(),
            out.len()
        );
        dequantize(Level::widest(), self, bytes, out);
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Runs `block` over blocks of `BYTES` bytes and `LEN` values; the values come
/// as vectors.
#[inline(always)]
fn each_block<const BYTES: usize, const LEN: usize>(
    bytes: &[u8],
    out: &mut [f32],
    block: impl Fn(&[u8; BYTES], &mut [[f32; LANES]]),
) {
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (outs, _) = out.as_chunks_mut::<LEN>();
    for (b, o) in blocks.iter().zip(outs) {
        block(b, o.as_chunks_mut::<LANES>().0);
    }
}

/// The `N` bytes of `block` from `at` on.
#[inline(always)]
fn field<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    block[at..at + N].first_chunk().expect("N bytes were cut")
}

/// The sixteen bytes of `block` from `at` on, as a vector.
#[inline(always)]
fn vector<S: Simd>(s: S, block: &[u8], at: usize) -> S::B {
    s.bytes(field(block, at))
}

/// The half-precision number at `at`.
#[inline(always)]
fn half_at(block: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes(*field(block, at)))
}
