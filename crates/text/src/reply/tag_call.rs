//! A call as tags: `<function=NAME><parameter=KEY>value</parameter></function>`.

use serde_json::Value;

use super::Part;

pub struct TagCall {
    index: usize,
    tools: Value,
    text: String,
    /// Where in the text to go on.
    at: usize,
    name: Option<String>,
    parameters: usize,
    closed: bool,
}

impl TagCall {
    pub fn new(index: usize, tools: Value) -> TagCall {
        TagCall {
            index,
            tools,
            text: String::new(),
            at: 0,
            name: None,
            parameters: 0,
            closed: false,
        }
    }

    pub fn push(&mut self, text: &str, parts: &mut Vec<Part>) {
        self.text.push_str(text);
        let index = self.index;
        if self.name.is_none() {
            let Some((name, end)) = between(&self.text, self.at, "<function=", ">") else {
                return;
            };
            let name = name.trim().to_string();
            self.at = end;
            self.name = Some(name.clone());
            parts.push(Part::Call { index, name });
            let json = "{".into();
            parts.push(Part::Arguments { index, json });
        }
        while let Some((key, end)) = between(&self.text, self.at, "<parameter=", ">") {
            let Some((value, after)) = between(&self.text, end, "", "</parameter>") else {
                return;
            };
            let value = value.strip_prefix('\n').unwrap_or(value);
            let value = value.strip_suffix('\n').unwrap_or(value);
            let key = key.trim();
            let value = self.typed(key, value);
            let comma = if self.parameters > 0 { ", " } else { "" };
            let key = Value::from(key);
            let json = format!("{comma}{key}: {value}");
            parts.push(Part::Arguments { index, json });
            self.parameters += 1;
            self.at = after;
        }
        if !self.closed && self.text[self.at..].contains("</function>") {
            self.close(parts);
        }
    }

    /// Errors: what was written, if it is no call.
    pub fn finish(mut self, parts: &mut Vec<Part>) -> Result<(), String> {
        if self.name.is_none() {
            return Err(self.text);
        }
        if !self.closed {
            self.close(parts);
        }
        Ok(())
    }

    fn close(&mut self, parts: &mut Vec<Part>) {
        self.closed = true;
        let (index, json) = (self.index, "}".into());
        parts.push(Part::Arguments { index, json });
    }

    /// The value as the tool declares it: text stays text, all else is JSON if it can be.
    fn typed(&self, key: &str, value: &str) -> Value {
        let function = self.tools.as_array().and_then(|tools| {
            let functions = tools.iter().map(|t| t.get("function").unwrap_or(t));
            let mine = |f: &&Value| f["name"].as_str() == self.name.as_deref();
            functions.into_iter().find(mine)
        });
        let declared = function.and_then(|f| f["parameters"]["properties"][key]["type"].as_str());
        let text = || Value::from(value);
        match declared {
            Some("string") => text(),
            _ => serde_json::from_str(value).unwrap_or_else(|_| text()),
        }
    }
}

/// What stands between two marks at or after `from`, and where the second ends.
fn between<'a>(text: &'a str, from: usize, open: &str, close: &str) -> Option<(&'a str, usize)> {
    let start = from + text[from..].find(open)? + open.len();
    let end = start + text[start..].find(close)?;
    Some((&text[start..end], end + close.len()))
}
