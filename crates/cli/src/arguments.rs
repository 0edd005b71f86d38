//! Command-line arguments, and what they resolve to for the engine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use moestro_engine::protocol::{CachePolicy, LoadStage, MemorySettings, SamplingOverrides};
use moestro_engine::quantize::{Quantize, Store};
use moestro_engine::{Cancel, Engine, LoadOptions, Precision, hardware, profiles_folder};
use moestro_kernels::Isa;

use crate::benchmark::Benchmark;
use crate::cache;
use crate::cache::Cache;
use crate::demo;
use crate::manual::{Completions, Manual};
use crate::models::Models;
use crate::profile::Profile;
use crate::pull::Pull;
use crate::replay::Replay;
use crate::search::Search;
use crate::serve::Serve;
use crate::size::parse_size;
use crate::synthesize::Synthesize;

/// Runs large Mixture-of-Experts language models on the machine you own.
#[derive(Parser)]
#[command(version, propagate_version = true)]
pub struct Arguments {
    #[command(subcommand)]
    pub verb: Verb,
}

#[derive(Subcommand)]
pub enum Verb {
    /// Write an answer to a prompt, as it comes
    Generate(Generate),
    /// Write the logits of given tokens to a safetensors file
    Logits(Logits),
    /// How well the model predicts a text
    Perplexity(Perplexity),
    /// Show what would go where, without loading the model
    Plan(Plan),
    /// Measure prefill and decode speed beside the memory bandwidth
    #[command(visible_alias = "bench")]
    Benchmark(Benchmark),
    /// Serve the model over HTTP, for clients of OpenAI's and Anthropic's APIs
    Serve(Serve),
    /// Fetch a model from the Hugging Face Hub
    Pull(Pull),
    /// List, verify or remove the models on this machine
    Models(Models),
    /// Find models on the Hugging Face Hub
    Search(Search),
    /// Show or remove what is kept of models that were quantized here
    Cache(Cache),
    /// Show how the model routes, and what slots make of it
    Profile(Profile),
    /// Measure and foretell speed under replayed routing
    Replay(Replay),
    /// Write random weights with the dimensions of a real model
    Synthesize(Synthesize),
    /// Write a script that completes these commands in a shell
    Completions(Completions),
    /// Write the manual pages to a folder
    #[command(hide = true)]
    Manual(Manual),
}

/// Which model, and what it may use.
#[derive(Args)]
pub struct ModelArguments {
    /// A GGUF file or a Hugging Face folder [default: the demo model]
    #[arg(long, value_name = "PATH")]
    pub model: Option<PathBuf>,
    /// Quantize BF16, F16, F32 or FP8 weights when they are first loaded, to q4_k_m,
    /// q5_k_m, q6_k or q8_0; the result is kept in the cache
    #[arg(long, value_name = "FORMAT", value_parser = parse_quantize)]
    pub quantize: Option<Quantize>,
    /// Expert slots per layer [default: as many as fit]
    #[arg(long, alias = "cached-experts-per-layer", value_name = "N")]
    pub experts_per_layer: Option<usize>,
    /// Expert slots per layer in VRAM [default: as many as fit]
    #[arg(long, value_name = "N")]
    pub experts_vram: Option<usize>,
    /// Read experts before their layer asks for them, while that is faster
    #[arg(long)]
    pub predictive_preloading: bool,
    /// Which experts keep their slots [default: learned]
    #[arg(long, value_enum, value_name = "NAME")]
    pub policy: Option<Policy>,
    /// RAM the engine may use, such as 12GB or 800MiB [default: what is free]
    #[arg(long, visible_alias = "ram", value_name = "SIZE", value_parser = parse_size)]
    pub ram_budget: Option<u64>,
    /// VRAM the engine may use, such as 14GB; 0 leaves the GPU alone [default: what is
    /// free]
    #[arg(long, visible_alias = "vram", value_name = "SIZE", value_parser = parse_size)]
    pub vram_budget: Option<u64>,
    /// Tokens of context [default: what fits, at most 32768]
    #[arg(long, value_name = "N")]
    pub context: Option<usize>,
    /// Code for the processor: portable, avx2, avx512-256 or avx512 [default: the
    /// fastest, tried out]
    #[arg(long, value_name = "CODE", value_parser = parse_kernels)]
    pub kernels: Option<Isa>,
    /// Worker threads [default: physical cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Policy {
    /// Those of the profile, else the first that came
    Static,
    /// The most recently used
    Lru,
    /// The often and lately used
    Learned,
}

impl Policy {
    fn setting(self) -> CachePolicy {
        match self {
            Policy::Static => CachePolicy::Static,
            Policy::Lru => CachePolicy::Lru,
            Policy::Learned => CachePolicy::Learned,
        }
    }
}

