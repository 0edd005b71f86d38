//! One answer, step by step: prefill in chunks, then a token at a time. Between
//! two steps the caller may change budgets, look at memory or stop.

use std::time::{Duration, Instant};

use moestro_text::{Sampler, Sampling, StreamDecoder, TemplateOptions};

use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::model::Logits;
use crate::placement::PREFILL_CHUNK;
use crate::protocol::{
    FinishReason, GenerateRequest, GenerationStats, Prompt, SamplingOverrides, Totals,
};
use crate::session::Session;

/// What one step brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Prompt tokens processed so far, reused ones included.
    Prefill {
        done: usize,
        total: usize,
        reused: usize,
    },
    /// A token; its text may be empty while half a character or a possible stop
    /// text is held back.
    Token { text: String, tokens: usize },
    /// The answer is complete; `text` is what was still held back.
    Finished {
        text: String,
        reason: FinishReason,
        stats: GenerationStats,
    },
}

pub struct Generation {
    prompt: Vec<u32>,
    reused: usize,
    processed: usize,
    sampler: Sampler,
    seed: u64,
    decoder: StreamDecoder,
    max_tokens: usize,
    /// Sampled, not yet seen by the state.
    pending: Option<u32>,
    generated: Vec<u32>,
    /// Prompt and answer, for the penalties.
    history: Vec<u32>,
    ending: Option<FinishReason>,
    clock: Clock,
    before: Totals,
}

struct Clock {
    start: Instant,
    prefill: Duration,
    decode: Duration,
    first_token: Option<Duration>,
}

impl Generation {
    /// Tokenizes the prompt and finds what the session already knows of it.
    ///
    /// Errors: an empty prompt, a prompt longer than the context, sampling
    /// values out of range.
    pub fn new(
        engine: &Engine,
        session: &mut Session,
        request: &GenerateRequest,
    ) -> Result<Generation> {
        let start = Instant::now();
        let prompt = tokenize(engine, &request.prompt)?;
        let context = engine.placement().context;
        if prompt.is_empty() {
            return Err(EngineError::Request(
                "the prompt is empty; write something first".into(),
            ));
        }
        if prompt.len() >= context {
            return Err(EngineError::Request(format!(
                "the prompt has {} tokens and the context holds {context}; shorten it or raise \
                 the context",
                prompt.len()
            )));
        }
        let sampling = merge(&engine.text.sampling, &request.sampling);
        let seed = sampling.seed.unwrap_or_else(seed_from_clock);
        let sampler = Sampler::new(&sampling, seed)?;
        let stops = request
            .stop
            .iter()
            .filter(|s| !s.is_empty())
            .cloned()
            .collect();
        let decoder = StreamDecoder::new(engine.text.tokenizer.clone(), stops);
        let reused = session.rewind_to(&prompt);
        Ok(Generation {
            reused,
            processed: reused,
            sampler,
            seed,
            decoder,
            max_tokens: request.max_tokens.unwrap_or(usize::MAX),
            pending: None,
            generated: Vec::new(),
            history: prompt.clone(),
            prompt,
            ending: None,
            clock: Clock {
                start,
                prefill: Duration::ZERO,
                decode: Duration::ZERO,
                first_token: None,
            },
            before: engine.experts().totals(),
        })
    }

    /// Does the next piece of work: a chunk of the prompt or one token.
    /// After `Finished` or an error there is nothing more to do. A cancelled step
    /// ends the answer as `Finished`.
    pub fn step(
        &mut self,
        engine: &mut Engine,
        session: &mut Session,
        cancel: &Cancel,
    ) -> Result<Step> {
        if let Some(reason) = self.ending {
            return self.finish(engine, reason);
        }
        let work = match cancel.check() {
            Ok(()) if self.pending.is_none() => self.prefill(engine, session, cancel),
            Ok(()) => self.decode(engine, session, cancel),
            Err(stopped) => Err(stopped),
        };
        match work {
            Err(EngineError::Cancelled) => self.finish(engine, FinishReason::Cancelled),
            other => other,
        }
    }

    /// Tokens of the whole prompt.
    pub fn prompt(&self) -> &[u32] {
        &self.prompt
    }

    /// Tokens of the answer so far.
    pub fn generated(&self) -> &[u32] {
        &self.generated
    }

    /// All of the prompt but its last token goes in chunks; the state before that
    /// token is remembered, so that the same prompt can be answered again.
    fn prefill(
        &mut self,
        engine: &mut Engine,
        session: &mut Session,
        cancel: &Cancel,
    ) -> Result<Step> {
        let start = Instant::now();
        let last = self.prompt.len() - 1;
        let total = self.prompt.len();
        if self.processed < last {
            let end = (self.processed + PREFILL_CHUNK).min(last);
            let chunk = &self.prompt[self.processed..end];
            engine.forward(session, chunk, Logits::None, cancel)?;
            self.processed = end;
            self.clock.prefill += start.elapsed();
            return Ok(Step::Prefill {
                done: end,
                total,
                reused: self.reused,
            });
        }
        session.remember();
        let step = self.next(engine, session, cancel, self.prompt[last])?;
        self.clock.prefill += start.elapsed();
        self.clock.first_token = Some(self.clock.start.elapsed());
        Ok(step)
    }

