//! What a chat template is given.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One turn of a conversation, as chat templates expect it.
#[derive(Serialize, Deserialize, Clone, PartialEq, Debug, Default)]
pub struct Message {
    /// "system", "user", "assistant" or "tool".
    pub role: String,
    pub content: String,
    /// The thoughts before an answer, kept apart from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// A list of calls in OpenAI's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Value>,
}

impl Message {
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Message {
        Message {
            role: role.into(),
            content: content.into(),
            ..Message::default()
        }
    }
}

/// The texts of tokens that templates refer to by `bos_token` and so on.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct SpecialTokens {
    pub bos: Option<String>,
    pub eos: Option<String>,
    pub pad: Option<String>,
}

#[derive(Clone, PartialEq, Debug, Default)]
pub struct TemplateOptions {
    /// End with the opening of the assistant's turn.
    pub add_generation_prompt: bool,
    /// A list of tool definitions in OpenAI's form.
    pub tools: Option<Value>,
    /// For models that can think before answering; `None` leaves it to the template.
    pub enable_thinking: Option<bool>,
    /// Further variables of a template; the names above and `messages` win.
    pub extra: Map<String, Value>,
}
