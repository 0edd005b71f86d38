//! Writes answers down while the engine gives them, on a thread of its own: a slow disk
//! holds up neither the engine nor the window, and a killed window loses at most what
//! came since the last save.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use moestro_chats::{ChatsError, End, Ending, Figures, MessageState};
use moestro_engine::protocol::{Event, FailureKind, FinishReason, GenerationStats};

use super::{ChatError, Chats};
use crate::events::DesktopEvent;

/// Between two saves of what has come. The promise is two seconds; a save takes time.
const SAVE_EVERY: Duration = Duration::from_millis(1000);

/// The way to the recording thread.
pub struct Recorder {
    news: Sender<News>,
}

enum News {
    /// The engine's answer of this number is that message.
    Begin {
        id: u64,
        message: i64,
    },
    Text {
        id: u64,
        text: String,
    },
    End {
        id: u64,
        ending: Ending,
    },
    /// The engine is gone, and with it every answer.
    Gone,
}

impl Recorder {
    /// `problem` is told when an answer cannot be saved, once for each.
    pub fn start(chats: Chats, problem: impl Fn(String) + Send + 'static) -> Recorder {
        let (news, arriving) = channel();
        let recording = Recording {
            chats,
            problem: Box::new(problem),
            running: HashMap::new(),
        };
        std::thread::Builder::new()
            .name("chats".into())
            .spawn(move || recording.run(&arriving))
            .expect("the system can start a thread");
        Recorder { news }
    }

    /// Must be told before the engine is asked.
    pub fn begin(&self, id: u64, message: i64) {
        self.tell(News::Begin { id, message });
    }

    /// The engine was never asked.
    pub fn fail(&self, id: u64, failure: String) {
        let ending = failed(MessageState::Failed, Some(failure));
        self.tell(News::End { id, ending });
    }

    /// Hears everything that the window hears.
    pub fn hear(&self, event: &DesktopEvent) {
        let news = match event {
            DesktopEvent::EngineExited { .. } => News::Gone,
            DesktopEvent::Engine { event } => match event {
                Event::Token { id, text, .. } => News::Text {
                    id: *id,
                    text: text.clone(),
                },
                Event::Finished { id, reason, stats } => News::End {
                    id: *id,
                    ending: finished(*reason, stats),
                },
                Event::Failed {
                    id: Some(id),
                    failure,
                } => News::End {
                    id: *id,
                    ending: match failure.kind {
                        FailureKind::Cancelled => failed(MessageState::Stopped, None),
                        _ => failed(MessageState::Failed, Some(failure.message.clone())),
                    },
                },
                _ => return,
            },
            _ => return,
        };
        self.tell(news);
    }

    fn tell(&self, news: News) {
        // The thread ends with the application only.
        let _ = self.news.send(news);
    }
}

struct Recording {
    chats: Chats,
    problem: Box<dyn Fn(String) + Send>,
    running: HashMap<u64, Running>,
}

struct Running {
    message: i64,
    /// What came since the last save.
    unsaved: String,
    due: Instant,
    /// What became of it, until that is saved, too.
    ending: Option<Ending>,
    /// The person knows that it cannot be saved.
    told: bool,
}

impl Recording {
    fn run(mut self, arriving: &Receiver<News>) {
        loop {
            let due = self
                .running
                .values()
                .filter(|running| running.has_news())
                .map(|running| running.due.saturating_duration_since(Instant::now()))
                .min();
            let news = match due {
                Some(due) => arriving.recv_timeout(due),
                None => arriving.recv().map_err(RecvTimeoutError::from),
            };
            match news {
                Ok(news) => self.learn(news),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.save_what_is_due();
        }
    }

    fn learn(&mut self, news: News) {
        match news {
            News::Begin { id, message } => {
                let running = Running {
                    message,
                    unsaved: String::new(),
                    due: Instant::now() + SAVE_EVERY,
                    ending: None,
                    told: false,
                };
                self.running.insert(id, running);
            }
            News::Text { id, text } => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.unsaved.push_str(&text);
                }
            }
            News::End { id, ending } => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.end(ending);
                }
            }
            News::Gone => {
                for running in self.running.values_mut() {
                    running.end(failed(MessageState::Interrupted, None));
                }
            }
        }
    }

    fn save_what_is_due(&mut self) {
        let now = Instant::now();
        self.running.retain(|_, running| {
            if running.due > now || !running.has_news() {
                return true;
            }
            running.due = now + SAVE_EVERY;
            let (message, text) = (running.message, running.unsaved.as_str());
            let saved = self.chats.with(|store| match &running.ending {
                Some(ending) => store.finish(message, text, ending),
                None => store.grow(message, text),
            });
            match saved {
                Ok(()) => {
                    running.unsaved.clear();
                    running.ending.is_none()
                }
                Err(error) => {
                    if !running.told {
                        running.told = true;
                        (self.problem)(format!("The answer could not be saved: {error}"));
                    }
                    // What is not there any more needs no saving; all else is tried again.
                    !matches!(error, ChatError::Chats(ChatsError::NoMessage))
                }
            }
        });
    }
}

