//! `moestro synthesize`: a GGUF file or a Hugging Face folder of random weights with
//! the dimensions of a real model, for measuring speed and memory without its weights.

mod blocks;
mod hub;
mod hub_config;
mod packing;
mod recipe;
mod values;
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
use self::packing::Packing;
use self::values::{Repeated, Values};

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
    /// Tokens of the vocabulary [default: as the model]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(512..))]
    pub vocabulary: Option<u32>,
    /// What to write: a GGUF file, or a Hugging Face folder
    #[arg(long, value_enum, default_value = "gguf", value_name = "KIND")]
    pub format: Kind,
    /// Weight formats of a GGUF file, mixed as llama.cpp mixes them [default: q4_k_m]
    #[arg(long, value_enum)]
    pub quant: Option<Quant>,
    /// How the matrices of a Hugging Face folder are packed [default: bf16]
    #[arg(long, value_enum)]
    pub packing: Option<Packing>,
    /// The same seed gives the same file
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// File or folder to write
    pub output: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    Gguf,
    Safetensors,
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

pub fn run(a: &Synthesize) -> Result<()> {
    if a.layers == Some(0) || a.experts == Some(0) {
        bail!("a model has at least one layer and one expert");
    }
    if a.format == Kind::Safetensors {
        if a.quant.is_some() {
            bail!("--quant is for GGUF files; --packing says how safetensors are stored");
        }
        let packing = a.packing.unwrap_or(Packing::BF16);
        let recipe = recipe::recipe(a, Quant::BF16);
        let total = hub::write(&a.output, &recipe, packing, a.seed)?;
        println!("wrote {} ({})", a.output.display(), show_bytes(total));
        return Ok(());
    }
    if a.packing.is_some() {
        bail!("--packing is for --format safetensors; --quant says what a GGUF file holds");
    }
    let quant = a.quant.unwrap_or(Quant::Q4KM);
    let recipe = recipe::recipe(a, quant);
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
        let values = Values::of(&tensor);
        let weights = Repeated::new(tensor.format, values, bytes, &mut random);
        weights.each_piece(bytes, &mut random, &mut |piece| {
            writer.write(piece).with_context(writing)
        })?;
        done += bytes;
        show_progress(done, total);
    }
    writer.finish().with_context(writing)?;
    Ok(())
}

fn show_progress(done: u64, total: u64) {
    use std::io::IsTerminal;
    if std::io::stderr().is_terminal() {
        let end = if done == total { "\n" } else { "" };
        eprint!("\r{} of {}\x1b[K{end}", show_bytes(done), show_bytes(total));
    }
}
