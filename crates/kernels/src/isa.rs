//! Which instruction set to use, decided once at run time.

use crate::activations::Group;
use crate::formats::{Format, multiply_usual};
use crate::simd::portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{
    Words,
    avx2::{Avx2, Avx512Half},
    avx512::Avx512,
};
use std::time::{Duration, Instant};

/// An instruction set that the kernels have code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, for any CPU.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL, DQ and VNNI, on vectors of 256 bits.
    Avx512Half,
    /// The same on vectors of 512 bits.
    Avx512,
}

impl Isa {
    /// Every instruction set, the later ones needing more.
    pub const ALL: [Isa; 4] = [Isa::Portable, Isa::Avx2, Isa::Avx512Half, Isa::Avx512];
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "AVX2",
            Isa::Avx512Half => "AVX-512 (256 bits)",
            Isa::Avx512 => "AVX-512",
        })
    }
}

/// An instruction set together with the proof that this CPU has it.
#[derive(Clone, Copy)]
pub(crate) enum Level {
    Portable(Portable),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512Half(Avx512Half),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Level {
    /// The proof for `isa`, if the CPU has it.
    pub(crate) fn detect(isa: Isa) -> Option<Level> {
        match isa {
            Isa::Portable => Some(Level::Portable(Portable)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::detect().map(Level::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512Half => Avx512Half::detect().map(Level::Avx512Half),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::detect().map(Level::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            _ => None,
        }
    }

    /// The most the CPU has.
    pub(crate) fn widest() -> Level {
        let found = Isa::ALL.into_iter().rev().find_map(Level::detect);
        found.unwrap_or(Level::Portable(Portable))
    }

    /// The fastest the CPU has. Which width of AVX-512 that is differs from core to
    /// core and is tried out, in well under a millisecond.
    pub(crate) fn fastest() -> Level {
        let widest = Level::widest();
        #[cfg(target_arch = "x86_64")]
        if let (Level::Avx512(whole), Some(half)) = (widest, Avx512Half::detect()) {
            let mut times = [Duration::MAX; 2];
            for _ in 0..8 {
                times[0] = times[0].min(whole.vectorize(|| time_products(whole)));
                times[1] = times[1].min(half.vectorize(|| time_products(half)));
            }
            if times[1] < times[0] {
                return Level::Avx512Half(half);
            }
        }
        widest
    }

    pub(crate) fn isa(self) -> Isa {
        match self {
            Level::Portable(_) => Isa::Portable,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Half(_) => Isa::Avx512Half,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => Isa::Avx512,
        }
    }
}

/// How long the product of a tile of Q4_K weights with some rows takes.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn time_products<S: Words>(s: S) -> Duration {
    const ROWS: usize = 8;
    const BLOCKS: usize = 8;
    let tile = std::hint::black_box(vec![7; BLOCKS * 16 * Format::Q4K.block_bytes()]);
    let x = std::hint::black_box(vec![Group::ZERO; ROWS * BLOCKS * 8]);
    let mut out = [[0.0; 16]; ROWS];
    let start = Instant::now();
    multiply_usual(s, &tile, &x, &mut out);
    std::hint::black_box(out);
    start.elapsed()
}

/// `vectorized!(level, |s| body)` compiles `body` once per instruction set, `s`
/// being its [`crate::simd::Simd`] value, and runs the one of `level`. Functions
/// that `body` calls have to be `#[inline(always)]`. With `portable: other` first,
/// the portable set runs `other` instead, and `s` is a [`crate::simd::Words`].
macro_rules! vectorized {
    ($level:expr, |$s:ident| $body:expr) => {
        $crate::isa::vectorized!(@ $level, $s => $body, |$s| $body)
    };
    ($level:expr, portable: $portable:expr, |$s:ident| $body:expr) => {
        $crate::isa::vectorized!(@ $level, _ => $portable, |$s| $body)
    };
    (@ $level:expr, $p:pat => $portable:expr, |$s:ident| $body:expr) => {
        match $level {
            $crate::isa::Level::Portable($p) => $portable,
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Level::Avx2($s) => $s.vectorize(
                #[inline(always)]
                || $body,
            ),
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Level::Avx512Half($s) => $s.vectorize(
                #[inline(always)]
                || $body,
            ),
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Level::Avx512($s) => $s.vectorize(
                #[inline(always)]
                || $body,
            ),
        }
    };
}
pub(crate) use vectorized;
