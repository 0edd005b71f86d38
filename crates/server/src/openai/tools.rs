//! Tools that a model may call, and whether it must.

use moestro_engine::protocol::Form;
use serde::Deserialize;
use serde_json::Value;

use super::call_grammar::{free_with_calls, only_calls};
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

/// What a request says of tools.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ToolFields {
    tools: Option<Vec<Value>>,
    tool_choice: Option<ToolChoice>,
    parallel_tool_calls: Option<bool>,
}

impl ToolFields {
    /// The definitions as they came.
    pub fn given(&self) -> &[Value] {
        self.tools.as_deref().unwrap_or_default()
    }

    /// `read` puts a definition into the form of chats; those that are `left_out` are
    /// never called.
    pub fn check(
        self,
        read: impl Fn(Value) -> Value,
        left_out: impl Fn(&Value) -> bool,
    ) -> Result<Tools, ApiError> {
        let tools = self.tools.unwrap_or_default().into_iter();
        let tools = tools.filter(|tool| !left_out(tool)).map(read);
        let choice = self.tool_choice.unwrap_or_default();
        let parallel = self.parallel_tool_calls.unwrap_or(true);
        Tools::new(tools.collect(), &choice, parallel)
    }
}

/// Checked definitions.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    /// In OpenAI's form, as templates expect them; `None` without any.
    pub definitions: Option<Value>,
    /// What the answer must look like for the choice to be kept.
    calls: Option<Form>,
    /// What its calls must look like if it has any.
    free: Option<Form>,
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
        let any = !tools.is_empty();
        Ok(Tools {
            calls: must.then(|| only_calls(&chosen, parallel)),
            free: any.then(|| free_with_calls(&tools, parallel)),
            definitions: any.then_some(Value::Array(tools)),
        })
    }

    /// What the answer is held to, beside the form that the request asks for.
    pub fn form(&self, asked: Option<Form>) -> Option<Form> {
        self.calls.clone().or(asked).or_else(|| self.free.clone())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        assert!(matches!(must.form(None), Some(Form::Lark { .. })));
        let free = Tools::new(vec![tool("a")], &auto, true).unwrap();
        assert!(matches!(free.form(None), Some(Form::Calls { .. })));
        let asked = free.form(Some(Form::JsonObject));
        assert!(matches!(asked, Some(Form::JsonObject)));
    }
}
