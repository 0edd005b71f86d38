//! `POST /v1/responses`, without a store: every request brings its conversation.

use std::sync::Arc;

use axum_core::response::Response;
use moestro_engine::protocol::{FinishReason, Form, GenerateRequest, GenerationStats};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::chat::Chat;
use super::chat_form::{Content, InMessage, messages};
use super::request::{Common, MostTokens, template_variables};
use super::responses_stream::ResponseWriter;
use super::tools::ToolFields;
use super::unique;
use crate::error::ApiError;
use crate::model::{Api, model_id, now};
use crate::reply::{End, Replies, Whole};
use crate::respond::json as respond;
use crate::sse;
use crate::tickets::Ticket;

#[derive(Debug, Deserialize)]
pub struct ResponsesRequest {
    pub input: Input,
    #[serde(flatten)]
    pub common: Common,
    #[serde(default)]
    pub instructions: Option<String>,
    #[serde(default)]
    pub max_output_tokens: MostTokens,
    #[serde(flatten)]
    pub tools: ToolFields,
    #[serde(default)]
    pub text: Option<TextOptions>,
    #[serde(default)]
    pub reasoning: Option<Reasoning>,
    #[serde(default)]
    pub previous_response_id: Option<String>,
    #[serde(default)]
    pub metadata: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Input {
    Text(String),
    Items(Vec<Item>),
}

#[derive(Debug, Deserialize)]
pub struct Item {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    #[serde(default)]
    role: Option<String>,
    #[serde(default)]
    content: Content,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    arguments: Option<String>,
    #[serde(default)]
    call_id: Option<String>,
    #[serde(default)]
    output: Content,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Reasoning {
    effort: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TextOptions {
    format: Option<Format>,
}

#[derive(Debug, Deserialize)]
struct Format {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    schema: Option<Value>,
}

pub async fn responses(
    api: &Api,
    ticket: Arc<Ticket>,
    request: ResponsesRequest,
) -> Result<Response, ApiError> {
    let model = model_id(&api.present.loaded()?.model);
    if request.previous_response_id.is_some() {
        return Err(ApiError::field(
            "previous_response_id",
            "responses are not stored here; send the whole conversation as input",
        ));
    }
    let streams = request.common.streams();
    let head = Head::new(model, &request);
    let (request, chat) = request.resolve()?;
    let replies = Replies::begin(api, ticket, vec![request], &chat.reading()).await?;
    if streams {
        return Ok(sse::stream(replies, ResponseWriter::new(head)));
    }
    let whole = replies.whole().await?.pop().unwrap_or_default();
    let output = output(&whole);
    let response = head.response(output, whole.end.as_ref());
    Ok(respond(&response))
}

impl ResponsesRequest {
    fn resolve(self) -> Result<(GenerateRequest, Chat), ApiError> {
        let instructions = self.instructions.map(|text| plain("system", text));
        let items = match self.input {
            Input::Text(text) => vec![plain("user", text)],
            Input::Items(items) => {
                let read: Result<Vec<_>, _> = items.into_iter().map(Item::message).collect();
                joined(read?.into_iter().flatten())
            }
        };
        let effort = self.reasoning.and_then(|r| r.effort);
        let chat = Chat {
            messages: messages(instructions.into_iter().chain(items).collect())?,
            tools: self.tools.check(nested, hosted)?,
            variables: template_variables(None, effort.as_deref())?,
        };
        let mut common = self.common;
        common.max_completion_tokens = self.max_output_tokens;
        let form = match self.text.and_then(|t| t.format) {
            Some(format) => format.form()?,
            None => None,
        };
        let request = GenerateRequest {
            form: chat.tools.form(form),
            ..common.request(chat.prompt(), 0)?
        };
        Ok((request, chat))
    }
}

fn plain(role: &str, text: String) -> InMessage {
    InMessage {
        role: role.into(),
        content: Content::Text(text),
        reasoning_content: None,
        tool_calls: None,
    }
}

/// Is this a tool that OpenAI's own servers run? Agents send these beside their own; the
/// model here is not told of them.
fn hosted(tool: &Value) -> bool {
    const KINDS: [&str; 7] = [
        "web_search",
        "web_search_preview",
        "file_search",
        "code_interpreter",
        "image_generation",
        "computer_use_preview",
        "mcp",
    ];
    tool["type"]
        .as_str()
        .is_some_and(|kind| KINDS.contains(&kind))
}

/// Here a tool's fields lie beside its type, in chats below `function`.
fn nested(tool: Value) -> Value {
    match tool.get("function") {
        Some(_) => tool,
        None => json!({ "type": tool["type"], "function": tool }),
    }
}

/// Calls of one turn come as items of their own and belong into one message.
fn joined(items: impl Iterator<Item = InMessage>) -> Vec<InMessage> {
    let mut all: Vec<InMessage> = Vec::new();
    for item in items {
        if let Some(calls) = &item.tool_calls
            && let Some(last) = all.last_mut()
            && last.role == "assistant"
        {
            let list = last.tool_calls.get_or_insert_default();
            list.extend(calls.iter().cloned());
        } else {
            all.push(item);
        }
    }
    all
}

impl Item {
    fn message(self) -> Result<Option<InMessage>, ApiError> {
        let kind = self.kind.as_deref().unwrap_or("message");
        match kind {
            "message" => Ok(Some(InMessage {
                role: self.role.unwrap_or_default(),
                content: self.content,
                reasoning_content: None,
                tool_calls: None,
            })),
            "function_call" => {
                let call = json!({ "id": self.call_id, "type": "function", "function": {
                    "name": self.name, "arguments": self.arguments } });
                Ok(Some(InMessage {
                    tool_calls: Some(vec![call]),
                    ..plain("assistant", String::new())
                }))
            }
            "function_call_output" => Ok(Some(plain("tool", self.output.text()?))),
            "reasoning" => Ok(None),
            other => Err(ApiError::field(
                "input",
                format!("items of type {other:?} are not understood"),
            )),
        }
    }
}

impl Format {
    fn form(self) -> Result<Option<Form>, ApiError> {
        match (self.kind.as_str(), self.schema) {
            ("text", _) => Ok(None),
            ("json_object", _) => Ok(Some(Form::JsonObject)),
            ("json_schema", Some(schema @ Value::Object(_))) => {
                Ok(Some(Form::JsonSchema { schema }))
            }
            _ => Err(ApiError::field(
                "text",
                "text.format must be text, json_object, or json_schema with a schema",
            )),
        }
    }
}

/// What is the same at the beginning and the end of a response.
pub struct Head {
    id: String,
    created: u64,
    model: String,
    instructions: Option<String>,
    max_output_tokens: Option<u64>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    tools: Vec<Value>,
    metadata: Map<String, Value>,
}

impl Head {
    fn new(model: String, request: &ResponsesRequest) -> Head {
        Head {
            id: unique("resp_"),
            created: now(),
            model,
            instructions: request.instructions.clone(),
            max_output_tokens: request.max_output_tokens.0.filter(|n| *n < u64::MAX),
            temperature: request.common.sampling.temperature,
            top_p: request.common.sampling.top_p,
            tools: {
                let given = request.tools.given().iter();
                given.filter(|tool| !hosted(tool)).cloned().collect()
            },
            metadata: request.metadata.clone().unwrap_or_default(),
        }
    }

    /// The response with what there is of it; without an end it is in progress.
    pub fn response(&self, output: Vec<Value>, end: Option<&End>) -> Value {
        let cut = end.is_some_and(|e| {
            matches!(
                e.reason,
                FinishReason::MaxTokens | FinishReason::ContextFull
            )
        });
        let status = match end {
            None => "in_progress",
            Some(_) if cut => "incomplete",
            Some(_) => "completed",
        };
        let details = cut.then(|| json!({ "reason": "max_output_tokens" }));
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": null,
            "incomplete_details": details,
            "instructions": self.instructions,
            "max_output_tokens": self.max_output_tokens,
            "model": self.model,
            "output": output,
            "parallel_tool_calls": true,
            "previous_response_id": null,
            "store": false,
            "temperature": self.temperature,
            "text": { "format": { "type": "text" } },
            "tool_choice": "auto",
            "tools": self.tools,
            "top_p": self.top_p,
            "truncation": "disabled",
            "usage": end.map(|e| usage(&e.stats)),
            "metadata": self.metadata,
        })
    }
}

fn usage(stats: &GenerationStats) -> Value {
    json!({
        "input_tokens": stats.prompt_tokens,
        "input_tokens_details": { "cached_tokens": stats.reused_tokens },
        "output_tokens": stats.generated_tokens,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": stats.prompt_tokens + stats.generated_tokens,
    })
}

pub fn reasoning_item(id: &str, text: &str, status: &str) -> Value {
    json!({ "id": id, "type": "reasoning", "summary": [], "status": status,
        "content": [{ "type": "reasoning_text", "text": text }] })
}

pub fn message_item(id: &str, text: &str, status: &str) -> Value {
    let content = match status {
        "in_progress" => json!([]),
        _ => json!([output_text(text)]),
    };
    json!({ "id": id, "type": "message", "status": status, "role": "assistant",
        "content": content })
}

pub fn output_text(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

pub fn call_item(id: &str, call_id: &str, name: &str, arguments: &str, status: &str) -> Value {
    json!({ "id": id, "type": "function_call", "status": status, "call_id": call_id,
        "name": name, "arguments": arguments })
}

fn output(whole: &Whole) -> Vec<Value> {
    let mut items = Vec::new();
    if !whole.reasoning.is_empty() {
        items.push(reasoning_item(
            &unique("rs_"),
            &whole.reasoning,
            "completed",
        ));
    }
    if !whole.content.is_empty() || whole.calls.is_empty() {
        items.push(message_item(&unique("msg_"), &whole.content, "completed"));
    }
    items.extend(whole.calls.iter().map(|c| {
        call_item(
            &unique("fc_"),
            &unique("call_"),
            &c.name,
            &c.arguments,
            "completed",
        )
    }));
    items
}
