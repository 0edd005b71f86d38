//! Responses as a stream: every item is announced, grows and is closed.

use moestro_text::Part;
use serde_json::{Value, json};

use super::responses::{Head, call_item, message_item, output_text, reasoning_item};
use super::unique;
use crate::error::ApiError;
use crate::reply::{Bit, End};
use crate::sse::{Line, Writer};

pub struct ResponseWriter {
    head: Head,
    /// Events so far.
    number: u64,
    open: Option<Item>,
    /// Items that are complete.
    output: Vec<Value>,
    end: Option<End>,
}

/// The item that is growing.
struct Item {
    id: String,
    kind: Kind,
    text: String,
}

#[derive(PartialEq)]
enum Kind {
    Reasoning,
    Message,
    Call { call_id: String, name: String },
}

impl ResponseWriter {
    pub fn new(head: Head) -> ResponseWriter {
        ResponseWriter {
            head,
            number: 0,
            open: None,
            output: Vec::new(),
            end: None,
        }
    }

    fn say(&mut self, kind: &'static str, mut event: Value, lines: &mut Vec<Line>) {
        event["type"] = json!(kind);
        event["sequence_number"] = json!(self.number);
        self.number += 1;
        lines.push(Line::Named(kind, event));
    }

    fn open(&mut self, kind: Kind, lines: &mut Vec<Line>) {
        if self.open.as_ref().is_some_and(|item| item.kind == kind) {
            return;
        }
        self.close(lines);
        let prefix = match kind {
            Kind::Reasoning => "rs_",
            Kind::Message => "msg_",
            Kind::Call { .. } => "fc_",
        };
        let item = Item {
            id: unique(prefix),
            kind,
            text: String::new(),
        };
        let place = self.output.len();
        let added = json!({ "output_index": place, "item": item.value("in_progress") });
        self.say("response.output_item.added", added, lines);
        if item.kind == Kind::Message {
            let part = json!({ "item_id": item.id, "output_index": place, "content_index": 0,
                "part": output_text("") });
            self.say("response.content_part.added", part, lines);
        }
        self.open = Some(item);
    }

    fn grow(&mut self, text: &str, lines: &mut Vec<Line>) {
        let place = self.output.len();
        let Some(item) = &mut self.open else {
            return;
        };
        item.text.push_str(text);
        let mut delta = json!({ "item_id": item.id, "output_index": place, "delta": text });
        let kind = match item.kind {
            Kind::Reasoning => "response.reasoning_text.delta",
            Kind::Message => "response.output_text.delta",
            Kind::Call { .. } => "response.function_call_arguments.delta",
        };
        if !matches!(item.kind, Kind::Call { .. }) {
            delta["content_index"] = json!(0);
        }
        if item.kind == Kind::Message {
            delta["logprobs"] = json!([]);
        }
        self.say(kind, delta, lines);
    }

    fn close(&mut self, lines: &mut Vec<Line>) {
        let Some(item) = self.open.take() else {
            return;
        };
        let place = self.output.len();
        let at = json!({ "item_id": item.id, "output_index": place });
        match &item.kind {
            Kind::Reasoning => {
                let mut done = at;
                done["content_index"] = json!(0);
                done["text"] = json!(item.text);
                self.say("response.reasoning_text.done", done, lines);
            }
            Kind::Message => {
                let mut done = at.clone();
                done["content_index"] = json!(0);
                done["text"] = json!(item.text);
                done["logprobs"] = json!([]);
                self.say("response.output_text.done", done, lines);
                let mut part = at;
                part["content_index"] = json!(0);
                part["part"] = output_text(&item.text);
                self.say("response.content_part.done", part, lines);
            }
            Kind::Call { name, .. } => {
                let mut done = at;
                done["name"] = json!(name);
                done["arguments"] = json!(item.text);
                self.say("response.function_call_arguments.done", done, lines);
            }
        }
        let value = item.value("completed");
        let done = json!({ "output_index": place, "item": value });
        self.say("response.output_item.done", done, lines);
        self.output.push(value);
    }

    fn part(&mut self, part: Part, lines: &mut Vec<Line>) {
        match part {
            Part::Reasoning(text) => {
                self.open(Kind::Reasoning, lines);
                self.grow(&text, lines);
            }
            Part::Content(text) => {
                self.open(Kind::Message, lines);
                self.grow(&text, lines);
            }
            Part::Call { name, .. } => {
                let call_id = unique("call_");
                self.open(Kind::Call { call_id, name }, lines);
            }
            Part::Arguments { json, .. } => self.grow(&json, lines),
        }
    }
}

impl Item {
    fn value(&self, status: &str) -> Value {
        match &self.kind {
            Kind::Reasoning => reasoning_item(&self.id, &self.text, status),
            Kind::Message => message_item(&self.id, &self.text, status),
            Kind::Call { call_id, name } => call_item(&self.id, call_id, name, &self.text, status),
        }
    }
}

impl Writer for ResponseWriter {
    fn begin(&mut self, lines: &mut Vec<Line>) {
        let response = json!({ "response": self.head.response(Vec::new(), None) });
        self.say("response.created", response.clone(), lines);
        self.say("response.in_progress", response, lines);
    }

    fn bit(&mut self, _: usize, bit: Bit, lines: &mut Vec<Line>) {
        let parts = match bit {
            Bit::Reading { .. } => return,
            Bit::More { parts, .. } => parts,
            Bit::End { parts, end } => {
                self.end = Some(end);
                parts
            }
        };
        for part in parts {
            self.part(part, lines);
        }
    }

    fn end(&mut self, error: Option<&ApiError>, lines: &mut Vec<Line>) {
        if let Some(error) = error {
            let said = json!({ "code": error.code, "message": error.message,
                "param": error.param });
            return self.say("error", said, lines);
        }
        self.close(lines);
        let response = self.head.response(self.output.clone(), self.end.as_ref());
        let kind = match response["status"].as_str() {
            Some("incomplete") => "response.incomplete",
            _ => "response.completed",
        };
        self.say(kind, json!({ "response": response }), lines);
    }
}
