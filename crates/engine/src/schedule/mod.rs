//! Several answers written side by side on one engine: those that are being written
//! take their next token together, so that weights and experts are read once for
//! all; prompts are read in between, piece by piece, in turn.

mod sessions;

use std::collections::VecDeque;
use std::time::Instant;

use crate::cancel::Cancel;
use crate::engine::Engine;
use crate::error::Result;
use crate::generation::{Generation, Step};
use crate::ops::Place;
use crate::placement::PREFILL_CHUNK;
use crate::protocol::FinishReason;
use crate::session::{Session, shared};
use sessions::Sessions;

/// Answers under way at once, at most; memory may allow fewer.
const MOST_TOGETHER: usize = 16;
/// Tokens of a prompt that are read between two tokens of other answers.
const CHUNK_BETWEEN: usize = 128;
/// Tokens of an answer for which there must be room when it begins.
const ROOM_TO_BEGIN: usize = 512;
/// Beginnings shorter than this are not worth waiting for or remembering.
const LEAST_SHARED: usize = 32;

/// What became of an answer in one step.
pub type Progress<'a> = &'a mut dyn FnMut(u64, Result<Step>);

/// Answers waiting and under way.
#[derive(Default)]
pub struct Schedule {
    waiting: VecDeque<Answer>,
    running: Vec<Answer>,
    sessions: Sessions,
    /// Whose prompt was read last.
    read_last: u64,
    /// Was the last step one of reading?
    has_read: bool,
}

struct Answer {
    id: u64,
    client: String,
    cancel: Cancel,
    generation: Generation,
    /// While it is under way.
    session: Option<Session>,
    /// Is stepped by itself, because a step together with others failed.
    alone: bool,
}

