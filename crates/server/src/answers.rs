//! Answers asked of the engine, as they come. Dropping them, as happens when a
//! client goes away, cancels what is still under way.

use std::sync::Arc;

use moestro_engine::protocol::{
    Command, Event, FinishReason, GenerateRequest, GenerationStats, TokenLogprobs,
};
use moestro_engine::{Listener, Remote};
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::Instant;

use crate::error::ApiError;
use crate::model::{Api, ended};
use crate::tickets::Ticket;

/// What happened to one of the answers.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// Its prompt of so many tokens is being read; `reused` were known.
    Reading {
        prompt: usize,
        reused: usize,
        /// Of the prompt's next tokens, if they were asked for.
        logprobs: Vec<TokenLogprobs>,
    },
    Token {
        text: String,
        logprobs: Option<TokenLogprobs>,
    },
    Finished {
        reason: FinishReason,
        stats: GenerationStats,
    },
}

pub struct Answers {
    events: mpsc::UnboundedReceiver<(usize, Event)>,
    /// The number of each in the engine, until it has ended.
    numbers: Vec<Option<u64>>,
    remote: Remote,
    ticket: Arc<Ticket>,
    deadline: Instant,
    seconds: u64,
    ending: watch::Receiver<bool>,
    /// Their places in the queue.
    _places: OwnedSemaphorePermit,
}

impl Answers {
    /// Puts all requests into the queue, or none if they have no room there.
    pub fn ask(
        api: &Api,
        ticket: Arc<Ticket>,
        requests: Vec<GenerateRequest>,
    ) -> Result<Answers, ApiError> {
        api.present.loaded()?;
        let places = api.places.clone();
        let Ok(places) = places.try_acquire_many_owned(requests.len() as u32) else {
            api.metrics.turned_away();
            return Err(ApiError::busy());
        };
        let (sender, events) = mpsc::unbounded_channel();
        let timeout = api.rules.timeout;
        let mut answers = Answers {
            events,
            numbers: Vec::with_capacity(requests.len()),
            remote: api.remote.clone(),
            ticket,
            deadline: Instant::now() + timeout,
            seconds: timeout.as_secs(),
            ending: api.ending.clone(),
            _places: places,
        };
        for (i, request) in requests.into_iter().enumerate() {
            let sender = sender.clone();
            let listener: Listener = Arc::new(move |event| drop(sender.send((i, event))));
            let number = api
                .remote
                .ask(|id| Command::Generate { id, request }, listener)
                .ok_or_else(ApiError::gone)?;
            answers.numbers.push(Some(number));
        }
        Ok(answers)
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Is there nothing more to come?
    pub fn have_ended(&self) -> bool {
        self.numbers.iter().all(Option::is_none)
    }

    /// The next news of any of them, with its place; `None` after all have ended.
    /// An error ends them all.
    pub async fn next(&mut self) -> Option<Result<(usize, News), ApiError>> {
        loop {
            if self.have_ended() {
                return None;
            }
            let event = tokio::select! {
                event = self.events.recv() => event,
                () = tokio::time::sleep_until(self.deadline) => {
                    return Some(Err(self.give_up(ApiError::too_slow(self.seconds))));
                }
                () = ended(&mut self.ending) => {
                    return Some(Err(self.give_up(ApiError::ending())));
                }
            };
            let Some((i, event)) = event else {
                return Some(Err(self.give_up(ApiError::gone())));
            };
            let news = match event {
                Event::PrefillProgress {
                    total,
                    reused,
                    logprobs,
                    ..
                } => News::Reading {
                    prompt: total,
                    reused,
                    logprobs,
                },
                Event::Token { text, logprobs, .. } => {
                    self.ticket.first_token();
                    News::Token { text, logprobs }
                }
                Event::Finished { reason, stats, .. } => {
                    self.numbers[i] = None;
                    self.ticket.answered(&stats);
                    if reason == FinishReason::Cancelled {
                        return Some(Err(self.give_up(ApiError::ending())));
                    }
                    News::Finished { reason, stats }
                }
                Event::Failed { failure, .. } => {
                    self.numbers[i] = None;
                    return Some(Err(self.give_up(failure.into())));
                }
                _ => continue,
            };
            return Some(Ok((i, news)));
        }
    }

    fn give_up(&mut self, error: ApiError) -> ApiError {
        for number in &mut self.numbers {
            if let Some(id) = number.take() {
                self.remote.send(Command::Cancel { id });
            }
        }
        error
    }
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.give_up(ApiError::ending());
    }
}
