//! Random blocks of a weight format whose values have mean zero and a chosen
//! standard deviation. Layouts are those of `moestro_kernels`' formats room.

use half::f16;
use moestro_kernels::Format;

/// A small generator of random numbers (xorshift64*), fast enough to keep a disk busy.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Uniform in 0..1.
    fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Near enough to a normal distribution: the sum of four uniform ones.
    pub fn normal(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.unit()).sum();
        (sum - 2.0) * 1.732
    }

    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Fills `out`, whole blocks of `format`, with weights of standard deviation `sd`.
pub fn fill(format: Format, sd: f32, random: &mut Random, out: &mut [u8]) {
    for block in out.chunks_exact_mut(format.block_bytes()) {
        random.fill(block);
        let jitter = 0.8 + 0.4 * random.unit();
        let scale = |divisor: f32| f16::from_f32(sd * jitter / divisor);
        match format {
            Format::F32 => block.copy_from_slice(&(random.normal() * sd).to_le_bytes()),
            Format::F16 => {
                block.copy_from_slice(&f16::from_f32(random.normal() * sd).to_le_bytes());
            }
            Format::BF16 => {
                let value = half::bf16::from_f32(random.normal() * sd);
                block.copy_from_slice(&value.to_le_bytes());
            }
            // Uniform nibbles less 8 and uniform bytes: deviations 4.61 and 73.9.
            Format::Q4_0 => block[..2].copy_from_slice(&scale(4.61).to_le_bytes()),
            Format::Q8_0 => block[..2].copy_from_slice(&scale(73.9).to_le_bytes()),
            Format::Q4K => k_header(block, scale(4.61 * MEAN_SCALE), 7.5, random),
            Format::Q5K => k_header(block, scale(9.23 * MEAN_SCALE), 15.5, random),
            Format::Q6K => {
                for s in &mut block[192..208] {
                    let magnitude = 30 + (random.next() % 70) as i8;
                    *s = (if random.next() & 1 == 0 {
                        magnitude
                    } else {
                        -magnitude
                    }) as u8;
                }
                block[208..].copy_from_slice(&scale(18.5 * 65.0).to_le_bytes());
            }
            other => unreachable!("no recipe asks for {}", other.name()),
        }
    }
}

/// Mean of the 6-bit scales below.
const MEAN_SCALE: f32 = 42.0;

/// Header of Q4_K and Q5_K: `d`, `dmin`, then eight 6-bit scales and minima. Each
/// minimum equals its scale and `dmin` is `mean * d`, which centres the weights.
fn k_header(block: &mut [u8], d: f16, mean: f32, random: &mut Random) {
    block[..2].copy_from_slice(&d.to_le_bytes());
    block[2..4].copy_from_slice(&f16::from_f32(d.to_f32() * mean).to_le_bytes());
    let scales: [u8; 8] = std::array::from_fn(|_| 24 + (random.next() % 36) as u8);
    for i in 0..4 {
        let (low, high) = (scales[i], scales[i + 4]);
        block[4 + i] = low | (high >> 4) << 6;
        block[8 + i] = block[4 + i];
        block[12 + i] = (high & 15) | (high & 15) << 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Format; 8] = [
        Format::F32,
        Format::F16,
        Format::BF16,
        Format::Q4_0,
        Format::Q8_0,
        Format::Q4K,
        Format::Q5K,
        Format::Q6K,
    ];

    #[test]
    fn every_format_has_the_deviation_asked_for() {
        for format in KNOWN {
            let blocks = 65_536 / format.block_len();
            let mut bytes = vec![0; blocks * format.block_bytes()];
            fill(format, 0.02, &mut Random::new(3), &mut bytes);
            let mut values = vec![0.0f32; blocks * format.block_len()];
            format.dequantize(&bytes, &mut values);
            let n = values.len() as f32;
            let mean = values.iter().sum::<f32>() / n;
            let deviation = (values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / n).sqrt();
            assert!(mean.abs() < 0.003, "{}: mean {mean}", format.name());
            assert!(
                (0.017..0.023).contains(&deviation),
                "{}: {deviation}",
                format.name()
            );
        }
    }
}
