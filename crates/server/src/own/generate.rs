//! `POST /api/v1/generate`, as JSON or line by line, and `POST /api/v1/generate/batch`.

use std::convert::Infallible;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::response::Response;
use futures_util::stream;
use moestro_engine::protocol::{FinishReason, GenerateRequest, Message, Prompt};
use moestro_text::Part;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::limits::BATCH;
use crate::model::{Api, model_id};
use crate::openai::{Common, InMessage, messages};
use crate::reply::{Bit, End, Reading, Replies, Whole};
use crate::respond::{json as respond, with_kind};
use crate::tickets::Ticket;

#[derive(Debug, Deserialize)]
pub struct Generate {
    /// A question; put into the model's chat template unless `raw`.
    #[serde(default)]
    pub prompt: Option<String>,
    /// Or a conversation.
    #[serde(default)]
    pub messages: Option<Vec<InMessage>>,
    #[serde(flatten)]
    pub manner: Manner,
    #[serde(flatten)]
    pub common: Common,
}

#[derive(Debug, Deserialize)]
pub struct Batch {
    pub prompts: Vec<String>,
    #[serde(flatten)]
    pub manner: Manner,
    #[serde(flatten)]
    pub common: Common,
}

/// How a text becomes a prompt.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Manner {
    system: Option<String>,
    raw: bool,
}

impl Generate {
    pub fn requests(self) -> Result<(Vec<GenerateRequest>, Reading), ApiError> {
        let choices = self.common.choices()?;
        let (prompt, reading) = match (self.prompt, self.messages) {
            (Some(text), None) => self.manner.single(text),
            (None, Some(given)) => {
                let prompt = Prompt::chat(messages(given)?);
                (prompt, Reading::Chat { tools: None })
            }
            _ => return Err(ApiError::field("prompt", "give either prompt or messages")),
        };
        let requests: Result<_, _> = (0..choices)
            .map(|i| self.common.request(prompt.clone(), i))
            .collect();
        Ok((requests?, reading))
    }
}

impl Manner {
    fn single(&self, text: String) -> (Prompt, Reading) {
        if self.raw {
            return (Prompt::Raw { text }, Reading::Plain);
        }
        let system = self.system.as_deref().map(|s| Message::new("system", s));
        let messages = system.into_iter().chain([Message::new("user", text)]);
        (
            Prompt::chat(messages.collect()),
            Reading::Chat { tools: None },
        )
    }
}

pub async fn generate(
    api: &Api,
    ticket: Arc<Ticket>,
    request: Generate,
) -> Result<Response, ApiError> {
    let model = model_id(&api.present.loaded()?.model);
    let streams = request.common.streams();
    let (requests, reading) = request.requests()?;
    let replies = Replies::begin(api, ticket, requests, &reading).await?;
    if streams {
        return Ok(lines(replies));
    }
    let mut wholes = replies.whole().await?;
    let mut answer = match wholes.len() {
        1 => result(&wholes.remove(0)),
        _ => json!({ "answers": wholes.iter().map(result).collect::<Vec<_>>() }),
    };
    answer["model"] = json!(model);
    Ok(respond(&answer))
}

pub async fn batch(api: &Api, ticket: Arc<Ticket>, request: Batch) -> Result<Response, ApiError> {
    let model = model_id(&api.present.loaded()?.model);
    if request.prompts.is_empty() || request.prompts.len() > BATCH {
        return Err(ApiError::field(
            "prompts",
            format!("from 1 to {BATCH} prompts are accepted"),
        ));
    }
    let mut requests = Vec::with_capacity(request.prompts.len());
    let mut reading = Reading::Plain;
    for text in request.prompts {
        let prompt;
        (prompt, reading) = request.manner.single(text);
        requests.push(request.common.request(prompt, 0)?);
    }
    let replies = Replies::begin(api, ticket, requests, &reading).await?;
    let wholes = replies.whole().await?;
    let answers: Vec<Value> = wholes.iter().map(result).collect();
    Ok(respond(&json!({ "model": model, "answers": answers })))
}

fn result(whole: &Whole) -> Value {
    let mut result = whole.end.as_ref().map_or_else(|| json!({}), figures);
    result["text"] = json!(whole.content);
    if !whole.reasoning.is_empty() {
        result["reasoning"] = json!(whole.reasoning);
    }
    result
}

fn figures(end: &End) -> Value {
    json!({ "finish_reason": reason(end.reason), "stats": end.stats })
}

fn reason(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::MaxTokens | FinishReason::ContextFull => "length",
        FinishReason::Cancelled => "cancelled",
    }
}

/// The messages of a stream, for lines and for the WebSocket.
pub fn events(i: usize, bit: Bit) -> Vec<Value> {
    let (parts, end) = match bit {
        Bit::Reading { .. } => return Vec::new(),
        Bit::More { parts, .. } => (parts, None),
        Bit::End { parts, end } => (parts, Some(end)),
    };
    let part = |part: Part| match part {
        Part::Content(text) => Some(json!({ "type": "token", "index": i, "text": text })),
        Part::Reasoning(text) => Some(json!({ "type": "reasoning", "index": i, "text": text })),
        Part::Call { .. } | Part::Arguments { .. } => None,
    };
    let mut events: Vec<Value> = parts.into_iter().filter_map(part).collect();
    if let Some(end) = end {
        let mut done = figures(&end);
        done["type"] = json!("done");
        done["index"] = json!(i);
        events.push(done);
    }
    events
}

/// Newline-delimited JSON.
fn lines(replies: Replies) -> Response {
    let chunks = stream::unfold(Some(replies), |replies| async move {
        let mut replies = replies?;
        let next = replies.next().await?;
        let (events, rest) = match next {
            Ok((i, bit)) => (events(i, bit), Some(replies)),
            Err(error) => {
                let mut said = error.openai();
                said["type"] = json!("error");
                (vec![said], None)
            }
        };
        let text: String = events.iter().map(|e| format!("{e}\n")).collect();
        Some((Ok::<_, Infallible>(text), rest))
    });
    with_kind("application/x-ndjson", Body::from_stream(chunks))
}
