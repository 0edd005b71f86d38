//! Streams of server-sent events (HTML Living Standard, section 9.2).

use std::collections::VecDeque;
use std::convert::Infallible;

use axum_core::body::Body;
use axum_core::response::Response;
use futures_util::stream;
use hyper::http::{HeaderValue, header};
use serde_json::Value;
use tokio::time::timeout;

use crate::error::ApiError;
use crate::limits::KEEP_ALIVE;
use crate::reply::{Bit, Replies};
use crate::respond::with_kind;

/// One event to send.
pub enum Line {
    Data(Value),
    /// With the name of its kind.
    Named(&'static str, Value),
    /// What ends OpenAI's streams.
    Done,
}

/// Writes the bits of replies in the form of one API.
pub trait Writer: Send + 'static {
    fn begin(&mut self, lines: &mut Vec<Line>);
    fn bit(&mut self, i: usize, bit: Bit, lines: &mut Vec<Line>);
    /// After the last bit of all, or after what went wrong.
    fn end(&mut self, error: Option<&ApiError>, lines: &mut Vec<Line>);
}

struct State<W> {
    replies: Option<Replies>,
    writer: W,
    lines: VecDeque<Line>,
}

/// Sends the replies as they come.
pub fn stream(replies: Replies, mut writer: impl Writer) -> Response {
    let mut lines = Vec::new();
    writer.begin(&mut lines);
    let state = State {
        replies: Some(replies),
        writer,
        lines: lines.into(),
    };
    let events = stream::unfold(state, |mut state| async move {
        loop {
            if !state.lines.is_empty() {
                let text: String = state.lines.drain(..).map(event).collect();
                return Some((Ok::<_, Infallible>(text), state));
            }
            let replies = state.replies.as_mut()?;
            let mut lines = Vec::new();
            match timeout(KEEP_ALIVE, replies.next()).await {
                // A comment, so that nobody in between takes the silence for an end.
                Err(_) => return Some((Ok(":\n\n".to_string()), state)),
                Ok(Some(Ok((i, bit)))) => state.writer.bit(i, bit, &mut lines),
                Ok(Some(Err(error))) => {
                    state.writer.end(Some(&error), &mut lines);
                    state.replies = None;
                }
                Ok(None) => {
                    state.writer.end(None, &mut lines);
                    state.replies = None;
                }
            }
            state.lines.extend(lines);
        }
    });
    let mut response = with_kind("text/event-stream", Body::from_stream(events));
    let plain = HeaderValue::from_static("no-cache, no-transform");
    response.headers_mut().insert(header::CACHE_CONTROL, plain);
    response
}

/// JSON has no line feeds of its own.
fn event(line: Line) -> String {
    match line {
        Line::Data(value) => format!("data: {value}\n\n"),
        Line::Named(name, value) => format!("event: {name}\ndata: {value}\n\n"),
        Line::Done => "data: [DONE]\n\n".into(),
    }
}
