//! One answer, step by step: prefill in chunks, then a token at a time. Between
//! two steps the caller may change budgets, look at memory or stop.

mod form;
mod prompt;

use std::time::{Duration, Instant};

use moestro_text::{Choice, Sampler, StreamDecoder};

use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::model::Logits;
use crate::placement::PREFILL_CHUNK;
use crate::protocol::{
    FinishReason, GenerateRequest, GenerationStats, TokenLogprob, TokenLogprobs, Totals,
};
use crate::session::Session;
use crate::text_assets::TextAssets;
use form::Held;
pub use prompt::tokenize;

/// Most alternatives that are told with each token.
const MOST_LIKELIEST: usize = 20;
/// Most tokens with a bias.
const MOST_BIASED: usize = 1024;
/// Tokens of a prompt whose probabilities are worked out at once: a row over the
/// whole vocabulary for each.
const TOLD_AT_ONCE: usize = 64;
/// Most points of a prompt that are remembered besides its end.
const MOST_BRANCHES: usize = 2;

/// What one step brought.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Prompt tokens processed so far, reused ones included.
    Prefill {
        done: usize,
        total: usize,
        reused: usize,
        /// Of the next tokens of the prompt, if they were asked for.
        logprobs: Vec<TokenLogprobs>,
    },
    /// A token; its text may be empty while half a character or a possible stop
    /// text is held back.
    Token {
        text: String,
        tokens: usize,
        logprobs: Option<TokenLogprobs>,
    },
    /// The answer is complete; `text` is what was still held back.
    Finished {
        text: String,
        reason: FinishReason,
        stats: GenerationStats,
    },
}

/// Whoever steps it brings the same session each time, or another that was
/// [joined](Generation::join) first: what a session has not seen is read again.
pub struct Generation {
    /// Prompt and answer.
    history: Vec<u32>,
    /// Tokens of the prompt.
    prompt: usize,
    reused: usize,
    /// Points of the prompt to remember, because other prompts begin like that.
    branches: Vec<usize>,
    sampler: Sampler,
    seed: u64,
    decoder: StreamDecoder,
    /// What the template has opened for the answer, whose text begins with it.
    opening: &'static str,
    form: Option<Held>,
    logprobs: bool,
    /// Tokens of the prompt whose probabilities were told, if they are wanted.
    told: Option<usize>,
    max_tokens: usize,
    stopped_by: Option<String>,
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
    /// values out of range, a form that cannot be kept.
    pub fn new(
        engine: &Engine,
        session: &mut Session,
        request: &GenerateRequest,
    ) -> Result<Generation> {
        let mut generation = Generation::prepare(&engine.text, request)?;
        generation.check(engine)?;
        generation.join(engine, session);
        Ok(generation)
    }

    /// As [`Generation::new`], before there is a session and away from the engine:
    /// [check](Generation::check) it there, then [join](Generation::join) it to one.
    pub fn prepare(text: &TextAssets, request: &GenerateRequest) -> Result<Generation> {
        let start = Instant::now();
        let (prompt, opening) = prompt::tokenize(text, &request.prompt)?;
        let sampling = prompt::merge(&text.sampling, &request.sampling);
        let seed = sampling.seed.unwrap_or_else(prompt::seed_from_clock);
        let mut sampler = Sampler::new(&sampling, seed)?;
        if request.logit_bias.len() > MOST_BIASED {
            return Err(EngineError::Request(format!(
                "logit_bias names {} tokens and at most {MOST_BIASED} are accepted",
                request.logit_bias.len()
            )));
        }
        sampler.set_bias(request.logit_bias.iter().map(|(id, bias)| (*id, *bias)))?;
        sampler.keep_likeliest(request.logprobs.unwrap_or(0).min(MOST_LIKELIEST));
        let form = request.form.as_ref();
        let form = form.map(|f| Held::new(text, f, !opening.is_empty()));
        let stops = request
            .stop
            .iter()
            .filter(|s| !s.is_empty())
            .cloned()
            .collect();
        Ok(Generation {
            prompt: prompt.len(),
            history: prompt,
            reused: 0,
            branches: Vec::new(),
            sampler,
            seed,
            decoder: StreamDecoder::new(text.tokenizer.clone(), stops),
            opening,
            form: form.transpose()?,
            logprobs: request.logprobs.is_some(),
            told: request.prompt_logprobs.then_some(0),
            max_tokens: request.max_tokens.unwrap_or(usize::MAX),
            stopped_by: None,
            ending: None,
            clock: Clock {
                start,
                prefill: Duration::ZERO,
                decode: Duration::ZERO,
                first_token: None,
            },
            before: Totals::default(),
        })
    }

    /// Can this engine continue the prompt?
    ///
    /// Errors: see [`Generation::new`].
    pub fn check(&self, engine: &Engine) -> Result<()> {
        prompt::check(engine, self.prompt())
    }

