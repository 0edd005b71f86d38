//! Two registers of eight floats: AVX2 with FMA and F16C, or AVX-512 on 256 bits,
//! which is faster than on 512 where a core has more units of the former kind.

use super::{LANES, Simd, Words};
use half::f16;
use std::arch::x86_64::*;

/// Proof that the CPU has AVX2, FMA and F16C; if `VNNI`, that it has AVX-512 F, BW,
/// VL, DQ and VNNI as well, of which this uses the instructions for 256 bits.
#[derive(Clone, Copy)]
pub(crate) struct Ymm<const VNNI: bool>(());

pub(crate) type Avx2 = Ymm<false>;
pub(crate) type Avx512Half = Ymm<true>;

impl<const VNNI: bool> Ymm<VNNI> {
    pub(crate) fn detect() -> Option<Self> {
        let has = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let vnni = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vnni");
        (has && (vnni || !VNNI)).then_some(Ymm(()))
    }

    /// Runs `f`, compiled for these features where it is inlined.
    #[inline]
    pub(crate) fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt")]
        fn plain<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        #[target_feature(
            enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c,bmi1,bmi2,lzcnt,popcnt"
        )]
        fn vnni<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: `self` proves the features; every CPU with AVX2 and FMA has BMI,
        // LZCNT and POPCNT.
        unsafe { if VNNI { vnni(f) } else { plain(f) } }
    }
}

#[derive(Clone, Copy)]
pub(crate) struct V(__m256, __m256);

#[derive(Clone, Copy)]
pub(crate) struct W(__m256i, __m256i);

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

