//! The loop of the engine's thread.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use super::meter::Meter;
use super::{Pending, lock, snapshot};
use crate::cancel::Cancel;
use crate::engine::{Engine, LoadOptions, inspect};
use crate::error::{EngineError, Result};
use crate::generation::{Generation, Step};
use crate::hardware;
use crate::placement::place;
use crate::precision::Precision;
use crate::protocol::{
    Command, Event, Forecast, GenerateRequest, LoadRequest, MemorySettings, Placement,
};
use crate::session::Session;

/// Highest rate of snapshots per second.
const MOST_SNAPSHOTS: f32 = 20.0;
/// Time between two forecasts.
const FORECAST_EVERY: Duration = Duration::from_millis(1000);
const NOT_LOADED: &str = "no model is loaded; load one first";

struct Runner {
    inbox: Receiver<Command>,
    /// Commands taken from the inbox while something else was under way.
    waiting: VecDeque<Command>,
    pending: Pending,
    events: Box<dyn FnMut(Event)>,
    loaded: Option<Loaded>,
    meter: Meter,
    started: Instant,
    /// Time between snapshots and when the next one is due.
    watch: Option<(Duration, Instant)>,
    /// The latest forecast and when it was made.
    forecast: Option<(Instant, Option<Forecast>)>,
    /// Folder of the profiles of routing.
    profiles: Option<PathBuf>,
    ended: bool,
}

struct Loaded {
    engine: Engine,
    session: Session,
    /// Filling slots in idle time is given up after a failed read.
    may_fill: bool,
}

pub fn run(
    inbox: Receiver<Command>,
    pending: Pending,
    profiles: Option<PathBuf>,
    events: Box<dyn FnMut(Event)>,
) {
    let mut runner = Runner {
        inbox,
        waiting: VecDeque::new(),
        pending,
        events,
        loaded: None,
        meter: Meter::default(),
        started: Instant::now(),
        watch: None,
        forecast: None,
        profiles,
        ended: false,
    };
    let version = env!("CARGO_PKG_VERSION").to_string();
    runner.emit(Event::Ready {
        version,
        hardware: hardware::probe(),
    });
    while let Some(command) = runner.next() {
        runner.obey(command);
    }
}

impl Runner {
    fn emit(&mut self, event: Event) {
        (self.events)(event);
    }

