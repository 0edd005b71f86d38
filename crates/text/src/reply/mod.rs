//! What a model wrote, taken apart while it comes: thoughts, answer and calls of
//! tools. Thoughts stand between `<think>` and `</think>` at the beginning; calls
//! between `<tool_call>` and `</tool_call>`, as JSON (Qwen, Hermes) or as
//! `<function=` and `<parameter=` tags (Qwen3-Coder).

mod gate;
mod json_call;
mod tag_call;

use serde_json::Value;

pub use gate::Gate;
use json_call::JsonCall;
use tag_call::TagCall;

const THINK: &str = "<think>";
const THINK_END: &str = "</think>";
const CALL: &str = "<tool_call>";
const CALL_END: &str = "</tool_call>";

/// A piece of a reply.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    Reasoning(String),
    Content(String),
    /// A call begins; calls are numbered from 0.
    Call {
        index: usize,
        name: String,
    },
    /// More of the text of the JSON object of a call's arguments.
    Arguments {
        index: usize,
        json: String,
    },
}

/// Takes text as it comes, gives parts out as early as they are certain.
pub struct ReplyParser {
    /// Tool definitions in OpenAI's form; without, calls are text.
    tools: Option<Value>,
    mode: Mode,
    /// Text that is not yet certain to be what it seems.
    held: String,
    /// Nothing of the present part has been given out.
    fresh: bool,
    /// Blanks at its beginning are dropped.
    trims: bool,
    calls: usize,
}

enum Mode {
    /// Nothing but blanks came.
    Start,
    Thinking,
    Content,
    Call(Call),
}

enum Call {
    /// Only blanks came.
    Unknown,
    Json(JsonCall),
    Tags(TagCall),
}

impl ReplyParser {
    pub fn new(tools: Option<Value>) -> ReplyParser {
        ReplyParser {
            tools,
            mode: Mode::Start,
            held: String::new(),
            fresh: true,
            trims: false,
            calls: 0,
        }
    }

    /// Takes more text. The cost is linear in it.
    pub fn push(&mut self, text: &str, parts: &mut Vec<Part>) {
        self.held.push_str(text);
        while self.advance(parts) {}
    }

    /// The end of the reply.
    pub fn finish(&mut self, parts: &mut Vec<Part>) {
        let rest = std::mem::take(&mut self.held);
        match std::mem::replace(&mut self.mode, Mode::Content) {
            Mode::Thinking => self.give(rest.trim_end(), true, parts),
            Mode::Start | Mode::Content => self.give(&rest, false, parts),
            Mode::Call(call) => self.end_call(call, &rest, parts),
        }
    }

    /// How many calls were begun.
    pub fn calls(&self) -> usize {
        self.calls
    }

    /// Takes the next certain piece; false if there is none yet.
    fn advance(&mut self, parts: &mut Vec<Part>) -> bool {
        match &mut self.mode {
            Mode::Start => {
                let seen = self.held.trim_start();
                if seen.starts_with(THINK) {
                    let after = self.held.len() - seen.len() + THINK.len();
                    self.held.drain(..after);
                    self.begin(Mode::Thinking, true);
                } else if seen.is_empty() || THINK.starts_with(seen) {
                    return false;
                } else {
                    self.begin(Mode::Content, false);
                }
                true
            }
            Mode::Thinking => {
                let found = self.take_until(THINK_END, true, parts);
                if found {
                    self.begin(Mode::Content, true);
                }
                found
            }
            Mode::Content => {
                if self.tools.is_none() {
                    let text = std::mem::take(&mut self.held);
                    self.give(&text, false, parts);
                    return false;
                }
                let found = self.take_until(CALL, false, parts);
                if found {
                    self.begin(Mode::Call(Call::Unknown), false);
                }
                found
            }
            Mode::Call(_) => self.advance_call(parts),
        }
    }

    fn begin(&mut self, mode: Mode, trims: bool) {
        (self.mode, self.fresh, self.trims) = (mode, true, trims);
    }

    /// Gives out what stands before `tag`, without the blanks next to it; keeps what
    /// may be its beginning.
    fn take_until(&mut self, tag: &str, reasoning: bool, parts: &mut Vec<Part>) -> bool {
        if let Some(at) = self.held.find(tag) {
            let before = self.held[..at].trim_end().to_string();
            self.held.drain(..at + tag.len());
            self.give(&before, reasoning, parts);
            return true;
        }
        let keep = tag_begun(&self.held, tag);
        let certain = self.held[..self.held.len() - keep].trim_end().len();
        let text: String = self.held.drain(..certain).collect();
        self.give(&text, reasoning, parts);
        false
    }

    fn give(&mut self, text: &str, reasoning: bool, parts: &mut Vec<Part>) {
        let text = match self.fresh && self.trims {
            true => text.trim_start(),
            false => text,
        };
        if text.is_empty() {
            return;
        }
        self.fresh = false;
        parts.push(match reasoning {
            true => Part::Reasoning(text.to_string()),
            false => Part::Content(text.to_string()),
        });
    }

    fn advance_call(&mut self, parts: &mut Vec<Part>) -> bool {
        let end = self.held.find(CALL_END);
        let keep = match end {
            Some(_) => 0,
            None => tag_begun(&self.held, CALL_END),
        };
        let upto = end.unwrap_or(self.held.len() - keep);
        let text: String = self.held.drain(..upto).collect();
        let Mode::Call(mut call) = std::mem::replace(&mut self.mode, Mode::Content) else {
            return false;
        };
        if matches!(call, Call::Unknown) {
            match text.trim_start().chars().next() {
                None => {}
                Some('<') => {
                    let tools = self.tools.clone().unwrap_or_default();
                    call = Call::Tags(TagCall::new(self.calls, tools));
                }
                Some(_) => call = Call::Json(JsonCall::new(self.calls)),
            }
        }
        if end.is_some() {
            self.held.drain(..CALL_END.len());
            self.end_call(call, &text, parts);
            self.begin(Mode::Content, true);
            return true;
        }
        match &mut call {
            // Blanks, which belong to whatever follows.
            Call::Unknown => self.held.insert_str(0, &text),
            Call::Json(call) => call.push(&text, parts),
            Call::Tags(call) => call.push(&text, parts),
        }
        self.mode = Mode::Call(call);
        false
    }

    /// What is no call after all is told as it was written.
    fn end_call(&mut self, call: Call, text: &str, parts: &mut Vec<Part>) {
        let written = match call {
            Call::Unknown => Err(text.to_string()),
            Call::Json(mut call) => {
                call.push(text, parts);
                call.finish(parts)
            }
            Call::Tags(mut call) => {
                call.push(text, parts);
                call.finish(parts)
            }
        };
        match written {
            Ok(()) => self.calls += 1,
            Err(written) => parts.push(Part::Content(format!("{CALL}{written}{CALL_END}"))),
        }
    }
}

/// Bytes at the end of `text` with which `tag` may begin.
fn tag_begun(text: &str, tag: &str) -> usize {
    (1..tag.len().min(text.len() + 1))
        .rev()
        .find(|n| text.ends_with(&tag[..*n]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
