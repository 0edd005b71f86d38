//! A message as it comes: blocks that are announced, grow and are closed.

use moestro_text::Part;
use serde_json::{Value, json};

use super::{stop_reason, usage};
use crate::error::ApiError;
use crate::openai::unique;
use crate::reply::{Bit, End};
use crate::sse::{Line, Writer};

pub struct MessageWriter {
    model: String,
    begun: bool,
    /// Blocks that were announced, and what the last one is while it is open.
    blocks: usize,
    open: Option<Kind>,
    end: Option<End>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Thinking,
    Text,
    /// With the number of the call.
    Tool(usize),
}

impl MessageWriter {
    pub fn new(model: String) -> MessageWriter {
        MessageWriter {
            model,
            begun: false,
            blocks: 0,
            open: None,
            end: None,
        }
    }

    fn start(&mut self, prompt: usize, reused: usize, lines: &mut Vec<Line>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = json!({
            "id": unique("msg_"), "type": "message", "role": "assistant",
            "model": self.model, "content": [], "stop_reason": null, "stop_sequence": null,
            "usage": { "input_tokens": prompt - reused, "output_tokens": 0,
                "cache_read_input_tokens": reused, "cache_creation_input_tokens": 0 },
        });
        let event = json!({ "type": "message_start", "message": message });
        lines.push(Line::Named("message_start", event));
    }

    fn open(&mut self, kind: Kind, block: Value, lines: &mut Vec<Line>) {
        if self.open == Some(kind) {
            return;
        }
        self.close(lines);
        let event = json!({ "type": "content_block_start", "index": self.blocks,
            "content_block": block });
        lines.push(Line::Named("content_block_start", event));
        self.blocks += 1;
        self.open = Some(kind);
    }

    fn grow(&self, delta: Value, lines: &mut Vec<Line>) {
        let index = self.blocks.saturating_sub(1);
        let event = json!({ "type": "content_block_delta", "index": index, "delta": delta });
        lines.push(Line::Named("content_block_delta", event));
    }

    fn close(&mut self, lines: &mut Vec<Line>) {
        if self.open.take().is_some() {
            let index = self.blocks - 1;
            let event = json!({ "type": "content_block_stop", "index": index });
            lines.push(Line::Named("content_block_stop", event));
        }
    }

    fn part(&mut self, part: Part, lines: &mut Vec<Line>) {
        match part {
            Part::Reasoning(text) => {
                let block = json!({ "type": "thinking", "thinking": "", "signature": "" });
                self.open(Kind::Thinking, block, lines);
                self.grow(json!({ "type": "thinking_delta", "thinking": text }), lines);
            }
            Part::Content(text) => {
                self.open(Kind::Text, json!({ "type": "text", "text": "" }), lines);
                self.grow(json!({ "type": "text_delta", "text": text }), lines);
            }
            Part::Call { index, name } => {
                let block = json!({ "type": "tool_use", "id": unique("toolu_"), "name": name,
                    "input": {} });
                self.open(Kind::Tool(index), block, lines);
            }
            Part::Arguments { json, .. } => {
                self.grow(
                    json!({ "type": "input_json_delta", "partial_json": json }),
                    lines,
                );
            }
        }
    }
}

impl Writer for MessageWriter {
    fn begin(&mut self, _: &mut Vec<Line>) {
        // The first bit brings the size of the prompt.
    }

    fn bit(&mut self, _: usize, bit: Bit, lines: &mut Vec<Line>) {
        let parts = match bit {
            Bit::Reading { prompt, reused, .. } => return self.start(prompt, reused, lines),
            Bit::More { parts, .. } => parts,
            Bit::End { parts, end } => {
                self.end = Some(end);
                parts
            }
        };
        self.start(0, 0, lines);
        for part in parts {
            self.part(part, lines);
        }
    }

    fn end(&mut self, error: Option<&ApiError>, lines: &mut Vec<Line>) {
        if let Some(error) = error {
            lines.push(Line::Named("error", error.anthropic()));
            return;
        }
        self.start(0, 0, lines);
        self.close(lines);
        if let Some(end) = &self.end {
            let (reason, stop) = stop_reason(end);
            let event = json!({ "type": "message_delta",
                "delta": { "stop_reason": reason, "stop_sequence": stop },
                "usage": usage(&end.stats) });
            lines.push(Line::Named("message_delta", event));
        }
        let event = json!({ "type": "message_stop" });
        lines.push(Line::Named("message_stop", event));
    }
}