    fn decode(
        &mut self,
        engine: &mut Engine,
        session: &mut Session,
        cancel: &Cancel,
    ) -> Result<Step> {
        let start = Instant::now();
        let token = self.pending.expect("decode follows a sampled token");
        let step = self.next(engine, session, cancel, token)?;
        let took = start.elapsed();
        self.clock.decode += took;
        engine.pace_mut().whole_token(took.as_secs_f64());
        Ok(step)
    }

    /// Feeds one token and samples the one after it.
    fn next(
        &mut self,
        engine: &mut Engine,
        session: &mut Session,
        cancel: &Cancel,
        token: u32,
    ) -> Result<Step> {
        if self.max_tokens == 0 {
            return self.finish(engine, FinishReason::MaxTokens);
        }
        let logits = engine.forward(session, &[token], Logits::Last, cancel)?;
        let logits = logits.flatten_all()?.to_vec1::<f32>()?;
        self.accept(engine, session.len(), logits)
    }

    /// The sampled token that the state has not seen yet; `None` before the first
    /// and after the last.
    pub fn waiting(&self) -> Option<u32> {
        self.pending.filter(|_| self.ending.is_none())
    }

    /// Samples the next token from the logits behind the waiting one; `len` is the
    /// length of the session with it.
    pub fn accept(&mut self, engine: &Engine, len: usize, mut logits: Vec<f32>) -> Result<Step> {
        let chosen = self.sampler.sample(&mut logits, &self.history)?.token;
        self.pending = Some(chosen);
        self.generated.push(chosen);
        self.history.push(chosen);
        if engine.text.end_tokens.contains(&chosen) {
            self.ending = Some(FinishReason::Stop);
            return Ok(Step::Token {
                text: String::new(),
                tokens: self.generated.len(),
            });
        }
        let piece = self.decoder.push(chosen)?;
        if piece.stopped_by.is_some() {
            self.ending = Some(FinishReason::Stop);
        } else if self.generated.len() >= self.max_tokens {
            self.ending = Some(FinishReason::MaxTokens);
        } else if len + 1 >= engine.placement().context {
            self.ending = Some(FinishReason::ContextFull);
        }
        Ok(Step::Token {
            text: piece.text,
            tokens: self.generated.len(),
        })
    }

    fn finish(&mut self, engine: &Engine, reason: FinishReason) -> Result<Step> {
        let text = self.decoder.finish()?;
        Ok(Step::Finished {
            text,
            reason,
            stats: self.stats(engine),
        })
    }

    fn stats(&self, engine: &Engine) -> GenerationStats {
        let now = engine.experts().totals();
        let hits = now.hits - self.before.hits;
        let fetches = hits + now.misses - self.before.misses;
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let rate = |count: usize, time: Duration| {
            if time.is_zero() {
                0.0
            } else {
                count as f64 / time.as_secs_f64()
            }
        };
        GenerationStats {
            prompt_tokens: self.prompt.len(),
            reused_tokens: self.reused,
            generated_tokens: self.generated.len(),
            prefill_ms: ms(self.clock.prefill),
            first_token_ms: self.clock.first_token.map_or(0.0, ms),
            decode_ms: ms(self.clock.decode),
            prefill_tokens_per_second: rate(self.prompt.len() - self.reused, self.clock.prefill),
            decode_tokens_per_second: rate(
                self.generated.len().saturating_sub(1),
                self.clock.decode,
            ),
            hit_rate: if fetches == 0 {
                1.0
            } else {
                hits as f64 / fetches as f64
            },
            expert_bytes_read: now.bytes_read - self.before.bytes_read,
            seed: self.seed,
        }
    }
}

fn tokenize(engine: &Engine, prompt: &Prompt) -> Result<Vec<u32>> {
    let text = match prompt {
        Prompt::Tokens { ids } => return Ok(ids.clone()),
        Prompt::Raw { text } => text.clone(),
        Prompt::Chat { messages } => {
            if messages.is_empty() {
                return Ok(Vec::new());
            }
            let options = TemplateOptions {
                add_generation_prompt: true,
                ..Default::default()
            };
            engine.text.template.render(messages, &options)?
        }
    };
    Ok(engine.text.tokenizer.encode(&text)?)
}

fn merge(defaults: &Sampling, o: &SamplingOverrides) -> Sampling {
    Sampling {
        temperature: o.temperature.unwrap_or(defaults.temperature),
        top_k: o.top_k.unwrap_or(defaults.top_k),
        top_p: o.top_p.unwrap_or(defaults.top_p),
        min_p: o.min_p.unwrap_or(defaults.min_p),
        repetition_penalty: o.repetition_penalty.unwrap_or(defaults.repetition_penalty),
        presence_penalty: o.presence_penalty.unwrap_or(defaults.presence_penalty),
        frequency_penalty: o.frequency_penalty.unwrap_or(defaults.frequency_penalty),
        seed: o.seed.or(defaults.seed),
    }
}

/// A seed that differs between answers, small enough to be typed again.
fn seed_from_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(now.map_or(0, |d| d.subsec_nanos()))
}
