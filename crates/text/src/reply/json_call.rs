//! A call as JSON: `{"name": ..., "arguments": {...}}`.

use serde_json::Value;

use super::Part;

pub struct JsonCall {
    index: usize,
    text: String,
    /// Of the arguments, once the name is known and they have begun.
    arguments: Option<Span>,
}

/// An object inside the text.
struct Span {
    /// Bytes given out so far end here.
    given: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    complete: bool,
}

impl JsonCall {
    pub fn new(index: usize) -> JsonCall {
        JsonCall {
            index,
            text: String::new(),
            arguments: None,
        }
    }

    pub fn push(&mut self, text: &str, parts: &mut Vec<Part>) {
        self.text.push_str(text);
        if self.arguments.is_none() {
            let Some((name, start)) = begun(&self.text) else {
                return;
            };
            let index = self.index;
            parts.push(Part::Call { index, name });
            self.arguments = Some(Span {
                given: start,
                depth: 0,
                in_string: false,
                escaped: false,
                complete: false,
            });
        }
        if let Some(span) = &mut self.arguments {
            let json = span.more(&self.text);
            if !json.is_empty() {
                let index = self.index;
                parts.push(Part::Arguments { index, json });
            }
        }
    }

    /// Errors: what was written, if it is no call.
    pub fn finish(self, parts: &mut Vec<Part>) -> Result<(), String> {
        if self.arguments.is_some() {
            return Ok(());
        }
        let Ok(Value::Object(call)) = serde_json::from_str(self.text.trim()) else {
            return Err(self.text);
        };
        let name = call.get("name").and_then(Value::as_str);
        let Some(name) = name.map(String::from) else {
            return Err(self.text);
        };
        let index = self.index;
        let json = match call.get("arguments").or_else(|| call.get("parameters")) {
            Some(Value::String(json)) => json.clone(),
            Some(Value::Null) | None => "{}".into(),
            Some(value) => value.to_string(),
        };
        parts.push(Part::Call { index, name });
        parts.push(Part::Arguments { index, json });
        Ok(())
    }
}

impl Span {
    /// What of `text` belongs to the object and was not given out.
    fn more(&mut self, text: &str) -> String {
        if self.complete {
            return String::new();
        }
        let from = self.given;
        let mut end = text.len();
        for (at, byte) in text.as_bytes().iter().enumerate().skip(from) {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        (self.complete, end) = (true, at + 1);
                        break;
                    }
                }
                _ => {}
            }
        }
        self.given = end;
        text[from..end].to_string()
    }
}

/// The name and where the object of arguments begins, if `text` goes that far and
/// the name comes first.
fn begun(text: &str) -> Option<(String, usize)> {
    let rest = text.trim_start().strip_prefix('{')?.trim_start();
    let rest = rest.strip_prefix("\"name\"")?.trim_start();
    let rest = rest.strip_prefix(':')?.trim_start();
    let mut names = serde_json::Deserializer::from_str(rest).into_iter::<String>();
    let name = names.next()?.ok()?;
    let rest = rest[names.byte_offset()..].trim_start();
    let rest = rest.strip_prefix(',')?.trim_start();
    let rest = rest
        .strip_prefix("\"arguments\"")
        .or_else(|| rest.strip_prefix("\"parameters\""))?
        .trim_start();
    let rest = rest.strip_prefix(':')?.trim_start();
    rest.starts_with('{')
        .then(|| (name, text.len() - rest.len()))
}
