//! One ticket per request: what came of it, for the log, the metrics and the window.
//! Never what was asked or answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum_core::extract::Request;
use moestro_engine::protocol::GenerationStats;
use serde::{Deserialize, Serialize};

use crate::metrics::Metrics;
use crate::model::Api;

/// A request as the window shows it: when it came, when its status was known and
/// when it was done.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RequestSeen {
    /// Counted from 1.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    pub method: String,
    pub path: String,
    /// HTTP status; 0 until it is known.
    pub status: u16,
    pub prompt_tokens: usize,
    pub reused_tokens: usize,
    pub generated_tokens: usize,
    /// Milliseconds to the first token; 0 without one.
    pub first_token_ms: u64,
    /// Milliseconds until now or its end.
    pub took_ms: u64,
    pub done: bool,
}

/// Gets every change of every request.
pub type Observer = Arc<dyn Fn(RequestSeen) + Send + Sync>;

/// Held by everything that works on a request; the last one reports its end.
pub struct Ticket {
    seen: Mutex<RequestSeen>,
    /// The route, of which there are few; for the metrics.
    route: String,
    started: Instant,
    metrics: Arc<Metrics>,
    observer: Observer,
}

/// Hands out tickets.
#[derive(Default)]
pub struct Counter(AtomicU64);

/// Longest path that is shown.
const PATH: usize = 100;

impl Ticket {
    /// For a request that came; `route` is one of few.
    pub fn open(api: &Api, request: &Request, route: &str) -> Arc<Ticket> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let ticket = Arc::new(Ticket {
            seen: Mutex::new(RequestSeen {
                number: api.counter.0.fetch_add(1, Ordering::Relaxed) + 1,
                at: now.map_or(0, |d| d.as_millis() as u64),
                method: request.method().as_str().chars().take(16).collect(),
                path: request.uri().path().chars().take(PATH).collect(),
                ..RequestSeen::default()
            }),
            route: route.to_string(),
            started: Instant::now(),
            metrics: api.metrics.clone(),
            observer: api.observer.clone(),
        });
        ticket.report();
        ticket
    }

    /// Its response has this status; a stream may follow.
    pub fn status(&self, status: u16) {
        self.lock().status = status;
    }

    /// The first token of any of its answers.
    pub fn first_token(&self) {
        let took = self.started.elapsed();
        let mut seen = self.lock();
        if seen.first_token_ms == 0 {
            seen.first_token_ms = (took.as_millis() as u64).max(1);
            drop(seen);
            self.metrics.first_token(took);
            self.report();
        }
    }

    /// One of its answers is complete.
    pub fn answered(&self, stats: &GenerationStats) {
        let mut seen = self.lock();
        seen.prompt_tokens += stats.prompt_tokens;
        seen.reused_tokens += stats.reused_tokens;
        seen.generated_tokens += stats.generated_tokens;
        drop(seen);
        self.metrics.answered(stats);
    }

    fn report(&self) {
        let mut seen = self.lock();
        seen.took_ms = self.started.elapsed().as_millis() as u64;
        let now = seen.clone();
        drop(seen);
        (self.observer)(now);
    }

    fn lock(&self) -> MutexGuard<'_, RequestSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let status = {
            let mut seen = self.lock();
            seen.done = true;
            seen.status
        };
        self.metrics
            .request(&self.route, status, self.started.elapsed());
        self.report();
    }
}
