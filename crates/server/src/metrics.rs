//! Figures for Prometheus (text exposition format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::{Display, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use moestro_engine::protocol::{GenerationStats, MemorySnapshot, Tier};

/// Upper bounds of a histogram's buckets, in seconds.
const BOUNDS: [f64; 12] = [
    0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Counted since the server started.
#[derive(Default)]
pub struct Metrics {
    requests: Mutex<BTreeMap<(String, u16), u64>>,
    duration: Histogram,
    first_token: Histogram,
    prompt_tokens: AtomicU64,
    reused_tokens: AtomicU64,
    generated_tokens: AtomicU64,
    turned_away: AtomicU64,
}

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    microseconds: AtomicU64,
}

impl Metrics {
    pub fn request(&self, route: &str, status: u16, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((route.to_string(), status)).or_default() += 1;
        drop(requests);
        self.duration.note(took);
    }

    pub fn first_token(&self, took: Duration) {
        self.first_token.note(took);
    }

    pub fn answered(&self, stats: &GenerationStats) {
        let add = |to: &AtomicU64, n: usize| to.fetch_add(n as u64, Ordering::Relaxed);
        add(&self.prompt_tokens, stats.prompt_tokens);
        add(&self.reused_tokens, stats.reused_tokens);
        add(&self.generated_tokens, stats.generated_tokens);
    }

    pub fn turned_away(&self) {
        self.turned_away.fetch_add(1, Ordering::Relaxed);
    }

    /// Everything as text. `open` answers are under way or waiting.
    pub fn write(&self, open: usize, memory: Option<&MemorySnapshot>) -> String {
        let mut page = Page(String::new());
        let now = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        page.head("requests_total", "counter", "Requests by route and status");
        for ((route, status), count) in requests.iter() {
            let labels = format!("route=\"{route}\",status=\"{status}\"");
            page.line("requests_total", &labels, count);
        }
        drop(requests);
        let counters = [
            (
                "prompt_tokens_total",
                "Tokens of prompts",
                now(&self.prompt_tokens),
            ),
            (
                "reused_tokens_total",
                "Of those, tokens that were known",
                now(&self.reused_tokens),
            ),
            (
                "generated_tokens_total",
                "Tokens of answers",
                now(&self.generated_tokens),
            ),
            (
                "turned_away_total",
                "Requests for which the queue was full",
                now(&self.turned_away),
            ),
        ];
        for (name, help, value) in counters {
            page.one(name, "counter", help, value);
        }
        page.one(
            "open_answers",
            "gauge",
            "Answers under way or waiting",
            open,
        );
        page.histogram("request_seconds", "Time of whole requests", &self.duration);
        page.histogram(
            "first_token_seconds",
            "Time to the first token",
            &self.first_token,
        );
        if let Some(m) = memory {
            page.memory(m);
        }
        page.0
    }
}

impl Histogram {
    fn note(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS) {
            if seconds <= bound {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        let micros = took.as_micros() as u64;
        self.microseconds.fetch_add(micros, Ordering::Relaxed);
    }
}

struct Page(String);

impl Page {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP moestro_{name} {help}.");
        let _ = writeln!(self.0, "# TYPE moestro_{name} {kind}");
    }

    fn line(&mut self, name: &str, labels: &str, value: impl Display) {
        let _ = match labels {
            "" => writeln!(self.0, "moestro_{name} {value}"),
            _ => writeln!(self.0, "moestro_{name}{{{labels}}} {value}"),
        };
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.head(name, kind, help);
        self.line(name, "", value);
    }

    fn histogram(&mut self, name: &str, help: &str, h: &Histogram) {
        self.head(name, "histogram", help);
        let bucket = format!("{name}_bucket");
        for (count, bound) in h.buckets.iter().zip(BOUNDS) {
            let labels = format!("le=\"{bound}\"");
            self.line(&bucket, &labels, count.load(Ordering::Relaxed));
        }
        let count = h.count.load(Ordering::Relaxed);
        self.line(&bucket, "le=\"+Inf\"", count);
        let seconds = h.microseconds.load(Ordering::Relaxed) as f64 / 1e6;
        self.line(&format!("{name}_sum"), "", seconds);
        self.line(&format!("{name}_count"), "", count);
    }

    fn memory(&mut self, m: &MemorySnapshot) {
        self.head("memory_bytes", "gauge", "Memory in use by tier");
        for tier in &m.tiers {
            self.line("memory_bytes", tier_label(tier.tier), tier.used);
        }
        self.head("memory_budget_bytes", "gauge", "Memory allowed by tier");
        for tier in &m.tiers {
            self.line("memory_budget_bytes", tier_label(tier.tier), tier.budget);
        }
        let t = &m.totals;
        let counters = [
            ("expert_hits_total", "Experts found in a slot", t.hits),
            ("expert_misses_total", "Experts read from disk", t.misses),
            (
                "expert_read_bytes_total",
                "Bytes of experts read from disk",
                t.bytes_read,
            ),
        ];
        for (name, help, value) in counters {
            self.one(name, "counter", help, value);
        }
        self.one(
            "hit_ratio",
            "gauge",
            "Experts found in a slot lately, 0 to 1",
            m.hit_rate,
        );
        let speed = m.tokens_per_second;
        self.one(
            "tokens_per_second",
            "gauge",
            "Tokens written lately, all answers",
            speed,
        );
        self.one(
            "context_tokens",
            "gauge",
            "Tokens of context in use",
            m.context_used,
        );
        let queue = [
            (
                "running_answers",
                "Answers that the engine works on",
                m.answers_running,
            ),
            (
                "waiting_answers",
                "Answers that wait for their turn",
                m.answers_waiting,
            ),
        ];
        for (name, help, value) in queue {
            self.one(name, "gauge", help, value);
        }
        self.one(
            "process_bytes",
            "gauge",
            "Memory of the process",
            m.process_bytes,
        );
    }
}

fn tier_label(tier: Tier) -> &'static str {
    match tier {
        Tier::Vram => "tier=\"vram\"",
        Tier::Ram => "tier=\"ram\"",
        Tier::Disk => "tier=\"disk\"",
    }
}
