//! Anthropic's `POST /v1/messages` and `POST /v1/messages/count_tokens`.

mod request;
mod stream;

use std::sync::Arc;

use axum_core::response::Response;
use moestro_engine::protocol::{Command, Event, FinishReason, GenerationStats};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::model::{Api, model_id};
use crate::openai::unique;
use crate::reply::{End, Replies, Whole};
use crate::respond::json as respond;
use crate::sse;
use crate::tickets::Ticket;
pub use request::{Conversation, MessagesRequest};

pub async fn messages(
    api: &Api,
    ticket: Arc<Ticket>,
    request: MessagesRequest,
) -> Result<Response, ApiError> {
    let model = model_id(&api.present.loaded()?.model);
    let streams = request.stream.unwrap_or(false);
    let (request, reading) = request.resolve()?;
    let replies = Replies::begin(api, ticket, vec![request], &reading).await?;
    if streams {
        return Ok(sse::stream(replies, stream::MessageWriter::new(model)));
    }
    let whole = replies.whole().await?.pop().unwrap_or_default();
    Ok(respond(&message(&model, &whole)))
}

/// How long the prompt would be, in tokens. Agents ask before they send it.
pub async fn count_tokens(api: &Api, request: Conversation) -> Result<Response, ApiError> {
    api.present.loaded()?;
    let prompts = vec![request.chat()?.prompt()];
    match api.ask(|id| Command::Count { id, prompts }).await? {
        Event::Counted { tokens, .. } => {
            let all: usize = tokens.iter().sum();
            Ok(respond(&json!({ "input_tokens": all })))
        }
        _ => Err(ApiError::gone()),
    }
}

fn message(model: &str, whole: &Whole) -> Value {
    let mut content = Vec::new();
    if !whole.reasoning.is_empty() {
        content.push(json!({ "type": "thinking", "thinking": whole.reasoning,
            "signature": "" }));
    }
    if !whole.content.is_empty() || whole.calls.is_empty() {
        content.push(json!({ "type": "text", "text": whole.content }));
    }
    for call in &whole.calls {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!({}));
        content.push(json!({ "type": "tool_use", "id": unique("toolu_"),
            "name": call.name, "input": input }));
    }
    let (reason, stop) = whole
        .end
        .as_ref()
        .map_or((Value::Null, Value::Null), stop_reason);
    json!({
        "id": unique("msg_"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": stop,
        "usage": usage(&whole.stats()),
    })
}

/// Why a message ended, and the stop text that ended it.
fn stop_reason(end: &End) -> (Value, Value) {
    match (&end.stats.stopped_by, end.reason) {
        _ if end.calls > 0 => (json!("tool_use"), Value::Null),
        (Some(stop), _) => (json!("stop_sequence"), json!(stop)),
        (None, FinishReason::MaxTokens) => (json!("max_tokens"), Value::Null),
        (None, FinishReason::ContextFull) => (json!("model_context_window_exceeded"), Value::Null),
        (None, FinishReason::Stop | FinishReason::Cancelled) => (json!("end_turn"), Value::Null),
    }
}

fn usage(stats: &GenerationStats) -> Value {
    json!({
        "input_tokens": stats.prompt_tokens - stats.reused_tokens,
        "cache_read_input_tokens": stats.reused_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": stats.generated_tokens,
    })
}
