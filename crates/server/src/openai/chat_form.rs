//! Conversations as OpenAI's clients send them, for the model's template.

use moestro_engine::protocol::{Form, Message};
use serde::Deserialize;
use serde_json::Value;

use crate::error::ApiError;
use crate::limits::MESSAGES;

/// A message of a request.
#[derive(Debug, Clone, Deserialize)]
pub struct InMessage {
    pub role: String,
    #[serde(default)]
    pub content: Content,
    #[serde(default)]
    pub reasoning_content: Option<String>,
    #[serde(default)]
    pub tool_calls: Option<Vec<Value>>,
}

/// Text, or parts of it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged)]
pub enum Content {
    #[default]
    None,
    Text(String),
    Parts(Vec<ContentPart>),
}

#[derive(Debug, Clone, Deserialize)]
pub struct ContentPart {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub text: Option<String>,
    #[serde(default)]
    pub refusal: Option<String>,
}

impl Content {
    /// Errors: a part that is no text.
    pub fn text(self) -> Result<String, ApiError> {
        let parts = match self {
            Content::None => return Ok(String::new()),
            Content::Text(text) => return Ok(text),
            Content::Parts(parts) => parts,
        };
        let text = |part: ContentPart| match (part.kind.as_str(), part.text, part.refusal) {
            ("text" | "input_text" | "output_text", Some(text), _) => Ok(text),
            ("refusal", _, Some(text)) => Ok(text),
            (kind, _, _) => Err(ApiError::field(
                "messages",
                format!("content of type {kind:?} is not understood; this server takes text"),
            )),
        };
        let texts: Result<Vec<String>, _> = parts.into_iter().map(text).collect();
        Ok(texts?.join("\n"))
    }
}

/// Messages for the template.
pub fn messages(given: Vec<InMessage>) -> Result<Vec<Message>, ApiError> {
    if given.is_empty() || given.len() > MESSAGES {
        return Err(ApiError::field(
            "messages",
            format!("a conversation needs from 1 to {MESSAGES} messages"),
        ));
    }
    given.into_iter().map(message).collect()
}

fn message(given: InMessage) -> Result<Message, ApiError> {
    let role = match given.role.as_str() {
        "system" | "developer" => "system",
        "user" => "user",
        "assistant" => "assistant",
        "tool" | "function" => "tool",
        other => {
            return Err(ApiError::field(
                "messages",
                format!("{other:?} is no role; use system, user, assistant or tool"),
            ));
        }
    };
    let calls = given.tool_calls.filter(|calls| !calls.is_empty());
    Ok(Message {
        content: given.content.text()?,
        reasoning_content: given.reasoning_content,
        tool_calls: calls.map(|calls| calls.into_iter().map(call).collect()),
        ..Message::new(role, "")
    })
}

/// Templates go through the arguments of a call, which come as a text of JSON.
fn call(mut call: Value) -> Value {
    let arguments = call.pointer_mut("/function/arguments");
    if let Some(arguments) = arguments
        && let Some(text) = arguments.as_str()
        && let Ok(parsed @ Value::Object(_)) = serde_json::from_str(text)
    {
        *arguments = parsed;
    }
    call
}

/// The form an answer must have.
#[derive(Debug, Clone, Deserialize)]
pub struct ResponseFormat {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub json_schema: Option<JsonSchema>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct JsonSchema {
    #[serde(default)]
    pub schema: Option<Value>,
}

impl ResponseFormat {
    pub fn form(self) -> Result<Option<Form>, ApiError> {
        let schema = self.json_schema.and_then(|s| s.schema);
        match (self.kind.as_str(), schema) {
            ("text", _) => Ok(None),
            ("json_object", _) => Ok(Some(Form::JsonObject)),
            ("json_schema", Some(schema @ Value::Object(_))) => {
                Ok(Some(Form::JsonSchema { schema }))
            }
            ("json_schema", _) => Err(ApiError::field(
                "response_format",
                "response_format of type json_schema needs json_schema.schema",
            )),
            (other, _) => Err(ApiError::field(
                "response_format",
                format!("{other:?} is no response format; use text, json_object or json_schema"),
            )),
        }
    }
}