#[derive(Args)]
pub struct Generate {
    /// What to answer; `-` reads it from standard input
    #[arg(required_unless_present = "batch")]
    pub prompt: Option<String>,
    /// Answer every line of a file, several at once; one line of JSON per answer
    #[arg(long, value_name = "FILE", conflicts_with = "prompt")]
    pub batch: Option<PathBuf>,
    #[command(flatten)]
    pub model: ModelArguments,
    /// Stop after this many tokens [default: when the model stops]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// 0 always takes the likeliest token
    #[arg(long, value_name = "X")]
    pub temperature: Option<f32>,
    #[arg(long, value_name = "X")]
    pub top_p: Option<f32>,
    #[arg(long, value_name = "N")]
    pub top_k: Option<u32>,
    #[arg(long, value_name = "X")]
    pub min_p: Option<f32>,
    #[arg(long, value_name = "X")]
    pub repetition_penalty: Option<f32>,
    #[arg(long, value_name = "X")]
    pub presence_penalty: Option<f32>,
    #[arg(long, value_name = "X")]
    pub frequency_penalty: Option<f32>,
    /// The same seed gives the same answer
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// System message
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Text that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Continue the prompt as it is, without the chat template
    #[arg(long, conflicts_with = "system")]
    pub raw: bool,
    /// Print speed and cache figures to standard error afterwards
    #[arg(long)]
    pub stats: bool,
}

#[derive(Args)]
pub struct Logits {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Token ids, separated by commas
    #[arg(long, value_delimiter = ',', required = true)]
    pub tokens: Vec<u32>,
    /// Gets one f32 tensor `logits` [positions, vocabulary]
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
}

#[derive(Args)]
pub struct Perplexity {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Text to predict
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
}

#[derive(Args)]
pub struct Plan {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

impl Generate {
    pub fn sampling(&self) -> SamplingOverrides {
        SamplingOverrides {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            presence_penalty: self.presence_penalty,
            frequency_penalty: self.frequency_penalty,
            seed: self.seed,
        }
    }
}

impl ModelArguments {
    pub fn path(&self) -> Result<PathBuf> {
        match &self.model {
            Some(path) => Ok(path.clone()),
            None => demo::find().context(
                "the demo model was not found beside this program; name a model with --model PATH",
            ),
        }
    }

    /// What to quantize to, and where that is kept.
    pub fn quantize(&self) -> Result<Option<(Quantize, Store)>> {
        match self.quantize {
            None => Ok(None),
            Some(target) => Ok(Some((target, cache::store()?))),
        }
    }

    pub fn memory(&self) -> MemorySettings {
        MemorySettings {
            vram_budget: self.vram_budget,
            ram_budget: self.ram_budget,
            cached_experts_per_layer: self.experts_per_layer,
            context: self.context,
            experts_vram: self.experts_vram,
            predictive_preloading: self.predictive_preloading.then_some(true),
            policy: self.policy.map(Policy::setting),
        }
    }

    /// Loads the model; progress goes to standard error if that is a terminal.
    pub fn load(&self, precision: Precision) -> Result<Engine> {
        let path = self.path()?;
        let options = LoadOptions {
            memory: self.memory(),
            threads: self.threads,
            precision,
            kernels: self.kernels,
            profiles: profiles_folder(),
            quantize: self.quantize()?,
            gpu_kernels: None,
        };
        let mut progress = progress(&path);
        let engine = Engine::load(
            &path,
            &options,
            hardware::probe(),
            &Cancel::new(),
            &mut progress,
        )?;
        for note in &engine.placement().notes {
            eprintln!("note: {note}");
        }
        Ok(engine)
    }
}

pub fn progress(path: &Path) -> impl FnMut(LoadStage, u64, u64) + use<> {
    use std::io::IsTerminal;
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned();
    let shown = std::io::stderr().is_terminal();
    let mut last = None;
    move |stage, done, total| {
        let verb = match stage {
            LoadStage::Opening => return,
            LoadStage::Quantizing => "quantizing",
            LoadStage::Weights => "loading",
        };
        if !shown || total == 0 {
            return;
        }
        let percent = done * 100 / total;
        if last == Some((verb, percent)) {
            return;
        }
        last = Some((verb, percent));
        if percent == 100 {
            // Leaves the line empty for the answer.
            eprint!("\r\x1b[K");
        } else {
            eprint!("\r{verb} {name}: {percent}%");
        }
    }
}

fn parse_quantize(name: &str) -> Result<Quantize, String> {
    Quantize::named(name).ok_or_else(|| {
        let known = Quantize::ALL.map(Quantize::name);
        format!("choose one of {}", known.join(", "))
    })
}

fn parse_kernels(name: &str) -> Result<Isa, String> {
    match name {
        "portable" => Ok(Isa::Portable),
        "avx2" => Ok(Isa::Avx2),
        "avx512-256" => Ok(Isa::Avx512Half),
        "avx512" => Ok(Isa::Avx512),
        _ => Err("choose portable, avx2, avx512-256 or avx512".into()),
    }
}
