//! What the weights of a synthetic model are.

use anyhow::Result;
use moestro_checkpoint::GgufTensor;
use moestro_kernels::Format;

use super::blocks::{self, Random};

/// The weights of a tensor.
#[derive(Clone, Copy)]
pub enum Values {
    Constant(f32),
    /// How fast a state is forgotten: negative numbers, in single precision.
    Decay,
    /// The logarithms of their magnitudes.
    LogOfDecay,
    /// Normally distributed with this standard deviation.
    Normal(f32),
}

impl Values {
    /// Such that activations stay near one.
    pub fn of(tensor: &GgufTensor) -> Values {
        let name = &tensor.name;
        if name.ends_with("norm.weight") {
            return Values::Constant(1.0);
        }
        if name.ends_with("ssm_a") {
            return Values::Decay;
        }
        let cols = *tensor.shape.last().unwrap_or(&1) as f32;
        Values::Normal(match tensor.shape.len() {
            1 => 0.02,
            _ if name.ends_with("ssm_conv1d.weight") => 0.3,
            _ if name.ends_with("token_embd.weight") => 1.0,
            _ => cols.powf(-0.5),
        })
    }

    fn fill(self, format: Format, random: &mut Random, out: &mut [u8]) {
        let mut each = |value: &mut dyn FnMut() -> f32| {
            for block in out.chunks_exact_mut(format.block_bytes()) {
                match format {
                    Format::BF16 => {
                        let value = half::bf16::from_f32(value());
                        block.copy_from_slice(&value.to_le_bytes());
                    }
                    _ => block.copy_from_slice(&value().to_le_bytes()),
                }
            }
        };
        match self {
            Values::Constant(value) => each(&mut || value),
            Values::Decay => each(&mut || -0.05 - 0.3 * random.normal().abs()),
            Values::LogOfDecay => each(&mut || (0.05 + 0.3 * random.normal().abs()).ln()),
            Values::Normal(deviation) => blocks::fill(format, deviation, random, out),
        }
    }
}

/// Bytes of random blocks that a tensor repeats, shifted each time so that no two
/// experts are equal. Making each weight anew would take minutes per gigabyte.
const PATTERN: usize = 4 << 20;

/// The bytes of tensors alike.
pub struct Repeated {
    pattern: Vec<u8>,
    block: usize,
}

impl Repeated {
    /// For tensors of so many bytes together.
    pub fn new(format: Format, values: Values, bytes: u64, random: &mut Random) -> Repeated {
        let block = format.block_bytes();
        let mut pattern = vec![0; bytes.min((PATTERN / block * block) as u64) as usize];
        values.fill(format, random, &mut pattern);
        Repeated { pattern, block }
    }

    /// Random bits where `any` has ones, those of `always` besides.
    pub fn bits(any: u8, always: u8, bytes: u64, random: &mut Random) -> Repeated {
        let mut pattern = vec![0; bytes.min(PATTERN as u64) as usize];
        random.fill(&mut pattern);
        for byte in &mut pattern {
            *byte = *byte & any | always;
        }
        Repeated { pattern, block: 4 }
    }

    /// These bytes, each time from their beginning.
    pub fn of(pattern: Vec<u8>) -> Repeated {
        let block = pattern.len();
        Repeated { pattern, block }
    }

    /// Hands out the `bytes` of the next tensor.
    pub fn each_piece(
        &self,
        bytes: u64,
        random: &mut Random,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut left = bytes;
        while left > 0 {
            let blocks = (self.pattern.len() / self.block).max(1);
            let shift = random.next() as usize % blocks * self.block;
            let piece = &self.pattern[shift..];
            let piece = &piece[..piece.len().min(left as usize)];
            take(piece)?;
            left -= piece.len() as u64;
        }
        Ok(())
    }
}