impl Running {
    fn has_news(&self) -> bool {
        !self.unsaved.is_empty() || self.ending.is_some()
    }

    /// The end is saved at once.
    fn end(&mut self, ending: Ending) {
        if self.ending.is_none() {
            self.ending = Some(ending);
            self.due = Instant::now();
        }
    }
}

fn failed(state: MessageState, failure: Option<String>) -> Ending {
    Ending {
        state,
        end: None,
        figures: None,
        failure,
    }
}

fn finished(reason: FinishReason, stats: &GenerationStats) -> Ending {
    let (state, end) = match reason {
        FinishReason::Stop => (MessageState::Done, Some(End::Stop)),
        FinishReason::MaxTokens => (MessageState::Done, Some(End::MaxTokens)),
        FinishReason::ContextFull => (MessageState::Done, Some(End::ContextFull)),
        FinishReason::Cancelled => (MessageState::Stopped, None),
    };
    Ending {
        state,
        end,
        figures: Some(Figures {
            prompt_tokens: stats.prompt_tokens as u64,
            reused_tokens: stats.reused_tokens as u64,
            generated_tokens: stats.generated_tokens as u64,
            first_token_ms: stats.first_token_ms,
            tokens_per_second: stats.decode_tokens_per_second,
            hit_rate: stats.hit_rate,
            seed: stats.seed,
        }),
        failure: None,
    }
}

#[cfg(test)]
mod tests {
    use moestro_chats::Prompt;
    use std::sync::mpsc;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn engine(event: Event) -> DesktopEvent {
        DesktopEvent::Engine { event }
    }

    fn token(id: u64, text: &str) -> DesktopEvent {
        engine(Event::Token {
            id,
            text: text.into(),
            tokens: 1,
            logprobs: None,
        })
    }

    fn begun(chats: &Chats) -> i64 {
        let prompt = Prompt {
            text: "a",
            files: &[],
        };
        let asked = chats.with(|store| {
            let chat = store.blank()?;
            store.ask(chat, None, prompt, None)
        });
        asked.unwrap().answer.id
    }

    fn wait(chats: &Chats, message: i64, text: &str, state: MessageState) {
        let end = Instant::now() + PATIENCE;
        loop {
            let now = chats.with(|store| store.message(message)).unwrap();
            if now.text == text && now.state == state {
                return;
            }
            assert!(Instant::now() < end, "{now:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn answers_are_saved_while_they_grow_and_when_they_end() {
        let folder = tempfile::tempdir().unwrap();
        let (chats, notice) = Chats::open(folder.path());
        assert_eq!(notice, None);
        let recorder = Recorder::start(chats.clone(), |problem| panic!("{problem}"));
        let (first, second) = (begun(&chats), begun(&chats));
        recorder.begin(1, first);
        recorder.begin(2, second);
        recorder.hear(&token(1, "one"));
        recorder.hear(&token(2, "uno"));
        recorder.hear(&token(3, "nobody's"));
        // Nothing ends it, and it is on the disk.
        wait(&chats, first, "one", MessageState::Writing);
        recorder.hear(&token(1, " two"));
        recorder.hear(&engine(Event::Finished {
            id: 1,
            reason: FinishReason::MaxTokens,
            stats: GenerationStats {
                generated_tokens: 2,
                ..GenerationStats::default()
            },
        }));
        wait(&chats, first, "one two", MessageState::Done);
        let details = chats.with(|store| store.message(first)).unwrap().details;
        assert_eq!(details.end, Some(End::MaxTokens));
        assert_eq!(details.figures.unwrap().generated_tokens, 2);
        recorder.hear(&token(2, " dos"));
        recorder.hear(&DesktopEvent::EngineExited {
            message: "gone".into(),
            code: None,
            signal: Some(9),
            expected: false,
        });
        wait(&chats, second, "uno dos", MessageState::Interrupted);
        let third = begun(&chats);
        recorder.begin(3, third);
        recorder.fail(3, "the engine is not running".into());
        wait(&chats, third, "", MessageState::Failed);
    }

    #[test]
    fn an_answer_that_cannot_be_saved_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let (chats, _) = Chats::open(folder.path());
        let message = begun(&chats);
        let (problems, told) = mpsc::channel();
        let recorder = Recorder::start(chats, move |problem| drop(problems.send(problem)));
        recorder.begin(1, message + 100);
        recorder.hear(&token(1, "lost"));
        let problem = told.recv_timeout(PATIENCE).unwrap();
        assert!(problem.contains("could not be saved"), "{problem}");
    }
}
