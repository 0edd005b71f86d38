//! A loaded model with its experts, text side and placement.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use candle_core::Tensor;
use moestro_checkpoint::Checkpoint;
use moestro_cuda::{Gpu, Kernels};
use moestro_kernels::{Compute, Isa};
use moestro_residency::{Elastic, Policy};

use crate::cancel::Cancel;
use crate::error::{EngineError, Result};
use crate::experts::Experts;
use crate::forecast::{self, Pace};
use crate::gpu;
use crate::hardware;
use crate::info::{describe, model_id, profile_path};
use crate::inspection::{Inspection, examine};
use crate::layers::Context;
use crate::model::{Logits, Model, OnGpu, Part};
use crate::placement::{self, ModelSizes, PREFILL_CHUNK, place};
use crate::precision::Precision;
use crate::protocol::{
    CachePolicy, Component, Forecast, Hardware, LoadStage, MemorySettings, ModelInfo, Placement,
};
use crate::quantize::{self, Quantize, Store};
use crate::session::Session;
use crate::state::State;
use crate::text_assets::TextAssets;
use crate::weights::Loader;

/// How to load a model.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    pub memory: MemorySettings,
    /// `None` uses the physical cores.
    pub threads: Option<usize>,
    pub precision: Precision,
    /// Which code the kernels use; `None` tries out what is fastest.
    pub kernels: Option<Isa>,
    /// Folder in which the routing of models is remembered; `None` forgets it.
    pub profiles: Option<PathBuf>,
    /// What to quantize the weights to, and where to keep the result.
    pub quantize: Option<(Quantize, Store)>,
    /// Compiled kernels in place of those in the program.
    pub gpu_kernels: Option<Kernels>,
}

pub struct Engine {
    pub info: ModelInfo,
    /// Shared with those who prepare answers.
    pub text: Arc<TextAssets>,
    hardware: Hardware,
    sizes: ModelSizes,
    placement: Placement,
    compute: Compute,
    model: Model,
    experts: Experts,
    precision: Precision,
    pace: Pace,
    /// If some of the model is there.
    gpu: Option<Gpu>,
}

impl Engine {
    /// Reads everything but the routed experts. `progress` gets bytes done and
    /// to do.
    ///
    /// Errors: a bad checkpoint, budgets that are too small, `Cancelled`.
    pub fn load(
        path: &Path,
        options: &LoadOptions,
        mut hardware: Hardware,
        cancel: &Cancel,
        progress: &mut dyn FnMut(LoadStage, u64, u64),
    ) -> Result<Engine> {
        match Engine::load_on(path, options, hardware.clone(), cancel, progress) {
            // The processor alone can do it too.
            Err(EngineError::Gpu(error)) if hardware.gpu_note.is_empty() => {
                hardware.gpu_note = gpu::note(&error);
                Engine::load_on(path, options, hardware, cancel, progress)
            }
            done => done,
        }
    }