impl Schedule {
    /// Puts an answer in the queue. Those of several clients are begun in turn.
    ///
    /// Errors: see [`Generation::check`].
    pub fn push(
        &mut self,
        engine: &Engine,
        id: u64,
        client: String,
        generation: Generation,
        cancel: Cancel,
    ) -> Result<()> {
        generation.check(engine)?;
        self.waiting.push_back(Answer {
            id,
            client,
            cancel,
            generation,
            session: None,
            alone: false,
        });
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Answers under way.
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// Answers that wait for their turn.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes of all sessions, those kept for later prompts included.
    pub fn bytes(&self) -> u64 {
        self.live_bytes() + self.sessions.bytes()
    }

    /// Those in one place.
    pub fn bytes_in(&self, place: Place) -> u64 {
        let live = self.running.iter().filter_map(|a| a.session.as_ref());
        live.map(|s| s.bytes_in(place)).sum::<u64>() + self.sessions.bytes_in(place)
    }

    /// Tokens of context in use: of the answers under way, else of the latest.
    pub fn context_used(&self) -> usize {
        let lengths = self.running.iter().filter_map(|a| a.session.as_ref());
        match self.running.is_empty() {
            true => self.sessions.latest(),
            false => lengths.map(Session::len).sum(),
        }
    }

    /// Tokens of the longest session under way.
    pub fn longest(&self) -> usize {
        let live = self.running.iter().filter_map(|a| a.session.as_ref());
        live.map(Session::len).max().unwrap_or(0)
    }

    fn live_bytes(&self) -> u64 {
        let live = self.running.iter().filter_map(|a| a.session.as_ref());
        live.map(Session::bytes).sum()
    }

    /// Does the next piece of work: one chunk of a prompt, or one token of every
    /// answer that is ready for it.
    pub fn step(&mut self, engine: &mut Engine, progress: Progress) {
        self.sweep(engine, progress);
        self.admit(engine, progress);
        self.make_room(engine);
        let reading = self.next_to_read();
        let writing = self.running.iter().any(Answer::writes);
        match reading {
            // In turn, so that running answers keep flowing.
            Some(at) if !(writing && self.has_read) => {
                let chunk = if writing {
                    CHUNK_BETWEEN
                } else {
                    PREFILL_CHUNK
                };
                self.has_read = true;
                self.read_last = self.running[at].id;
                self.step_alone(engine, at, chunk, progress);
            }
            _ => {
                self.has_read = false;
                self.write(engine, progress);
            }
        }
    }

    /// Ends every answer as cancelled.
    pub fn cancel_all(&mut self, engine: &mut Engine, progress: Progress) {
        for answer in self.waiting.iter().chain(&self.running) {
            answer.cancel.cancel();
        }
        self.sweep(engine, progress);
    }

    /// Ends what was cancelled or is complete.
    fn sweep(&mut self, engine: &mut Engine, progress: Progress) {
        let is_cancelled = |a: &Answer| a.cancel.check().is_err();
        let mut i = 0;
        while i < self.waiting.len() {
            if !is_cancelled(&self.waiting[i]) {
                i += 1;
            } else if let Some(mut answer) = self.waiting.remove(i) {
                let end = answer.generation.finish(engine, FinishReason::Cancelled);
                progress(answer.id, end);
            }
        }
        let mut i = 0;
        while i < self.running.len() {
            let answer = &self.running[i];
            if is_cancelled(answer) || answer.is_complete() {
                self.step_alone(engine, i, PREFILL_CHUNK, progress);
            } else {
                i += 1;
            }
        }
    }

    /// Starts waiting answers while there are places and memory for them.
    fn admit(&mut self, engine: &Engine, progress: Progress) {
        while self.running.len() < MOST_TOGETHER {
            let Some(at) = self.next_to_begin() else {
                return;
            };
            if !self.running.is_empty() && !self.has_room(engine, &self.waiting[at]) {
                return;
            }
            let Some(mut answer) = self.waiting.remove(at) else {
                return;
            };
            match self.begin(engine, &mut answer) {
                Ok(()) => self.running.push(answer),
                Err(error) => progress(answer.id, Err(error)),
            }
        }
    }

    /// Of the waiting ones, the first of the client with the fewest answers under
    /// way. One that begins like a prompt now being read waits, to share it.
    fn next_to_begin(&mut self) -> Option<usize> {
        let running = |client: &str| self.running.iter().filter(|a| a.client == client).count();
        let mut order: Vec<usize> = (0..self.waiting.len()).collect();
        order.sort_by_key(|i| running(&self.waiting[*i].client));
        order.into_iter().find(|i| {
            let Some((reader, len)) = self.worth_waiting_for(&self.waiting[*i]) else {
                return true;
            };
            self.running[reader].generation.remember_at(len);
            false
        })
    }

    /// The answer whose prompt is being read and begins like this one, and how many
    /// tokens they share.
    fn worth_waiting_for(&self, answer: &Answer) -> Option<(usize, usize)> {
        if answer.generation.tells_prompt() {
            return None;
        }
        let history = answer.generation.history();
        let alike = |(i, a): (usize, &Answer)| {
            let same = shared(a.generation.prompt(), history);
            let read = a.session.as_ref().map_or(0, Session::len);
            (a.is_reading() && read < same).then_some((i, same))
        };
        let (reader, same) = self
            .running
            .iter()
            .enumerate()
            .filter_map(alike)
            .max_by_key(|(_, same)| *same)?;
        let known = self.best_session(history).map_or(0, |(_, reuse)| reuse);
        (same >= known + LEAST_SHARED).then_some((reader, same))
    }

    fn has_room(&self, engine: &Engine, answer: &Answer) -> bool {
        let need = |a: &Answer| {
            let more = a.generation.max_tokens().min(ROOM_TO_BEGIN);
            let to_come = engine.session_bytes(a.generation.history().len() + more);
            to_come.max(a.session.as_ref().map_or(0, Session::bytes))
        };
        let all: u64 = self.running.iter().map(need).sum();
        all + need(answer) <= engine.sessions_room()
    }

    /// The session, kept or under way, that spares `history` the most.
    fn best_session(&self, history: &[u32]) -> Option<(Source, usize)> {
        let kept = self.sessions.best(history);
        let kept = kept.map(|(at, reuse)| (Source::Kept(at), reuse));
        let live = self.running.iter().enumerate().filter_map(|(i, a)| {
            let session = a.session.as_ref()?;
            Some((Source::Running(i), session.shared_with(history).1))
        });
        // A kept one is the cheaper of equals.
        live.chain(kept)
            .filter(|(_, reuse)| *reuse > 0)
            .max_by_key(|(_, reuse)| *reuse)
    }

    fn begin(&mut self, engine: &Engine, answer: &mut Answer) -> Result<()> {
        let reads_all = answer.generation.tells_prompt();
        let best = self.best_session(answer.generation.history());
        let best = best.filter(|_| !reads_all);
        let reuse = best.map_or(0, |(_, reuse)| reuse);
        self.remember_branches(answer, reuse);
        let history = answer.generation.history();
        let mut session = match best {
            None => engine.session()?,
            Some((Source::Running(i), reuse)) => match &self.running[i].session {
                Some(session) => session.fork(reuse)?,
                None => engine.session()?,
            },
            Some((Source::Kept(at), reuse)) => {
                let left = engine.sessions_room().saturating_sub(self.bytes());
                let spare = left >= engine.session_bytes(history.len() + ROOM_TO_BEGIN);
                self.sessions.take(at, reuse, spare)
            }
        };
        answer.generation.join(engine, &mut session);
        answer.session = Some(session);
        Ok(())
    }

    /// Where this prompt leaves others that began alike, both remember their state:
    /// a third then starts from there. (A system message shared by all, say.)
    fn remember_branches(&mut self, answer: &mut Answer, reuse: usize) {
        let history = answer.generation.history().to_vec();
        let mut most = self.sessions.longest_shared(&history);
        for other in &mut self.running {
            let same = shared(other.generation.history(), &history);
            most = most.max(same);
            let ahead = other.session.as_ref().is_some_and(|s| s.len() < same);
            if ahead && same >= LEAST_SHARED {
                other.generation.remember_at(same);
            }
        }
        if most >= reuse + LEAST_SHARED {
            answer.generation.remember_at(most);
        }
    }

    /// Forgets kept sessions, then sends the youngest answers back to wait, until
    /// the rest fits.
    pub fn make_room(&mut self, engine: &Engine) {
        let room = engine.sessions_room();
        self.sessions.shrink(room.saturating_sub(self.live_bytes()));
        while self.running.len() > 1 && self.live_bytes() > room {
            if let Some(mut answer) = self.running.pop() {
                answer.session = None;
                self.waiting.push_front(answer);
            }
        }
    }

    /// Prompts are read in turn, by the numbers of their answers.
    fn next_to_read(&self) -> Option<usize> {
        let reading = |i: &usize| self.running[*i].is_reading();
        let turn = |i: &usize| {
            let id = self.running[*i].id;
            (id <= self.read_last, id)
        };
        (0..self.running.len()).filter(reading).min_by_key(turn)
    }

    fn step_alone(&mut self, engine: &mut Engine, at: usize, chunk: usize, progress: Progress) {
        let answer = &mut self.running[at];
        let Some(session) = &mut answer.session else {
            return;
        };
        let cancel = answer.cancel.clone();
        let step = answer.generation.step_by(engine, session, &cancel, chunk);
        let goes_on = matches!(step, Ok(Step::Prefill { .. } | Step::Token { .. }));
        progress(answer.id, step);
        if !goes_on {
            let answer = self.running.remove(at);
            self.sessions.keep(answer.session);
        }
    }

    /// One token of every answer that is ready.
    fn write(&mut self, engine: &mut Engine, progress: Progress) {
        let ids = |alone: bool| -> Vec<u64> {
            let writes = |a: &&Answer| a.writes() && a.alone == alone;
            self.running.iter().filter(writes).map(|a| a.id).collect()
        };
        let (together, alone) = (ids(false), ids(true));
        match together[..] {
            [] => {}
            [one] => self.step_by_id(engine, one, progress),
            _ => self.write_together(engine, progress),
        }
        for id in alone {
            self.step_by_id(engine, id, progress);
        }
    }

    fn step_by_id(&mut self, engine: &mut Engine, id: u64, progress: Progress) {
        if let Some(at) = self.running.iter().position(|a| a.id == id) {
            self.running[at].alone = false;
            self.step_alone(engine, at, PREFILL_CHUNK, progress);
        }
    }

    fn write_together(&mut self, engine: &mut Engine, progress: Progress) {
        let start = Instant::now();
        let mut tokens = Vec::new();
        let mut sessions = Vec::new();
        let mut writers = Vec::new();
        for answer in self.running.iter_mut().filter(|a| a.writes() && !a.alone) {
            let Some(session) = answer.session.as_mut() else {
                continue;
            };
            answer.generation.before_writing(session);
            tokens.extend(answer.generation.waiting(session));
            sessions.push(session);
            writers.push((answer.id, &mut answer.generation, &mut answer.alone));
        }
        // Nobody's cancelling may undo the others' work.
        let logits = engine.forward_together(&mut sessions, &tokens, &Cancel::new());
        let logits = logits.and_then(|l| Ok(l.to_vec2::<f32>()?));
        let took = start.elapsed();
        let Ok(logits) = logits else {
            // Whose fault it was shows when each is stepped by itself.
            writers.into_iter().for_each(|(_, _, alone)| *alone = true);
            return;
        };
        let mut failed = Vec::new();
        for ((writer, session), logits) in writers.into_iter().zip(&sessions).zip(logits) {
            let (id, generation, _) = writer;
            let step = generation.accept(engine, session.len(), logits, took);
            if step.is_err() {
                failed.push(id);
            }
            progress(id, step);
        }
        self.running.retain(|a| !failed.contains(&a.id));
    }
}

/// Where a session comes from.
#[derive(Clone, Copy)]
enum Source {
    Kept(usize),
    Running(usize),
}

impl Answer {
    fn is_reading(&self) -> bool {
        let session = self.session.as_ref();
        !self.generation.is_ending() && session.is_some_and(|s| self.generation.reads(s))
    }

    /// Is its next step a token?
    fn writes(&self) -> bool {
        let session = self.session.as_ref();
        session.is_some_and(|s| self.generation.waiting(s).is_some())
    }

    /// Is there nothing left to do but to say so?
    fn is_complete(&self) -> bool {
        !self.is_reading() && !self.writes()
    }
}
