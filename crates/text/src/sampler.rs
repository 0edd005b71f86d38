//! Chooses the next token from the model's logits.
//!
//! The order is that of Transformers: repetition, presence and frequency
//! penalties; temperature; top-k; top-p among what top-k kept; min-p; the draw.

use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling as Draw};

use crate::error::{Result, TextError};
use crate::grammar::Constraint;
use crate::logits::{self, Candidate};
use crate::sampling::Sampling;

/// A lower temperature leaves one token in any case, and dividing by it overflows.
const GREEDY_BELOW: f32 = 1e-6;

/// A chosen token.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Choice {
    pub token: u32,
    /// Natural logarithm of its probability under the model itself, before
    /// penalties, temperature and filters.
    pub logprob: f32,
}

/// Keeps the random state of one answer and buffers.
pub struct Sampler {
    sampling: Sampling,
    /// Draws from candidates that are already filtered and tempered.
    draw: LogitsProcessor,
    candidates: Vec<Candidate>,
    /// How often each token is in the history; all zero between calls.
    counts: Vec<u32>,
    /// What bias, penalties and form changed: tokens and their own logits.
    raw: Vec<(u32, f32)>,
    /// Added to the logits of these tokens.
    bias: Vec<(u32, f32)>,
    /// How many of the likeliest tokens to keep for the caller.
    alternatives: usize,
    likeliest: Vec<Choice>,
}

impl Sampler {
    /// Errors: a value out of range.
    pub fn new(sampling: &Sampling, seed: u64) -> Result<Sampler> {
        sampling.validate()?;
        Ok(Sampler {
            sampling: sampling.clone(),
            draw: LogitsProcessor::from_sampling(seed, Draw::All { temperature: 1.0 }),
            candidates: Vec::new(),
            counts: Vec::new(),
            raw: Vec::new(),
            bias: Vec::new(),
            alternatives: 0,
            likeliest: Vec::new(),
        })
    }

    /// Adds to the logits of tokens from now on.
    ///
    /// Errors: a bias that is not from -100 to 100.
    pub fn set_bias(&mut self, bias: impl IntoIterator<Item = (u32, f32)>) -> Result<()> {
        self.bias = bias.into_iter().collect();
        let wrong = self
            .bias
            .iter()
            .find(|(_, v)| !(-100.0..=100.0).contains(v));
        match wrong {
            None => Ok(()),
            Some((token, value)) => Err(TextError::Sampling {
                field: "logit_bias",
                value: format!("{value} for token {token}"),
                range: "from -100 to 100",
            }),
        }
    }

    /// Keeps the likeliest tokens of every step, see [`Sampler::likeliest`].
    pub fn keep_likeliest(&mut self, count: usize) {
        self.alternatives = count;
    }

    /// The likeliest tokens under the model itself at the last step, likeliest first.
    pub fn likeliest(&self) -> &[Choice] {
        &self.likeliest
    }

    /// Chooses from logits [vocab], which are changed in place. `history` is what
    /// the penalties count, usually prompt and answer.
    ///
    /// Errors: no token has a usable logit.
    pub fn sample(&mut self, logits: &mut [f32], history: &[u32]) -> Result<Choice> {
        self.sample_within(logits, history, None)
    }

    /// As [`Sampler::sample`], among what `form` allows.
    pub fn sample_within(
        &mut self,
        logits: &mut [f32],
        history: &[u32],
        form: Option<&mut Constraint>,
    ) -> Result<Choice> {
        let normalizer = self.look(logits)?;
        self.raw.clear();
        for (id, bias) in &self.bias {
            if let Some(logit) = logits.get_mut(*id as usize) {
                self.raw.push((*id, *logit));
                *logit = (*logit + bias).min(f32::MAX);
            }
        }
        if self.penalised() {
            self.penalise(logits, history);
        }
        if let Some(form) = form {
            form.restrict(logits)?;
            if logits::largest(logits) == f32::NEG_INFINITY {
                return Err(TextError::NoUsableLogit);
            }
        }
        let token = if self.sampling.temperature < GREEDY_BELOW {
            logits::argmax(logits)
        } else {
            self.filter(logits);
            self.draw()?
        };
        let changed = self.raw.iter().find(|(id, _)| *id == token);
        let logit = changed.map_or(logits[token as usize], |(_, raw)| *raw);
        Ok(Choice {
            token,
            logprob: (logit - normalizer).min(0.0),
        })
    }

    /// How likely `token` was under the model itself; see [`Sampler::likeliest`] for
    /// others. Nothing is chosen.
    ///
    /// Errors: no token has a usable logit.
    pub fn judge(&mut self, logits: &mut [f32], token: u32) -> Result<Choice> {
        let normalizer = self.look(logits)?;
        let logit = logits.get(token as usize).copied();
        let logprob = logit.unwrap_or(f32::NEG_INFINITY) - normalizer;
        Ok(Choice {
            token,
            logprob: logprob.min(0.0),
        })
    }

