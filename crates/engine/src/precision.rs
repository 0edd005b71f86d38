//! How exactly a model is computed.

use moestro_kernels::Format;

use crate::state::KvFormat;

/// In which number formats weights, keys and values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Weights as in the file, keys and values in half precision. For products
    /// with quantized weights the kernels round activations to eight bits.
    #[default]
    Stored,
    /// Single precision throughout: several times the memory and slow, for
    /// comparing with float32 references.
    Float32,
}

impl Precision {
    /// The format in memory of weights that a file holds as `file`.
    pub fn weights(self, file: Format) -> Format {
        match self {
            Precision::Stored => file,
            Precision::Float32 => Format::F32,
        }
    }

    pub fn kv(self) -> KvFormat {
        match self {
            Precision::Stored => KvFormat::F16,
            Precision::Float32 => KvFormat::F32,
        }
    }
}
