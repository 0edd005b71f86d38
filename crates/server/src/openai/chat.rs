//! `POST /v1/chat/completions`

use std::sync::Arc;

use axum_core::response::Response;
use moestro_engine::protocol::{GenerateRequest, Message, Prompt, TemplateArguments};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::chat_form::{InMessage, ResponseFormat, messages};
use super::choices::{ChatWriter, Head, whole};
use super::request::{Common, template_variables};
use super::tools::{ToolFields, Tools};
use crate::error::ApiError;
use crate::model::{Api, model_id};
use crate::reply::{Reading, Replies};
use crate::respond::json;
use crate::sse;
use crate::tickets::Ticket;

#[derive(Debug, Deserialize)]
pub struct ChatRequest {
    pub messages: Vec<InMessage>,
    #[serde(flatten)]
    pub common: Common,
    #[serde(flatten)]
    pub tools: ToolFields,
    #[serde(default)]
    pub response_format: Option<ResponseFormat>,
    #[serde(default)]
    pub logprobs: Option<bool>,
    #[serde(default)]
    pub top_logprobs: Option<u32>,
    #[serde(default)]
    pub chat_template_kwargs: Option<Map<String, Value>>,
    #[serde(default)]
    pub reasoning_effort: Option<String>,
}

/// Most alternatives for each token, as in OpenAI's API.
const MOST_LOGPROBS: u32 = 20;

pub async fn chat(
    api: &Api,
    ticket: Arc<Ticket>,
    request: ChatRequest,
) -> Result<Response, ApiError> {
    let model = model_id(&api.present.loaded()?.model);
    let choices = request.common.choices()?;
    let (streams, usage) = (request.common.streams(), request.common.wants_usage());
    let (requests, reading) = requests(request, choices)?;
    let head = Head::new("chatcmpl-", model, requests[0].logprobs.is_some());
    let replies = Replies::begin(api, ticket, requests, &reading).await?;
    if streams {
        return Ok(sse::stream(replies, ChatWriter::new(head, choices, usage)));
    }
    let replies = replies.whole().await?;
    Ok(json(&whole(&head, &replies)))
}

/// The engine's requests for all choices, and how to read their answers.
fn requests(
    request: ChatRequest,
    choices: usize,
) -> Result<(Vec<GenerateRequest>, Reading), ApiError> {
    let tools = request.tools.check(|tool| tool, |_| false)?;
    let form = match request.response_format {
        Some(format) => format.form()?,
        None => None,
    };
    let logprobs = match (request.logprobs.unwrap_or(false), request.top_logprobs) {
        (true, top) => Some(top.unwrap_or(0)),
        (false, Some(_)) => {
            return Err(ApiError::field(
                "top_logprobs",
                "top_logprobs needs logprobs to be true",
            ));
        }
        (false, None) => None,
    };
    if logprobs.is_some_and(|n| n > MOST_LOGPROBS) {
        return Err(ApiError::field(
            "top_logprobs",
            format!("top_logprobs must be from 0 to {MOST_LOGPROBS}"),
        ));
    }
    let effort = request.reasoning_effort.as_deref();
    let chat = Chat {
        messages: messages(request.messages)?,
        tools,
        variables: template_variables(request.chat_template_kwargs, effort)?,
    };
    let prompt = chat.prompt();
    let make = |i| {
        Ok(GenerateRequest {
            form: chat.tools.form(form.clone()),
            logprobs: logprobs.map(|n| n as usize),
            ..request.common.request(prompt.clone(), i)?
        })
    };
    let requests: Result<_, ApiError> = (0..choices).map(make).collect();
    Ok((requests?, chat.reading()))
}

/// A conversation ready for the template, of whatever API.
pub struct Chat {
    pub messages: Vec<Message>,
    pub tools: Tools,
    pub variables: Map<String, Value>,
}

impl Chat {
    pub fn prompt(&self) -> Prompt {
        let mut variables = self.variables.clone();
        let thinking = variables.remove("enable_thinking");
        Prompt::Chat {
            messages: self.messages.clone(),
            template: TemplateArguments {
                tools: self.tools.definitions.clone(),
                enable_thinking: thinking.and_then(|v| v.as_bool()),
                continue_answer: false,
                variables,
            },
        }
    }

    pub fn reading(&self) -> Reading {
        Reading::Chat {
            tools: self.tools.definitions.clone(),
        }
    }
}
