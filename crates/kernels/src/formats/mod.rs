//! Weight formats: how many values a block holds, in how many bytes, and what
//! they are. One file per format and one line in the registry below.
//!
//! Most layouts are those of GGUF files, as ggml (`ggml-common.h`,
//! `ggml-quants.c`) and its Python package `gguf` define them. Multi-byte
//! numbers are little-endian. The arithmetic keeps ggml's order of operations
//! and rounds after each, so the values equal `gguf.dequantize` bit for bit on
//! every instruction set. `codebook`, `grouped` and `fp8` hold what quantized
//! safetensors keep in several tensors as blocks of 128 values; their numbers
//! from 65536 on are our own, and no GGUF file of others has them.

mod bf16;
mod codebook;
mod fit;
mod fp16;
mod fp32;
mod fp8;
mod grouped;
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

pub use fp8::e4m3;
pub(crate) use fp16::f16_to_f32;

use crate::activations::Group;
use crate::dot::{Integers as _, multiply_tile};
use crate::input::Input;
use crate::isa::{Level, vectorized};
use crate::matrix::Matrix;
use crate::multiply::{Results, multiply_scaled_tiles, multiply_tiles, multiply_unpacked};
use crate::scaled::Scaled as _;
use crate::simd::portable::Portable;
use crate::simd::{LANES, Simd, Words};
use std::ops::Range;

/// A weight format: blocks of `LEN` values in `BYTES` bytes.
pub(crate) trait Blocks {
    const LEN: usize;
    const BYTES: usize;

    /// Dequantizes whole blocks: `bytes` holds `n * BYTES` bytes, `out`
    /// `n * LEN` values.
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]);
}

/// Dequantizes with plain code, in a function of its own.
#[inline(never)]
fn plainly<F: Blocks>(bytes: &[u8], out: &mut [f32]) {
    F::dequantize(Portable, bytes, out);
}

/// The product of a tile of Q4_K weights, by which code is timed.
#[inline(always)]
pub(crate) fn multiply_usual<S: Words>(s: S, tile: &[u8], x: &[Group], out: &mut [[f32; LANES]]) {
    multiply_tile::<S, q4_k::Layout>(s, tile, x, out);
}

