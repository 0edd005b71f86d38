//! Plain Rust: any CPU, and as wide as the compiler's default allows.

use super::{LANES, Simd};
use half::f16;

#[derive(Clone, Copy)]
pub(crate) struct Portable;

#[inline(always)]
fn map(a: [f32; LANES], b: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> [f32; LANES] {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type V = [f32; LANES];
    type B = [u8; LANES];
    const ACCUMULATORS: usize = 2;

    #[inline(always)]
    fn splat(self, x: f32) -> Self::V {
        [x; LANES]
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::V {
        *x
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> Self::V {
        std::array::from_fn(|i| crate::formats::f16_to_f32(x[i].to_bits()))
    }
    #[inline(always)]
    fn store(self, v: Self::V, to: &mut [f32; LANES]) {
        *to = v;
    }
    #[inline(always)]
    fn bytes(self, x: &[u8; LANES]) -> Self::B {
        *x
    }
    #[inline(always)]
    fn and(self, x: Self::B, mask: u8) -> Self::B {
        x.map(|x| x & mask)
    }
    #[inline(always)]
    fn or(self, a: Self::B, b: Self::B) -> Self::B {
        std::array::from_fn(|i| a[i] | b[i])
    }
    #[inline(always)]
    fn shr(self, x: Self::B, n: u32) -> Self::B {
        x.map(|x| x >> n)
    }
    #[inline(always)]
    fn shl(self, x: Self::B, n: u32) -> Self::B {
        x.map(|x| x << n)
    }
    #[inline(always)]
    fn spread(self, bits: u16) -> Self::B {
        std::array::from_fn(|i| ((bits >> i) & 1) as u8)
    }
    #[inline(always)]
    fn unsigned(self, x: Self::B) -> Self::V {
        x.map(f32::from)
    }
    #[inline(always)]
    fn signed(self, x: Self::B) -> Self::V {
        x.map(|x| f32::from(x as i8))
    }
    #[inline(always)]
    fn e4m3(self, x: &[u8; LANES]) -> Self::V {
        x.map(|x| {
            // As a half with the exponent's bias of 7 instead of 15.
            let half = u16::from(x & 0x7f) << 7 | u16::from(x & 0x80) << 8;
            crate::formats::f16_to_f32(half)
        })
    }
    #[inline(always)]
    fn lookup(self, table: Self::V, x: Self::B) -> Self::V {
        x.map(|x| table[usize::from(x & 15)])
    }
    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| a + b)
    }
    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| a - b)
    }
    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| a * b)
    }
    #[inline(always)]
    fn div(self, a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| a / b)
    }
    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| if a > b { a } else { b })
    }
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        map(a, b, |a, b| if a < b { a } else { b })
    }
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }
    #[inline(always)]
    fn round(self, v: Self::V) -> Self::V {
        // Adding 1.5 * 2^23 leaves no bits for the fraction.
        const MAGIC: f32 = 12_582_912.0;
        v.map(|x| (x + MAGIC) - MAGIC)
    }
    #[inline(always)]
    fn pow2(self, v: Self::V) -> Self::V {
        v.map(|x| f32::from_bits(((x as i32) + 127).cast_unsigned() << 23))
    }
    #[inline(always)]
    fn sum4(self, v: [Self::V; 4]) -> [f32; 4] {
        v.map(|v| {
            let eight: [f32; 8] = std::array::from_fn(|i| v[i] + v[i + 8]);
            let four: [f32; 4] = std::array::from_fn(|i| eight[i] + eight[i + 4]);
            (four[0] + four[1]) + (four[2] + four[3])
        })
    }

    #[inline(always)]
    fn narrow(self, v: Self::V, to: &mut [i8; LANES]) {
        *to = v.map(|x| x.round_ties_even() as i8);
    }
}
