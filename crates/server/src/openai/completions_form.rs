//! Completions as clients get them, whole or as a stream: with the prompt before the
//! answer and the probabilities of both, if they were asked for.

use moestro_engine::protocol::{Prompt, TokenLogprobs};
use moestro_text::Part;
use serde_json::{Map, Value, json};

use super::choices::Head;
use super::{close, finish_reason, usage};
use crate::error::ApiError;
use crate::reply::{Bit, End, Whole};
use crate::sse::{Line, Writer};

/// A prompt that stands before its answer.
#[derive(Debug, Clone)]
pub struct Echo {
    /// Of a prompt that came as tokens the text comes from them.
    text: Option<String>,
    /// Are the probabilities of its tokens told?
    told: bool,
}

impl Echo {
    /// Errors: tokens whose text nobody tells.
    pub fn of(prompt: &Prompt, told: bool) -> Result<Echo, ApiError> {
        let text = match prompt {
            Prompt::Raw { text } => Some(text.clone()),
            _ if told => None,
            _ => {
                let said = "echo needs the prompt as text, or logprobs beside it";
                return Err(ApiError::field("echo", said));
            }
        };
        Ok(Echo { text, told })
    }

    fn text(&self, tokens: &[TokenLogprobs]) -> String {
        self.text.clone().unwrap_or_else(|| {
            let bytes = tokens.iter().flat_map(|t| t.chosen.bytes.iter().copied());
            String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
        })
    }
}

/// A response that is complete; every choice has its echo.
pub fn whole(head: &Head, echoes: &[Option<Echo>], replies: &[Whole]) -> Value {
    let choice = |(i, r): (usize, &Whole)| {
        let echo = echoes[i].as_ref();
        let before = echo.map_or_else(String::new, |e| e.text(&r.prompt_logprobs));
        let told = head.logprobs.then(|| {
            let prompt = r.prompt_logprobs.len();
            let all = [&r.prompt_logprobs[..], &r.logprobs[..]].concat();
            logprobs(&all, prompt > 0, &mut 0)
        });
        json!({
            "index": i,
            "text": before + &r.content,
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

/// The older form. `offset` counts characters from the beginning of the choice. The
/// first token of a prompt has nothing before it, and so no probability.
fn logprobs(tokens: &[TokenLogprobs], is_beginning: bool, offset: &mut usize) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut offsets = Vec::with_capacity(tokens.len());
    for token in tokens {
        offsets.push(*offset);
        *offset += text(&token.chosen.bytes).chars().count();
    }
    let likeliest = |t: &TokenLogprobs| -> Value {
        let likeliest = t.likeliest.iter();
        let pairs = likeliest.map(|l| (text(&l.bytes), json!(l.logprob)));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    let list = |of: &dyn Fn(&TokenLogprobs) -> Value| -> Vec<Value> {
        let known = |(i, t)| {
            if is_beginning && i == 0 {
                Value::Null
            } else {
                of(t)
            }
        };
        tokens.iter().enumerate().map(known).collect()
    };
    json!({
        "tokens": tokens.iter().map(|t| text(&t.chosen.bytes)).collect::<Vec<_>>(),
        "token_logprobs": list(&|t| json!(t.chosen.logprob)),
        "top_logprobs": list(&likeliest),
        "text_offset": offsets,
    })
}

/// A response as it comes.
pub struct CompletionWriter {
    head: Head,
    choices: Vec<Choice>,
    wants_usage: bool,
    ends: Vec<End>,
}

struct Choice {
    /// Until it was sent.
    echo: Option<Echo>,
    prompt: Vec<TokenLogprobs>,
    /// Characters sent with their probabilities.
    offset: usize,
}

impl CompletionWriter {
    pub fn new(head: Head, echoes: Vec<Option<Echo>>, wants_usage: bool) -> CompletionWriter {
        let choice = |echo| Choice {
            echo,
            prompt: Vec::new(),
            offset: 0,
        };
        CompletionWriter {
            head,
            choices: echoes.into_iter().map(choice).collect(),
            wants_usage,
            ends: Vec::new(),
        }
    }

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

    /// Sends the prompt, whose probabilities are complete.
    fn echo(&mut self, i: usize, lines: &mut Vec<Line>) {
        let choice = &mut self.choices[i];
        let Some(echo) = choice.echo.take() else {
            return;
        };
        let tokens = std::mem::take(&mut choice.prompt);
        let text = echo.text(&tokens);
        let told = match echo.told {
            true => logprobs(&tokens, true, &mut choice.offset),
            false => Value::Null,
        };
        if !text.is_empty() {
            lines.push(self.text(i, &text, told, None));
        }
    }
}

impl Writer for CompletionWriter {
    fn begin(&mut self, lines: &mut Vec<Line>) {
        for i in 0..self.choices.len() {
            if self.choices[i].echo.as_ref().is_some_and(|echo| !echo.told) {
                self.echo(i, lines);
            }
        }
    }

    fn bit(&mut self, i: usize, bit: Bit, lines: &mut Vec<Line>) {
        let (parts, told, end) = match bit {
            Bit::Reading { logprobs, .. } => {
                self.choices[i].prompt.extend(logprobs);
                return;
            }
            Bit::More { parts, logprobs } => (parts, logprobs, None),
            Bit::End { parts, end } => (parts, None, Some(end)),
        };
        self.echo(i, lines);
        let content = |part: Part| match part {
            Part::Content(text) => text,
            _ => String::new(),
        };
        let text: String = parts.into_iter().map(content).collect();
        let offset = &mut self.choices[i].offset;
        let told = told.map_or(Value::Null, |t| {
            logprobs(std::slice::from_ref(&t), false, offset)
        });
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
