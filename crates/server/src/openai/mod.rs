//! OpenAI's API: the parts that editors, agents and libraries use.

pub mod chat;
mod chat_form;
mod choices;
pub mod completions;
pub mod models;
mod request;
pub mod responses;
mod responses_stream;
mod tools;

pub use chat::Chat;
pub use chat_form::{InMessage, messages};
pub use request::{Common, Stops};
pub use tools::{ToolChoice, Tools};

use moestro_engine::protocol::FinishReason;
use serde_json::{Value, json};

use crate::reply::End;

/// OpenAI's word for how an answer ended.
pub fn finish_reason(end: &End) -> &'static str {
    match end.reason {
        _ if end.calls > 0 => "tool_calls",
        FinishReason::Stop => "stop",
        FinishReason::MaxTokens | FinishReason::ContextFull => "length",
        FinishReason::Cancelled => "stop",
    }
}

/// Token counts; the choices of one request share their prompt.
pub fn usage(prompt: usize, reused: usize, generated: usize) -> Value {
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": generated,
        "total_tokens": prompt + generated,
        "prompt_tokens_details": { "cached_tokens": reused },
    })
}

/// A name that no other answer of this run has.
pub fn unique(prefix: &str) -> String {
    use std::hash::{BuildHasher, RandomState};
    // Random for each call: std seeds it from the system.
    let random = || RandomState::new().hash_one(prefix);
    format!("{prefix}{:016x}{:08x}", random(), random() as u32)
}
