//! OpenAI's API: the parts that editors, agents and libraries use.

mod call_grammar;
pub mod chat;
mod chat_form;
mod choices;
pub mod completions;
mod completions_form;
pub mod models;
mod request;
pub mod responses;
mod responses_stream;
mod tools;

pub use chat::Chat;
pub use chat_form::{InMessage, messages};
pub use request::{Common, MostTokens, Stops};
pub use tools::{ToolChoice, Tools};

use moestro_engine::protocol::{FinishReason, GenerationStats};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::reply::End;
use crate::sse::Line;

/// OpenAI's word for how an answer ended.
pub fn finish_reason(end: &End) -> &'static str {
    match end.reason {
        _ if end.calls > 0 => "tool_calls",
        FinishReason::Stop => "stop",
        FinishReason::MaxTokens | FinishReason::ContextFull => "length",
        FinishReason::Cancelled => "stop",
    }
}

/// Token counts of several answers to the same prompt.
pub fn usage(answers: impl Iterator<Item = GenerationStats> + Clone) -> Value {
    let first = answers.clone().next().unwrap_or_default();
    let generated: usize = answers.map(|a| a.generated_tokens).sum();
    json!({
        "prompt_tokens": first.prompt_tokens,
        "completion_tokens": generated,
        "total_tokens": first.prompt_tokens + generated,
        "prompt_tokens_details": { "cached_tokens": first.reused_tokens },
    })
}

/// Ends a stream: with an error, or with the token counts of its answers, in a
/// chunk of their own, if they were asked for.
pub fn close(error: Option<&ApiError>, counts: Option<Value>, ends: &[End], lines: &mut Vec<Line>) {
    if let Some(error) = error {
        lines.push(Line::Data(error.openai()));
    } else if let Some(mut chunk) = counts {
        chunk["usage"] = usage(ends.iter().map(|end| end.stats.clone()));
        lines.push(Line::Data(chunk));
    }
    lines.push(Line::Done);
}

/// A name that no other answer of this run has.
pub fn unique(prefix: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    // Random for each call: std seeds it from the system.
    let random = || RandomState::new().hash_one(prefix);
    format!("{prefix}{:016x}{:08x}", random(), random() as u32)
}
