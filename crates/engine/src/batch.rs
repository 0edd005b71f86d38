//! Several prompts answered side by side, so that they share the reading and
//! computing of experts.

use std::collections::HashSet;

use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::Result;
use crate::generation::{Generation, Step};
use crate::protocol::{GenerateRequest, GenerationStats};
use crate::session::Session;

/// Answers that are written at once, at most: more would wait for each other's
/// experts longer than they gain.
const MOST_TOGETHER: usize = 8;

/// One finished answer of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchAnswer {
    /// Position of its request.
    pub request: usize,
    pub text: String,
    pub stats: GenerationStats,
}

/// Answers all requests; `each` gets every answer when it is complete. Prompts that
/// share tokens are answered together or one after the other, because they tend to
/// use the same experts.
pub fn generate_batch(
    engine: &mut Engine,
    requests: &[GenerateRequest],
    cancel: &Cancel,
    each: &mut dyn FnMut(BatchAnswer),
) -> Result<()> {
    let mut prompts = Vec::with_capacity(requests.len());
    for request in requests {
        let mut session = engine.session();
        prompts.push(
            Generation::new(engine, &mut session, request)?
                .prompt()
                .to_vec(),
        );
    }
    let mut waiting = order(&prompts);
    while !waiting.is_empty() {
        let together = fitting(engine, requests, &prompts, &waiting);
        let rest = waiting.split_off(together);
        answer_together(engine, requests, &waiting, cancel, each)?;
        waiting = rest;
    }
    Ok(())
}

/// How many of the next requests fit into the memory kept for sessions.
fn fitting(
    engine: &Engine,
    requests: &[GenerateRequest],
    prompts: &[Vec<u32>],
    next: &[usize],
) -> usize {
    let context = engine.placement().context;
    let room = engine.session_bytes(context);
    let need = |i: &usize| {
        let answer = requests[*i].max_tokens.unwrap_or(context);
        engine.session_bytes(prompts[*i].len().saturating_add(answer).min(context))
    };
    let mut taken = 0;
    let fits = |i: &&usize| {
        taken += need(i);
        taken <= room
    };
    next.iter()
        .take(MOST_TOGETHER)
        .take_while(fits)
        .count()
        .max(1)
}

struct Answer {
    request: usize,
    session: Session,
    generation: Generation,
    text: String,
    stats: Option<GenerationStats>,
}

fn answer_together(
    engine: &mut Engine,
    requests: &[GenerateRequest],
    group: &[usize],
    cancel: &Cancel,
    each: &mut dyn FnMut(BatchAnswer),
) -> Result<()> {
    let mut answers = Vec::with_capacity(group.len());
    for request in group {
        let mut session = engine.session();
        let generation = Generation::new(engine, &mut session, &requests[*request])?;
        let mut answer = Answer {
            request: *request,
            session,
            generation,
            text: String::new(),
            stats: None,
        };
        // The prompt and the first token.
        while answer.stats.is_none() && answer.generation.generated().is_empty() {
            answer.step(engine, cancel)?;
        }
        answers.push(answer);
    }
    loop {
        let mut i = 0;
        while i < answers.len() {
            // One at its end says goodbye.
            if answers[i].generation.waiting().is_none() && answers[i].stats.is_none() {
                answers[i].step(engine, cancel)?;
            }
            let Some(stats) = answers[i].stats.take() else {
                i += 1;
                continue;
            };
            let done = answers.swap_remove(i);
            each(BatchAnswer {
                request: done.request,
                text: done.text,
                stats,
            });
        }
        if answers.is_empty() {
            return Ok(());
        }
        let tokens: Vec<u32> = answers
            .iter()
            .filter_map(|a| a.generation.waiting())
            .collect();
        let mut sessions: Vec<&mut Session> = answers.iter_mut().map(|a| &mut a.session).collect();
        let logits = engine.forward_together(&mut sessions, &tokens, cancel)?;
        for (answer, logits) in answers.iter_mut().zip(logits.to_vec2::<f32>()?) {
            let len = answer.session.len();
            let step = answer.generation.accept(engine, len, logits)?;
            answer.take(step);
        }
    }
}

impl Answer {
    fn step(&mut self, engine: &mut Engine, cancel: &Cancel) -> Result<()> {
        let step = self.generation.step(engine, &mut self.session, cancel)?;
        self.take(step);
        Ok(())
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Prefill { .. } => {}
            Step::Token { text, .. } => self.text.push_str(&text),
            Step::Finished { text, stats, .. } => {
                self.text.push_str(&text);
                self.stats = Some(stats);
            }
        }
    }
}

/// Positions of the prompts, each followed by the one that shares the most of its
/// tokens.
fn order(prompts: &[Vec<u32>]) -> Vec<usize> {
    let sets: Vec<HashSet<u32>> = prompts
        .iter()
        .map(|p| p.iter().copied().collect())
        .collect();
    let alike = |a: usize, b: usize| {
        let shared = sets[a].intersection(&sets[b]).count();
        shared as f64 / (sets[a].len() + sets[b].len() - shared).max(1) as f64
    };
    let mut left: Vec<usize> = (0..prompts.len()).collect();
    let mut order = Vec::with_capacity(prompts.len());
    while !left.is_empty() {
        let at = order.last().map_or(0, |last: &usize| {
            let nearest = |a: usize, b: usize| {
                if alike(*last, left[b]) > alike(*last, left[a]) {
                    b
                } else {
                    a
                }
            };
            (0..left.len()).reduce(nearest).unwrap_or(0)
        });
        order.push(left.remove(at));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn similar_prompts_follow_each_other() {
        let prompts = [vec![1, 2, 3], vec![7, 8, 9], vec![1, 2, 4], vec![7, 8, 5]];
        assert_eq!(order(&prompts), [0, 2, 1, 3]);
        assert_eq!(order(&[]), [0usize; 0]);
    }
}
