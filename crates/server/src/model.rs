//! The engine as handlers see it: what is loaded, and a way to ask.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use moestro_engine::protocol::{Command, Event, MemorySnapshot, ModelInfo, Placement};
use moestro_engine::{Listener, Remote};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::settings::Rules;
use crate::tickets::{Counter, Observer};

/// What an engine busy with a long prompt may take to answer a question.
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// What is loaded now, from the engine's events.
#[derive(Default)]
pub struct Present(Mutex<Option<Loaded>>);

/// A loaded model.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub model: ModelInfo,
    pub placement: Placement,
    /// Seconds since 1970.
    pub since: u64,
}

impl Present {
    /// To be shown every event of the engine, in order.
    pub fn see(&self, event: &Event) {
        match event {
            Event::Loaded {
                model, placement, ..
            } => {
                *self.lock() = Some(Loaded {
                    model: model.clone(),
                    placement: placement.clone(),
                    since: now(),
                });
            }
            Event::LoadProgress { .. } | Event::Unloaded { .. } => *self.lock() = None,
            Event::Configured { placement, .. } => {
                if let Some(loaded) = &mut *self.lock() {
                    loaded.placement = placement.clone();
                }
            }
            _ => {}
        }
    }

    /// Errors: nothing is loaded.
    pub fn loaded(&self) -> Result<Loaded, ApiError> {
        self.lock().clone().ok_or_else(ApiError::no_model)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Loaded>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What every handler may use.
pub struct Api {
    pub remote: Remote,
    pub present: Arc<Present>,
    pub rules: Arc<Rules>,
    /// One permit per answer that may be under way or waiting.
    pub places: Arc<Semaphore>,
    pub metrics: Arc<Metrics>,
    pub observer: Observer,
    pub counter: Counter,
    /// Becomes true when the server ends.
    pub ending: watch::Receiver<bool>,
}

impl Api {
    /// Sends one command and waits for its answer.
    pub async fn ask(&self, make: impl FnOnce(u64) -> Command) -> Result<Event, ApiError> {
        let (sender, mut answers) = mpsc::unbounded_channel();
        let listener: Listener = Arc::new(move |event| drop(sender.send(event)));
        self.remote.ask(make, listener).ok_or_else(ApiError::gone)?;
        let answer = tokio::time::timeout(ANSWER_TIME, answers.recv()).await;
        match answer {
            Ok(Some(Event::Failed { failure, .. })) => Err(failure.into()),
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(ApiError::gone()),
            Err(_) => Err(ApiError::busy()),
        }
    }

    /// The state of memory now.
    pub async fn look(&self) -> Result<Box<MemorySnapshot>, ApiError> {
        match self.ask(|id| Command::Look { id }).await? {
            Event::Looked { snapshot, .. } => Ok(snapshot),
            _ => Err(ApiError::gone()),
        }
    }
}

/// Waits until the server ends.
pub async fn ended(ending: &mut watch::Receiver<bool>) {
    // An error means that nobody is left to say so.
    let _ = ending.wait_for(|ending| *ending).await;
}

/// Seconds since 1970.
pub fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |d| d.as_secs())
}

/// The name by which clients call a model.
pub fn model_id(model: &ModelInfo) -> String {
    let letter = |c: char| match c {
        c if c.is_ascii_alphanumeric() || "._-/:".contains(c) => c,
        _ => '-',
    };
    model.name.chars().map(letter).take(120).collect()
}