    /// Loads onto the GPU what fits there, if the hardware has one to use.
    fn load_on(
        path: &Path,
        options: &LoadOptions,
        mut hardware: Hardware,
        cancel: &Cancel,
        progress: &mut dyn FnMut(LoadStage, u64, u64),
    ) -> Result<Engine> {
        progress(LoadStage::Opening, 0, 0);
        let checkpoint = open(path, options, &hardware, cancel, progress)?;
        let Inspection {
            checkpoint,
            blueprint,
            mut manifest,
            mut sizes,
        } = examine(checkpoint, options.precision)?;
        let text = Arc::new(TextAssets::read(&checkpoint)?);
        sizes.program_bytes = hardware::process_bytes();
        let (gpu, mut placement) = gpu::place_and_open(&mut sizes, &mut hardware, options);
        if !placement.fits {
            return Err(EngineError::Budget(placement.notes.join(" ")));
        }
        let threads = options.threads.unwrap_or(hardware.physical_cores).max(1);
        let compute = match options.kernels {
            None => Compute::new(threads),
            Some(isa) => Compute::with_isa(threads, isa).ok_or_else(|| {
                EngineError::Request(format!("this processor cannot run {isa} code"))
            })?,
        };
        let info = describe(&checkpoint, &blueprint, &manifest);
        let link = match &gpu {
            None => None,
            Some(gpu) => Some(gpu::link(gpu, &compute, sizes.mean_slot_bytes())?),
        };

        let total = sizes.weights.values().sum();
        let mut done = 0;
        let mut count = |bytes| {
            done += bytes;
            progress(LoadStage::Weights, done, total);
            cancel.check()
        };
        let mut loader = Loader::new(&checkpoint, &manifest, &mut count);
        let model = Model::load(
            &mut loader,
            blueprint,
            OnGpu::new(gpu.as_ref(), placement.gpu),
        )?;
        let experts = std::mem::take(&mut manifest.experts);
        let mut experts = Experts::new(
            Arc::new(checkpoint),
            experts,
            info.experts_per_token,
            placement.experts_per_layer,
            policy(&options.memory),
        )?;
        experts.resize(placement.experts_per_layer, is_even(&options.memory));
        experts.set_preloading(preloading(&options.memory));
        if let (Some(gpu), Some(link)) = (&gpu, link) {
            let wanted = placement.gpu.experts;
            experts.offload(gpu, placement.gpu.layers, wanted, link)?;
            let got = experts.vram_slots();
            placement.notes.extend(fewer_slots(wanted, got));
        }
        if let Some(folder) = &options.profiles {
            experts.use_profile(profile_path(folder, &info), &model_id(&info));
        }
        let elastic = Elastic::new(placement::reserve(hardware.ram_total));
        Ok(Engine {
            info,
            text,
            hardware,
            sizes,
            placement,
            compute,
            model,
            experts,
            precision: options.precision,
            pace: Pace::new(elastic),
            gpu,
        })
    }

    /// Most tokens that one call of [`Engine::forward`] should get.
    pub const PREFILL_CHUNK: usize = PREFILL_CHUNK;

    /// Errors: no memory on the GPU.
    pub fn session(&self) -> Result<Session> {
        let (blueprint, kv) = (&self.model.blueprint, self.precision.kv());
        Session::new(blueprint, kv, self.state_on_gpu())
    }

    /// The GPU and how many layers keep their state there.
    fn state_on_gpu(&self) -> Option<(&Gpu, usize)> {
        self.gpu
            .as_ref()
            .map(|gpu| (gpu, self.placement.gpu.layers))
    }

