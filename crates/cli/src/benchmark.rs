//! `moestro benchmark`: prefill and decode speed, beside the memory bandwidth
//! measured before and after, because that is what decode is limited by.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use moestro_engine::{Cancel, Engine, Logits, Precision, hardware};
use serde_json::{Value, json};

use crate::arguments::ModelArguments;
use crate::streams::{Turn, turn};

#[derive(Args)]
pub struct Benchmark {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Prompt tokens
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub prompt: usize,
    /// Tokens to generate after the prompt
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub generate: usize,
    /// Measured rounds, after one to warm up
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub repeat: usize,
    /// Answers written side by side, measured in turns with one alone
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub streams: usize,
    #[arg(long, value_enum, default_value = "table")]
    pub format: Format,
    /// Write there instead of to standard output
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    Table,
    Json,
    Markdown,
}

/// One line of the result: what, value, unit.
type Line = (&'static str, f64, &'static str);

/// One round's timings in seconds.
struct Round {
    prefill: f64,
    first_token: f64,
    decode: Vec<f64>,
}

pub fn run(a: &Benchmark) -> Result<()> {
    if a.prompt == 0 || a.generate < 2 || a.repeat == 0 || a.streams == 0 {
        bail!("measure at least one prompt token, two generated tokens, one round and one stream");
    }
    let start = Instant::now();
    let mut engine = a.model.load(Precision::Stored)?;
    let load = start.elapsed();
    if a.prompt + a.generate > engine.placement().context {
        bail!(
            "{} tokens do not fit the context of {}; raise it with --context",
            a.prompt + a.generate,
            engine.placement().context
        );
    }
    let before = engine.read_bandwidth();
    round(&mut engine, a.prompt.min(WARM_UP), a.generate)?;
    let rounds = (0..a.repeat)
        .map(|_| round(&mut engine, a.prompt, a.generate))
        .collect::<Result<Vec<_>>>()?;
    let after = engine.read_bandwidth();
    let mut lines = figures(a, &engine, &rounds, load, before, after);
    if a.streams > 1 {
        lines.extend(side_by_side(a, &mut engine)?);
    }
    let title = format!(
        "{} ({}), {} threads, {} kernels",
        engine.info.name,
        engine.info.formats,
        engine.threads(),
        engine.kernels()
    );
    let text = match a.format {
        Format::Table => table(&title, &lines),
        Format::Markdown => markdown(&title, &lines),
        Format::Json => format!("{:#}\n", object(&title, &lines)),
    };
    match &a.output {
        Some(path) => {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
        }
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

/// Tokens of the prompt that is read to warm up, enough to use most experts.
const WARM_UP: usize = 512;

/// Fresh session, the prompt in chunks, then greedy decode.
fn round(engine: &mut Engine, prompt: usize, generate: usize) -> Result<Round> {
    let never = Cancel::new();
    let vocabulary = engine.info.vocabulary as u32;
    // Spread over the vocabulary, the same in every round.
    let prompt: Vec<u32> = (0..prompt as u32)
        .map(|i| i.wrapping_mul(2_654_435_761) % vocabulary)
        .collect();
    let mut session = engine.session()?;
    let start = Instant::now();
    for chunk in prompt.chunks(Engine::PREFILL_CHUNK) {
        engine.forward(&mut session, chunk, Logits::Last, &never)?;
    }
    let prefill = start.elapsed().as_secs_f64();
    let mut token = prompt[0];
    let mut decode = Vec::with_capacity(generate);
    let mut first_token = prefill;
    for i in 0..generate {
        let step = Instant::now();
        let logits = engine.forward(&mut session, &[token], Logits::Last, &never)?;
        token = logits.flatten_all()?.argmax(0)?.to_scalar::<u32>()?;
        decode.push(step.elapsed().as_secs_f64());
        if i == 0 {
            first_token += decode[0];
        }
    }
    Ok(Round {
        prefill,
        first_token,
        decode,
    })
}

fn figures(
    a: &Benchmark,
    engine: &Engine,
    rounds: &[Round],
    load: Duration,
    before: f64,
    after: f64,
) -> Vec<Line> {
    let prefill = Spread::of(rounds.iter().map(|r| a.prompt as f64 / r.prefill));
    let decode = Spread::of(
        rounds
            .iter()
            .map(|r| r.decode.len() as f64 / r.decode.iter().sum::<f64>()),
    );
    let mut tokens: Vec<f64> = rounds.iter().flat_map(|r| r.decode.clone()).collect();
    tokens.sort_by(f64::total_cmp);
    let percentile = |p: f64| tokens[((tokens.len() - 1) as f64 * p).round() as usize] * 1e3;
    let bytes = engine.bytes_per_token() as f64;
    let bandwidth = (before + after) / 2.0;
    let first = Spread::of(rounds.iter().map(|r| r.first_token * 1e3));
    vec![
        ("prefill, median", prefill.median, "tokens/s"),
        ("prefill, least", prefill.least, "tokens/s"),
        ("prefill, most", prefill.most, "tokens/s"),
        ("decode, median", decode.median, "tokens/s"),
        ("decode, least", decode.least, "tokens/s"),
        ("decode, most", decode.most, "tokens/s"),
        ("token latency, P50", percentile(0.50), "ms"),
        ("token latency, P95", percentile(0.95), "ms"),
        ("time to first token, median", first.median, "ms"),
        ("time to load", load.as_secs_f64() * 1e3, "ms"),
        ("read per token", bytes / 1e6, "MB"),
        ("read bandwidth before", before / 1e9, "GB/s"),
        ("read bandwidth after", after / 1e9, "GB/s"),
        (
            "decode, share of bandwidth",
            100.0 * decode.median * bytes / bandwidth,
            "%",
        ),
        (
            "resident memory, peak",
            hardware::peak_bytes() as f64 / 1e6,
            "MB",
        ),
    ]
}

fn side_by_side(a: &Benchmark, engine: &mut Engine) -> Result<[Line; 4]> {
    // As after some use; else the many would wait for the disk more often than one.
    while engine.fill_slots()? {}
    let turns = (0..a.repeat)
        .map(|_| turn(engine, a.streams, a.generate))
        .collect::<Result<Vec<_>>>()?;
    let median = |of: fn(&Turn) -> f64| Spread::of(turns.iter().map(of)).median;
    Ok([
        ("streams side by side", a.streams as f64, ""),
        ("decode, one alone", median(|t| t.alone), "tokens/s"),
        ("decode, all streams", median(|t| t.together), "tokens/s"),
        (
            "all streams against one",
            median(|t| t.together / t.alone),
            "times",
        ),
    ])
}

struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Spread {
        let mut v: Vec<f64> = values.collect();
        v.sort_by(f64::total_cmp);
        let middle = v.len() / 2;
        let median = if v.len() % 2 == 1 {
            v[middle]
        } else {
            (v[middle - 1] + v[middle]) / 2.0
        };
        Spread {
            least: v[0],
            median,
            most: v[v.len() - 1],
        }
    }
}

fn table(title: &str, lines: &[Line]) -> String {
    let mut text = format!("{title}\n");
    for (what, value, unit) in lines {
        let _ = writeln!(text, "{what:<30}{value:>12.2} {unit}");
    }
    text
}

fn markdown(title: &str, lines: &[Line]) -> String {
    let mut text = format!("{title}\n\n| figure | value | unit |\n|-|-:|-|\n");
    for (what, value, unit) in lines {
        let _ = writeln!(text, "| {what} | {value:.2} | {unit} |");
    }
    text
}

fn object(title: &str, lines: &[Line]) -> Value {
    let figures: Vec<Value> = lines
        .iter()
        .map(|(what, value, unit)| json!({ "figure": what, "value": value, "unit": unit }))
        .collect();
    json!({ "title": title, "figures": figures })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let s = Spread::of([3.0, 1.0, 2.0, 10.0].into_iter());
        assert_eq!((s.least, s.median, s.most), (1.0, 2.5, 10.0));
    }
}
