//! `moestro replay`: the model's speed under recorded or made-up routing, at
//! several sizes of expert memory, beside what was foretold of each just before it
//! was set.

mod changes;
mod decode;
mod position;
mod vram;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use moestro_engine::placement::show_bytes;
use moestro_engine::protocol::Preloading;
use moestro_engine::{Engine, Precision, hardware};
use moestro_residency::{Locality, Random, Trace, adversarial, local, uniform};
use serde_json::json;

use self::changes::Changes;
use self::decode::Decode;
use self::position::{Length, Position, median};
use self::vram::InVram;
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
    /// Visit those budgets this often: more than once in a random order that is new
    /// every time, and medians are shown
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub rounds: usize,
    /// VRAM budgets to measure after the first, separated by commas
    #[arg(long, value_name = "SIZES", value_delimiter = ',', value_parser = parse_size)]
    pub vram_budgets: Vec<u64>,
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
    /// None is made up: what the model's own router chooses
    Router,
}

pub fn run(a: &Replay) -> Result<()> {
    if a.tokens == 0 || a.rounds == 0 {
        bail!("measure at least one token in one round");
    }
    let mut engine = a.model.load(Precision::Stored)?;
    let trace = trace(a, &engine)?.map(Arc::new);
    engine.experts_mut().replay(trace.clone())?;
    let settings = engine.placement().settings.clone();
    let mut decode = Decode::new(&engine)?;
    let length = Length {
        settle: a.settle,
        tokens: a.tokens,
    };
    let mut first = Position::new(settings.ram_budget.unwrap_or_else(|| ram_budget(&engine)));
    first.first(&mut engine, &mut decode, length)?;
    let mut all: Vec<Position> = a.budgets.iter().map(|b| Position::new(*b)).collect();
    let mut random = Random::new(1);
    for _ in 0..a.rounds {
        let mut left: Vec<usize> = (0..all.len()).collect();
        while !left.is_empty() {
            let next = match a.rounds {
                1 => 0,
                _ => random.below(left.len()),
            };
            let position = &mut all[left.remove(next)];
            position.visit(&mut engine, &mut decode, &settings, length)?;
        }
    }
    let in_vram = vram::run(&mut engine, &mut decode, &settings, &a.vram_budgets, length)?;
    if let Some(forecast) = engine.forecast() {
        eprintln!("{}", forecast.bottleneck);
    }
    let changes = if a.changes > 0 {
        let most = a.budgets.iter().copied().max().unwrap_or(first.budget);
        let budgets = first.budget..=most.max(first.budget);
        Some(changes::run(
            &mut engine,
            trace.as_ref(),
            &settings,
            budgets,
            a.changes,
        )?)
    } else {
        None
    };
    all.insert(0, first);
    show(a, &engine, (&all, &in_vram), changes.as_ref());
    Ok(())
}

/// `None` leaves it to the router.
fn trace(a: &Replay, engine: &Engine) -> Result<Option<Trace>> {
    if let Some(path) = &a.routes {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        let trace = Trace::read(BufReader::new(file));
        return trace.map(Some).with_context(|| path.display().to_string());
    }
    let i = &engine.info;
    if i.moe_layers == 0 {
        bail!("{} has no experts", i.name);
    }
    let (layers, experts, chosen) = (i.moe_layers, i.experts_per_layer, i.experts_per_token);
    let visits = a.budgets.len() * a.rounds + a.vram_budgets.len() + 3;
    let tokens = ((a.tokens + a.settle) * visits).max(1024);
    let published = Locality::published();
    Ok(match a.kind {
        Kind::Published => Some(local(layers, experts, chosen, tokens, &published, 1)),
        Kind::Uniform => Some(uniform(layers, experts, chosen, tokens, 1)),
        Kind::Adversarial => Some(adversarial(layers, experts, chosen, tokens)),
        Kind::Router => None,
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

fn show(
    a: &Replay,
    engine: &Engine,
    (all, in_vram): (&[Position], &[InVram]),
    changes: Option<&Changes>,
) {
    let telemetry = engine.experts().telemetry();
    let peak = hardware::peak_bytes();
    if a.json {
        let text = json!({
            "model": engine.info.name,
            "sizes": all.iter().map(Position::json).collect::<Vec<_>>(),
            "peak_resident_bytes": peak,
            "swap_p50_us": telemetry.swap_p50_us, "swap_p95_us": telemetry.swap_p95_us,
            "queue_depth": telemetry.queue_depth, "direct_io": telemetry.direct_io,
            "look_ahead": telemetry.look_ahead, "preloading": telemetry.preloading,
            "vram": in_vram.iter().map(InVram::json).collect::<Vec<_>>(),
            "changes": changes.map(Changes::json),
        });
        println!("{text:#}");
        return;
    }
    println!(
        "{:>12}{:>7}{:>9}{:>8}{:>10}{:>10}{:>8}{:>21}{:>11}{:>12}",
        "RAM budget",
        "slots",
        "foretold",
        "hits",
        "foretold",
        "tokens/s",
        "error",
        "of each visit",
        "hits known",
        "resident"
    );
    for p in all {
        println!(
            "{:>12}{:>7}{:>9}{:>7.1}%{:>10}{:>10.1}{:>8}{:>21}{:>11}{:>12}",
            show_bytes(p.budget),
            p.slots,
            percent(p.foretold(|f| f.hit_rate)),
            100.0 * p.hit_rate(),
            p.foretold(|f| f.tokens_per_second)
                .map_or_else(|| "-".to_string(), |speed| format!("{speed:.1}")),
            p.measured(),
            percent(p.error()),
            range(&p.errors(|f| f.tokens_per_second)),
            percent(median(p.errors(|f| f.with_real_hits).into_iter())),
            show_bytes(p.resident)
        );
    }
    vram::show(in_vram);
    println!(
        "reading an expert: P50 {} us, P95 {} us, {:.1} others under way; peak {}",
        telemetry.swap_p50_us,
        telemetry.swap_p95_us,
        telemetry.queue_depth,
        show_bytes(peak)
    );
    let ahead = telemetry.look_ahead;
    match telemetry.preloading {
        Preloading::Off => {}
        Preloading::On => println!("reading ahead: on, {} guessed right", percent(ahead)),
        Preloading::Slower => println!(
            "reading ahead: it made tokens slower and rests, {} guessed right",
            percent(ahead)
        ),
    }
    if let Some(changes) = changes {
        println!("{changes}");
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_string(), |s| format!("{:.1}%", 100.0 * s))
}

/// Median, least and most.
fn range(rising: &[f64]) -> String {
    let middle = median(rising.iter().copied());
    match (middle, rising.first(), rising.last()) {
        (Some(middle), Some(least), Some(most)) => {
            let [least, most] = [least, most].map(|share| 100.0 * share);
            format!("{:.1}% ({least:.0} to {most:.0})", 100.0 * middle)
        }
        _ => "-".to_string(),
    }
}
