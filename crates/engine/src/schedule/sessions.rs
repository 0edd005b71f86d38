//! The sessions of earlier answers, kept for prompts that begin alike.

use crate::ops::Place;
use crate::session::Session;

/// Sessions kept at most; memory may allow fewer.
const MOST_KEPT: usize = 16;

/// Least recently used first.
#[derive(Default)]
pub struct Sessions(Vec<Session>);

impl Sessions {
    pub fn keep(&mut self, session: Option<Session>) {
        let Some(session) = session.filter(|s| !s.is_empty()) else {
            return;
        };
        self.0.push(session);
        if self.0.len() > MOST_KEPT {
            self.0.remove(0);
        }
    }

    pub fn bytes(&self) -> u64 {
        self.0.iter().map(Session::bytes).sum()
    }

    pub fn bytes_in(&self, place: Place) -> u64 {
        self.0.iter().map(|s| s.bytes_in(place)).sum()
    }

    /// Tokens of the one used last.
    pub fn latest(&self) -> usize {
        self.0.last().map_or(0, Session::len)
    }

    /// Which session spares `history` the most, and how many tokens.
    pub fn best(&self, history: &[u32]) -> Option<(usize, usize)> {
        let reuse = |(at, s): (usize, &Session)| (at, s.shared_with(history).1);
        self.0.iter().enumerate().map(reuse).max_by_key(|(_, r)| *r)
    }

    pub fn longest_shared(&self, history: &[u32]) -> usize {
        let shared = self.0.iter().map(|s| s.shared_with(history).0);
        shared.max().unwrap_or(0)
    }

    /// Takes the session at `at` out, or a copy of its beginning if there is `spare`
    /// memory for it or most of the session would be lost.
    pub fn take(&mut self, at: usize, reuse: usize, spare: bool) -> Session {
        let session = self.0.remove(at);
        let copies = spare || reuse < session.len() / 2;
        if !copies || reuse == session.len() {
            return session;
        }
        match session.fork(reuse) {
            Ok(fork) => {
                self.0.push(session);
                fork
            }
            // No memory for a copy.
            Err(_) => session,
        }
    }

    /// Forgets the least recently used until the rest takes no more than `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        while self.bytes() > bytes && !self.0.is_empty() {
            self.0.remove(0);
        }
    }
}
