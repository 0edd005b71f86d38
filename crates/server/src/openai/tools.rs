//! Tools that a model may call, and whether it must.

use moestro_engine::protocol::Form;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::limits::{TOOL_BYTES, TOOLS};

/// Whether the model calls a tool.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum ToolChoice {
    None,
    #[default]
    Auto,
    /// Some tool.
    Required,
    Named(String),
}

impl<'de> Deserialize<'de> for ToolChoice {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let name = value["function"]["name"]
            .as_str()
            .or(value["name"].as_str());
        match (value.as_str(), name) {
            (Some("none"), _) => Ok(ToolChoice::None),
            (Some("auto"), _) => Ok(ToolChoice::Auto),
            (Some("required"), _) => Ok(ToolChoice::Required),
            (None, Some(name)) => Ok(ToolChoice::Named(name.to_string())),
            (None, None) if value.is_null() => Ok(ToolChoice::Auto),
            _ => Err(serde::de::Error::custom(
                "tool_choice must be none, auto, required or name a function",
            )),
        }
    }
}

/// Checked definitions.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// In OpenAI's form, as templates expect them; `None` without any.
    pub definitions: Option<Value>,
    /// What the answer must look like for the choice to be kept.
    pub form: Option<Form>,
}

impl Tools {
    /// `tools` are `{type: function, function: {name, description, parameters}}`.
    pub fn new(tools: Vec<Value>, choice: &ToolChoice, parallel: bool) -> Result<Tools, ApiError> {
        let wrong = |said: String| Err(ApiError::field("tools", said));
        let bytes: usize = tools.iter().map(|t| t.to_string().len()).sum();
        if tools.len() > TOOLS || bytes > TOOL_BYTES {
            return wrong(format!(
                "at most {TOOLS} tools of {TOOL_BYTES} bytes together are accepted"
            ));
        }
        for tool in &tools {
            let is_function = tool["type"] == "function";
            let name = tool["function"]["name"].as_str().unwrap_or_default();
            let parameters = &tool["function"]["parameters"];
            if !is_function || name.is_empty() || name.len() > 64 {
                return wrong("every tool must be a function with a name of 1 to 64 bytes".into());
            }
            if !parameters.is_null() && !parameters.is_object() {
                return wrong(format!("the parameters of {name} must be a JSON schema"));
            }
        }
        let chosen: Vec<&Value> = match choice {
            ToolChoice::None => {
                return Ok(Tools::default());
            }
            ToolChoice::Auto => Vec::new(),
            ToolChoice::Required => tools.iter().collect(),
            ToolChoice::Named(name) => {
                let named = |t: &&Value| t["function"]["name"] == name.as_str();
                tools.iter().filter(named).collect()
            }
        };
        let must = matches!(choice, ToolChoice::Required | ToolChoice::Named(_));
        if must && chosen.is_empty() {
            return Err(ApiError::field(
                "tool_choice",
                "tool_choice asks for a tool that is not in tools",
            ));
        }
        Ok(Tools {
            form: must.then(|| call_form(&chosen, parallel)),
            definitions: (!tools.is_empty()).then(|| Value::Array(tools)),
        })
    }
}

/// Calls of these tools and nothing else.
fn call_form(tools: &[&Value], parallel: bool) -> Form {
    // References count from the root of the whole schema.
    let mut shared = [("$defs", Map::new()), ("definitions", Map::new())];
    let mut call = |tool: &&Value| {
        let function = &tool["function"];
        let mut parameters = match &function["parameters"] {
            Value::Object(schema) => schema.clone(),
            _ => Map::from_iter([("type".to_string(), json!("object"))]),
        };
        for (name, all) in &mut shared {
            if let Some(Value::Object(own)) = parameters.remove(*name) {
                all.extend(own);
            }
        }
        json!({
            "type": "object",
            "properties": {
                "name": { "const": function["name"] },
                "arguments": parameters,
            },
            "required": ["name", "arguments"],
            "additionalProperties": false,
        })
    };
    let blanks = json!({
        "whitespace_flexible": false,
        "item_separator": ", ",
        "key_separator": ": ",
        "coerce_one_of": true,
    });
    let mut schema = match tools {
        [one] => call(one),
        many => json!({ "anyOf": many.iter().map(call).collect::<Vec<_>>() }),
    };
    schema["x-guidance"] = blanks;
    for (name, all) in shared {
        if !all.is_empty() {
            schema[name] = Value::Object(all);
        }
    }
    let repeat = if parallel { "(\"\\n\" call)*" } else { "" };
    Form::Lark {
        grammar: format!(
            "start: call {repeat}\n\
             call: \"<tool_call>\\n\" arguments \"\\n</tool_call>\"\n\
             arguments: %json {schema}\n"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read_in_every_form() {
        let read = |v: Value| serde_json::from_value::<ToolChoice>(v);
        assert_eq!(read(json!("none")).unwrap(), ToolChoice::None);
        assert_eq!(read(json!(null)).unwrap(), ToolChoice::Auto);
        let named = json!({ "type": "function", "function": { "name": "x" } });
        assert_eq!(read(named).unwrap(), ToolChoice::Named("x".into()));
        assert!(read(json!("often")).is_err() && read(json!(3)).is_err());
    }

    #[test]
    fn wrong_tools_are_named() {
        let tool = |name: &str| json!({ "type": "function", "function": { "name": name } });
        let auto = ToolChoice::Auto;
        assert!(Tools::new(vec![tool("")], &auto, true).is_err());
        assert!(Tools::new(vec![json!({ "type": "search" })], &auto, true).is_err());
        assert!(Tools::new(vec![tool("a"); 129], &auto, true).is_err());
        let other = ToolChoice::Named("b".into());
        assert!(Tools::new(vec![tool("a")], &other, true).is_err());
        let none = Tools::new(vec![tool("a")], &ToolChoice::None, true).unwrap();
        assert!(none.definitions.is_none());
        let must = Tools::new(vec![tool("a")], &ToolChoice::Required, true).unwrap();
        assert!(must.form.is_some());
    }
}
