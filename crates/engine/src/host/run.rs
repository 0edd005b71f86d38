//! The loop of the engine's thread.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::{Duration, Instant};

use moestro_cuda::CudaError;

use super::meter::Meter;
use super::prepare::{Preparation, Ready};
use super::watch::Watch;
use super::{Order, Pending, lock, snapshot};
use crate::Folders;
use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::generation::Step;
use crate::hardware::{self, Sensors};
use crate::protocol::{
    Command, Event, FinishReason, Forecast, GenerationStats, LoadRequest, MemorySettings,
    MemorySnapshot, Totals,
};
use crate::schedule::Schedule;
use crate::text_assets::TextAssets;

/// Highest rate of snapshots per second.
const MOST_SNAPSHOTS: f32 = 20.0;
/// Time between two forecasts.
const FORECAST_EVERY: Duration = Duration::from_millis(1000);
/// How often other programs' needs are looked at while nothing else happens.
const LOOK_AT_MEMORY: Duration = Duration::from_secs(4);
const FOREVER: Duration = Duration::from_secs(3600);
const NOT_LOADED: &str = "no model is loaded; load one first";

pub(super) struct Runner {
    inbox: Receiver<Order>,
    pending: Pending,
    pub(super) events: Box<dyn FnMut(Event)>,
    preparation: Preparation,
    pub(super) loaded: Option<Loaded>,
    pub(super) meter: Meter,
    started: Instant,
    watch: Option<Watch>,
    /// When there was something to do.
    worked: Instant,
    /// The latest forecast and when it was made.
    pub(super) forecast: Option<(Instant, Option<Forecast>)>,
    pub(super) folders: Folders,
    ended: bool,
    sensors: Sensors,
    /// Why the GPU is not used any more.
    pub(super) gpu_lost: Option<String>,
}

pub(super) struct Loaded {
    pub(super) engine: Engine,
    pub(super) schedule: Schedule,
    /// Filling slots in idle time is given up after a failed read.
    pub(super) may_fill: bool,
    pub(super) request: LoadRequest,
}

pub fn run(
    inbox: Receiver<Order>,
    orders: Sender<Order>,
    pending: Pending,
    folders: Folders,
    events: Box<dyn FnMut(Event)>,
) {
    let mut runner = Runner {
        inbox,
        pending,
        events,
        preparation: Preparation::start(&orders),
        loaded: None,
        meter: Meter::default(),
        started: Instant::now(),
        watch: None,
        worked: Instant::now(),
        forecast: None,
        folders,
        ended: false,
        sensors: Sensors::start(),
        gpu_lost: None,
    };
    let version = env!("CARGO_PKG_VERSION").to_string();
    runner.emit(Event::Ready {
        version,
        hardware: hardware::probe(),
    });
    while let Some(order) = runner.next() {
        match order {
            Order::Command(command) => runner.obey(command),
            Order::Ready(ready) => runner.begin(*ready),
            Order::Counted(id, event) => runner.end(id, event),
        }
    }
}

impl Runner {
    /// To whoever gave the command, or to all.
    pub(super) fn emit(&mut self, event: Event) {
        let listener = event.id().and_then(|id| {
            let pending = lock(&self.pending);
            pending.get(&id).and_then(|p| p.listener.clone())
        });
        match listener {
            Some(listener) if !concerns_all(&event) => listener(event),
            Some(listener) => {
                listener(event.clone());
                (self.events)(event);
            }
            None => (self.events)(event),
        }
    }

    /// The last event of a command.
    fn end(&mut self, id: u64, event: Event) {
        self.emit(event);
        lock(&self.pending).remove(&id);
    }