    /// The logarithm of the sum of all that probabilities are shares of.
    fn look(&mut self, logits: &mut [f32]) -> Result<f32> {
        let max = logits::clean(logits);
        if max == f32::NEG_INFINITY {
            return Err(TextError::NoUsableLogit);
        }
        let normalizer = max + logits::sum_exp(logits, max, 1.0).ln() as f32;
        self.note_likeliest(logits, normalizer);
        Ok(normalizer)
    }

    fn note_likeliest(&mut self, logits: &[f32], normalizer: f32) {
        if self.alternatives == 0 {
            return;
        }
        logits::top(logits, self.alternatives, &mut self.candidates);
        let choice = |c: &Candidate| Choice {
            token: c.token,
            logprob: (c.logit - normalizer).min(0.0),
        };
        self.likeliest.clear();
        self.likeliest.extend(self.candidates.iter().map(choice));
    }

    fn penalised(&self) -> bool {
        let s = &self.sampling;
        s.repetition_penalty != 1.0 || s.presence_penalty != 0.0 || s.frequency_penalty != 0.0
    }

    /// Repetition as in CTRL (Keskar et al. 2019), presence and frequency as in
    /// OpenAI's API.
    fn penalise(&mut self, logits: &mut [f32], history: &[u32]) {
        let s = &self.sampling;
        self.counts.resize(logits.len(), 0);
        for &id in history {
            if let Some(count) = self.counts.get_mut(id as usize) {
                *count += 1;
            }
        }
        for &id in history {
            let Some(count) = self.counts.get_mut(id as usize) else {
                continue;
            };
            if *count == 0 {
                continue;
            }
            let logit = &mut logits[id as usize];
            self.raw.push((id, *logit));
            *logit = if *logit > 0.0 {
                *logit / s.repetition_penalty
            } else {
                *logit * s.repetition_penalty
            };
            *logit -= s.presence_penalty + s.frequency_penalty * *count as f32;
            *logit = logit.min(f32::MAX);
            *count = 0;
        }
    }

    /// Leaves in `candidates` what may be drawn, likeliest first, tempered.
    fn filter(&mut self, logits: &[f32]) {
        let s = &self.sampling;
        if s.top_k > 0 {
            logits::top(logits, s.top_k as usize, &mut self.candidates);
        } else if s.top_p < 1.0 {
            self.nucleus(logits);
        } else {
            // No order is needed; the likeliest sets the scale for min-p.
            let token = |(token, &logit)| Candidate {
                token: token as u32,
                logit,
            };
            self.candidates.clear();
            self.candidates.extend(logits.iter().enumerate().map(token));
        }
        let max = logits::largest(logits);
        let temperature = self.sampling.temperature;
        for candidate in &mut self.candidates {
            // Differences from the largest cannot overflow.
            candidate.logit = (candidate.logit - max) / temperature;
        }
        if self.sampling.top_k > 0 && self.sampling.top_p < 1.0 {
            let total: f32 = self.candidates.iter().map(|c| c.logit.exp()).sum();
            let kept = nucleus_len(&self.candidates, self.sampling.top_p * total);
            self.candidates.truncate(kept);
        }
        if self.sampling.min_p > 0.0 {
            let least = self.sampling.min_p.ln();
            self.candidates.retain(|c| c.logit >= least);
        }
    }

    /// Top-p over the whole vocabulary, looking at more and more of the likeliest
    /// tokens until they are likely enough together.
    fn nucleus(&mut self, logits: &[f32]) {
        let max = logits::largest(logits);
        let temperature = self.sampling.temperature;
        let tempered = |logit: f32| (logit - max) / temperature;
        let total = logits::sum_exp(logits, max, 1.0 / temperature) as f32;
        let enough = self.sampling.top_p * total;
        let mut count = 256;
        loop {
            logits::top(logits, count, &mut self.candidates);
            let scaled: Vec<Candidate> = self
                .candidates
                .iter()
                .map(|c| Candidate {
                    token: c.token,
                    logit: tempered(c.logit),
                })
                .collect();
            let kept = nucleus_len(&scaled, enough);
            if kept < scaled.len() || count >= logits.len() {
                self.candidates.truncate(kept);
                return;
            }
            count *= 8;
        }
    }

    fn draw(&mut self) -> Result<u32> {
        if let [only] = self.candidates[..] {
            return Ok(only.token);
        }
        let failed = |e: candle_core::Error| TextError::Draw(e.to_string());
        let tempered: Vec<f32> = self.candidates.iter().map(|c| c.logit).collect();
        let count = tempered.len();
        let tensor = Tensor::from_vec(tempered, count, &Device::Cpu).map_err(failed)?;
        let place = self.draw.sample(&tensor).map_err(failed)?;
        let drawn = self.candidates.get(place as usize);
        drawn
            .map(|c| c.token)
            .ok_or_else(|| TextError::Draw(format!("no candidate {place}")))
    }
}

/// How many of the likeliest candidates have together the weight `enough`.
fn nucleus_len(candidates: &[Candidate], enough: f32) -> usize {
    let mut sum = 0.0;
    for (i, candidate) in candidates.iter().enumerate() {
        sum += candidate.logit.exp();
        if sum >= enough {
            return i + 1;
        }
    }
    candidates.len()
}
