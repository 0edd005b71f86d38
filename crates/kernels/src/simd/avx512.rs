//! AVX-512: one register of sixteen floats.

use super::avx2::byte_operations;
use super::{LANES, Simd};
use half::f16;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, BW, VL, DQ and what AVX2 code needs.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Avx512> {
        let has = super::avx2::Avx2::detect().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq");
        has.then_some(Avx512(()))
    }

    /// Runs `f`, compiled for these features where it is inlined.
    #[inline]
    pub(crate) fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(
            enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
        )]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves the AVX-512 features, AVX2, FMA and F16C; every
        // CPU with these has BMI, LZCNT and POPCNT.
        unsafe { inner(f) }
    }
}

macro_rules! lanewise {
    ($name:ident, $intrinsic:ident) => {
        #[inline(always)]
        fn $name(self, a: __m512, b: __m512) -> __m512 {
            // SAFETY: `self` proves the features.
            unsafe { $intrinsic(a, b) }
        }
    };
}

impl Simd for Avx512 {
    type V = __m512;
    type B = __m128i;
    const ACCUMULATORS: usize = 16;

    #[inline(always)]
    fn splat(self, x: f32) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_set1_ps(x) }
    }
    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> __m512 {
        // SAFETY: `self` proves the features; `x` holds sixteen floats.
        unsafe { _mm512_loadu_ps(x.as_ptr()) }
    }
    #[inline(always)]
    fn load_f16(self, x: &[f16; LANES]) -> __m512 {
        // SAFETY: `self` proves the features; `x` holds 32 bytes, and f16 is two
        // plain bytes.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn store(self, v: __m512, to: &mut [f32; LANES]) {
        // SAFETY: `self` proves the features; `to` holds sixteen floats.
        unsafe { _mm512_storeu_ps(to.as_mut_ptr(), v) }
    }
    byte_operations!();
    #[inline(always)]
    fn unsigned(self, x: __m128i) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(x)) }
    }
    #[inline(always)]
    fn signed(self, x: __m128i) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x)) }
    }
    #[inline(always)]
    fn lookup(self, table: __m512, x: __m128i) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(x), table) }
    }
    lanewise!(add, _mm512_add_ps);
    lanewise!(sub, _mm512_sub_ps);
    lanewise!(mul, _mm512_mul_ps);
    lanewise!(div, _mm512_div_ps);
    lanewise!(max, _mm512_max_ps);
    lanewise!(min, _mm512_min_ps);
    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_fmadd_ps(a, b, c) }
    }
    #[inline(always)]
    fn round(self, v: __m512) -> __m512 {
        const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        // SAFETY: `self` proves the features.
        unsafe { _mm512_roundscale_ps::<NEAREST>(v) }
    }
    #[inline(always)]
    fn pow2(self, v: __m512) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_scalef_ps(_mm512_set1_ps(1.0), v) }
    }
    #[inline(always)]
    fn sum4(self, v: [__m512; 4]) -> [f32; 4] {
        // SAFETY: `self` proves the features; the result holds four floats.
        unsafe {
            let four = |v: __m512| {
                let eight =
                    _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps::<1>(v));
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
