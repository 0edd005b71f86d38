//! F16: IEEE half precision.

use super::Blocks;
use crate::simd::{LANES, Simd};
use half::f16;

pub(super) struct Layout;

impl Blocks for Layout {
    const LEN: usize = 1;
    const BYTES: usize = 2;

    #[inline(always)]
    fn dequantize<S: Simd>(s: S, bytes: &[u8], out: &mut [f32]) {
        let (blocks, tail) = bytes.as_chunks::<{ 2 * LANES }>();
        let (outs, out_tail) = out.as_chunks_mut::<LANES>();
        for (b, o) in blocks.iter().zip(outs) {
            let halves: [f16; LANES] =
                std::array::from_fn(|i| f16::from_le_bytes([b[2 * i], b[2 * i + 1]]));
            s.store(s.load_f16(&halves), o);
        }
        for (b, o) in tail.as_chunks::<2>().0.iter().zip(out_tail) {
            *o = f16_to_f32(u16::from_le_bytes(*b));
        }
    }
}

/// The value of a half-precision number given by its bits.
///
/// Without a multiplication of subnormal numbers, which costs some hundred
/// cycles: block scales are often subnormal halves.
#[inline(always)]
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    const EXPONENT: u16 = 0x7c00;
    let sign = u32::from(bits & 0x8000) << 16;
    let shifted = u32::from(bits & 0x7fff) << 13;
    let magnitude = match bits & EXPONENT {
        0 => (f32::from(bits & 0x03ff) * 2f32.powi(-24)).to_bits(),
        EXPONENT => shifted | 0x7f80_0000,
        _ => shifted + ((127 - 15) << 23),
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_converted_exactly() {
        for bits in 0..=u16::MAX {
            let (got, want) = (f16_to_f32(bits), f16::from_bits(bits).to_f32());
            assert!(
                got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()),
                "{bits:#06x}: {got} instead of {want}"
            );
        }
    }
}
