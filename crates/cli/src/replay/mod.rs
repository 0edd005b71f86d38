//! `moestro replay`: the model's speed under recorded or made-up routing, at
//! several sizes of expert memory, beside what was foretold of each just before it
//! was set.

mod changes;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use clap::{Args, ValueEnum};
use moestro_engine::placement::show_bytes;
use moestro_engine::protocol::{Forecast, MemorySettings};
use moestro_engine::{Cancel, Engine, Logits, Precision, Session, hardware};
use moestro_residency::{Locality, Trace, adversarial, local, uniform};
use serde_json::json;

use self::changes::Changes;
use crate::arguments::ModelArguments;
use crate::size::parse_size;

#[derive(Args)]
pub struct Replay {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Routing recorded by `moestro profile --record` [default: made up]
    #[arg(long, value_name = "FILE")]
    pub routes: Option<PathBuf>,
    /// Kind of routing to make up
    #[arg(
        long,
        value_enum,
        default_value = "published",
        conflicts_with = "routes"
    )]
    pub kind: Kind,
    /// Measured tokens at each size
    #[arg(long, value_name = "N", default_value_t = 96)]
    pub tokens: usize,
    /// Tokens before each measurement
    #[arg(long, value_name = "N", default_value_t = 32)]
    pub settle: usize,
    /// RAM budgets to measure after the first, separated by commas
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = parse_size)]
    pub budgets: Vec<u64>,
    /// Then change the budget this often, at random between the first and the
    /// largest, once before every token
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub changes: usize,
    /// Print JSON instead of a table
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Kind {
    /// Per-layer LRU slots for 12% of 512 experts hit 62%, for 24% 79%
    Published,
    /// Every expert is as likely as any other
    Uniform,
    /// Always the experts that were not used for longest
    Adversarial,
}

struct Measurement {
    budget: u64,
    slots: usize,
    predicted: Option<Predicted>,
    measured: f64,
    hit_rate: f64,
    resident: u64,
}

#[derive(Clone, Copy)]
struct Predicted {
    tokens_per_second: f64,
    hit_rate: f64,
}

pub fn run(a: &Replay) -> Result<()> {
    if a.tokens == 0 {
        bail!("measure at least one token");
    }
    let mut engine = a.model.load(Precision::Stored)?;
    let trace = Arc::new(trace(a, &engine)?);
    engine.experts_mut().replay(Some(trace.clone()))?;
    let mut settings = engine.placement().settings.clone();
    let mut decode = Decode {
        session: engine.session()?,
        token: 1,
    };
    let first = settings.ram_budget.unwrap_or_else(|| ram_budget(&engine));
    let mut all = vec![measure(&mut engine, &mut decode, a, first, None)?];
    for budget in &a.budgets {
        let foretold = engine
            .forecast()
            .context("too few tokens for a forecast; measure more with --tokens")?;
        settings.ram_budget = Some(*budget);
        let predicted = predicted(&engine, &foretold, &settings);
        engine.configure(&settings)?;
        all.push(measure(&mut engine, &mut decode, a, *budget, predicted)?);
    }
    if let Some(forecast) = engine.forecast() {
        eprintln!("{}", forecast.bottleneck);
    }
    let changes = if a.changes > 0 {
        let most = a.budgets.iter().copied().max().unwrap_or(first).max(first);
        let budgets = first..=most;
        Some(changes::run(
            &mut engine,
            &trace,
            &settings,
            budgets,
            a.changes,
        )?)
    } else {
        None
    };
    show(a, &engine, &all, changes.as_ref());
    Ok(())
}

fn trace(a: &Replay, engine: &Engine) -> Result<Trace> {
    if let Some(path) = &a.routes {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let trace = Trace::read(BufReader::new(file));
        return trace.with_context(|| path.display().to_string());
    }
    let i = &engine.info;
    if i.moe_layers == 0 {
        bail!("{} has no experts", i.name);
    }
    let (layers, experts, chosen) = (i.moe_layers, i.experts_per_layer, i.experts_per_token);
    let tokens = (a.tokens + a.settle) * (a.budgets.len() + 2);
    Ok(match a.kind {
        Kind::Published => local(
            layers,
            experts,
            chosen,
            tokens.max(1024),
            &Locality::published(),
            1,
        ),
        Kind::Uniform => uniform(layers, experts, chosen, tokens, 1),
        Kind::Adversarial => adversarial(layers, experts, chosen, tokens),
    })
}

fn ram_budget(engine: &Engine) -> u64 {
    use moestro_engine::protocol::Tier;
    let tiers = &engine.placement().tiers;
    tiers
        .iter()
        .find(|t| t.tier == Tier::Ram)
        .map_or(0, |t| t.budget)
}

