//! Which instruction set to use, decided once at run time.

use crate::simd::portable::Portable;
#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::Avx2, avx512::Avx512};

/// An instruction set that the kernels have code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// Plain Rust, for any CPU.
    Portable,
    /// x86-64 with AVX2, FMA and F16C.
    Avx2,
    /// x86-64 with AVX-512 F, BW, VL and DQ.
    Avx512,
}

impl std::fmt::Display for Isa {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "AVX2",
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
            Isa::Avx512 => Avx512::detect().map(Level::Avx512),
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => None,
        }
    }

    /// The best the CPU has.
    pub(crate) fn best() -> Level {
        Level::detect(Isa::Avx512)
            .or_else(|| Level::detect(Isa::Avx2))
            .unwrap_or(Level::Portable(Portable))
    }

    pub(crate) fn isa(self) -> Isa {
        match self {
            Level::Portable(_) => Isa::Portable,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => Isa::Avx2,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => Isa::Avx512,
        }
    }
}

/// `vectorized!(level, |s| body)` compiles `body` once per instruction set, `s`
/// being its [`crate::simd::Simd`] value, and runs the one of `level`. Functions
/// that `body` calls have to be `#[inline(always)]`.
macro_rules! vectorized {
    ($level:expr, |$s:ident| $body:expr) => {
        match $level {
            $crate::isa::Level::Portable($s) => $body,
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Level::Avx2($s) => $s.vectorize(
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
