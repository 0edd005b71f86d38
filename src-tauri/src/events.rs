//! The one stream from the shell to the window, with a replay of the present
//! state for a page that comes late or was reloaded.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use moestro_engine::protocol::Event;
use moestro_server::ApiEvent;
use serde::Serialize;

/// Something the window should know.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are engine events, and each is passed on once"
)]
pub enum DesktopEvent {
    /// A message of the engine, passed on as it came.
    Engine { event: Event },
    /// Something about the API server, which lives in the engine's process.
    Api { event: ApiEvent },
    /// The engine process runs; its `Ready` follows.
    EngineStarted { pid: u32 },
    /// The engine process is gone. `message` continues "The engine stopped: ";
    /// `expected` if it was asked to go.
    EngineExited {
        message: String,
        code: Option<i32>,
        signal: Option<i32>,
        expected: bool,
    },
    /// Something went wrong that stops nothing; written for the person.
    Notice { message: String },
    /// The person closed the window while downloads run, or other programs share the
    /// model; `close_window` answers.
    CloseAsked { downloads: bool, api: bool },
    /// The window can be seen again.
    WindowShown,
    /// The person opened this model outside of the window, such as by a double-click.
    FileOpened { path: String },
}

/// Takes the events of one subscriber; false if it is gone.
pub type Sink = Box<dyn Fn(DesktopEvent) -> bool + Send>;

/// Sees every event, and must not take long.
pub type Witness = Box<dyn Fn(&DesktopEvent) + Send + Sync>;

/// Delivers events to at most one subscriber, the newest.
#[derive(Default)]
pub struct EventStream {
    state: Mutex<State>,
    witness: OnceLock<Witness>,
}

#[derive(Default)]
struct State {
    sink: Option<Sink>,
    /// The last `EngineStarted` or `EngineExited`.
    process: Option<DesktopEvent>,
    ready: Option<Event>,
    /// The last `Loaded` or `Unloaded`.
    model: Option<Event>,
    /// The last `Configured` since `model`.
    configured: Option<Event>,
    /// The last `Serving` or `NotServing`.
    api: Option<DesktopEvent>,
    /// What nobody has seen yet of the events that must not be lost.
    waiting: Vec<DesktopEvent>,
}

/// Events kept for a window that is not there yet.
const MAX_WAITING: usize = 16;

impl EventStream {
    /// Replaces the subscriber. The new one first gets the present state.
    pub fn subscribe(&self, sink: Sink) {
        let mut state = self.state();
        let waiting = std::mem::take(&mut state.waiting);
        let engine = [&state.ready, &state.model, &state.configured];
        let replay = state
            .process
            .iter()
            .cloned()
            .chain(
                engine
                    .into_iter()
                    .flatten()
                    .cloned()
                    .map(|event| DesktopEvent::Engine { event }),
            )
            .chain(state.api.clone())
            .chain(waiting);
        for event in replay {
            sink(event);
        }
        state.sink = Some(sink);
    }

    /// Remembers what a later subscriber needs and delivers the event. Events
    /// arrive in the order of the calls.
    pub fn publish(&self, event: DesktopEvent) {
        let mut state = self.state();
        state.remember(&event);
        if let Some(witness) = self.witness.get() {
            witness(&event);
        }
        let delivered = state.sink.as_ref().is_some_and(|sink| sink(event.clone()));
        if delivered {
            return;
        }
        state.sink = None;
        let lasts = matches!(
            event,
            DesktopEvent::Notice { .. } | DesktopEvent::FileOpened { .. }
        );
        if lasts && state.waiting.len() < MAX_WAITING {
            state.waiting.push(event);
        }
    }

    /// Lets somebody see every event from now on, window or not. Only the first is let.
    pub fn set_witness(&self, witness: Witness) {
        let _ = self.witness.set(witness);
    }

    /// Tells the person about a fault that stops nothing.
    pub fn notice(&self, message: impl Into<String>) {
        let message = message.into();
        eprintln!("moestro: {message}");
        self.publish(DesktopEvent::Notice { message });
    }

