//! AVX-512: one register of sixteen floats.

use super::avx2::byte_operations;
use super::{LANES, Simd, Words};
use half::f16;
use std::arch::asm;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX-512 F, BW, VL, DQ, VNNI and what AVX2 code needs.
#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Avx512 {
    pub(crate) fn detect() -> Option<Avx512> {
        let has = super::avx2::Avx2::detect().is_some()
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni");
        has.then_some(Avx512(()))
    }

    /// Runs `f`, compiled for these features where it is inlined.
    #[inline]
    pub(crate) fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(
            enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
        )]
        fn inner<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves the AVX-512 features, AVX2, FMA and F16C; every
        // CPU with these has BMI, LZCNT and POPCNT.
        unsafe { inner(f) }
    }
}

/// Keeps the compiler from turning each shuffle of a loaded vector into a load of its
/// own: measured 10% slower here, and faster on 256 bits.
#[target_feature(enable = "avx512f")]
#[inline]
fn in_register(mut x: __m512i) -> __m512i {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(zmm_reg) x, options(pure, nomem, nostack, preserves_flags)) }
    x
}

/// Part `at` of all eight is known at this point.
#[target_feature(enable = "avx512f")]
#[inline]
fn eight_in_registers([a, b, c, d, e, f, g, h]: &mut [[__m512i; 2]; 8], at: usize) {
    // SAFETY: no instruction at all.
    unsafe {
        asm!(
            "/* {0} {1} {2} {3} {4} {5} {6} {7} */",
            inout(zmm_reg) a[at],
            inout(zmm_reg) b[at],
            inout(zmm_reg) c[at],
            inout(zmm_reg) d[at],
            inout(zmm_reg) e[at],
            inout(zmm_reg) f[at],
            inout(zmm_reg) g[at],
            inout(zmm_reg) h[at],
            options(pure, nomem, nostack, preserves_flags)
        );
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
    fn e4m3(self, x: &[u8; LANES]) -> __m512 {
        // As a half with the exponent's bias of 7 instead of 15.
        // SAFETY: `self` proves the features; `x` holds sixteen bytes.
        unsafe {
            let x = _mm256_cvtepi8_epi16(_mm_loadu_si128(x.as_ptr().cast()));
            let half = _mm256_and_si256(_mm256_slli_epi16::<7>(x), _mm256_set1_epi16(!0x4000));
            _mm512_cvtph_ps(half)
        }
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

    #[inline(always)]
    fn narrow(self, v: __m512, to: &mut [i8; LANES]) {
        // SAFETY: `self` proves the features; `to` holds sixteen bytes.
        unsafe {
            let bytes = _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(v));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
    }
}

impl Words for Avx512 {
    type W = __m512i;

    #[inline(always)]
    fn halves(self, x: &[u8; 2 * LANES]) -> __m512 {
        // SAFETY: `self` proves the features; `x` holds 32 bytes.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn words(self, x: &[u8; 4 * LANES]) -> __m512i {
        // SAFETY: `self` proves the features; `x` holds 64 bytes.
        unsafe { _mm512_loadu_si512(x.as_ptr().cast()) }
    }
    #[inline(always)]
    fn byte_words(self, x: &[u8; LANES]) -> __m512i {
        // SAFETY: `self` proves the features; `x` holds sixteen bytes.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn short_words(self, x: &[u8; 2 * LANES]) -> __m512i {
        // SAFETY: `self` proves the features; `x` holds 32 bytes.
        unsafe { _mm512_cvtepu16_epi32(_mm256_loadu_si256(x.as_ptr().cast())) }
    }
    #[inline(always)]
    fn word_splat(self, x: i32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_set1_epi32(x) }
    }
    #[inline(always)]
    fn word_and(self, x: __m512i, mask: u32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_and_si512(x, _mm512_set1_epi32(mask.cast_signed())) }
    }
    #[inline(always)]
    fn word_or(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn word_add(self, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    fn word_shr(self, x: __m512i, n: u32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_srl_epi32(x, _mm_cvtsi32_si128(n.cast_signed())) }
    }
    #[inline(always)]
    fn word_shl(self, x: __m512i, n: u32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_sll_epi32(x, _mm_cvtsi32_si128(n.cast_signed())) }
    }
    #[inline(always)]
    fn word_sar(self, x: __m512i, n: u32) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_sra_epi32(x, _mm_cvtsi32_si128(n.cast_signed())) }
    }
    #[inline(always)]
    fn byte_lookup(self, table: &[i8; 16], x: __m512i) -> __m512i {
        // SAFETY: `self` proves the features; `table` holds sixteen bytes.
        unsafe {
            let table = _mm512_broadcast_i32x4(_mm_loadu_si128(table.as_ptr().cast()));
            _mm512_shuffle_epi8(table, x)
        }
    }
    #[inline(always)]
    fn integers(self, x: __m512i) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_cvtepi32_ps(x) }
    }
    #[inline(always)]
    fn float_bits(self, x: __m512i) -> __m512 {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_castsi512_ps(x) }
    }
    #[inline(always)]
    fn bytes_in_four(self, x: &[i8; 16]) -> __m512i {
        // SAFETY: `self` proves the features; `x` holds sixteen bytes.
        unsafe { in_register(_mm512_broadcast_i32x4(_mm_loadu_si128(x.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn four(self, x: &[u32; 4]) -> __m512i {
        // SAFETY: `self` proves the features; `x` holds sixteen bytes.
        unsafe { in_register(_mm512_broadcast_i32x4(_mm_loadu_si128(x.as_ptr().cast()))) }
    }
    #[inline(always)]
    fn word_of_four(self, x: __m512i, i: usize) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe {
            match i % 4 {
                0 => _mm512_shuffle_epi32::<0x00>(x),
                1 => _mm512_shuffle_epi32::<0x55>(x),
                2 => _mm512_shuffle_epi32::<0xaa>(x),
                _ => _mm512_shuffle_epi32::<0xff>(x),
            }
        }
    }
    #[inline(always)]
    fn dot(self, acc: __m512i, q: __m512i, x: __m512i) -> __m512i {
        // SAFETY: `self` proves the features.
        unsafe { _mm512_dpbusd_epi32(acc, q, x) }
    }
    #[inline(always)]
    fn signed_quads(self, q: __m512i) -> __m512i {
        // The instruction takes unsigned weights: 128 more than the signed ones.
        // SAFETY: `self` proves the features.
        unsafe { _mm512_xor_si512(q, _mm512_set1_epi8(i8::MIN)) }
    }
    #[inline(always)]
    fn signed_start(self, minus: __m512i) -> __m512i {
        self.word_shl(minus, 7)
    }
    #[inline(always)]
    fn dot_signed(self, acc: __m512i, q: __m512i, x: __m512i) -> __m512i {
        self.dot(acc, q, x)
    }
    #[inline(always)]
    fn in_order<const M: usize>(self, sums: &mut [[__m512i; 2]; M], at: usize) {
        if let Some(eight) = sums.first_chunk_mut::<8>() {
            // SAFETY: `self` proves the features.
            unsafe { eight_in_registers(eight, at) }
        }
    }
}