    /// Goes on in this session, from as far as it has seen the same tokens.
    pub fn join(&mut self, engine: &Engine, session: &mut Session) {
        // What is not read again has no probabilities.
        let known = if self.tells_prompt() {
            &[][..]
        } else {
            &self.history
        };
        let reused = session.rewind_to(known);
        if self.generated().is_empty() {
            self.reused = reused;
            self.before = engine.experts().totals();
        }
    }

    /// Must all of the prompt be read, because its probabilities are to be told?
    pub fn tells_prompt(&self) -> bool {
        self.told.is_some_and(|told| told < self.prompt)
    }

    /// Most tokens of the answer.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Remembers the state behind the first `len` tokens when it comes by there.
    pub fn remember_at(&mut self, len: usize) {
        let is_new = !self.branches.contains(&len) && len + 1 < self.prompt;
        if is_new && self.branches.len() < MOST_BRANCHES {
            self.branches.push(len);
        }
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
        self.step_by(engine, session, cancel, PREFILL_CHUNK)
    }

    /// As [`Generation::step`] with chunks of at most `chunk` tokens.
    pub fn step_by(
        &mut self,
        engine: &mut Engine,
        session: &mut Session,
        cancel: &Cancel,
        chunk: usize,
    ) -> Result<Step> {
        if let Some(reason) = self.ending {
            return self.finish(engine, reason);
        }
        let work = match cancel.check() {
            Ok(()) if self.reads(session) => self.read(engine, session, cancel, chunk),
            Ok(()) if self.max_tokens == 0 => self.finish(engine, FinishReason::MaxTokens),
            Ok(()) => self.write(engine, session, cancel),
            Err(stopped) => Err(stopped),
        };
        match work {
            Err(EngineError::Cancelled) => self.finish(engine, FinishReason::Cancelled),
            other => other,
        }
    }

    /// Tokens of the whole prompt.
    pub fn prompt(&self) -> &[u32] {
        &self.history[..self.prompt]
    }

    /// Tokens of the answer so far.
    pub fn generated(&self) -> &[u32] {
        &self.history[self.prompt..]
    }

    /// Prompt and answer so far.
    pub fn history(&self) -> &[u32] {
        &self.history
    }

    /// Must the session read before the next token can be written?
    pub fn reads(&self, session: &Session) -> bool {
        session.len() + 1 < self.history.len() || self.told == Some(0)
    }

    /// The token that the next one is written from, if that is all there is to do.
    pub fn waiting(&self, session: &Session) -> Option<u32> {
        let ready = self.ending.is_none() && self.max_tokens > 0 && !self.reads(session);
        self.history.last().copied().filter(|_| ready)
    }

    /// Of an answer that is complete but for its last [`Step`].
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// All of the prompt but its last token goes in chunks; the state before that
    /// token is remembered, so that the same prompt can be answered again.
    fn read(
        &mut self,
        engine: &mut Engine,
        session: &mut Session,
        cancel: &Cancel,
        chunk: usize,
    ) -> Result<Step> {
        let start = Instant::now();
        let from = session.len();
        let stops = self.branches.iter().copied().chain([self.prompt - 1]);
        let next_stop = stops.filter(|at| *at > from).min();
        let end = next_stop.unwrap_or(self.history.len() - 1);
        let tells = self.tells_prompt();
        let most = if tells { TOLD_AT_ONCE } else { PREFILL_CHUNK };
        let end = end.min(from + chunk.clamp(1, most));
        let wanted = if tells { Logits::All } else { Logits::None };
        let mut logprobs = Vec::new();
        if from < end {
            let logits = engine.forward(session, &self.history[from..end], wanted, cancel)?;
            if tells {
                logprobs = self.tell_prompt(engine, from, logits.to_vec2::<f32>()?)?;
            }
        } else {
            // A prompt of one token has nothing to read.
            logprobs.extend(self.tell_first(engine));
        }
        if next_stop == Some(end) {
            session.remember();
        }
        self.clock.prefill += start.elapsed();
        Ok(Step::Prefill {
            done: end.min(self.prompt),
            total: self.prompt,
            reused: self.reused,
            logprobs,
        })
    }

    /// Probabilities of the tokens behind the position `from`, by the logits of that
    /// position and the next ones.
    fn tell_prompt(
        &mut self,
        engine: &Engine,
        from: usize,
        rows: Vec<Vec<f32>>,
    ) -> Result<Vec<TokenLogprobs>> {
        let mut all: Vec<TokenLogprobs> = self.tell_first(engine).into_iter().collect();
        for (at, mut logits) in (from + 1..self.prompt).zip(rows) {
            let choice = self.sampler.judge(&mut logits, self.history[at])?;
            // After an answer was sent back to wait, some are read again.
            if self.told == Some(at) {
                all.push(self.logprobs(engine, choice));
                self.told = Some(at + 1);
            }
        }
        Ok(all)
    }