    /// The next command; fills slots and sends snapshots while there is none.
    fn next(&mut self) -> Option<Command> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(command) = self.waiting.pop_front() {
                return Some(command);
            }
            self.look_at_memory();
            self.send_snapshot_if_due(false);
            let received = if self.fill_slots() {
                match self.inbox.try_recv() {
                    Err(TryRecvError::Empty) => continue,
                    Err(TryRecvError::Disconnected) => return None,
                    Ok(command) => Ok(command),
                }
            } else {
                let due = self
                    .watch
                    .map(|(_, due)| due.saturating_duration_since(Instant::now()));
                self.inbox
                    .recv_timeout(due.unwrap_or(Duration::from_secs(3600)))
            };
            match received {
                Ok(command) => return Some(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let id = match &command {
            Command::Load { id, .. }
            | Command::Unload { id }
            | Command::Generate { id, .. }
            | Command::Configure { id, .. }
            | Command::Plan { id, .. }
            | Command::Cancel { id } => *id,
            Command::Watch { .. } | Command::Shutdown => 0,
        };
        let done = match command {
            Command::Load { request, .. } => self.load(id, &request),
            Command::Unload { .. } => {
                self.loaded = None;
                self.forecast = None;
                self.emit(Event::Unloaded { id });
                Ok(())
            }
            Command::Generate { request, .. } => self.generate(id, &request),
            Command::Configure { memory, .. } => self.configure(id, &memory),
            Command::Plan { model, memory, .. } => self
                .plan(model.as_deref(), &memory)
                .map(|placement| self.emit(Event::Planned { id, placement })),
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
        lock(&self.pending).remove(&id);
        if let Err(error) = done {
            self.emit(Event::Failed {
                id: Some(id),
                failure: error.failure(),
            });
        }
    }

    fn cancel_of(&self, id: u64) -> Cancel {
        lock(&self.pending).get(&id).cloned().unwrap_or_default()
    }

    fn load(&mut self, id: u64, request: &LoadRequest) -> Result<()> {
        // The old model goes first: two may not fit.
        self.loaded = None;
        self.forecast = None;
        self.meter.clear();
        let cancel = self.cancel_of(id);
        let options = LoadOptions {
            memory: request.memory.clone(),
            threads: request.threads,
            precision: Precision::default(),
            profiles: self.profiles.clone(),
            kernels: None,
        };
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
        let hardware = hardware::probe();
        let engine = Engine::load(&request.model, &options, hardware, &cancel, &mut progress)?;
        let session = engine.session();
        let (model, placement) = (engine.info.clone(), engine.placement().clone());
        self.loaded = Some(Loaded {
            engine,
            session,
            may_fill: true,
        });
        self.emit(Event::Loaded {
            id,
            model,
            placement,
        });
        Ok(())
    }

    fn configure(&mut self, id: u64, memory: &MemorySettings) -> Result<()> {
        let loaded = self.loaded.as_mut().ok_or_else(not_loaded)?;
        let placement = loaded.engine.configure(memory)?.clone();
        self.forecast = None;
        self.emit(Event::Configured { id, placement });
        Ok(())
    }

    fn plan(&self, model: Option<&Path>, memory: &MemorySettings) -> Result<Placement> {
        match model {
            Some(path) => {
                let hardware = hardware::probe();
                let sizes = inspect(path, Precision::default())?.sizes;
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

    fn watch(&mut self, hz: f32) {
        self.watch = (hz > 0.0).then(|| {
            let period = Duration::from_secs_f32(1.0 / hz.min(MOST_SNAPSHOTS));
            (period, Instant::now())
        });
    }

    fn generate(&mut self, id: u64, request: &GenerateRequest) -> Result<()> {
        let cancel = self.cancel_of(id);
        let loaded = self.loaded.as_mut().ok_or_else(not_loaded)?;
        let mut answer = Generation::new(&loaded.engine, &mut loaded.session, request)?;
        loop {
            let loaded = self.loaded.as_mut().ok_or_else(not_loaded)?;
            let step = answer.step(&mut loaded.engine, &mut loaded.session, &cancel)?;
            let totals = loaded.engine.experts().totals();
            match step {
                Step::Prefill {
                    done,
                    total,
                    reused,
                } => {
                    self.meter.work(totals);
                    self.emit(Event::PrefillProgress {
                        id,
                        done,
                        total,
                        reused,
                    });
                }
                Step::Token { text, tokens } => {
                    self.meter.token(totals);
                    self.emit(Event::Token { id, text, tokens });
                }
                Step::Finished {
                    text,
                    reason,
                    stats,
                } => {
                    if !text.is_empty() {
                        let tokens = stats.generated_tokens;
                        self.emit(Event::Token { id, text, tokens });
                    }
                    self.emit(Event::Finished { id, reason, stats });
                    self.save_profile();
                    return Ok(());
                }
            }
            self.look_at_memory();
            self.send_snapshot_if_due(true);
            self.obey_between_steps(&cancel);
        }
    }

    /// Settings and questions are answered at once; what replaces the model or
    /// starts another answer waits. A new model ends the answer first.
    fn obey_between_steps(&mut self, cancel: &Cancel) {
        loop {
            match self.inbox.try_recv() {
                Ok(command) => match command {
                    Command::Configure { .. }
                    | Command::Plan { .. }
                    | Command::Watch { .. }
                    | Command::Cancel { .. } => self.obey(command),
                    Command::Generate { .. } => self.waiting.push_back(command),
                    Command::Load { .. } | Command::Unload { .. } | Command::Shutdown => {
                        cancel.cancel();
                        self.waiting.push_back(command);
                    }
                },
                Err(TryRecvError::Empty) => return,
                Err(TryRecvError::Disconnected) => {
                    cancel.cancel();
                    return;
                }
            }
        }
    }

    fn look_at_memory(&mut self) {
        if let Some(loaded) = &mut self.loaded {
            loaded.engine.look_at_memory();
        }
    }

    fn send_snapshot_if_due(&mut self, generating: bool) {
        let Some((period, due)) = self.watch else {
            return;
        };
        let now = Instant::now();
        if now < due {
            return;
        }
        self.watch = Some((period, now + period));
        let Some(loaded) = &self.loaded else { return };
        let (engine, session) = (&loaded.engine, &loaded.session);
        let old = |(at, _): &(Instant, _)| at.elapsed() > FORECAST_EVERY;
        if self.forecast.as_ref().is_none_or(old) {
            self.forecast = Some((now, engine.forecast()));
        }
        let forecast = self.forecast.as_ref().and_then(|(_, f)| f.clone());
        let about = snapshot::About {
            started: self.started,
            generating,
            forecast,
        };
        let snapshot = snapshot::take(engine, session, &self.meter, about);
        self.emit(Event::Snapshot {
            snapshot: Box::new(snapshot),
        });
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

fn not_loaded() -> EngineError {
    EngineError::Request(NOT_LOADED.into())
}