impl<const VNNI: bool> Simd for Ymm<VNNI> {
    type V = V;
    type B = __m128i;
    const ACCUMULATORS: usize = if VNNI { 8 } else { 4 };

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
    fn e4m3(self, x: &[u8; LANES]) -> V {
        // As a half with the exponent's bias of 7 instead of 15.
        // SAFETY: `self` proves the features; `x` holds sixteen bytes.
        unsafe {
            let x = _mm256_cvtepi8_epi16(_mm_loadu_si128(x.as_ptr().cast()));
            let half = _mm256_and_si256(_mm256_slli_epi16::<7>(x), _mm256_set1_epi16(!0x4000));
            V(
                _mm256_cvtph_ps(_mm256_castsi256_si128(half)),
                _mm256_cvtph_ps(_mm256_extracti128_si256::<1>(half)),
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

    #[inline(always)]
    fn narrow(self, v: V, to: &mut [i8; LANES]) {
        // SAFETY: `self` proves the features; `to` holds sixteen bytes.
        unsafe {
            let shorts = |v| {
                let words = _mm256_cvtps_epi32(v);
                _mm_packs_epi32(
                    _mm256_castsi256_si128(words),
                    _mm256_extracti128_si256::<1>(words),
                )
            };
            let bytes = _mm_packs_epi16(shorts(v.0), shorts(v.1));
            _mm_storeu_si128(to.as_mut_ptr().cast(), bytes);
        }
    }
}

impl<const VNNI: bool> Words for Ymm<VNNI> {
    type W = W;

    #[inline(always)]
    fn halves(self, x: &[u8; 2 * LANES]) -> V {
        let x = x.as_ptr().cast::<__m128i>();
        // SAFETY: `self` proves the features; `x` holds 32 bytes.
        unsafe {
            V(
                _mm256_cvtph_ps(_mm_loadu_si128(x)),
                _mm256_cvtph_ps(_mm_loadu_si128(x.add(1))),
            )
        }
    }
    #[inline(always)]
    fn words(self, x: &[u8; 4 * LANES]) -> W {
        let x = x.as_ptr().cast::<__m256i>();
        // SAFETY: `self` proves the features; `x` holds 64 bytes.
        unsafe { W(_mm256_loadu_si256(x), _mm256_loadu_si256(x.add(1))) }
    }
    #[inline(always)]
    fn byte_words(self, x: &[u8; LANES]) -> W {
        // SAFETY: `self` proves the features; `x` holds sixteen bytes.
        unsafe {
            let x = _mm_loadu_si128(x.as_ptr().cast());
            W(
                _mm256_cvtepu8_epi32(x),
                _mm256_cvtepu8_epi32(_mm_srli_si128::<8>(x)),
            )
        }
    }
    #[inline(always)]
    fn short_words(self, x: &[u8; 2 * LANES]) -> W {
        let x = x.as_ptr().cast::<__m128i>();
        // SAFETY: `self` proves the features; `x` holds 32 bytes.
        unsafe {
            W(
                _mm256_cvtepu16_epi32(_mm_loadu_si128(x)),
                _mm256_cvtepu16_epi32(_mm_loadu_si128(x.add(1))),
            )
        }
    }
    #[inline(always)]
    fn word_splat(self, x: i32) -> W {
        // SAFETY: `self` proves the features.
        let x = unsafe { _mm256_set1_epi32(x) };
        W(x, x)
    }
    #[inline(always)]
    fn word_and(self, x: W, mask: u32) -> W {
        // SAFETY: `self` proves the features.
        unsafe {
            W(
                _mm256_and_si256(x.0, _mm256_set1_epi32(mask.cast_signed())),
                _mm256_and_si256(x.1, _mm256_set1_epi32(mask.cast_signed())),
            )
        }
    }
    #[inline(always)]
    fn word_or(self, a: W, b: W) -> W {
        // SAFETY: `self` proves the features.
        unsafe { W(_mm256_or_si256(a.0, b.0), _mm256_or_si256(a.1, b.1)) }
    }
    #[inline(always)]
    fn word_add(self, a: W, b: W) -> W {
        // SAFETY: `self` proves the features.
        unsafe { W(_mm256_add_epi32(a.0, b.0), _mm256_add_epi32(a.1, b.1)) }
    }
    #[inline(always)]
    fn word_shr(self, x: W, n: u32) -> W {
        // SAFETY: `self` proves the features.
        unsafe {
            W(
                _mm256_srl_epi32(x.0, _mm_cvtsi32_si128(n.cast_signed())),
                _mm256_srl_epi32(x.1, _mm_cvtsi32_si128(n.cast_signed())),
            )
        }
    }
    #[inline(always)]
    fn word_shl(self, x: W, n: u32) -> W {
        // SAFETY: `self` proves the features.
        unsafe {
            W(
                _mm256_sll_epi32(x.0, _mm_cvtsi32_si128(n.cast_signed())),
                _mm256_sll_epi32(x.1, _mm_cvtsi32_si128(n.cast_signed())),
            )
        }
    }
    #[inline(always)]
    fn word_sar(self, x: W, n: u32) -> W {
        // SAFETY: `self` proves the features.
        unsafe {
            W(
                _mm256_sra_epi32(x.0, _mm_cvtsi32_si128(n.cast_signed())),
                _mm256_sra_epi32(x.1, _mm_cvtsi32_si128(n.cast_signed())),
            )
        }
    }
    #[inline(always)]
    fn byte_lookup(self, table: &[i8; 16], x: W) -> W {
        // SAFETY: `self` proves the features; `table` holds sixteen bytes.
        unsafe {
            let table = _mm256_broadcastsi128_si256(_mm_loadu_si128(table.as_ptr().cast()));
            W(
                _mm256_shuffle_epi8(table, x.0),
                _mm256_shuffle_epi8(table, x.1),
            )
        }
    }
    #[inline(always)]
    fn integers(self, x: W) -> V {
        // SAFETY: `self` proves the features.
        unsafe { V(_mm256_cvtepi32_ps(x.0), _mm256_cvtepi32_ps(x.1)) }
    }
    #[inline(always)]
    fn float_bits(self, x: W) -> V {
        // SAFETY: `self` proves the features.
        unsafe { V(_mm256_castsi256_ps(x.0), _mm256_castsi256_ps(x.1)) }
    }
    #[inline(always)]
    fn bytes_in_four(self, x: &[i8; 16]) -> W {
        // SAFETY: `self` proves the features; `x` holds sixteen bytes.
        let x = unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(x.as_ptr().cast())) };
        W(x, x)
    }
    #[inline(always)]
    fn four(self, x: &[u32; 4]) -> W {
        // SAFETY: `self` proves the features; `x` holds sixteen bytes.
        let x = unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(x.as_ptr().cast())) };
        W(x, x)
    }
    #[inline(always)]
    fn word_of_four(self, x: W, i: usize) -> W {
        // SAFETY: `self` proves the features.
        unsafe {
            match i % 4 {
                0 => W(
                    _mm256_shuffle_epi32::<0x00>(x.0),
                    _mm256_shuffle_epi32::<0x00>(x.1),
                ),
                1 => W(
                    _mm256_shuffle_epi32::<0x55>(x.0),
                    _mm256_shuffle_epi32::<0x55>(x.1),
                ),
                2 => W(
                    _mm256_shuffle_epi32::<0xaa>(x.0),
                    _mm256_shuffle_epi32::<0xaa>(x.1),
                ),
                _ => W(
                    _mm256_shuffle_epi32::<0xff>(x.0),
                    _mm256_shuffle_epi32::<0xff>(x.1),
                ),
            }
        }
    }
    #[inline(always)]
    fn dot(self, acc: W, q: W, x: W) -> W {
        if VNNI {
            // SAFETY: `self` proves the features.
            return unsafe {
                W(
                    _mm256_dpbusd_epi32(acc.0, q.0, x.0),
                    _mm256_dpbusd_epi32(acc.1, q.1, x.1),
                )
            };
        }
        // SAFETY: `self` proves the features. Pairs of products are at most
        // 2 * 127 * 127, which sixteen bits hold.
        unsafe {
            let ones = _mm256_set1_epi16(1);
            let low = _mm256_madd_epi16(_mm256_maddubs_epi16(q.0, x.0), ones);
            let high = _mm256_madd_epi16(_mm256_maddubs_epi16(q.1, x.1), ones);
            W(_mm256_add_epi32(acc.0, low), _mm256_add_epi32(acc.1, high))
        }
    }
    #[inline(always)]
    fn signed_quads(self, q: W) -> W {
        if !VNNI {
            return q;
        }
        // The instruction takes unsigned weights: 128 more than the signed ones.
        // SAFETY: `self` proves the features.
        unsafe {
            let sign = _mm256_set1_epi8(i8::MIN);
            W(_mm256_xor_si256(q.0, sign), _mm256_xor_si256(q.1, sign))
        }
    }
    #[inline(always)]
    fn signed_start(self, minus: W) -> W {
        if VNNI {
            self.word_shl(minus, 7)
        } else {
            self.word_splat(0)
        }
    }
    #[inline(always)]
    fn dot_signed(self, acc: W, q: W, x: W) -> W {
        if VNNI {
            return self.dot(acc, q, x);
        }
        // The first factor of the instruction is unsigned: the weights give their
        // signs to the activations, which have no -128.
        // SAFETY: `self` proves the features.
        unsafe {
            let magnitude = W(_mm256_abs_epi8(q.0), _mm256_abs_epi8(q.1));
            let x = W(_mm256_sign_epi8(x.0, q.0), _mm256_sign_epi8(x.1, q.1));
            self.dot(acc, magnitude, x)
        }
    }
}
