//! Several prompts answered side by side, so that they share the reading and
//! computing of experts.

use std::collections::HashSet;

use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::Result;
use crate::generation::{Generation, Step};
use crate::protocol::{GenerateRequest, GenerationStats};
use crate::schedule::Schedule;

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
///
/// Errors: the first of any answer.
pub fn generate_batch(
    engine: &mut Engine,
    requests: &[GenerateRequest],
    cancel: &Cancel,
    each: &mut dyn FnMut(BatchAnswer),
) -> Result<()> {
    let mut prompts = Vec::with_capacity(requests.len());
    let mut prepared = Vec::with_capacity(requests.len());
    for request in requests {
        let answer = Generation::prepare(&engine.text, request)?;
        prompts.push(answer.prompt().to_vec());
        prepared.push(Some(answer));
    }
    let mut schedule = Schedule::default();
    for request in order(&prompts) {
        if let Some(answer) = prepared[request].take() {
            let client = requests[request].client.clone();
            schedule.push(engine, request as u64, client, answer, cancel.clone())?;
        }
    }
    let mut texts = vec![String::new(); requests.len()];
    let mut failed = None;
    while !schedule.is_empty() && failed.is_none() {
        schedule.step(engine, &mut |id, step| {
            let request = id as usize;
            match step {
                Ok(Step::Prefill { .. }) => {}
                Ok(Step::Token { text, .. }) => texts[request].push_str(&text),
                Ok(Step::Finished { text, stats, .. }) => {
                    let text = std::mem::take(&mut texts[request]) + &text;
                    each(BatchAnswer {
                        request,
                        text,
                        stats,
                    });
                }
                Err(error) => failed = Some(error),
            }
        });
    }
    failed.map_or(Ok(()), Err)
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