    /// The first token has nothing before it: it is told as certain.
    fn tell_first(&mut self, engine: &Engine) -> Option<TokenLogprobs> {
        (self.told == Some(0)).then(|| {
            self.told = Some(1);
            let token = self.history[0];
            let bytes = engine.text.tokenizer.token_bytes(token).to_vec();
            TokenLogprobs {
                chosen: TokenLogprob {
                    token,
                    bytes,
                    logprob: 0.0,
                },
                likeliest: Vec::new(),
            }
        })
    }

    /// Feeds the last token and samples the one after it.
    fn write(
        &mut self,
        engine: &mut Engine,
        session: &mut Session,
        cancel: &Cancel,
    ) -> Result<Step> {
        let start = Instant::now();
        self.before_writing(session);
        let token = [self.history[self.history.len() - 1]];
        let logits = engine.forward(session, &token, Logits::Last, cancel)?;
        let logits = logits.flatten_all()?.to_vec1::<f32>()?;
        let first = self.generated().is_empty();
        let step = self.accept(engine, session.len(), logits, start.elapsed())?;
        if !first {
            engine.pace_mut().whole_token(start.elapsed().as_secs_f64());
        }
        Ok(step)
    }

    /// To be called before the waiting token is fed.
    pub fn before_writing(&self, session: &mut Session) {
        if session.len() + 1 == self.prompt {
            session.remember();
        }
    }

    /// Samples the next token from the logits behind the waiting one; `len` is the
    /// length of the session with it, and `took` the time they took.
    pub fn accept(
        &mut self,
        engine: &Engine,
        len: usize,
        mut logits: Vec<f32>,
        took: Duration,
    ) -> Result<Step> {
        let sampled = Instant::now();
        let form = self.form.as_mut().and_then(Held::now);
        let choice = self
            .sampler
            .sample_within(&mut logits, &self.history, form)?;
        let chosen = choice.token;
        self.history.push(chosen);
        let tokens = self.generated().len();
        let took = took + sampled.elapsed();
        if tokens == 1 {
            self.clock.prefill += took;
            self.clock.first_token = Some(self.clock.start.elapsed());
        } else {
            self.clock.decode += took;
        }
        if engine.text.end_tokens.contains(&chosen) {
            self.ending = Some(FinishReason::Stop);
            return Ok(Step::Token {
                text: String::new(),
                tokens,
                logprobs: None,
            });
        }
        let bytes = engine.text.tokenizer.token_bytes(chosen);
        let form = self.form.as_mut().map(|form| form.accept(chosen, bytes));
        let complete = form.transpose()?.unwrap_or(false);
        let piece = self.decoder.push(chosen)?;
        self.stopped_by = piece.stopped_by;
        if self.stopped_by.is_some() || complete {
            self.ending = Some(FinishReason::Stop);
        } else if tokens >= self.max_tokens {
            self.ending = Some(FinishReason::MaxTokens);
        } else if len + 1 >= engine.placement().context {
            self.ending = Some(FinishReason::ContextFull);
        }
        let opening = if tokens == 1 { self.opening } else { "" };
        Ok(Step::Token {
            text: format!("{opening}{}", piece.text),
            tokens,
            logprobs: self.logprobs.then(|| self.logprobs(engine, choice)),
        })
    }

    fn logprobs(&self, engine: &Engine, chosen: Choice) -> TokenLogprobs {
        let tell = |c: &Choice| TokenLogprob {
            token: c.token,
            bytes: engine.text.tokenizer.token_bytes(c.token).to_vec(),
            logprob: c.logprob,
        };
        TokenLogprobs {
            chosen: tell(&chosen),
            likeliest: self.sampler.likeliest().iter().map(tell).collect(),
        }
    }

    /// Ends the answer before it would have ended.
    pub fn finish(&mut self, engine: &Engine, reason: FinishReason) -> Result<Step> {
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
        let generated = self.generated().len();
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let rate = |count: usize, time: Duration| {
            if time.is_zero() {
                0.0
            } else {
                count as f64 / time.as_secs_f64()
            }
        };
        GenerationStats {
            prompt_tokens: self.prompt,
            reused_tokens: self.reused,
            generated_tokens: generated,
            prefill_ms: ms(self.clock.prefill),
            first_token_ms: self.clock.first_token.map_or(0.0, ms),
            decode_ms: ms(self.clock.decode),
            prefill_tokens_per_second: rate(self.prompt - self.reused, self.clock.prefill),
            decode_tokens_per_second: rate(generated.saturating_sub(1), self.clock.decode),
            hit_rate: if fetches == 0 {
                1.0
            } else {
                hits as f64 / fetches as f64
            },
            expert_bytes_read: now.bytes_read - self.before.bytes_read,
            seed: self.seed,
            stopped_by: self.stopped_by.clone(),
        }
    }
}
