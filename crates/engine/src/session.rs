//! One timeline of tokens with the state that belongs to it. A new prompt that
//! begins like the old one continues from there instead of starting over.

use std::collections::VecDeque;

use moestro_cuda::Gpu;

use crate::blueprint::{Blueprint, Mixer};
use crate::error::Result;
use crate::ops::Place;
use crate::placement::SNAPSHOTS;
use crate::state::{KvFormat, Snapshot, State};

pub struct Session {
    state: State,
    /// Tokens that the state has seen.
    tokens: Vec<u32>,
    /// States at the ends of the latest prompts, oldest first.
    snapshots: VecDeque<Snapshot>,
    /// Attention alone can be truncated anywhere; recurrent state cannot.
    recurrent: bool,
}

impl Session {
    /// The state of the first `on_gpu.1` layers is kept on a GPU.
    ///
    /// Errors: no memory there.
    pub fn new(
        blueprint: &Blueprint,
        kv: KvFormat,
        on_gpu: Option<(&Gpu, usize)>,
    ) -> Result<Session> {
        Ok(Session {
            state: State::new(blueprint, kv, on_gpu)?,
            tokens: Vec::new(),
            snapshots: VecDeque::new(),
            recurrent: blueprint
                .layers
                .iter()
                .any(|l| matches!(l.mixer, Mixer::DeltaNet(_))),
        })
    }

    /// Tokens seen so far.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Goes back to the longest point shared with `prompt` that leaves at least
    /// its last token to compute. Returns how many tokens are reused.
    pub fn rewind_to(&mut self, prompt: &[u32]) -> usize {
        let shared = shared(&self.tokens, prompt);
        self.truncate(shared.min(prompt.len().saturating_sub(1)));
        self.tokens.len()
    }

    /// How many tokens `prompt` shares with those seen, and how many of them
    /// [`Session::rewind_to`] would reuse.
    pub fn shared_with(&self, prompt: &[u32]) -> (usize, usize) {
        let shared = shared(&self.tokens, prompt);
        let most = shared.min(prompt.len().saturating_sub(1));
        if !self.recurrent || most == self.tokens.len() {
            return (shared, most);
        }
        let points = self.snapshots.iter().map(|s| s.position);
        (shared, points.filter(|p| *p <= most).max().unwrap_or(0))
    }

    /// A second session that has seen the first `len` tokens of this one; `len` is
    /// a point that [`Session::shared_with`] named.
    ///
    /// Errors: no memory on the GPU.
    pub fn fork(&self, len: usize) -> Result<Session> {
        let snapshot = self.snapshots.iter().find(|s| s.position == len);
        let state = self.state.fork(len, snapshot)?;
        Ok(Session {
            snapshots: VecDeque::from([state.snapshot()?]),
            state,
            tokens: self.tokens[..len].to_vec(),
            recurrent: self.recurrent,
        })
    }

    /// Remembers this point, forgetting the oldest one if there are too many. Without
    /// memory for it nothing is remembered, which only costs time later.
    pub fn remember(&mut self) {
        if self
            .snapshots
            .back()
            .is_some_and(|s| s.position == self.tokens.len())
        {
            return;
        }
        if self.snapshots.len() == SNAPSHOTS {
            self.snapshots.pop_front();
        }
        if let Ok(snapshot) = self.state.snapshot() {
            self.snapshots.push_back(snapshot);
        }
    }

    /// Runs `work` on the state to append `tokens`. If it fails, the session goes
    /// back to a point where state and tokens agree.
    pub fn advance<T, E>(
        &mut self,
        tokens: &[u32],
        work: impl FnOnce(&mut State) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        match work(&mut self.state) {
            Ok(value) => {
                self.tokens.extend_from_slice(tokens);
                debug_assert_eq!(self.state.position, self.tokens.len());
                Ok(value)
            }
            Err(error) => {
                self.roll_back(self.tokens.len());
                Err(error)
            }
        }
    }

    /// As [`Session::advance`] by one token for several sessions at once; `tokens`
    /// has one for each.
    pub fn advance_together<T, E>(
        sessions: &mut [&mut Session],
        tokens: &[u32],
        work: impl FnOnce(&mut [&mut State]) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        let mut states: Vec<&mut State> = sessions.iter_mut().map(|s| &mut s.state).collect();
        let done = work(&mut states);
        for (session, token) in sessions.iter_mut().zip(tokens) {
            match done {
                Ok(_) => session.tokens.push(*token),
                Err(_) => session.roll_back(session.tokens.len()),
            }
        }
        done
    }

    /// Bytes of state held now, snapshots included, wherever they are.
    pub fn bytes(&self) -> u64 {
        self.bytes_in(Place::Host) + self.bytes_in(Place::Gpu)
    }

    /// Those in one place.
    pub(crate) fn bytes_in(&self, place: Place) -> u64 {
        let snapshots = self.snapshots.iter().map(|s| s.bytes(place));
        self.state.bytes(place) + snapshots.sum::<u64>()
    }

    fn truncate(&mut self, len: usize) {
        if len < self.tokens.len() {
            self.roll_back(len);
        }
    }

    /// Back to `len` tokens or, with recurrent state, to the last point
    /// remembered at or before them. A state that a lost GPU held cannot go back;
    /// it is never computed with again.
    fn roll_back(&mut self, len: usize) {
        self.snapshots.retain(|s| s.position <= len);
        let point = match self.recurrent {
            true => self.snapshots.back(),
            false => None,
        };
        let len = match (self.recurrent, point) {
            (true, Some(snapshot)) => snapshot.position,
            (true, None) => 0,
            (false, _) => len,
        };
        let _ = match (self.recurrent, point) {
            (true, None) => self.state.clear(),
            _ => self.state.restore(len, point),
        };
        self.tokens.truncate(len);
    }
}

