//! Prompts become tokens, and forms grammars, on threads beside the engine's, so that
//! none of them keeps running answers waiting.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::Order;
use crate::error::{EngineError, Result};
use crate::generation::{Generation, tokenize};
use crate::protocol::{Event, GenerateRequest, Prompt};
use crate::text_assets::TextAssets;

/// Bytes of a prompt that are tokens at once.
const SHORT: usize = 64 << 10;

#[expect(clippy::large_enum_variant, reason = "each is sent once")]
enum Job {
    Answer(Answer),
    /// Count the tokens of these prompts for the command of this id.
    Count(u64, Arc<TextAssets>, Vec<Prompt>),
}

/// An answer to prepare.
struct Answer {
    /// Given back with what came of it.
    number: u64,
    text: Arc<TextAssets>,
    request: GenerateRequest,
}

/// An answer that can begin, or why it cannot.
pub struct Ready {
    number: u64,
    pub client: String,
    pub generation: Result<Generation>,
}

/// Two threads: what may take long does not keep the rest waiting. Of the short ones
/// the first that comes is ready first.
pub struct Preparation {
    short: Sender<Job>,
    long: Sender<Job>,
    /// The answers being prepared: the numbers of their jobs and their own.
    under_way: BTreeMap<u64, u64>,
    jobs: u64,
}

impl Preparation {
    /// What is ready goes to `orders`.
    pub fn start(orders: &Sender<Order>) -> Preparation {
        Preparation {
            short: start("prompts", orders.clone()),
            long: start("long prompts", orders.clone()),
            under_way: BTreeMap::new(),
            jobs: 0,
        }
    }

    /// Has the answer `id` prepared.
    ///
    /// Errors: its thread is gone.
    pub fn begin(
        &mut self,
        id: u64,
        text: Arc<TextAssets>,
        request: GenerateRequest,
    ) -> Result<()> {
        let thread = match takes_long(&request) {
            true => &self.long,
            false => &self.short,
        };
        self.jobs += 1;
        let number = self.jobs;
        let job = Job::Answer(Answer {
            number,
            text,
            request,
        });
        thread.send(job).map_err(gone)?;
        self.under_way.insert(number, id);
        Ok(())
    }

    /// Has the tokens of prompts counted.
    ///
    /// Errors: the thread is gone.
    pub fn count(&self, id: u64, text: Arc<TextAssets>, prompts: Vec<Prompt>) -> Result<()> {
        // Answers go first: a count can wait.
        self.long.send(Job::Count(id, text, prompts)).map_err(gone)
    }

    /// Whose answer this is, unless it was ended meanwhile, with its model.
    pub fn whose(&mut self, ready: &Ready) -> Option<u64> {
        self.under_way.remove(&ready.number)
    }

    /// Lets go of all answers.
    pub fn end_all(&mut self) -> impl Iterator<Item = u64> + use<> {
        std::mem::take(&mut self.under_way).into_values()
    }

    /// How many answers are being prepared.
    pub fn under_way(&self) -> usize {
        self.under_way.len()
    }
}

fn gone<T>(_: T) -> EngineError {
    EngineError::Request("the threads for prompts have ended".into())
}

fn start(name: &str, orders: Sender<Order>) -> Sender<Job> {
    let (sender, jobs) = channel();
    std::thread::Builder::new()
        .name(name.into())
        .spawn(move || prepare(&jobs, &orders))
        .expect("the system can start a thread");
    sender
}

fn prepare(jobs: &Receiver<Job>, orders: &Sender<Order>) {
    while let Ok(job) = jobs.recv() {
        let order = match job {
            Job::Answer(job) => Order::Ready(Box::new(Ready {
                number: job.number,
                generation: survive(|| Generation::prepare(&job.text, &job.request)),
                client: job.request.client,
            })),
            Job::Count(id, text, prompts) => {
                let count = |prompt| tokenize(&text, prompt).map(|(tokens, _)| tokens.len());
                let counted = survive(|| prompts.iter().map(count).collect());
                let event = |tokens| Event::Counted { id, tokens };
                Order::Counted(id, counted.map_or_else(|error| error.event(id), event))
            }
        };
        if orders.send(order).is_err() {
            return;
        }
    }
}

/// A fault of one prompt is not the end of all.
fn survive<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    let fault = || EngineError::Request("the prompt could not be prepared".into());
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(fault()))
}

fn takes_long(request: &GenerateRequest) -> bool {
    let bytes = match &request.prompt {
        Prompt::Chat { messages, .. } => messages.iter().map(|m| m.content.len()).sum(),
        Prompt::Raw { text } => text.len(),
        Prompt::Tokens { .. } => 0,
    };
    request.form.is_some() || bytes > SHORT
}