    /// Can other programs use the model now?
    pub fn serves_api(&self) -> bool {
        let state = self.state();
        let Some(DesktopEvent::Api { event }) = &state.api else {
            return false;
        };
        matches!(event, ApiEvent::Serving { .. })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remember(&mut self, event: &DesktopEvent) {
        match event {
            DesktopEvent::EngineStarted { .. } | DesktopEvent::EngineExited { .. } => {
                self.process = Some(event.clone());
                (self.ready, self.model, self.configured) = (None, None, None);
                self.api = None;
            }
            DesktopEvent::Api { event: api } => match api {
                ApiEvent::Serving { .. } | ApiEvent::NotServing { .. } => {
                    self.api = Some(event.clone());
                }
                ApiEvent::RequestSeen { .. } => {}
            },
            DesktopEvent::Engine { event } => match event {
                Event::Ready { .. } => self.ready = Some(event.clone()),
                Event::Loaded { .. } | Event::Unloaded { .. } => {
                    self.model = Some(event.clone());
                    self.configured = None;
                }
                Event::Configured { .. } => self.configured = Some(event.clone()),
                _ => {}
            },
            DesktopEvent::Notice { .. }
            | DesktopEvent::CloseAsked { .. }
            | DesktopEvent::WindowShown
            | DesktopEvent::FileOpened { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use moestro_engine::protocol::{GenerationStats, Hardware};

    use super::*;

    fn recorder() -> (Sink, Arc<Mutex<Vec<DesktopEvent>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let kept = seen.clone();
        let sink = move |event| {
            kept.lock().unwrap().push(event);
            true
        };
        (Box::new(sink), seen)
    }

    fn engine(event: Event) -> DesktopEvent {
        DesktopEvent::Engine { event }
    }

    fn ready() -> DesktopEvent {
        engine(Event::Ready {
            version: "1".into(),
            hardware: Hardware::default(),
        })
    }

    #[test]
    fn a_late_subscriber_gets_the_state_and_not_the_history() {
        let stream = EventStream::default();
        let started = DesktopEvent::EngineStarted { pid: 7 };
        let unloaded = engine(Event::Unloaded { id: 3 });
        stream.publish(started.clone());
        stream.publish(ready());
        stream.publish(engine(Event::Token {
            id: 1,
            text: "x".into(),
            tokens: 1,
            logprobs: None,
        }));
        stream.publish(engine(Event::Unloaded { id: 2 }));
        stream.publish(unloaded.clone());
        let (sink, seen) = recorder();
        stream.subscribe(sink);
        assert_eq!(*seen.lock().unwrap(), [started, ready(), unloaded]);
    }

    #[test]
    fn an_exit_forgets_the_engine_before_it() {
        let stream = EventStream::default();
        stream.publish(DesktopEvent::EngineStarted { pid: 7 });
        stream.publish(ready());
        let exited = DesktopEvent::EngineExited {
            message: "gone".into(),
            code: None,
            signal: Some(9),
            expected: false,
        };
        stream.publish(exited.clone());
        let (sink, seen) = recorder();
        stream.subscribe(sink);
        assert_eq!(*seen.lock().unwrap(), [exited]);
    }

    #[test]
    fn a_new_subscriber_replaces_the_old_one() {
        let stream = EventStream::default();
        let (first, first_seen) = recorder();
        let (second, second_seen) = recorder();
        stream.subscribe(first);
        stream.subscribe(second);
        let finished = engine(Event::Finished {
            id: 1,
            reason: moestro_engine::protocol::FinishReason::Stop,
            stats: GenerationStats::default(),
        });
        stream.publish(finished.clone());
        assert!(first_seen.lock().unwrap().is_empty());
        assert_eq!(*second_seen.lock().unwrap(), [finished]);
    }

    #[test]
    fn notices_and_files_wait_for_a_window_and_are_shown_once() {
        let stream = EventStream::default();
        stream.notice("damaged");
        let opened = DesktopEvent::FileOpened {
            path: "/a.gguf".into(),
        };
        stream.publish(opened.clone());
        let notice = DesktopEvent::Notice {
            message: "damaged".into(),
        };
        let expected = [notice, opened];
        let (sink, seen) = recorder();
        stream.subscribe(sink);
        assert_eq!(*seen.lock().unwrap(), expected);
        let (sink, seen) = recorder();
        stream.subscribe(sink);
        assert!(seen.lock().unwrap().is_empty());
    }
}