/// How many tokens two texts begin with alike.
pub fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blueprint::{AttentionShape, DeltaNetShape, FeedForward, LayerShape};
    use crate::ops::Array;
    use crate::state::{DeltaState, KvCache, LayerState};

    fn blueprint(recurrent: bool) -> Blueprint {
        let mixer = if recurrent {
            Mixer::DeltaNet(DeltaNetShape {
                key_heads: 1,
                value_heads: 1,
                key_dim: 2,
                value_dim: 2,
                conv_kernel: 2,
            })
        } else {
            Mixer::Attention(AttentionShape {
                heads: 1,
                kv_heads: 1,
                head_dim: 2,
                rotary_dims: 2,
                rope_theta: 1e4,
                gated: false,
            })
        };
        let feed_forward = FeedForward::Dense { intermediate: 2 };
        Blueprint {
            architecture: "test",
            vocabulary: 100,
            hidden: 2,
            layers: vec![LayerShape {
                mixer,
                feed_forward,
            }],
            norm_eps: 1e-6,
            zero_centred_norms: false,
            tied_head: true,
            max_context: 64,
        }
    }

    fn session(recurrent: bool, kv: KvFormat) -> Session {
        Session::new(&blueprint(recurrent), kv, None).unwrap()
    }

    /// Marks the state with the tokens it saw, so that a mix-up is visible.
    fn feed(session: &mut Session, tokens: &[u32]) {
        session
            .advance(tokens, |state| {
                for token in tokens {
                    match &mut state.layers[0] {
                        LayerState::Attention(KvCache::Host(kv)) => {
                            kv.append(&[*token as f32; 2], &[0.0; 2])
                        }
                        LayerState::DeltaNet(d) => {
                            let memory = memory_of(d);
                            *memory = *memory * 3.0 + *token as f32;
                        }
                        LayerState::Attention(KvCache::Gpu(_)) => unreachable!(),
                    }
                }
                state.position += tokens.len();
                Ok::<_, ()>(())
            })
            .unwrap();
    }

    fn memory_of(state: &mut DeltaState) -> &mut f32 {
        match &mut state.memory {
            Array::Host(memory) => &mut memory[0],
            Array::Gpu(_) => unreachable!(),
        }
    }

    fn memory(session: &Session) -> f32 {
        match &session.state.layers[0] {
            LayerState::DeltaNet(DeltaState {
                memory: Array::Host(memory),
                ..
            }) => memory[0],
            _ => 0.0,
        }
    }

    #[test]
    fn a_longer_prompt_continues_and_a_repeated_one_goes_back() {
        let mut s = session(true, KvFormat::F32);
        feed(&mut s, &[1, 2]);
        s.remember();
        let at_two = memory(&s);
        feed(&mut s, &[3, 4]);
        assert_eq!(
            s.rewind_to(&[1, 2, 3, 4, 5, 6]),
            4,
            "the next turn continues"
        );
        feed(&mut s, &[5, 6]);
        assert_eq!(
            s.rewind_to(&[1, 2, 3]),
            2,
            "asking again goes back to the snapshot"
        );
        assert_eq!(memory(&s), at_two);
        assert_eq!(s.rewind_to(&[1, 9]), 0, "another conversation starts over");
        assert_eq!(memory(&s), 0.0);
    }

    #[test]
    fn attention_alone_is_cut_exactly() {
        let mut s = session(false, KvFormat::F16);
        feed(&mut s, &[1, 2, 3, 4]);
        assert_eq!(s.rewind_to(&[1, 2, 3, 9]), 3);
        assert_eq!(
            s.rewind_to(&[1, 2, 3]),
            2,
            "one token is always left to compute"
        );
    }

    #[test]
    fn a_fork_goes_its_own_way() {
        let mut s = session(true, KvFormat::F32);
        feed(&mut s, &[1, 2]);
        s.remember();
        let at_two = memory(&s);
        feed(&mut s, &[3, 4]);
        let at_four = memory(&s);
        assert_eq!(
            s.shared_with(&[1, 2, 3, 9]),
            (3, 2),
            "only points remembered"
        );
        let mut fork = s.fork(2).unwrap();
        assert_eq!((fork.len(), memory(&fork)), (2, at_two));
        feed(&mut fork, &[9]);
        assert_eq!(memory(&s), at_four, "the first is untouched");
        assert_eq!(
            fork.rewind_to(&[1, 2, 5]),
            2,
            "it can go back to its beginning"
        );

        assert_eq!(
            s.shared_with(&[1, 2, 3, 4, 5]),
            (4, 4),
            "the end counts as a point"
        );
        assert_eq!(memory(&s.fork(4).unwrap()), at_four);

        let mut plain = session(false, KvFormat::F16);
        feed(&mut plain, &[1, 2, 3, 4]);
        assert_eq!(plain.shared_with(&[1, 2, 3, 9]), (3, 3));
        assert_eq!(plain.fork(3).unwrap().len(), 3);
    }

    #[test]
    fn failed_work_leaves_a_consistent_point() {
        let mut s = session(true, KvFormat::F32);
        feed(&mut s, &[1, 2]);
        s.remember();
        feed(&mut s, &[3]);
        let failed: std::result::Result<(), &str> = s.advance(&[4], |state| {
            if let LayerState::DeltaNet(d) = &mut state.layers[0] {
                *memory_of(d) = f32::NAN;
            }
            Err("disk")
        });
        assert!(failed.is_err());
        assert_eq!(s.len(), 2);
        assert!(memory(&s).is_finite());
    }
}
