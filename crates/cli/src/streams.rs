//! Several answers written side by side, measured in turns with one alone, so that
//! both meet the same machine.

use std::time::Instant;

use anyhow::Result;
use moestro_engine::{Cancel, Engine, Logits};

/// Tokens per second, all answers together.
pub struct Turn {
    pub alone: f64,
    pub together: f64,
}

/// Tokens of each prompt.
const PROMPT: usize = 32;

/// Greedy answers of `tokens` tokens to prompts that have nothing in common: first one,
/// then `streams` at once.
pub fn turn(engine: &mut Engine, streams: usize, tokens: usize) -> Result<Turn> {
    Ok(Turn {
        alone: decode(engine, 1, tokens)?,
        together: decode(engine, streams, tokens)?,
    })
}

fn decode(engine: &mut Engine, streams: usize, tokens: usize) -> Result<f64> {
    let never = Cancel::new();
    let vocabulary = engine.info.vocabulary as u32;
    let mut sessions = Vec::with_capacity(streams);
    let mut next = Vec::with_capacity(streams);
    for stream in 0..streams as u32 {
        let word = |i: u32| (i + 1000 * stream).wrapping_mul(2_654_435_761) % vocabulary;
        let prompt: Vec<u32> = (0..PROMPT as u32).map(word).collect();
        let mut session = engine.session()?;
        let (last, before) = prompt.split_last().expect("a prompt has tokens");
        engine.forward(&mut session, before, Logits::None, &never)?;
        sessions.push(session);
        next.push(*last);
    }
    let start = Instant::now();
    for _ in 0..tokens {
        let logits = match &mut sessions[..] {
            [one] => engine.forward(one, &next, Logits::Last, &never)?,
            many => {
                let mut many: Vec<_> = many.iter_mut().collect();
                engine.forward_together(&mut many, &next, &never)?
            }
        };
        next = logits
            .argmax(logits.dims().len() - 1)?
            .flatten_all()?
            .to_vec1()?;
    }
    Ok((streams * tokens) as f64 / start.elapsed().as_secs_f64())
}
