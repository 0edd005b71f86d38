//! Answers in the form of chat completions, whole or as a stream.

use moestro_engine::protocol::{TokenLogprob, TokenLogprobs};
use moestro_text::Part;
use serde_json::{Value, json};

use super::{close, finish_reason, unique, usage};
use crate::error::ApiError;
use crate::model::now;
use crate::reply::{Bit, End, Whole};
use crate::sse::{Line, Writer};

/// What is the same in every part of one response.
#[derive(Debug, Clone)]
pub struct Head {
    pub id: String,
    pub created: u64,
    pub model: String,
    pub logprobs: bool,
}

impl Head {
    pub fn new(prefix: &str, model: String, logprobs: bool) -> Head {
        Head {
            id: unique(prefix),
            created: now(),
            model,
            logprobs,
        }
    }
}

/// A response that is complete.
pub fn whole(head: &Head, replies: &[Whole]) -> Value {
    let choices: Vec<Value> = replies
        .iter()
        .enumerate()
        .map(|(i, r)| choice(head, i, r))
        .collect();
    json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "choices": choices,
        "usage": usage(replies.iter().map(Whole::stats)),
        "system_fingerprint": Value::Null,
    })
}

fn choice(head: &Head, index: usize, reply: &Whole) -> Value {
    let mut message = json!({ "role": "assistant", "content": reply.content, "refusal": null });
    if !reply.reasoning.is_empty() {
        message["reasoning_content"] = json!(reply.reasoning);
    }
    if !reply.calls.is_empty() {
        let call = |c: &crate::reply::WholeCall| {
            json!({ "id": unique("call_"), "type": "function",
                "function": { "name": c.name, "arguments": c.arguments } })
        };
        message["tool_calls"] = reply.calls.iter().map(call).collect();
        if reply.content.is_empty() {
            message["content"] = Value::Null;
        }
    }
    json!({
        "index": index,
        "message": message,
        "logprobs": head.logprobs.then(|| logprobs(&reply.logprobs)),
        "finish_reason": reply.end.as_ref().map(finish_reason),
    })
}

pub fn logprobs(tokens: &[TokenLogprobs]) -> Value {
    let one = |t: &TokenLogprob| {
        json!({ "token": String::from_utf8_lossy(&t.bytes), "logprob": t.logprob,
            "bytes": t.bytes })
    };
    let content = tokens.iter().map(|t| {
        let mut entry = one(&t.chosen);
        entry["top_logprobs"] = t.likeliest.iter().map(one).collect();
        entry
    });
    json!({ "content": content.collect::<Vec<_>>(), "refusal": null })
}

/// A response as it comes.
pub struct ChatWriter {
    head: Head,
    choices: usize,
    wants_usage: bool,
    ends: Vec<End>,
}

impl ChatWriter {
    pub fn new(head: Head, choices: usize, wants_usage: bool) -> ChatWriter {
        ChatWriter {
            head,
            choices,
            wants_usage,
            ends: Vec::new(),
        }
    }

    fn chunk(&self, choices: Value) -> Value {
        let mut chunk = json!({
            "id": self.head.id,
            "object": "chat.completion.chunk",
            "created": self.head.created,
            "model": self.head.model,
            "choices": choices,
            "system_fingerprint": null,
        });
        if self.wants_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn delta(&self, index: usize, delta: Value, told: Option<&TokenLogprobs>) -> Line {
        let told = told.map(|t| logprobs(std::slice::from_ref(t)));
        Line::Data(self.chunk(json!([{
            "index": index, "delta": delta, "logprobs": told, "finish_reason": null }])))
    }

    fn parts(
        &self,
        index: usize,
        parts: Vec<Part>,
        mut told: Option<TokenLogprobs>,
        lines: &mut Vec<Line>,
    ) {
        for part in parts {
            let delta = match part {
                Part::Content(text) => json!({ "content": text }),
                Part::Reasoning(text) => json!({ "reasoning_content": text }),
                Part::Call { index, name } => json!({ "tool_calls": [{
                    "index": index, "id": unique("call_"), "type": "function",
                    "function": { "name": name, "arguments": "" } }] }),
                Part::Arguments { index, json } => json!({ "tool_calls": [{
                    "index": index, "function": { "arguments": json } }] }),
            };
            lines.push(self.delta(index, delta, told.take().as_ref()));
        }
        if let Some(told) = told {
            lines.push(self.delta(index, json!({ "content": "" }), Some(&told)));
        }
    }
}

impl Writer for ChatWriter {
    fn begin(&mut self, lines: &mut Vec<Line>) {
        for index in 0..self.choices {
            let role = json!({ "role": "assistant", "content": "" });
            lines.push(self.delta(index, role, None));
        }
    }

    fn bit(&mut self, index: usize, bit: Bit, lines: &mut Vec<Line>) {
        match bit {
            Bit::Reading { .. } => {}
            Bit::More { parts, logprobs } => self.parts(index, parts, logprobs, lines),
            Bit::End { parts, end } => {
                self.parts(index, parts, None, lines);
                lines.push(Line::Data(self.chunk(json!([{
                    "index": index, "delta": {}, "logprobs": null,
                    "finish_reason": finish_reason(&end) }]))));
                self.ends.push(end);
            }
        }
    }

    fn end(&mut self, error: Option<&ApiError>, lines: &mut Vec<Line>) {
        let counts = self.wants_usage.then(|| self.chunk(json!([])));
        close(error, counts, &self.ends, lines);
    }
}
