//! The six-bit scales that Q4_K and Q5_K share.

/// Eight scales and eight minima, each of six bits, from their twelve bytes:
/// the first four of each in the low bits of bytes 0-3 and 4-7, the last four in
/// the nibbles of bytes 8-11 with their upper two bits in bytes 0-7.
#[inline(always)]
pub(super) fn unpack(s: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let scale = |j: usize| match j {
        0..4 => s[j] & 63,
        _ => (s[j + 4] & 15) | (s[j - 4] >> 6) << 4,
    };
    let minimum = |j: usize| match j {
        0..4 => s[j + 4] & 63,
        _ => (s[j + 4] >> 4) | (s[j] >> 6) << 4,
    };
    (std::array::from_fn(scale), std::array::from_fn(minimum))
}
