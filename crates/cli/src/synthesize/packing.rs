//! Ways in which the matrices of a synthetic Hugging Face folder are stored: as
//! BF16, or packed as published quantized checkpoints are.

use clap::ValueEnum;
use half::{bf16, f16};
use moestro_kernels::Format;
use serde_json::{Value, json};

use super::blocks::Random;
use super::values::{Repeated, Values};

/// How the linear layers are stored; embeddings, norms, routers and gates are BF16.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Packing {
    #[value(name = "bf16")]
    BF16,
    /// bitsandbytes NF4 with double quantization
    #[value(name = "bnb-nf4")]
    Nf4,
    /// FP8 E4M3 with scales per 128 x 128 block
    #[value(name = "fp8")]
    Fp8,
    /// GPTQ with 4 bits and groups of 128
    #[value(name = "gptq-int4")]
    Gptq,
}

/// One of the tensors that hold a matrix.
pub struct Part {
    /// What its name ends with.
    pub suffix: &'static str,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub bytes: u64,
    fill: Fill,
}

enum Fill {
    Weights(Values),
    /// Random bits where `any` has ones, those of `always` besides.
    Bits {
        any: u8,
        always: u8,
    },
    /// These bytes again and again.
    Repeat(Vec<u8>),
}

impl Part {
    fn new(suffix: &'static str, dtype: &'static str, shape: &[usize], fill: Fill) -> Part {
        let width = match dtype {
            "U8" | "F8_E4M3" => 1,
            "BF16" | "F16" => 2,
            _ => 4,
        };
        Part {
            suffix,
            dtype,
            shape: shape.to_vec(),
            bytes: (width * shape.iter().product::<usize>()) as u64,
            fill,
        }
    }

    /// The bytes of `count` such tensors.
    pub fn bytes_of(&self, count: usize, random: &mut Random) -> Repeated {
        let all = self.bytes * count as u64;
        match &self.fill {
            Fill::Weights(values) => Repeated::new(Format::BF16, *values, all, random),
            Fill::Bits { any, always } => Repeated::bits(*any, *always, all, random),
            Fill::Repeat(bytes) => Repeated::of(bytes.clone()),
        }
    }
}

impl Packing {
    /// The tensors of a matrix or vector; `linear` ones are packed.
    pub fn parts(self, shape: &[usize], values: Values, linear: bool) -> Vec<Part> {
        let (Values::Normal(deviation), [n, k], true) = (values, shape, linear) else {
            let suffix = if linear { ".weight" } else { "" };
            return vec![Part::new(suffix, "BF16", shape, Fill::Weights(values))];
        };
        let (n, k) = (*n, *k);
        let any = |any| Fill::Bits { any, always: 0 };
        match self {
            Packing::BF16 => vec![Part::new(".weight", "BF16", shape, Fill::Weights(values))],
            Packing::Nf4 => nf4(n, k, deviation),
            Packing::Fp8 => {
                // Numbers from 0.5 to 2 of either sign.
                let numbers = Fill::Bits {
                    any: 0x8f,
                    always: 0x30,
                };
                let scale = bf16::from_f32(deviation / 1.15).to_le_bytes();
                let blocks = [n.div_ceil(128), k.div_ceil(128)];
                let scales = Fill::Repeat(scale.to_vec());
                vec![
                    Part::new(".weight", "F8_E4M3", shape, numbers),
                    Part::new(".weight_scale_inv", "BF16", &blocks, scales),
                ]
            }
            Packing::Gptq => {
                // Uniform nibbles less 8 have a deviation of 4.61.
                let scale = f16::from_f32(deviation / 4.61).to_le_bytes();
                let groups = k.div_ceil(128);
                let group_of = (0..k as u32).flat_map(|c| (c / 128).to_le_bytes());
                let zeros = Fill::Repeat(vec![0x77; 4]);
                vec![
                    Part::new(".qweight", "I32", &[k / 8, n], any(0xff)),
                    Part::new(".qzeros", "I32", &[groups, n / 8], zeros),
                    Part::new(".scales", "F16", &[groups, n], Fill::Repeat(scale.to_vec())),
                    Part::new(".g_idx", "I32", &[k], Fill::Repeat(group_of.collect())),
                ]
            }
        }
    }

    /// What config.json says about it.
    pub fn settings(self) -> Value {
        match self {
            Packing::BF16 => Value::Null,
            Packing::Nf4 => json!({
                "quant_method": "bitsandbytes", "load_in_4bit": true,
                "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": true,
                "bnb_4bit_compute_dtype": "bfloat16",
                "llm_int8_skip_modules": ["lm_head", "gate", "shared_expert_gate", "in_proj_ba"],
            }),
            Packing::Fp8 => json!({
                "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic",
                "weight_block_size": [128, 128],
                "modules_to_not_convert": ["lm_head", "gate", "shared_expert_gate", "in_proj_ba"],
            }),
            Packing::Gptq => json!({
                "quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": false,
                "sym": true, "checkpoint_format": "gptq",
            }),
        }
    }
}

fn nf4(n: usize, k: usize, deviation: f32) -> Vec<Part> {
    let table = Format::NF4.codebook().expect("NF4 has one");
    let power = table.iter().map(|v| v * v).sum::<f32>() / 16.0;
    // Scales are spread by a fifth around this one.
    let scale = deviation / power.sqrt();
    let spread = (0..256).map(|i| 0.2 * (i as f32 - 127.5) / 127.5);
    let floats = |values: &mut dyn Iterator<Item = f32>| {
        Fill::Repeat(values.flat_map(f32::to_le_bytes).collect())
    };
    let state = json!({
        "quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [n, k],
        "nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": scale,
    })
    .to_string()
    .into_bytes();
    let blocks = (n * k).div_ceil(64);
    let bits = || Fill::Bits {
        any: 0xff,
        always: 0,
    };
    let nested = blocks.div_ceil(256);
    vec![
        Part::new(".weight", "U8", &[n * k / 2, 1], bits()),
        Part::new(".weight.absmax", "U8", &[blocks], bits()),
        Part::new(
            ".weight.nested_absmax",
            "F32",
            &[nested],
            floats(&mut std::iter::once(scale)),
        ),
        Part::new(
            ".weight.nested_quant_map",
            "F32",
            &[256],
            floats(&mut spread.into_iter()),
        ),
        Part::new(
            ".weight.quant_map",
            "F32",
            &[16],
            floats(&mut table.iter().copied()),
        ),
        Part::new(
            ".weight.quant_state.bitsandbytes__nf4",
            "U8",
            &[state.len()],
            Fill::Repeat(state),
        ),
    ]
}
