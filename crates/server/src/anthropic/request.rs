//! What Anthropic's clients send, as a conversation for the model's template.

use moestro_engine::protocol::{GenerateRequest, Message, SamplingOverrides};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::error::ApiError;
use crate::limits::MESSAGES;
use crate::openai::{Chat, Common, MostTokens, Stops, ToolChoice, Tools};
use crate::reply::Reading;

#[derive(Debug, Deserialize)]
pub struct MessagesRequest {
    max_tokens: u64,
    #[serde(flatten)]
    conversation: Conversation,
    #[serde(default)]
    stop_sequences: Option<Vec<String>>,
    #[serde(default)]
    pub stream: Option<bool>,
    #[serde(default)]
    temperature: Option<f32>,
    #[serde(default)]
    top_k: Option<u32>,
    #[serde(default)]
    top_p: Option<f32>,
    #[serde(default)]
    metadata: Option<Metadata>,
}

/// What is answered, and whose tokens can be counted.
#[derive(Debug, Deserialize)]
pub struct Conversation {
    messages: Vec<InMessage>,
    #[serde(default)]
    system: Option<Blocks>,
    #[serde(default)]
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    tool_choice: Option<Choice>,
    #[serde(default)]
    thinking: Option<Thinking>,
}

#[derive(Debug, Deserialize)]
struct InMessage {
    role: String,
    content: Blocks,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Blocks {
    Text(String),
    List(Vec<Block>),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Block {
    Text {
        text: String,
    },
    Thinking {
        thinking: String,
    },
    RedactedThinking {},
    ToolUse {
        id: String,
        name: String,
        input: Value,
    },
    ToolResult {
        #[serde(default)]
        content: Option<Blocks>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Deserialize)]
struct Tool {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    input_schema: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Choice {
    Auto {
        #[serde(default)]
        disable_parallel_tool_use: bool,
    },
    Any {
        #[serde(default)]
        disable_parallel_tool_use: bool,
    },
    Tool {
        name: String,
        #[serde(default)]
        disable_parallel_tool_use: bool,
    },
    None,
}

#[derive(Debug, Deserialize)]
struct Thinking {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(default)]
    user_id: Option<String>,
}

impl Conversation {
    /// Errors: what is no text, a role or a tool that there is not.
    pub fn chat(self) -> Result<Chat, ApiError> {
        if self.messages.is_empty() || self.messages.len() > MESSAGES {
            return Err(ApiError::field(
                "messages",
                format!("a conversation needs from 1 to {MESSAGES} messages"),
            ));
        }
        let mut messages = Vec::new();
        if let Some(system) = self.system {
            messages.push(Message::new("system", system.text()?));
        }
        for message in self.messages {
            convert(message, &mut messages)?;
        }
        let (choice, one) = match self.tool_choice {
            Some(choice) => choice.resolve(),
            None => (ToolChoice::Auto, false),
        };
        let tools = self.tools.unwrap_or_default().into_iter();
        let tools = tools.filter(|tool| !tool.is_hosted()).map(Tool::openai);
        let thinks = self.thinking.map(|t| json!(t.kind != "disabled"));
        let thinking = thinks.map(|thinks| ("enable_thinking".to_string(), thinks));
        Ok(Chat {
            messages,
            tools: Tools::new(tools.collect(), &choice, !one)?,
            variables: Map::from_iter(thinking),
        })
    }
}

impl MessagesRequest {
    pub fn resolve(self) -> Result<(GenerateRequest, Reading), ApiError> {
        let chat = self.conversation.chat()?;
        let common = Common {
            sampling: SamplingOverrides {
                temperature: self.temperature,
                top_k: self.top_k,
                top_p: self.top_p,
                ..SamplingOverrides::default()
            },
            stop: Stops::Many(self.stop_sequences.unwrap_or_default()),
            max_tokens: MostTokens(Some(self.max_tokens)),
            user: self.metadata.and_then(|m| m.user_id),
            ..Common::default()
        };
        let request = GenerateRequest {
            form: chat.tools.form(None),
            ..common.request(chat.prompt(), 0)?
        };
        Ok((request, chat.reading()))
    }
}

impl Choice {
    /// The choice, and whether there may be only one call.
    fn resolve(self) -> (ToolChoice, bool) {
        match self {
            Choice::Auto {
                disable_parallel_tool_use: one,
            } => (ToolChoice::Auto, one),
            Choice::Any {
                disable_parallel_tool_use: one,
            } => (ToolChoice::Required, one),
            Choice::Tool {
                name,
                disable_parallel_tool_use: one,
            } => (ToolChoice::Named(name), one),
            Choice::None => (ToolChoice::None, false),
        }
    }
}

impl Tool {
    /// Is this a tool that Anthropic's own servers run? Agents send these beside their
    /// own; the model here is not told of them.
    fn is_hosted(&self) -> bool {
        let kind = self.kind.as_deref().unwrap_or_default();
        let hosted = [
            "web_search_",
            "web_fetch_",
            "code_execution_",
            "tool_search_",
        ];
        hosted.iter().any(|start| kind.starts_with(start))
    }

    fn openai(self) -> Value {
        json!({ "type": "function", "function": {
            "name": self.name,
            "description": self.description.unwrap_or_default(),
            "parameters": self.input_schema.unwrap_or_else(|| json!({ "type": "object" })),
        } })
    }
}

impl Blocks {
    fn text(self) -> Result<String, ApiError> {
        let blocks = match self {
            Blocks::Text(text) => return Ok(text),
            Blocks::List(blocks) => blocks,
        };
        let text = |block| match block {
            Block::Text { text } => Ok(text),
            _ => Err(not_understood()),
        };
        let texts: Result<Vec<String>, _> = blocks.into_iter().map(text).collect();
        Ok(texts?.join("\n"))
    }
}

fn not_understood() -> ApiError {
    ApiError::field(
        "messages",
        "a block of this kind is not understood; this server takes text, thinking, tool_use and \
         tool_result, and no pictures or documents",
    )
}

/// One message; results of tools become messages of their own.
fn convert(message: InMessage, messages: &mut Vec<Message>) -> Result<(), ApiError> {
    let role = match message.role.as_str() {
        role @ ("user" | "assistant" | "system") => role,
        other => {
            return Err(ApiError::field(
                "messages",
                format!("{other:?} is no role; use user or assistant"),
            ));
        }
    };
    let blocks = match message.content {
        Blocks::Text(text) => vec![Block::Text { text }],
        Blocks::List(blocks) => blocks,
    };
    let (mut texts, mut thoughts, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks {
        match block {
            Block::Text { text } => texts.push(text),
            Block::Thinking { thinking } => thoughts.push(thinking),
            Block::RedactedThinking {} => {}
            Block::Other => return Err(not_understood()),
            Block::ToolUse { id, name, input } => calls.push(json!({
                "id": id, "type": "function",
                "function": { "name": name, "arguments": input } })),
            Block::ToolResult { content } => {
                let text = content.map_or(Ok(String::new()), Blocks::text)?;
                messages.push(Message::new("tool", text));
            }
        }
    }
    if texts.is_empty() && thoughts.is_empty() && calls.is_empty() {
        return Ok(());
    }
    messages.push(Message {
        reasoning_content: (!thoughts.is_empty()).then(|| thoughts.join("\n")),
        tool_calls: (!calls.is_empty()).then_some(Value::Array(calls)),
        ..Message::new(role, texts.join("\n"))
    });
    Ok(())
}
