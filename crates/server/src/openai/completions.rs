//! `POST /v1/completions`: texts continued as they are.

use std::sync::Arc;

use axum_core::response::Response;
use moestro_engine::protocol::{GenerateRequest, Prompt, TokenLogprobs};
use moestro_text::Part;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::choices::Head;
use super::request::Common;
use super::{close, finish_reason, usage};
use crate::error::ApiError;
use crate::limits::BATCH;
use crate::model::{Api, model_id};
use crate::reply::{Bit, End, Reading, Replies, Whole};
use crate::respond::json as respond;
use crate::sse::{self, Line, Writer};
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
    max.get_or_insert(USUAL_TOKENS);
    let prompts = request.prompt.list()?;
    let echo = request.echo.unwrap_or(false);
    let echoes = echoes(&prompts, echo, request.logprobs.is_some(), choices)?;
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
                ..request.common.request(prompt.clone(), choice)?
            });
        }
    }
    let head = Head::new("cmpl-", model, request.logprobs.is_some());
    let replies = Replies::begin(api, ticket, requests, &Reading::Plain).await?;
    if streams {
        let writer = CompletionWriter {
            head,
            echoes,
            wants_usage,
            ends: Vec::new(),
        };
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

/// What stands before each answer.
fn echoes(
    prompts: &[Prompt],
    echo: bool,
    logprobs: bool,
    choices: usize,
) -> Result<Vec<String>, ApiError> {
    let text = |prompt: &Prompt| match prompt {
        _ if !echo => Ok(String::new()),
        _ if logprobs => Err(ApiError::field(
            "echo",
            "echo together with logprobs is not supported",
        )),
        Prompt::Raw { text } => Ok(text.clone()),
        _ => Err(ApiError::field("echo", "echo needs the prompt as text")),
    };
    let mut all = Vec::new();
    for prompt in prompts {
        let text = text(prompt)?;
        all.extend(std::iter::repeat_n(text, choices));
    }
    Ok(all)
}

fn whole(head: &Head, echoes: &[String], replies: &[Whole]) -> Value {
    let choice = |(i, r): (usize, &Whole)| {
        let told = head.logprobs.then(|| logprobs(&r.logprobs, 0));
        json!({
            "index": i,
            "text": format!("{}{}", echoes[i], r.content),
            "logprobs": told,
            "finish_reason": r.end.as_ref().map(finish_reason),
        })
    };
    json!({
        "id": head.id,
        "object": "text_completion",
        "created": head.created,
        "model": head.model,
        "choices": replies.iter().enumerate().map(choice).collect::<Vec<_>>(),
        "usage": usage(replies.iter().map(Whole::stats)),
    })
}

/// The older form; offsets count characters from `start` on.
fn logprobs(tokens: &[TokenLogprobs], start: usize) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut offset = start;
    let mut offsets = Vec::new();
    for token in tokens {
        offsets.push(offset);
        offset += text(&token.chosen.bytes).chars().count();
    }
    let likeliest = |t: &TokenLogprobs| -> Value {
        let pairs = t
            .likeliest
            .iter()
            .map(|l| (text(&l.bytes), json!(l.logprob)));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    json!({
        "tokens": tokens.iter().map(|t| text(&t.chosen.bytes)).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|t| t.chosen.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(likeliest).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}

struct CompletionWriter {
    head: Head,
    echoes: Vec<String>,
    wants_usage: bool,
    ends: Vec<End>,
}

impl CompletionWriter {
    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.head.id,
            "object": "text_completion",
            "created": self.head.created,
            "model": self.head.model,
            "choices": choices,
        })
    }

    fn text(&self, i: usize, text: &str, told: Value, reason: Option<&str>) -> Line {
        Line::Data(self.chunk(json!([{
            "index": i, "text": text, "logprobs": told, "finish_reason": reason }])))
    }
}

impl Writer for CompletionWriter {
    fn begin(&mut self, lines: &mut Vec<Line>) {
        for (i, echo) in self.echoes.iter().enumerate() {
            if !echo.is_empty() {
                lines.push(self.text(i, echo, Value::Null, None));
            }
        }
    }

    fn bit(&mut self, i: usize, bit: Bit, lines: &mut Vec<Line>) {
        let (parts, told, end) = match bit {
            Bit::Reading { .. } => return,
            Bit::More { parts, logprobs } => (parts, logprobs, None),
            Bit::End { parts, end } => (parts, None, Some(end)),
        };
        let content = |part: Part| match part {
            Part::Content(text) => text,
            _ => String::new(),
        };
        let text: String = parts.into_iter().map(content).collect();
        let told = told.map_or(Value::Null, |t| logprobs(std::slice::from_ref(&t), 0));
        if !text.is_empty() || !told.is_null() {
            lines.push(self.text(i, &text, told, None));
        }
        if let Some(end) = end {
            let reason = Some(finish_reason(&end));
            lines.push(self.text(i, "", Value::Null, reason));
            self.ends.push(end);
        }
    }

    fn end(&mut self, error: Option<&ApiError>, lines: &mut Vec<Line>) {
        let counts = self.wants_usage.then(|| self.chunk(json!([])));
        close(error, counts, &self.ends, lines);
    }
}
