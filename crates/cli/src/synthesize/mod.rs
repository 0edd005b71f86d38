//! `moestro synthesize`: a GGUF file of random weights with the dimensions of a
//! real model, for measuring speed and memory without its weights.

mod blocks;
mod recipe;
mod vocabulary;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use moestro_checkpoint::{GgufTensor, GgufWriter};
use moestro_engine::placement::show_bytes;
use moestro_kernels::Format;

use self::blocks::Random;

#[derive(Args)]
pub struct Synthesize {
    /// Model whose dimensions are taken
    #[arg(long, value_enum, default_value = "qwen3-next-80b")]
    pub like: Like,
    /// Layers [default: all 48]
    #[arg(long, value_name = "N")]
    pub layers: Option<usize>,
    /// Experts per layer [default: as the model]
    #[arg(long, value_name = "N")]
    pub experts: Option<usize>,
    /// Weight formats, mixed as llama.cpp mixes them
    #[arg(long, value_enum, default_value = "q4_k_m")]
    pub quant: Quant,
    /// The same seed gives the same file
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// File to write
    pub output: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Like {
    #[value(name = "qwen3-next-80b")]
    Qwen3Next80b,
    #[value(name = "qwen3-30b-a3b")]
    Qwen3_30bA3b,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Quant {
    #[value(name = "q4_k_m")]
    Q4KM,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
    #[value(name = "bf16")]
    BF16,
}

impl Quant {
    /// Most matrices.
    fn mixer(self) -> Format {
        match self {
            Quant::Q4KM => Format::Q4K,
            Quant::Q8_0 => Format::Q8_0,
            Quant::Q4_0 => Format::Q4_0,
            Quant::BF16 => Format::BF16,
        }
    }

    fn delta_input(self) -> Format {
        if self == Quant::Q4KM {
            Format::Q5K
        } else {
            self.mixer()
        }
    }

    fn head(self) -> Format {
        if self == Quant::Q4KM {
            Format::Q6K
        } else {
            self.mixer()
        }
    }

    fn value(self, layer: usize, layers: usize) -> Format {
        if self == Quant::Q4KM && more_bits(layer, layers) {
            Format::Q6K
        } else {
            self.mixer()
        }
    }

    fn down(self, layer: usize, layers: usize) -> Format {
        self.value(layer, layers)
    }
}

/// The layers to which llama.cpp's Q4_K_M gives more bits.
fn more_bits(layer: usize, layers: usize) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// Bytes of random blocks that a tensor repeats, shifted each time so that no two
/// experts are equal. Making each weight anew would take minutes per gigabyte.
const PATTERN: usize = 4 << 20;

pub fn run(a: &Synthesize) -> Result<()> {
    if a.layers == Some(0) || a.experts == Some(0) {
        bail!("a model has at least one layer and one expert");
    }
    let recipe = recipe::recipe(a.like, a.quant, a.layers, a.experts);
    let mut metadata = recipe.metadata;
    metadata.extend(vocabulary::metadata(recipe.vocabulary));
    let total: u64 = recipe.tensors.iter().filter_map(GgufTensor::bytes).sum();
    let part = partial(&a.output);
    let written = write(&part, &metadata, recipe.tensors, a.seed, total);
    let finished = written.and_then(|()| {
        std::fs::rename(&part, &a.output).with_context(|| format!("naming {}", a.output.display()))
    });
    if finished.is_err() {
        let _ = std::fs::remove_file(&part);
    }
    finished?;
    println!("wrote {} ({})", a.output.display(), show_bytes(total));
    Ok(())
}

/// Until it is complete, the file has another name.
fn partial(output: &Path) -> PathBuf {
    let mut name = output.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn write(
    path: &Path,
    metadata: &[(&str, moestro_checkpoint::GgufValue)],
    tensors: Vec<GgufTensor>,
    seed: u64,
    total: u64,
) -> Result<()> {
    let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
    let mut random = Random::new(seed);
    let writing = || format!("writing {}", path.display());
    let mut writer =
        GgufWriter::start(BufWriter::new(file), metadata, tensors).with_context(writing)?;
    let mut done = 0;
    while let Some(tensor) = writer.next_tensor().with_context(writing)? {
        let bytes = tensor
            .bytes()
            .context("the recipe's rows are whole blocks")?;
        let block = tensor.format.block_bytes();
        let length = (bytes as usize).min(PATTERN / block * block);
        let pattern = pattern(&tensor, length, &mut random);
        let mut left = bytes;
        while left > 0 {
            let shift = random.next() as usize % (length / block) * block;
            let piece = &pattern[shift..];
            let piece = &piece[..piece.len().min(left as usize)];
            writer.write(piece).with_context(writing)?;
            left -= piece.len() as u64;
        }
        done += bytes;
        show_progress(done, total);
    }
    writer.finish().with_context(writing)?;
    Ok(())
}

/// Weights with the standard deviation that keeps activations near one; norms
/// are ones, decays negative.
fn pattern(tensor: &GgufTensor, length: usize, random: &mut Random) -> Vec<u8> {
    let name = &tensor.name;
    let mut bytes = vec![0; length];
    if name.ends_with("norm.weight") {
        bytes
            .chunks_exact_mut(4)
            .for_each(|b| b.copy_from_slice(&1.0f32.to_le_bytes()));
        return bytes;
    }
    if name.ends_with("ssm_a") {
        for b in bytes.chunks_exact_mut(4) {
            b.copy_from_slice(&(-0.05 - 0.3 * random.normal().abs()).to_le_bytes());
        }
        return bytes;
    }
    let cols = *tensor.shape.last().unwrap_or(&1) as f32;
    let deviation = match tensor.shape.len() {
        1 => 0.02,
        _ if name.ends_with("ssm_conv1d.weight") => 0.3,
        _ if name.ends_with("token_embd.weight") => 1.0,
        _ => cols.powf(-0.5),
    };
    blocks::fill(tensor.format, deviation, random, &mut bytes);
    bytes
}

fn show_progress(done: u64, total: u64) {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() {
        let end = if done == total { "\n" } else { "" };
        eprint!("\r{} of {}\x1b[K{end}", show_bytes(done), show_bytes(total));
    }
}
