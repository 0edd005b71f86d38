//! `moestro generate`: an answer, streamed to standard output.

use std::io::{Read, Write};

use anyhow::{Context, Result};
use moestro_engine::placement::show_bytes;
use moestro_engine::protocol::{FinishReason, GenerateRequest, GenerationStats, Message, Prompt};
use moestro_engine::{Cancel, Generation, KvFormat, Step};

use crate::arguments::Generate;

pub fn run(a: &Generate) -> Result<()> {
    let text = if a.prompt == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("reading the prompt")?;
        text
    } else {
        a.prompt.clone()
    };
    let prompt = if a.raw {
        Prompt::Raw { text }
    } else {
        let system = a.system.iter().map(|s| Message::new("system", s));
        Prompt::Chat {
            messages: system.chain([Message::new("user", text)]).collect(),
        }
    };
    let request = GenerateRequest {
        prompt,
        sampling: a.sampling(),
        max_tokens: a.max_tokens,
        stop: a.stop.clone(),
    };

    let mut engine = a.model.load(KvFormat::default())?;
    let mut session = engine.session();
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
