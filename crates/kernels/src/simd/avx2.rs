//! AVX2 with FMA and F16C: two registers of eight floats.

use super::{LANES, Simd};
use half::f16;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2, FMA and F16C.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    pub(crate) fn detect() -> Option<Avx2> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        has.then_some(Avx2(()))
    }

    /// Runs `f`, compiled for these features where it is inlined.
    #[inline]
    pub(crate) fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves AVX2, FMA and F16C; every CPU with AVX2 and FMA
        // has BMI, LZCNT and POPCNT.
        unsafe { inner(f) }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct V(__m256, __m256);

macro_rules! lanewise {
    ($name:ident, $intrinsic:ident) => {
        #[inline(always)]
        fn $name(self, a: V, b: V) -> V {
            // SAFETY: `self` proves the features.
            unsafe { V($intrinsic(a.0, b.0), $intrinsic(a.1, b.1)) }
        }
    };
}

/// The operations on sixteen bytes, which AVX-512 shares.
macro_rules! byte_operations {
    () => {
        #[inline(always)]
        fn bytes(self, x: &[u8; LANES]) -> __m128i {
            // SAFETY: `self` proves the features; `x` holds sixteen bytes.
            unsafe { _mm_loadu_si128(x.as_ptr().cast()) }
        }
        #[inline(always)]
        fn and(self, x: __m128i, mask: u8) -> __m128i {
            // SAFETY: `self` proves the features.
            unsafe { _mm_and_si128(x, _mm_set1_epi8(mask.cast_signed())) }
        }
        #[inline(always)]
        fn or(self, a: __m128i, b: __m128i) -> __m128i {
            // SAFETY: `self` proves the features.
            unsafe { _mm_or_si128(a, b) }
        }
        #[inline(always)]
        fn shr(self, x: __m128i, n: u32) -> __m128i {
            // SAFETY: `self` proves the features.
            let words = unsafe { _mm_srl_epi16(x, _mm_cvtsi32_si128(n.cast_signed())) };
            self.and(words, 0xff >> n)
        }
        #[inline(always)]
        fn shl(self, x: __m128i, n: u32) -> __m128i {
            // SAFETY: `self` proves the features.
            let words = unsafe { _mm_sll_epi16(x, _mm_cvtsi32_si128(n.cast_signed())) };
            self.and(words, 0xff << n)
        }
        #[inline(always)]
        fn spread(self, bits: u16) -> __m128i {
            // SAFETY: `self` proves the features.
            unsafe {
                let byte_of = _mm_set_epi64x(0x0101_0101_0101_0101, 0);
                let bit_of = _mm_set1_epi64x(0x8040_2010_0804_0201u64.cast_signed());
                let bytes = _mm_shuffle_epi8(_mm_set1_epi16(bits.cast_signed()), byte_of);
                let set = _mm_cmpeq_epi8(_mm_and_si128(bytes, bit_of), bit_of);
                _mm_and_si128(set, _mm_set1_epi8(1))
            }
        }
    };
}
pub(super) use byte_operations;

impl Simd for Avx2 {
    type V = V;
    type B = __m128i;
    const ACCUMULATORS: usize = 4;

    #[inline(always)]
    fn splat(self, x: f32) -> V {
        // SAFETY: `self` proves the features.
        let v = unsafe { _mm256_set1_ps(x) };
        V(v, v)
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> V {
        // SAFETY: `self` proves the features; `x` holds sixteen floats.
        unsafe {
            V(
                _mm256_loadu_ps(x.as_ptr()),
                _mm256_loadu_ps(x.as_ptr().add(8)),
            )
        }
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> V {
        let x = x.as_ptr().cast::<__m128i>();
        // SAFETY: `self` proves the features; `x` holds 32 bytes, and f16 is two
        // plain bytes.
        unsafe {
            V(
                _mm256_cvtph_ps(_mm_loadu_si128(x)),
                _mm256_cvtph_ps(_mm_loadu_si128(x.add(1))),
            )
        }
    }
    #[inline(always)]
    fn store(self, v: V, to: &mut [f32; LANES]) {
        // SAFETY: `self` proves the features; `to` holds sixteen floats.
        unsafe {
            _mm256_storeu_ps(to.as_mut_ptr(), v.0);
            _mm256_storeu_ps(to.as_mut_ptr().add(8), v.1);
        }
    }
    byte_operations!();
    #[inline(always)]
    fn unsigned(self, x: __m128i) -> V {
        // SAFETY: `self` proves the features.
        unsafe {
            V(
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)),
                _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(x))),
            )
        }
    }
    #[inline(always)]
    fn signed(self, x: __m128i) -> V {
        // SAFETY: `self` proves the features.
        unsafe {
            V(
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128::<8>(x))),
            )
        }
    }
    #[inline(always)]
    fn lookup(self, table: V, x: __m128i) -> V {
        // SAFETY: `self` proves the features.
        unsafe {
            let pick = |i: __m256i| {
                let low = _mm256_permutevar8x32_ps(table.0, i);
                let high = _mm256_permutevar8x32_ps(table.1, i);
                // Bit 3 of the index, moved to the sign, chooses the half.
                _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32::<28>(i)))
            };
            V(
                pick(_mm256_cvtepu8_epi32(x)),
                pick(_mm256_cvtepu8_epi32(_mm_srli_si128::<8>(x))),
            )
        }
    }
    lanewise!(add, _mm256_add_ps);
    lanewise!(sub, _mm256_sub_ps);
    lanewise!(mul, _mm256_mul_ps);
    lanewise!(div, _mm256_div_ps);
    lanewise!(max, _mm256_max_ps);
    lanewise!(min, _mm256_min_ps);
    #[inline(always)]
    fn fma(self, a: V, b: V, c: V) -> V {
        // SAFETY: `self` proves the features.
        unsafe {
            V(
                _mm256_fmadd_ps(a.0, b.0, c.0),
                _mm256_fmadd_ps(a.1, b.1, c.1),
            )
        }
    }
    #[inline(always)]
    fn round(self, v: V) -> V {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: `self` proves the features.
        unsafe {
            V(
                _mm256_round_ps::<NEAREST>(v.0),
                _mm256_round_ps::<NEAREST>(v.1),
            )
        }
    }
    #[inline(always)]
    fn pow2(self, v: V) -> V {
        // SAFETY: `self` proves the features.
        unsafe {
            let exponent = |v| {
                let e = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(e))
            };
            V(exponent(v.0), exponent(v.1))
        }
    }
    #[inline(always)]
    fn sum4(self, v: [V; 4]) -> [f32; 4] {
        // SAFETY: `self` proves the features; the result holds four floats.
        unsafe {
            let four = |v: V| {
                let eight = _mm256_add_ps(v.0, v.1);
                _mm_add_ps(
                    _mm256_castps256_ps128(eight),
                    _mm256_extractf128_ps::<1>(eight),
                )
            };
            let ab = _mm_hadd_ps(four(v[0]), four(v[1]));
            let cd = _mm_hadd_ps(four(v[2]), four(v[3]));
            let mut sums = [0.0; 4];
            _mm_storeu_ps(sums.as_mut_ptr(), _mm_hadd_ps(ab, cd));
            sums
        }
    }
}
