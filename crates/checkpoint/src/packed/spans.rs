//! Rectangles of bytes in a tensor, and little-endian numbers in them.

use half::{bf16, f16};
use moestro_kernels::Format;

/// `count` pieces of `len` bytes, `stride` bytes apart, from byte `start` of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub start: usize,
    pub len: usize,
    pub stride: usize,
    pub count: usize,
}

impl Span {
    pub fn new(start: usize, len: usize) -> Span {
        Span {
            start,
            len,
            stride: len,
            count: 1,
        }
    }

    /// All of a part, however long.
    pub const WHOLE: Span = Span {
        start: 0,
        len: usize::MAX,
        stride: usize::MAX,
        count: 1,
    };

    /// The span in a part of `bytes` bytes; `None` if it reaches beyond.
    pub fn within(self, bytes: u64) -> Option<Span> {
        let bytes = usize::try_from(bytes).ok()?;
        if self == Span::WHOLE {
            return Some(Span::new(0, bytes));
        }
        let last = self.stride.checked_mul(self.count.checked_sub(1)?)?;
        let end = self.start.checked_add(last)?.checked_add(self.len)?;
        if end > bytes {
            return None;
        }
        if self.len == self.stride {
            return Some(Span::new(self.start, self.len * self.count));
        }
        Some(self)
    }

    /// Columns of a tensor of `count` rows of `stride` bytes.
    pub fn columns(start: usize, len: usize, stride: usize, count: usize) -> Span {
        Span {
            start,
            len,
            stride,
            count,
        }
    }

    /// Bytes of all pieces.
    pub fn bytes(&self) -> usize {
        self.len * self.count
    }
}

/// Number `i` of floats stored in `format`: F32, F16 or BF16.
pub(super) fn float(format: Format, bytes: &[u8], i: usize) -> f32 {
    let half = |i: usize| *bytes[2 * i..].first_chunk().expect("two bytes");
    match format {
        Format::F16 => f16::from_le_bytes(half(i)).to_f32(),
        Format::BF16 => bf16::from_le_bytes(half(i)).to_f32(),
        _ => f32::from_bits(word(bytes, i)),
    }
}

/// Word `i` of 32 bits.
pub(super) fn word(bytes: &[u8], i: usize) -> u32 {
    let bytes = bytes[4 * i..].first_chunk().expect("four bytes");
    u32::from_le_bytes(*bytes)
}