    /// The GPU that computes a part of the model.
    pub fn gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref()
    }

    /// VRAM that the GPU's driver takes besides what is asked of it.
    pub fn gpu_program_bytes(&self) -> u64 {
        self.sizes.gpu_program_bytes
    }

    /// VRAM of the GPU, if the machine has one.
    pub(crate) fn vram_total(&self) -> u64 {
        self.hardware.gpus.first().map_or(0, |gpu| gpu.vram_total)
    }

    /// Why no GPU is used; empty if one is.
    pub fn gpu_note(&self) -> &str {
        &self.hardware.gpu_note
    }

    pub fn placement(&self) -> &Placement {
        &self.placement
    }

    pub fn experts(&self) -> &Experts {
        &self.experts
    }

    pub fn experts_mut(&mut self) -> &mut Experts {
        &mut self.experts
    }

    /// What these settings would do; nothing is changed.
    pub fn plan(&self, memory: &MemorySettings) -> Placement {
        place(&self.sizes, &self.hardware, memory, &self.hardware.gpu_note)
    }

    /// Applies new budgets and slots. Settings that do not fit are refused and
    /// the old ones stay.
    pub fn configure(&mut self, memory: &MemorySettings) -> Result<&Placement> {
        let placement = self.plan(memory);
        if !placement.fits {
            return Err(EngineError::Budget(placement.notes.join(" ")));
        }
        self.pace.before_change(&self.experts, &placement);
        if let Some(gpu) = &self.gpu {
            gpu::set_budget(gpu, &self.sizes, &placement);
        }
        self.placement = placement;
        self.experts.set_policy(policy(memory));
        self.experts.set_preloading(preloading(memory));
        let wanted = self.apply_slots();
        let got = self.experts.vram_slots();
        self.placement.notes.extend(fewer_slots(wanted, got));
        Ok(&self.placement)
    }

    /// Reads a few more experts into free slots; for idle time. Returns whether
    /// there were any to read.
    pub fn fill_slots(&mut self) -> Result<bool> {
        self.experts.fill()
    }

    /// Looks at the machine's memory, from time to time. Slots are given back if
    /// other programs need it; state is kept. Between two tokens, at `now`.
    pub fn look_at_memory(&mut self, now: Instant) {
        let vram = || self.gpu.as_ref()?.free_vram().ok();
        let slots = (self.experts.slot_bytes(), self.experts.vram_bytes());
        if self.pace.look_at_memory(now, slots, vram) {
            self.apply_slots();
        }
    }

    /// Slots of the placement, less what is held back. Returns how many of each layer
    /// there should be in VRAM.
    fn apply_slots(&mut self) -> usize {
        let layer_slot = self.experts.layer_slot_bytes().max(1);
        let less = self.pace.held_back().div_ceil(layer_slot) as usize;
        let slots = self.placement.experts_per_layer;
        let slots = slots.saturating_sub(less).max(slots.min(1));
        self.experts
            .resize(slots, is_even(&self.placement.settings));
        let in_vram = self.placement.gpu.experts;
        let slot = self.sizes.slot_bytes_of_first(self.placement.gpu.layers);
        let less = self.pace.vram_held_back().div_ceil(slot.max(1)) as usize;
        let in_vram = in_vram.saturating_sub(less);
        // A GPU that fails here fails in the next step, which tells the person.
        let _ = self.experts.resize_vram(in_vram);
        in_vram
    }

    /// Slots per layer in force, on average.
    pub fn experts_per_layer_now(&self) -> usize {
        self.experts.slots_per_layer()
    }

    /// Measured and foretold speed.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    pub fn pace_mut(&mut self) -> &mut Pace {
        &mut self.pace
    }

    /// Speeds that other settings would lead to; `None` until enough tokens were
    /// written.
    pub fn forecast(&self) -> Option<Forecast> {
        forecast::forecast(self)
    }

    /// One step of the model: appends at most a prefill chunk to the session.
    pub fn forward(
        &mut self,
        session: &mut Session,
        tokens: &[u32],
        wanted: Logits,
        cancel: &Cancel,
    ) -> Result<Tensor> {
        let cx = Context {
            compute: &self.compute,
            cancel,
            gpu: self.gpu.as_ref(),
        };
        let (model, experts) = (&self.model, &mut self.experts);
        let start = Instant::now();
        let logits = session.advance(tokens, |state| {
            model.forward(cx, &mut [Part { tokens, state }], experts, wanted)
        })?;
        if tokens.len() == 1 {
            let seconds = start.elapsed().as_secs_f64();
            experts.note_token(seconds);
            self.pace.token(seconds);
        }
        experts.between_tokens();
        Ok(logits)
    }

    /// One decoded token for each of several sessions; logits `[sessions,
    /// vocabulary]`. Experts that several of them chose are read once.
    pub fn forward_together(
        &mut self,
        sessions: &mut [&mut Session],
        tokens: &[u32],
        cancel: &Cancel,
    ) -> Result<Tensor> {
        let cx = Context {
            compute: &self.compute,
            cancel,
            gpu: self.gpu.as_ref(),
        };
        let (model, experts) = (&self.model, &mut self.experts);
        let logits = Session::advance_together(sessions, tokens, |states| {
            let mut parts: Vec<Part> = states
                .iter_mut()
                .zip(tokens.chunks(1))
                .map(|(state, tokens)| Part { tokens, state })
                .collect();
            model.forward(cx, &mut parts, experts, Logits::Last)
        })?;
        experts.between_tokens();
        Ok(logits)
    }

    /// Bytes that the placement keeps for all sessions together.
    pub fn sessions_room(&self) -> u64 {
        self.sizes.state_bytes(self.placement.context)
    }

    /// Bytes of state that a session of `tokens` tokens takes with one snapshot.
    pub fn session_bytes(&self, tokens: usize) -> u64 {
        self.sizes.session_bytes(tokens)
    }

    /// Logits of every position of a text that stands alone. `each` gets the
    /// number of the first position of a chunk and `[positions, vocabulary]`.
    pub fn each_logits(
        &mut self,
        tokens: &[u32],
        cancel: &Cancel,
        each: &mut dyn FnMut(usize, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let cx = Context {
            compute: &self.compute,
            cancel,
            gpu: self.gpu.as_ref(),
        };
        let (blueprint, kv) = (&self.model.blueprint, self.precision.kv());
        let mut state = State::new(blueprint, kv, self.state_on_gpu())?;
        for (i, chunk) in tokens.chunks(PREFILL_CHUNK).enumerate() {
            let part = Part {
                tokens: chunk,
                state: &mut state,
            };
            let logits = self
                .model
                .forward(cx, &mut [part], &mut self.experts, Logits::All)?;
            each(i * PREFILL_CHUNK, &logits)?;
        }
        Ok(())
    }

    /// The instruction set that the kernels use.
    pub fn kernels(&self) -> Isa {
        self.compute.isa()
    }

    pub fn threads(&self) -> usize {
        self.compute.threads()
    }

    /// Bytes of weights and recurrent state that one decoded token reads or
    /// writes; keys and values of the context come on top.
    pub fn bytes_per_token(&self) -> u64 {
        let always: u64 = self
            .sizes
            .weights
            .iter()
            .filter(|(component, _)| **component != Component::Embeddings)
            .map(|(_, bytes)| bytes)
            .sum();
        let head_is_tied = self.model.blueprint.tied_head;
        let head = if head_is_tied {
            self.sizes.weights[&Component::Embeddings]
        } else {
            0
        };
        let chosen = self.info.experts_per_token as u64;
        let state = self.model.blueprint.recurrent_elements() as u64 * 4;
        always + head + chosen * self.sizes.slot_bytes_all_layers() + 2 * state
    }

    /// Bytes per second that this engine's threads can read from memory.
    pub fn read_bandwidth(&self) -> f64 {
        hardware::read_bandwidth(&self.compute)
    }
}