macro_rules! registry {
    (
        floats { $($float:ident $float_name:literal $float_id:literal $float_layout:ty;)* }
        scaled { $($scaled:ident $scaled_name:literal $scaled_id:literal $scaled_layout:ty;)* }
        integers { $($integer:ident $integer_name:literal $integer_id:literal $integer_layout:ty;)* }
    ) => {
        registry! {
            $($float $float_name $float_id $float_layout;)*
            $($scaled $scaled_name $scaled_id $scaled_layout;)*
            $($integer $integer_name $integer_id $integer_layout;)*
        }

        /// The numbers a block of a format that is kept in tiles consists of, in order:
        /// bytes of each, and how many.
        pub(crate) fn numbers(format: Format) -> Option<&'static [(usize, usize)]> {
            match format {
                $(Format::$float => None,)*
                $(Format::$scaled => Some(<$scaled_layout>::NUMBERS),)*
                $(Format::$integer => Some(<$integer_layout>::NUMBERS),)*
            }
        }

        /// Are products with this format those of integers, of rounded activations?
        pub(crate) fn is_integer(format: Format) -> bool {
            match format {
                $(Format::$float => false,)*
                $(Format::$scaled => false,)*
                $(Format::$integer => true,)*
            }
        }

        /// Dequantizes whole blocks: floats with the code of `level`, others, of
        /// which only single rows are ever needed, with plain code.
        pub(crate) fn dequantize(level: Level, format: Format, bytes: &[u8], out: &mut [f32]) {
            match format {
                $(Format::$float => {
                    vectorized!(level, |s| <$float_layout>::dequantize(s, bytes, out))
                })*
                $(Format::$scaled => plainly::<$scaled_layout>(bytes, out),)*
                $(Format::$integer => plainly::<$integer_layout>(bytes, out),)*
            }
        }

        /// Multiplies weights that are kept in tiles; `false` if these are not. Each
        /// format and instruction set gets a function of its own: in a single one they
        /// would take the compiler minutes.
        pub(crate) fn multiply_tiled(
            level: Level,
            w: Matrix,
            range: Range<usize>,
            input: &Input,
            out: &Results,
        ) -> bool {
            match w.format() {
                $(Format::$float => return false,)*
                $(Format::$scaled => vectorized!(level, |s| {
                    multiply_scaled_tiles::<_, $scaled_layout>(s, w, range, input, out)
                }),)*
                $(Format::$integer => vectorized!(
                    level,
                    portable: multiply_unpacked(level, w, range, input, out),
                    |s| multiply_tiles::<_, $integer_layout>(s, w, range, input, out)
                ),)*
            }
            true
        }
    };
    ($($format:ident $name:literal $id:literal $layout:ty;)*) => {
        /// The format of a weight tensor.
        #[allow(non_camel_case_types, reason = "the names the field knows")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Format { $($format,)* }

        impl Format {
            /// llama.cpp's name, such as `Q4_K`, or the field's, such as `NF4`.
            pub fn name(self) -> &'static str {
                match self { $(Format::$format => $name,)* }
            }

            /// The format with this `ggml_type` number, if it is supported.
            pub fn from_ggml(id: u32) -> Option<Format> {
                match id { $($id => Some(Format::$format),)* _ => None }
            }

            /// The `ggml_type` number that GGUF files carry; see
            /// [`Format::is_gguf`].
            pub fn ggml(self) -> u32 {
                match self { $(Format::$format => $id,)* }
            }

            /// Values per block; a row consists of whole blocks.
            pub fn block_len(self) -> usize {
                match self { $(Format::$format => <$layout>::LEN,)* }
            }

            /// Bytes per block.
            pub fn block_bytes(self) -> usize {
                match self { $(Format::$format => <$layout>::BYTES,)* }
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
        F32 "F32" 0 fp32::Layout;
        F16 "F16" 1 fp16::Layout;
        BF16 "BF16" 30 bf16::Layout;
    }
    scaled {
        FP8 "FP8" 0x1_0000 fp8::Layout;
    }
    integers {
        Q4_0 "Q4_0" 2 q4_0::Layout;
        Q4_1 "Q4_1" 3 q4_1::Layout;
        Q5_0 "Q5_0" 6 q5_0::Layout;
        Q5_1 "Q5_1" 7 q5_1::Layout;
        Q8_0 "Q8_0" 8 q8_0::Layout;
        Q2K "Q2_K" 10 q2_k::Layout;
        Q3K "Q3_K" 11 q3_k::Layout;
        Q4K "Q4_K" 12 q4_k::Layout;
        Q5K "Q5_K" 13 q5_k::Layout;
        Q6K "Q6_K" 14 q6_k::Layout;
        IQ4NL "IQ4_NL" 20 iq4_nl::Layout;
        IQ4XS "IQ4_XS" 23 iq4_xs::Layout;
        MXFP4 "MXFP4" 39 mxfp4::Layout;
        NF4 "NF4" 0x1_0001 codebook::Layout<codebook::Normal>;
        FP4 "FP4" 0x1_0002 codebook::Layout<codebook::Float>;
        INT4_128 "INT4 g128" 0x1_0003 grouped::Layout<4, 1>;
        INT4_64 "INT4 g64" 0x1_0004 grouped::Layout<4, 2>;
        INT4_32 "INT4 g32" 0x1_0005 grouped::Layout<4, 4>;
        INT8_128 "INT8 g128" 0x1_0006 grouped::Layout<8, 1>;
        INT8_32 "INT8 g32" 0x1_0007 grouped::Layout<8, 4>;
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

    /// Writes `values`, whole blocks, as `bytes` in this format. `false` if nothing
    /// can be quantized to it here: it can to Q4_K, Q5_K, Q6_K and Q8_0.
    ///
    /// # Panics
    /// If `values` is not made of whole blocks or `bytes` is not their size.
    #[must_use]
    pub fn quantize(self, values: &[f32], bytes: &mut [u8]) -> bool {
        assert_eq!(self.row_bytes(values.len()), Some(bytes.len()));
        let quantize: fn(&[f32], &mut [u8]) = match self {
            Format::Q4K => q4_k::quantize,
            Format::Q5K => q5_k::quantize,
            Format::Q6K => q6_k::quantize,
            Format::Q8_0 => q8_0::quantize,
            _ => return false,
        };
        let values = values.chunks_exact(self.block_len());
        for (values, block) in values.zip(bytes.chunks_exact_mut(self.block_bytes())) {
            quantize(values, block);
        }
        true
    }

    /// The reals that the codes of NF4 and FP4 stand for.
    pub fn codebook(self) -> Option<&'static [f32; 16]> {
        match self {
            Format::NF4 => Some(&codebook::NF4),
            Format::FP4 => Some(&codebook::FP4),
            _ => None,
        }
    }

    /// Is it one of ggml's, so that any GGUF reader knows its number?
    pub fn is_gguf(self) -> bool {
        self.ggml() < 0x1_0000
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
