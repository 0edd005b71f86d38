//! From a request to the tokens and numbers that an answer begins with.

use moestro_text::{Sampling, TemplateOptions};

use crate::engine::Engine;
use crate::error::{EngineError, Result};
use crate::protocol::{Prompt, SamplingOverrides};
use crate::text_assets::TextAssets;

/// What templates of thinking models open, for the model to close.
const THOUGHTS: &str = "<think>\n";

/// Errors: a prompt that is empty, longer than the context, or has unknown tokens.
pub fn check(engine: &Engine, prompt: &[u32]) -> Result<()> {
    let context = engine.placement().context;
    if prompt.is_empty() {
        return Err(EngineError::Request(
            "the prompt is empty; write something first".into(),
        ));
    }
    if prompt.len() >= context {
        return Err(EngineError::Request(format!(
            "the prompt has {} tokens and the context holds {context}; shorten it or raise the \
             context",
            prompt.len()
        )));
    }
    let vocabulary = engine.info.vocabulary;
    match prompt.iter().find(|id| **id as usize >= vocabulary) {
        None => Ok(()),
        Some(id) => Err(EngineError::Request(format!(
            "token {id} is not in the vocabulary of {vocabulary} tokens"
        ))),
    }
}

/// The tokens of a prompt, and what its template has opened for the answer.
pub fn tokenize(text: &TextAssets, prompt: &Prompt) -> Result<(Vec<u32>, &'static str)> {
    let (written, opening) = match prompt {
        Prompt::Tokens { ids } => return Ok((ids.clone(), "")),
        Prompt::Raw { text } => (text.clone(), ""),
        Prompt::Chat { messages, template } => {
            if messages.is_empty() {
                return Ok((Vec::new(), ""));
            }
            let (messages, begun) = match (template.continue_answer, messages.split_last()) {
                (true, Some((last, before))) if last.role == "assistant" => {
                    (before, last.content.as_str())
                }
                _ => (messages.as_slice(), ""),
            };
            let options = TemplateOptions {
                add_generation_prompt: true,
                tools: template.tools.clone(),
                enable_thinking: template.enable_thinking,
                extra: template.variables.clone(),
            };
            let mut written = text.template.render(messages, &options)?;
            let mark = THOUGHTS.trim_end();
            let thinks = written.trim_end().ends_with(mark);
            if !begun.is_empty() {
                // The answer has opened its thoughts itself, as they were shown.
                if thinks && begun.starts_with(mark) {
                    written.truncate(written.trim_end().len() - mark.len());
                }
                written.push_str(begun);
                return Ok((text.tokenizer.encode(&written)?, ""));
            }
            (written, if thinks { THOUGHTS } else { "" })
        }
    };
    Ok((text.tokenizer.encode(&written)?, opening))
}

pub fn merge(defaults: &Sampling, o: &SamplingOverrides) -> Sampling {
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
pub fn seed_from_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    u64::from(now.map_or(0, |d| d.subsec_nanos()))
}
