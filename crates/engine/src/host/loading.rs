//! Loading a model, foretelling where it would go, and going on without a GPU that
//! failed.

use std::path::Path;
use std::time::{Duration, Instant};

use moestro_cuda::CudaError;

use super::run::{Loaded, Runner, not_loaded};
use crate::engine::{Engine, LoadOptions};
use crate::error::Result;
use crate::hardware;
use crate::inspection::inspect;
use crate::placement::place;
use crate::precision::Precision;
use crate::protocol::{Event, Hardware, LoadRequest, MemorySettings, Placement};
use crate::quantize::Store;
use crate::schedule::Schedule;

impl Runner {
    pub(super) fn load(&mut self, id: u64, request: &LoadRequest) -> Result<()> {
        // The old model goes first: two may not fit.
        self.loaded = None;
        self.forecast = None;
        self.meter.clear();
        let cancel = self.cancel_of(id);
        let quantize = match request.quantize {
            None => None,
            Some(target) => Some((target, Store::of(self.folders.quantized.clone())?)),
        };
        let options = LoadOptions {
            memory: request.memory.clone(),
            threads: request.threads,
            precision: Precision::default(),
            profiles: self.folders.profiles.clone(),
            kernels: None,
            quantize,
            gpu_kernels: None,
        };
        let hardware = self.hardware();
        let events = &mut self.events;
        let mut last: Option<Instant> = None;
        let mut progress = |stage, done, total| {
            let due = last.is_none_or(|at| at.elapsed() > Duration::from_millis(50));
            if done == total || due {
                last = Some(Instant::now());
                events(Event::LoadProgress {
                    id,
                    stage,
                    done,
                    total,
                });
            }
        };
        let engine = Engine::load(&request.model, &options, hardware, &cancel, &mut progress)?;
        let (model, placement) = (engine.info.clone(), engine.placement().clone());
        self.loaded = Some(Loaded {
            engine,
            schedule: Schedule::default(),
            may_fill: true,
            request: request.clone(),
        });
        self.emit(Event::Loaded {
            id,
            model,
            placement,
        });
        Ok(())
    }

    /// What this machine has, without a GPU that failed.
    fn hardware(&self) -> Hardware {
        let mut hardware = hardware::probe();
        if let Some(note) = &self.gpu_lost {
            hardware.gpu_note.clone_from(note);
        }
        hardware
    }

    /// After the GPU failed: what it held is gone, so the model is loaded once more,
    /// for the processor alone. All answers end.
    pub(super) fn go_on_without_gpu(&mut self, error: &CudaError) {
        let Some(loaded) = &self.loaded else { return };
        let request = loaded.request.clone();
        self.gpu_lost = Some(crate::gpu::note(error));
        self.end_answers();
        if let Err(error) = self.load(0, &request) {
            self.emit(Event::Unloaded { id: 0 });
            self.emit(error.event(0));
        }
    }

    pub(super) fn plan(&self, model: Option<&Path>, memory: &MemorySettings) -> Result<Placement> {
        match model {
            Some(path) => {
                let hardware = self.hardware();
                let sizes = inspect(path, Precision::default(), None)?.sizes;
                Ok(place(&sizes, &hardware, memory, &hardware.gpu_note))
            }
            None => Ok(self
                .loaded
                .as_ref()
                .ok_or_else(not_loaded)?
                .engine
                .plan(memory)),
        }
    }
}
