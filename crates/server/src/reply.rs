//! Replies: answers taken apart into thoughts, text and calls, one parser for each.

use std::sync::Arc;

use moestro_engine::protocol::{FinishReason, GenerateRequest, GenerationStats, TokenLogprobs};
use moestro_text::{Part, ReplyParser};
use serde_json::Value;

use crate::answers::{Answers, News};
use crate::error::ApiError;
use crate::model::Api;
use crate::tickets::Ticket;

/// What came of one of the replies.
#[derive(Debug, Clone, PartialEq)]
pub enum Bit {
    /// Its prompt of so many tokens is being read; `reused` were known.
    Reading {
        prompt: usize,
        reused: usize,
        /// Of the prompt's next tokens, if they were asked for.
        logprobs: Vec<TokenLogprobs>,
    },
    More {
        parts: Vec<Part>,
        logprobs: Option<TokenLogprobs>,
    },
    End {
        parts: Vec<Part>,
        end: End,
    },
}

/// How a reply ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    pub reason: FinishReason,
    pub stats: GenerationStats,
    /// Calls of tools in it.
    pub calls: usize,
}

/// How to understand what the model writes.
#[derive(Debug, Clone)]
pub enum Reading {
    /// As it is: a continuation of a text.
    Plain,
    /// Thoughts, and with definitions of tools also calls.
    Chat { tools: Option<Value> },
}

pub struct Replies {
    answers: Answers,
    parsers: Vec<Option<ReplyParser>>,
    /// The first bit, taken early to see whether the request is refused.
    first: Option<(usize, Bit)>,
}

impl Replies {
    /// Asks for all of them and waits until one begins or is refused.
    pub async fn begin(
        api: &Api,
        ticket: Arc<Ticket>,
        requests: Vec<GenerateRequest>,
        reading: &Reading,
    ) -> Result<Replies, ApiError> {
        let answers = Answers::ask(api, ticket, requests)?;
        let parser = |_| match reading {
            Reading::Plain => None,
            Reading::Chat { tools } => Some(ReplyParser::new(tools.clone())),
        };
        let mut replies = Replies {
            parsers: (0..answers.len()).map(parser).collect(),
            answers,
            first: None,
        };
        replies.first = replies.next().await.transpose()?;
        Ok(replies)
    }

    pub fn len(&self) -> usize {
        self.parsers.len()
    }

    /// Is there nothing more to come?
    pub fn have_ended(&self) -> bool {
        self.first.is_none() && self.answers.have_ended()
    }

    /// The next bit of any of them, with its place; `None` after all have ended.
    pub async fn next(&mut self) -> Option<Result<(usize, Bit), ApiError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let (i, news) = match self.answers.next().await? {
            Ok(news) => news,
            Err(error) => return Some(Err(error)),
        };
        let parser = &mut self.parsers[i];
        let mut parts = Vec::new();
        let bit = match news {
            News::Reading {
                prompt,
                reused,
                logprobs,
            } => Bit::Reading {
                prompt,
                reused,
                logprobs,
            },
            News::Token { text, logprobs } => {
                match parser {
                    Some(parser) => parser.push(&text, &mut parts),
                    None if text.is_empty() => {}
                    None => parts.push(Part::Content(text)),
                }
                Bit::More { parts, logprobs }
            }
            News::Finished { reason, stats } => {
                let mut calls = 0;
                if let Some(parser) = parser {
                    parser.finish(&mut parts);
                    calls = parser.calls();
                }
                let end = End {
                    reason,
                    stats,
                    calls,
                };
                Bit::End { parts, end }
            }
        };
        Some(Ok((i, bit)))
    }

    /// Waits for all of them to end.
    pub async fn whole(mut self) -> Result<Vec<Whole>, ApiError> {
        let mut wholes: Vec<Whole> = (0..self.len()).map(|_| Whole::default()).collect();
        while let Some(next) = self.next().await {
            let (i, bit) = next?;
            wholes[i].take(bit);
        }
        Ok(wholes)
    }
}

/// A complete reply.
#[derive(Debug, Default)]
pub struct Whole {
    pub reasoning: String,
    pub content: String,
    pub calls: Vec<WholeCall>,
    /// Of all tokens of the prompt, if they were asked for.
    pub prompt_logprobs: Vec<TokenLogprobs>,
    pub logprobs: Vec<TokenLogprobs>,
    pub end: Option<End>,
}

#[derive(Debug, Default)]
pub struct WholeCall {
    pub name: String,
    /// JSON.
    pub arguments: String,
}

impl Whole {
    fn take(&mut self, bit: Bit) {
        let parts = match bit {
            Bit::Reading { logprobs, .. } => {
                self.prompt_logprobs.extend(logprobs);
                return;
            }
            Bit::More { parts, logprobs } => {
                self.logprobs.extend(logprobs);
                parts
            }
            Bit::End { parts, end } => {
                self.end = Some(end);
                parts
            }
        };
        for part in parts {
            match part {
                Part::Reasoning(text) => self.reasoning.push_str(&text),
                Part::Content(text) => self.content.push_str(&text),
                Part::Call { name, .. } => self.calls.push(WholeCall {
                    name,
                    arguments: String::new(),
                }),
                Part::Arguments { index, json } => {
                    if let Some(call) = self.calls.get_mut(index) {
                        call.arguments.push_str(&json);
                    }
                }
            }
        }
    }

    pub fn stats(&self) -> GenerationStats {
        self.end
            .as_ref()
            .map(|e| e.stats.clone())
            .unwrap_or_default()
    }
}
