//! Where in an answer a form begins to hold: behind the thoughts, or where a call does.

use super::{CALL, THINK, THINK_END};

/// Watches the bytes of an answer for that place.
#[derive(Debug, Clone)]
pub struct Gate {
    state: State,
    /// Opens at every call, not at the end of the thoughts.
    at_calls: bool,
    /// The end of what came, in which a mark may have begun.
    tail: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    /// Nothing but blanks came.
    Start,
    Thinking,
    Content,
}

impl Gate {
    /// Opens behind thoughts that have begun already.
    pub fn behind_thoughts() -> Gate {
        Gate {
            state: State::Thinking,
            at_calls: false,
            tail: Vec::new(),
        }
    }

    /// Opens at every call that does not stand in the thoughts; `thinks` if they
    /// have begun already.
    pub fn at_calls(thinks: bool) -> Gate {
        Gate {
            state: if thinks {
                State::Thinking
            } else {
                State::Start
            },
            at_calls: true,
            tail: Vec::new(),
        }
    }

    /// Takes the bytes of a token. If the gate opens, how many of them stand behind it.
    pub fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        self.tail.extend_from_slice(bytes);
        loop {
            match self.state {
                State::Start => {
                    let seen = self.tail.trim_ascii_start();
                    if seen.starts_with(THINK.as_bytes()) {
                        let behind = seen.len() - THINK.len();
                        self.keep(behind);
                        self.state = State::Thinking;
                    } else if seen.is_empty() || THINK.as_bytes().starts_with(seen) {
                        return None;
                    } else {
                        self.state = State::Content;
                    }
                }
                State::Thinking => {
                    let behind = self.find(THINK_END)?;
                    self.state = State::Content;
                    if !self.at_calls {
                        return Some(behind);
                    }
                }
                State::Content => {
                    let behind = self.find(CALL)?;
                    self.tail.clear();
                    return Some(behind);
                }
            }
        }
    }

    /// How many bytes stand behind the first `mark`. Nothing before it is kept, nor
    /// what cannot be its beginning.
    fn find(&mut self, mark: &str) -> Option<usize> {
        let mark = mark.as_bytes();
        let at = self.tail.windows(mark.len()).position(|w| w == mark);
        let behind = at.map(|at| self.tail.len() - at - mark.len());
        self.keep(behind.unwrap_or(mark.len() - 1));
        behind
    }

    /// Keeps so many of the last bytes.
    fn keep(&mut self, count: usize) {
        let gone = self.tail.len().saturating_sub(count);
        self.tail.drain(..gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the gate opened, in bytes from the beginning, with pieces of every size.
    fn opened(gate: &Gate, text: &str) -> Vec<usize> {
        let by = |size: usize| -> Vec<usize> {
            let mut gate = gate.clone();
            let mut places = Vec::new();
            let mut end = 0;
            for piece in text.as_bytes().chunks(size) {
                end += piece.len();
                places.extend(gate.push(piece).map(|behind| end - behind));
            }
            places
        };
        let places = by(1);
        // What stands behind a place in its piece is the form's: no mark begins there.
        for size in [2, 3, 7, 12] {
            assert_eq!(by(size), places, "pieces of {size}");
        }
        places
    }

    #[test]
    fn calls_open_it_outside_of_thoughts() {
        let gate = Gate::at_calls(false);
        assert_eq!(
            opened(&gate, "a <tool_call>{} and then <tool_call>\n"),
            [13, 36]
        );
        let thinks = "\n<think>a <tool_call> b</think> <tool_call>";
        assert_eq!(opened(&gate, thinks), [thinks.len()]);
        let inside = "a <tool_call> b</think> <tool_call>";
        assert_eq!(opened(&Gate::at_calls(true), inside), [inside.len()]);
        assert!(opened(&gate, "<tool_cal <think> <tool _call>").is_empty());
    }

    #[test]
    fn the_end_of_thoughts_opens_it() {
        let gate = Gate::behind_thoughts();
        assert_eq!(opened(&gate, "a </thin </think>\n\n{}"), [17]);
    }
}
