//! `moestro generate`: an answer, streamed to standard output.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use moestro_engine::placement::show_bytes;
use moestro_engine::protocol::{FinishReason, GenerateRequest, GenerationStats, Message, Prompt};
use moestro_engine::{Cancel, Generation, Precision, Step, generate_batch};
use serde_json::json;

use crate::arguments::Generate;

pub fn run(a: &Generate) -> Result<()> {
    if let Some(file) = &a.batch {
        return batch(a, file);
    }
    let text = match a.prompt.as_deref().unwrap_or("-") {
        "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("reading the prompt")?;
            text
        }
        prompt => prompt.to_string(),
    };
    let request = request(a, text);
    let mut engine = a.model.load(Precision::default())?;
    let mut session = engine.session()?;
    let mut answer = Generation::new(&engine, &mut session, &request)?;
    let mut out = std::io::stdout();
    loop {
        match answer.step(&mut engine, &mut session, &Cancel::new())? {
            Step::Prefill { .. } => {}
            Step::Token { text, .. } => write!(out, "{text}").and_then(|()| out.flush())?,
            Step::Finished {
                text,
                reason,
                stats,
            } => {
                writeln!(out, "{text}")?;
                if a.stats {
                    show_stats(reason, &stats);
                }
                return Ok(());
            }
        }
    }
}

fn request(a: &Generate, text: String) -> GenerateRequest {
    let prompt = if a.raw {
        Prompt::Raw { text }
    } else {
        let system = a.system.iter().map(|s| Message::new("system", s));
        Prompt::chat(system.chain([Message::new("user", text)]).collect())
    };
    GenerateRequest {
        prompt,
        sampling: a.sampling(),
        max_tokens: a.max_tokens,
        stop: a.stop.clone(),
        ..GenerateRequest::default()
    }
}

/// Answers the lines of a file. They are written as they are finished, each with
/// the number of its line, counted from 1.
fn batch(a: &Generate, file: &Path) -> Result<()> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
    let lines: Vec<(usize, &str)> = (1..)
        .zip(text.lines())
        .filter(|(_, line)| !line.trim().is_empty())
        .collect();
    if lines.is_empty() {
        bail!("{} has no prompts; write one per line", file.display());
    }
    let requests: Vec<GenerateRequest> = lines
        .iter()
        .map(|(_, line)| request(a, (*line).to_string()))
        .collect();
    let mut engine = a.model.load(Precision::default())?;
    let start = Instant::now();
    let mut tokens = 0;
    let before = engine.experts().totals();
    generate_batch(&mut engine, &requests, &Cancel::new(), &mut |answer| {
        let (line, prompt) = lines[answer.request];
        tokens += answer.stats.generated_tokens;
        println!(
            "{}",
            json!({ "line": line, "prompt": prompt, "answer": answer.text,
                "tokens": answer.stats.generated_tokens })
        );
    })?;
    if a.stats {
        let after = engine.experts().totals();
        let read = after.bytes_read - before.bytes_read;
        eprintln!(
            "{} answers, {tokens} tokens at {:.1} tokens/s together, {} of experts read from disk",
            lines.len(),
            tokens as f64 / start.elapsed().as_secs_f64(),
            show_bytes(read),
        );
    }
    Ok(())
}

fn show_stats(reason: FinishReason, s: &GenerationStats) {
    eprintln!(
        "{} prompt tokens at {:.1} tokens/s, {} answer tokens at {:.1} tokens/s, first token \
         after {:.0} ms",
        s.prompt_tokens,
        s.prefill_tokens_per_second,
        s.generated_tokens,
        s.decode_tokens_per_second,
        s.first_token_ms,
    );
    let why = match reason {
        FinishReason::Stop => "the model finished",
        FinishReason::MaxTokens => "the token limit was reached",
        FinishReason::ContextFull => "the context is full",
        FinishReason::Cancelled => "it was cancelled",
    };
    eprintln!(
        "experts found in memory {:.1}%, read from disk {}; ended because {why}; seed {}",
        s.hit_rate * 100.0,
        show_bytes(s.expert_bytes_read),
        s.seed,
    );
}