/// What the curve of the size of now says of a budget.
fn predicted(engine: &Engine, foretold: &Forecast, settings: &MemorySettings) -> Option<Predicted> {
    let slots = engine.plan(settings).experts_per_layer;
    let after = foretold.ram.iter().position(|p| p.slots >= slots)?;
    let b = foretold.ram[after];
    let a = foretold.ram[after.saturating_sub(1)];
    let share = match b.slots - a.slots {
        0 => 1.0,
        between => (slots - a.slots) as f64 / between as f64,
    };
    let mix = |a: f64, b: f64| a + share * (b - a);
    Some(Predicted {
        tokens_per_second: mix(a.tokens_per_second, b.tokens_per_second),
        hit_rate: mix(a.hit_rate, b.hit_rate),
    })
}

/// A timeline that is begun anew when the context is full.
struct Decode {
    session: Session,
    token: u32,
}

impl Decode {
    fn tokens(&mut self, engine: &mut Engine, count: usize) -> Result<()> {
        for _ in 0..count {
            self.token(engine)?;
        }
        Ok(())
    }

    /// The logits of the next token, `[1, vocabulary]`.
    fn token(&mut self, engine: &mut Engine) -> Result<Tensor> {
        if self.session.len() + 1 >= engine.placement().context {
            self.session = engine.session()?;
        }
        let never = Cancel::new();
        let logits = engine.forward(&mut self.session, &[self.token], Logits::Last, &never)?;
        self.token = (self.token + 17) % engine.info.vocabulary as u32;
        Ok(logits)
    }
}

fn measure(
    engine: &mut Engine,
    decode: &mut Decode,
    a: &Replay,
    budget: u64,
    predicted: Option<Predicted>,
) -> Result<Measurement> {
    // Slots fill as they would between two questions.
    while engine.fill_slots()? {}
    decode.tokens(engine, a.settle)?;
    let before = engine.experts().totals();
    let start = Instant::now();
    decode.tokens(engine, a.tokens)?;
    let seconds = start.elapsed().as_secs_f64();
    let after = engine.experts().totals();
    let (hits, misses) = (after.hits - before.hits, after.misses - before.misses);
    Ok(Measurement {
        budget,
        slots: engine.placement().experts_per_layer,
        predicted,
        measured: a.tokens as f64 / seconds,
        hit_rate: hits as f64 / (hits + misses).max(1) as f64,
        resident: hardware::process_bytes(),
    })
}

fn show(a: &Replay, engine: &Engine, all: &[Measurement], changes: Option<&Changes>) {
    let speed = |m: &Measurement| m.predicted.map(|p| p.tokens_per_second);
    let hits = |m: &Measurement| m.predicted.map(|p| 100.0 * p.hit_rate);
    let error = |m: &Measurement| speed(m).map(|p| 100.0 * (p / m.measured - 1.0));
    let telemetry = engine.experts().telemetry();
    let peak = hardware::peak_bytes();
    if a.json {
        let rows: Vec<_> = all
            .iter()
            .map(|m| {
                json!({
                    "ram_budget": m.budget, "slots": m.slots, "hit_rate": m.hit_rate,
                    "tokens_per_second": m.measured, "predicted": speed(m),
                    "predicted_hit_rate": m.predicted.map(|p| p.hit_rate),
                    "error_percent": error(m), "resident_bytes": m.resident,
                })
            })
            .collect();
        let text = json!({
            "model": engine.info.name, "sizes": rows, "peak_resident_bytes": peak,
            "swap_p50_us": telemetry.swap_p50_us, "swap_p95_us": telemetry.swap_p95_us,
            "queue_depth": telemetry.queue_depth, "direct_io": telemetry.direct_io,
            "changes": changes.map(Changes::json),
        });
        println!("{text:#}");
        return;
    }
    println!(
        "{:>12}{:>8}{:>11}{:>8}{:>12}{:>12}{:>9}{:>12}",
        "RAM budget", "slots", "predicted", "hits", "predicted", "tokens/s", "error", "resident"
    );
    for m in all {
        let number = |n: Option<f64>, unit: &str| {
            n.map_or_else(|| "-".to_string(), |n| format!("{n:.1}{unit}"))
        };
        println!(
            "{:>12}{:>8}{:>11}{:>7.1}%{:>12}{:>12.1}{:>9}{:>12}",
            show_bytes(m.budget),
            m.slots,
            number(hits(m), "%"),
            100.0 * m.hit_rate,
            number(speed(m), ""),
            m.measured,
            number(error(m), "%"),
            show_bytes(m.resident)
        );
    }
    println!(
        "reading an expert: P50 {} us, P95 {} us, {:.1} others under way; peak {}",
        telemetry.swap_p50_us,
        telemetry.swap_p95_us,
        telemetry.queue_depth,
        show_bytes(peak)
    );
    if let Some(changes) = changes {
        println!("{changes}");
    }
}