/// Opens the checkpoint, with quantized weights if they are wanted.
fn open(
    path: &Path,
    options: &LoadOptions,
    hardware: &Hardware,
    cancel: &Cancel,
    progress: &mut dyn FnMut(LoadStage, u64, u64),
) -> Result<Checkpoint> {
    let checkpoint = Checkpoint::open(path)?;
    let Some((target, store)) = &options.quantize else {
        return Ok(checkpoint);
    };
    if let Some(kept) = quantize::kept(&checkpoint, *target, store) {
        return Ok(kept);
    }
    // Minutes of work are not begun for a model that will not fit.
    let foretold = quantize::foretell(Checkpoint::open(path)?, *target)?;
    let foretold = examine(foretold, options.precision)?;
    let placement = place(
        &foretold.sizes,
        hardware,
        &options.memory,
        &hardware.gpu_note,
    );
    if !placement.fits {
        return Err(EngineError::Budget(placement.notes.join(" ")));
    }
    let threads = options.threads.unwrap_or(hardware.physical_cores);
    let mut shown = |done, total| progress(LoadStage::Quantizing, done, total);
    quantize::prepare(checkpoint, *target, store, threads, cancel, &mut shown)
}

fn policy(memory: &MemorySettings) -> Policy {
    match memory.policy.unwrap_or_default() {
        CachePolicy::Static => Policy::Static,
        CachePolicy::Lru => Policy::Lru,
        CachePolicy::Learned => Policy::Learned,
    }
}

/// A note if a GPU took fewer experts per layer than were planned.
fn fewer_slots(wanted: usize, got: usize) -> Option<String> {
    (got < wanted).then(|| {
        format!(
            "The GPU has no memory for {wanted} experts per layer and keeps {got}. Close programs \
             that use it, then set the limit again."
        )
    })
}

fn preloading(memory: &MemorySettings) -> bool {
    memory.predictive_preloading.unwrap_or(false)
}

/// Slots per layer that were asked for are the same in every layer.
fn is_even(memory: &MemorySettings) -> bool {
    memory.cached_experts_per_layer.is_some()
}