    /// The next command; until it comes answers are written, or else slots filled.
    fn next(&mut self) -> Option<Order> {
        loop {
            if self.ended {
                return None;
            }
            self.look_at_memory();
            let busy = self.is_busy();
            if busy {
                self.worked = Instant::now();
            }
            self.send_snapshot_if_due(busy);
            if busy || self.fill_slots() {
                self.worked = Instant::now();
                match self.inbox.try_recv() {
                    Ok(order) => return Some(order),
                    Err(TryRecvError::Disconnected) => return None,
                    Err(TryRecvError::Empty) if busy => self.write_on(),
                    Err(TryRecvError::Empty) => {}
                }
                continue;
            }
            let now = Instant::now();
            let due = self.watch.as_ref();
            let due = due.map(|watch| watch.due(self.worked).saturating_duration_since(now));
            let longest = if self.loaded.is_some() {
                LOOK_AT_MEMORY
            } else {
                FOREVER
            };
            match self.inbox.recv_timeout(due.unwrap_or(longest).min(longest)) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn is_busy(&self) -> bool {
        self.loaded.as_ref().is_some_and(|l| !l.schedule.is_empty())
    }

    fn obey(&mut self, command: Command) {
        let id = match &command {
            Command::Load { id, .. }
            | Command::Unload { id }
            | Command::Generate { id, .. }
            | Command::Configure { id, .. }
            | Command::Plan { id, .. }
            | Command::Count { id, .. }
            | Command::Look { id }
            | Command::Cancel { id } => *id,
            Command::Watch { .. } | Command::Shutdown => 0,
        };
        // A new model ends the answers of the old one.
        let ends_answers = matches!(
            command,
            Command::Load { .. } | Command::Unload { .. } | Command::Shutdown
        );
        if ends_answers {
            self.end_answers();
        }
        if !matches!(command, Command::Look { .. } | Command::Watch { .. }) {
            self.worked = Instant::now();
        }
        let goes_on = matches!(command, Command::Generate { .. } | Command::Count { .. });
        let done = match command {
            Command::Load { request, .. } => self.load(id, &request),
            Command::Unload { .. } => {
                self.loaded = None;
                self.forecast = None;
                self.emit(Event::Unloaded { id });
                Ok(())
            }
            Command::Generate { request, .. } => self
                .text()
                .and_then(|text| self.preparation.begin(id, text, request)),
            Command::Count { prompts, .. } => self
                .text()
                .and_then(|text| self.preparation.count(id, text, prompts)),
            Command::Configure { memory, .. } => self.configure(id, &memory),
            Command::Plan { model, memory, .. } => self
                .plan(model.as_deref(), &memory)
                .map(|placement| self.emit(Event::Planned { id, placement })),
            Command::Look { .. } => self.look(id),
            Command::Watch { hz } => {
                self.watch(hz);
                Ok(())
            }
            Command::Cancel { .. } => Ok(()),
            Command::Shutdown => {
                self.ended = true;
                Ok(())
            }
        };
        let failed = done.is_err();
        if let Err(error) = done {
            self.emit(error.event(id));
        }
        if failed || !goes_on {
            lock(&self.pending).remove(&id);
        }
    }

    pub(super) fn cancel_of(&self, id: u64) -> Cancel {
        let pending = lock(&self.pending);
        pending
            .get(&id)
            .map(|p| p.cancel.clone())
            .unwrap_or_default()
    }

    fn configure(&mut self, id: u64, memory: &MemorySettings) -> Result<()> {
        let loaded = self.loaded.as_mut().ok_or_else(not_loaded)?;
        let context = loaded.engine.plan(memory).context;
        let written = loaded.schedule.longest();
        if context < written {
            return Err(EngineError::Budget(format!(
                "This leaves room for {context} tokens of context, and the answer being written \
                 has {written}. Stop it first, or leave more room."
            )));
        }
        let placement = loaded.engine.configure(memory)?.clone();
        loaded.may_fill = true;
        loaded.schedule.make_room(&loaded.engine);
        self.forecast = None;
        self.emit(Event::Configured { id, placement });
        Ok(())
    }

    fn watch(&mut self, hz: f32) {
        self.watch = (hz > 0.0).then(|| Watch {
            period: Duration::from_secs_f32(1.0 / hz.min(MOST_SNAPSHOTS)),
            sent: None,
        });
    }

    /// Of the loaded model, for prompts: they are prepared beside this thread.
    fn text(&self) -> Result<Arc<TextAssets>> {
        let text = |l: &Loaded| l.engine.text.clone();
        self.loaded.as_ref().map(text).ok_or_else(not_loaded)
    }

    /// Puts an answer into the queue.
    fn begin(&mut self, ready: Ready) {
        let Some(id) = self.preparation.whose(&ready) else {
            return;
        };
        let cancel = self.cancel_of(id);
        let Some(Loaded {
            engine, schedule, ..
        }) = &mut self.loaded
        else {
            return;
        };
        let pushed = ready
            .generation
            .and_then(|generation| schedule.push(engine, id, ready.client, generation, cancel));
        if let Err(error) = pushed {
            self.tell(id, Err(error), Totals::default());
        }
    }

    /// One step of the answers under way.
    fn write_on(&mut self) {
        self.with_schedule(|schedule, engine, progress| schedule.step(engine, progress));
    }

    /// Ends all answers as cancelled.
    pub(super) fn end_answers(&mut self) {
        self.with_schedule(|schedule, engine, progress| schedule.cancel_all(engine, progress));
        for id in self.preparation.end_all() {
            let (reason, stats) = (FinishReason::Cancelled, GenerationStats::default());
            self.end(id, Event::Finished { id, reason, stats });
        }
    }

    /// Does `work` and tells what became of each answer.
    fn with_schedule(
        &mut self,
        work: impl FnOnce(&mut Schedule, &mut Engine, &mut dyn FnMut(u64, Result<Step>)),
    ) {
        let Some(loaded) = &mut self.loaded else {
            return;
        };
        let mut steps = Vec::new();
        work(&mut loaded.schedule, &mut loaded.engine, &mut |id, step| {
            steps.push((id, step))
        });
        let totals = loaded.engine.experts().totals();
        if !steps
            .iter()
            .any(|(_, s)| matches!(s, Ok(Step::Token { .. })))
        {
            self.meter.work(totals);
        }
        for (id, step) in steps {
            self.tell(id, step, totals);
        }
    }

    fn tell(&mut self, id: u64, step: Result<Step>, totals: Totals) {
        match step {
            Ok(Step::Prefill {
                done,
                total,
                reused,
                logprobs,
            }) => self.emit(Event::PrefillProgress {
                id,
                done,
                total,
                reused,
                logprobs,
            }),
            Ok(Step::Token {
                text,
                tokens,
                logprobs,
            }) => {
                self.meter.token(totals);
                self.emit(Event::Token {
                    id,
                    text,
                    tokens,
                    logprobs,
                });
            }
            Ok(Step::Finished {
                text,
                reason,
                stats,
            }) => {
                if !text.is_empty() {
                    let tokens = stats.generated_tokens;
                    self.emit(Event::Token {
                        id,
                        text,
                        tokens,
                        logprobs: None,
                    });
                }
                self.end(id, Event::Finished { id, reason, stats });
                if !self.is_busy() {
                    self.save_profile();
                }
            }
            Err(error) => {
                self.end(id, error.event(id));
                if let EngineError::Gpu(error) = error
                    && !matches!(error, CudaError::OutOfMemory { .. })
                {
                    self.go_on_without_gpu(&error);
                }
            }
        }
    }

    fn look_at_memory(&mut self) {
        if let Some(loaded) = &mut self.loaded {
            loaded.engine.look_at_memory(Instant::now());
        }
    }

    fn send_snapshot_if_due(&mut self, generating: bool) {
        let Some(watch) = &mut self.watch else {
            return;
        };
        let now = Instant::now();
        if now < watch.due(self.worked) {
            return;
        }
        watch.sent = Some(now);
        if let Some(snapshot) = self.snapshot(generating) {
            self.emit(Event::Snapshot { snapshot });
        }
    }

    fn look(&mut self, id: u64) -> Result<()> {
        let snapshot = self.snapshot(self.is_busy()).ok_or_else(not_loaded)?;
        self.emit(Event::Looked { id, snapshot });
        Ok(())
    }

    fn snapshot(&mut self, generating: bool) -> Option<Box<MemorySnapshot>> {
        let loaded = self.loaded.as_ref()?;
        let (engine, schedule) = (&loaded.engine, &loaded.schedule);
        let old = |(at, _): &(Instant, _)| at.elapsed() > FORECAST_EVERY;
        if self.forecast.as_ref().is_none_or(old) {
            self.forecast = Some((Instant::now(), engine.forecast()));
        }
        let forecast = self.forecast.as_ref().and_then(|(_, f)| f.clone());
        let about = snapshot::About {
            started: self.started,
            generating,
            preparing: self.preparation.under_way(),
            forecast,
            gpus: self.sensors.look(),
        };
        Some(Box::new(snapshot::take(
            engine,
            schedule,
            &self.meter,
            about,
        )))
    }

    /// Only a convenience for the next start, so a failure is not the answer's.
    fn save_profile(&mut self) {
        if let Some(loaded) = &mut self.loaded
            && let Err(error) = loaded.engine.experts_mut().save_profile()
        {
            eprintln!("moestro: the profile of routing could not be saved: {error}");
        }
    }

    /// Uses idle time to bring more experts into memory. Returns whether there
    /// were any.
    fn fill_slots(&mut self) -> bool {
        let Some(loaded) = self.loaded.as_mut().filter(|l| l.may_fill) else {
            return false;
        };
        match loaded.engine.fill_slots() {
            Ok(filled) => filled,
            // The answer that needs this expert will report the problem.
            Err(_) => {
                loaded.may_fill = false;
                false
            }
        }
    }
}

/// Events that others than the one who gave the command must know of.
fn concerns_all(event: &Event) -> bool {
    matches!(
        event,
        Event::Loaded { .. } | Event::Unloaded { .. } | Event::Configured { .. }
    )
}

pub(super) fn not_loaded() -> EngineError {
    EngineError::Request(NOT_LOADED.into())
}
