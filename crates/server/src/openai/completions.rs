//! `POST /v1/completions`: texts continued as they are.

use std::sync::Arc;

use axum_core::response::Response;
use moestro_engine::protocol::{GenerateRequest, Prompt};
use serde::Deserialize;

use super::choices::Head;
use super::completions_form::{CompletionWriter, Echo, whole};
use super::request::Common;
use crate::error::ApiError;
use crate::limits::BATCH;
use crate::model::{Api, model_id};
use crate::reply::{Reading, Replies};
use crate::respond::json as respond;
use crate::sse;
use crate::tickets::Ticket;

#[derive(Debug, Deserialize)]
pub struct CompletionRequest {
    pub prompt: Prompts,
    #[serde(flatten)]
    pub common: Common,
    #[serde(default)]
    pub echo: Option<bool>,
    #[serde(default)]
    pub logprobs: Option<u32>,
}

/// Texts or tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Prompts {
    Text(String),
    Texts(Vec<String>),
    Tokens(Vec<u32>),
    ManyTokens(Vec<Vec<u32>>),
}

const MOST_LOGPROBS: u32 = 5;
/// As OpenAI's API when nothing is said.
const USUAL_TOKENS: u64 = 16;

pub async fn completions(
    api: &Api,
    ticket: Arc<Ticket>,
    mut request: CompletionRequest,
) -> Result<Response, ApiError> {
    let model = model_id(&api.present.loaded()?.model);
    let choices = request.common.choices()?;
    let (streams, wants_usage) = (request.common.streams(), request.common.wants_usage());
    if request.logprobs.is_some_and(|n| n > MOST_LOGPROBS) {
        return Err(ApiError::field(
            "logprobs",
            format!("logprobs must be from 0 to {MOST_LOGPROBS}"),
        ));
    }
    let max = &mut request.common.max_tokens;
    max.0.get_or_insert(USUAL_TOKENS);
    let prompts = request.prompt.list()?;
    let wanted = request.echo.unwrap_or(false);
    let told = wanted && request.logprobs.is_some();
    let mut echoes = Vec::with_capacity(prompts.len() * choices);
    for prompt in &prompts {
        let echo = wanted.then(|| Echo::of(prompt, told)).transpose()?;
        echoes.extend(std::iter::repeat_n(echo, choices));
    }
    if prompts.len() * choices > BATCH {
        return Err(ApiError::field(
            "prompt",
            format!("at most {BATCH} answers are written for one request"),
        ));
    }
    let mut requests = Vec::with_capacity(prompts.len() * choices);
    for prompt in prompts {
        for choice in 0..choices {
            requests.push(GenerateRequest {
                logprobs: request.logprobs.map(|n| n as usize),
                prompt_logprobs: told,
                ..request.common.request(prompt.clone(), choice)?
            });
        }
    }
    let head = Head::new("cmpl-", model, request.logprobs.is_some());
    let replies = Replies::begin(api, ticket, requests, &Reading::Plain).await?;
    if streams {
        let writer = CompletionWriter::new(head, echoes, wants_usage);
        return Ok(sse::stream(replies, writer));
    }
    let replies = replies.whole().await?;
    Ok(respond(&whole(&head, &echoes, &replies)))
}

impl Prompts {
    fn list(self) -> Result<Vec<Prompt>, ApiError> {
        let raw = |text| Prompt::Raw { text };
        let tokens = |ids| Prompt::Tokens { ids };
        let list: Vec<Prompt> = match self {
            Prompts::Text(text) => vec![raw(text)],
            Prompts::Texts(texts) => texts.into_iter().map(raw).collect(),
            Prompts::Tokens(ids) => vec![tokens(ids)],
            Prompts::ManyTokens(lists) => lists.into_iter().map(tokens).collect(),
        };
        match list.len() {
            1..=BATCH => Ok(list),
            n => Err(ApiError::field(
                "prompt",
                format!("{n} prompts were given; from 1 to {BATCH} are accepted"),
            )),
        }
    }
}
