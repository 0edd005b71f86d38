//! `moestro profile`: how the model routes over sample prompts, and what a cache
//! makes of it. Kept for the next cold start.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use moestro_engine::protocol::{GenerateRequest, Message, Prompt};
use moestro_engine::{Cancel, Engine, Generation, Precision, Step};
use moestro_residency::{Policy, Trace, analysis};
use serde_json::json;

use crate::arguments::ModelArguments;

#[derive(Args)]
pub struct Profile {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Sample prompts to answer
    #[arg(long, value_name = "N", default_value_t = 8)]
    pub samples: usize,
    /// Texts to read besides, or instead with --samples 0
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub text: Vec<PathBuf>,
    /// Longest answer to a sample prompt
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub max_tokens: usize,
    /// Write every routing decision there, for `moestro replay --routes`
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long)]
    pub json: bool,
}

/// Different subjects, languages and forms, so that different experts come up.
const SAMPLES: [&str; 12] = [
    "What is the capital of France?",
    "How many minutes are in 3 hours?",
    "Write a function in Rust that reverses the words of a sentence.",
    "What day comes after Monday?",
    "Explain why the sky is blue to a curious child.",
    "Spell garden.",
    "Compare TCP and UDP in a table.",
    "Erzähle mir eine kurze Geschichte über einen Leuchtturm.",
    "Prove that the square root of two is irrational.",
    "Summarize the plot of Hamlet in three sentences.",
    "What is 17 + 25?",
    "List five ways to save energy at home.",
];
/// Tokens of a text that are read at most.
const MOST_TEXT: usize = 2048;

pub fn run(a: &Profile) -> Result<()> {
    let mut engine = a.model.load(Precision::default())?;
    if engine.info.moe_layers == 0 {
        bail!("{} has no experts", engine.info.name);
    }
    engine.experts_mut().record_routes();
    for prompt in SAMPLES.iter().cycle().take(a.samples) {
        answer(&mut engine, prompt, a.max_tokens)?;
    }
    for path in &a.text {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let mut tokens = engine.text.tokenizer.encode(&text)?;
        tokens.truncate(MOST_TEXT);
        engine.each_logits(&tokens, &Cancel::new(), &mut |_, _| Ok(()))?;
    }
    let trace = gather(&mut engine)?;
    if let Some(path) = &a.record {
        let file = File::create(path).with_context(|| format!("writing {}", path.display()))?;
        trace.write(BufWriter::new(file))?;
    }
    engine
        .experts_mut()
        .save_profile()
        .context("saving the profile")?;
    if a.json {
        println!("{:#}", as_json(&engine, &trace));
    } else {
        show(&engine, &trace);
    }
    Ok(())
}

fn answer(engine: &mut Engine, prompt: &str, max_tokens: usize) -> Result<()> {
    let request = GenerateRequest {
        prompt: Prompt::chat(vec![Message::new("user", prompt)]),
        sampling: Default::default(),
        max_tokens: Some(max_tokens),
        ..GenerateRequest::default()
    };
    let mut session = engine.session()?;
    let mut answer = Generation::new(engine, &mut session, &request)?;
    let never = Cancel::new();
    while !matches!(
        answer.step(engine, &mut session, &never)?,
        Step::Finished { .. }
    ) {}
    Ok(())
}

/// All routing decisions, token by token.
fn gather(engine: &mut Engine) -> Result<Trace> {
    let i = &engine.info;
    let (layers, experts, k) = (i.moe_layers, i.experts_per_layer, i.experts_per_token);
    let routes = engine.experts_mut().take_routes();
    let tokens = routes.iter().map(|r| r.len() / k).min().unwrap_or(0);
    if tokens < 2 {
        bail!("nothing was routed; give --samples or --text");
    }
    let mut trace = Trace::new(layers, experts, k);
    for token in 0..tokens {
        let of_layers = routes
            .iter()
            .flat_map(|row| &row[token * k..(token + 1) * k]);
        trace.push(of_layers.copied());
    }
    Ok(trace)
}

fn name(policy: Policy) -> &'static str {
    match policy {
        Policy::Static => "static",
        Policy::Lru => "lru",
        Policy::Learned => "learned",
    }
}

fn show(engine: &Engine, trace: &Trace) {
    println!(
        "{}: {} tokens, {} layers of {} experts, {} per token\n",
        engine.info.name,
        trace.tokens(),
        trace.layers(),
        trace.experts(),
        trace.per_token()
    );
    let ahead = engine.experts().look_ahead();
    println!(
        "{:>6}{:>8}{:>22}{:>18}{:>14}",
        "layer", "used", "uses of the top 10%", "as token before", "look-ahead"
    );
    for (row, layer) in analysis::layers(trace).iter().enumerate() {
        let ahead = ahead.get(row).copied().flatten();
        println!(
            "{:>6}{:>8}{:>21.1}%{:>17.1}%{:>14}",
            engine.experts().residency()[row].layer,
            layer.used,
            100.0 * layer.skew,
            100.0 * layer.reuse,
            ahead.map_or_else(|| "-".to_string(), |a| format!("{:.1}%", 100.0 * a)),
        );
    }
    println!("\nhits with slots for this share of a layer's experts");
    print!("{:>10}", "policy");
    analysis::SHARES
        .iter()
        .for_each(|s| print!("{:>8}", format!("{:.0}%", 100.0 * s)));
    println!();
    for curve in analysis::curves(trace) {
        print!("{:>10}", name(curve.policy));
        curve
            .hit_rates
            .iter()
            .for_each(|h| print!("{:>7.1}%", 100.0 * h));
        println!();
    }
    let kept = engine.experts().telemetry().profile_tokens;
    if kept > 0 {
        println!("\nkept for the next start of this model, from {kept} tokens so far");
    }
}

fn as_json(engine: &Engine, trace: &Trace) -> serde_json::Value {
    let ahead = engine.experts().look_ahead();
    let layers: Vec<_> = analysis::layers(trace)
        .iter()
        .zip(engine.experts().residency())
        .enumerate()
        .map(|(row, (l, at))| {
            json!({
                "layer": at.layer, "used": l.used, "top_tenth": l.skew, "reuse": l.reuse,
                "look_ahead": ahead.get(row).copied().flatten(),
            })
        })
        .collect();
    let curves: Vec<_> = analysis::curves(trace)
        .iter()
        .map(|c| json!({ "policy": name(c.policy), "hit_rates": c.hit_rates }))
        .collect();
    json!({
        "model": engine.info.name, "tokens": trace.tokens(), "experts": trace.experts(),
        "per_token": trace.per_token(), "layers": layers, "shares": analysis::SHARES,
        "curves": curves,
    })
}
