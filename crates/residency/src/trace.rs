//! Recorded routing: which experts every token used in every layer.

use std::io::{Read, Write};

use serde::{Deserialize, Serialize};
use thiserror::Error;

const MAGIC: &[u8] = b"moestro routes 1\n";
/// Longest header and most ids that a file may have.
const MOST_HEADER: usize = 4096;
const MOST_IDS: u64 = 1 << 30;

#[derive(Debug, Error)]
pub enum TraceError {
    #[error("cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
    #[error("is not a recording of routes ({0}); make one with `moestro profile --record FILE`")]
    Format(String),
}

/// Routed experts as `[tokens, layers, per_token]`; layers count those with experts.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    layers: usize,
    experts: usize,
    per_token: usize,
    ids: Vec<u16>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    layers: usize,
    experts: usize,
    per_token: usize,
    tokens: u64,
}

impl Trace {
    /// # Panics
    /// If a size is 0, experts are more than 65,536 or fewer than `per_token`.
    pub fn new(layers: usize, experts: usize, per_token: usize) -> Trace {
        assert!(layers > 0 && per_token > 0, "an empty trace has no shape");
        assert!(per_token <= experts && experts <= 1 << 16);
        Trace {
            layers,
            experts,
            per_token,
            ids: Vec::new(),
        }
    }

    pub fn layers(&self) -> usize {
        self.layers
    }

    pub fn experts(&self) -> usize {
        self.experts
    }

    pub fn per_token(&self) -> usize {
        self.per_token
    }

    pub fn tokens(&self) -> usize {
        self.ids.len() / (self.layers * self.per_token)
    }

    /// Appends the experts of one token, `[layers, per_token]`.
    ///
    /// # Panics
    /// If there are not as many, or one is not an expert.
    pub fn push(&mut self, ids: impl IntoIterator<Item = u32>) {
        let before = self.ids.len();
        self.ids.extend(ids.into_iter().map(|id| {
            assert!((id as usize) < self.experts, "there is no expert {id}");
            id as u16
        }));
        assert_eq!(self.ids.len() - before, self.layers * self.per_token);
    }

    /// The experts of one token in one layer, best first.
    pub fn at(&self, token: usize, layer: usize) -> &[u16] {
        let from = (token * self.layers + layer) * self.per_token;
        &self.ids[from..from + self.per_token]
    }

    /// As [`Trace::at`], widened.
    pub fn wide(&self, token: usize, layer: usize) -> Vec<u32> {
        self.at(token, layer)
            .iter()
            .map(|e| u32::from(*e))
            .collect()
    }

    pub fn write(&self, mut out: impl Write) -> Result<(), TraceError> {
        let header = Header {
            layers: self.layers,
            experts: self.experts,
            per_token: self.per_token,
            tokens: self.tokens() as u64,
        };
        let header = serde_json::to_string(&header).expect("numbers can be written");
        out.write_all(MAGIC)?;
        writeln!(out, "{header}")?;
        let bytes: Vec<u8> = self.ids.iter().flat_map(|e| e.to_le_bytes()).collect();
        out.write_all(&bytes)?;
        Ok(out.flush()?)
    }

    pub fn read(mut from: impl Read) -> Result<Trace, TraceError> {
        let bad = |what: &str| TraceError::Format(what.to_string());
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)
            .map_err(|_| bad("it is too short"))?;
        if magic != *MAGIC {
            return Err(bad("it begins otherwise"));
        }
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            from.read_exact(&mut byte)
                .map_err(|_| bad("its header is cut off"))?;
            match byte[0] {
                b'\n' => break,
                _ if line.len() >= MOST_HEADER => return Err(bad("its header is too long")),
                b => line.push(b),
            }
        }
        let h: Header =
            serde_json::from_slice(&line).map_err(|e| bad(&format!("its header: {e}")))?;
        let sane = (1..=4096).contains(&h.layers)
            && (1..=1 << 16).contains(&h.experts)
            && (1..=h.experts).contains(&h.per_token);
        let width = (h.layers as u64).saturating_mul(h.per_token as u64);
        let count = h.tokens.saturating_mul(width);
        if !sane || count > MOST_IDS {
            return Err(bad("its sizes are out of range"));
        }
        let mut bytes = Vec::new();
        from.take(count * 2 + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != count * 2 {
            return Err(bad("its length is not what the header says"));
        }
        let ids: Vec<u16> = bytes
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
            .collect();
        if ids.iter().any(|e| usize::from(*e) >= h.experts) {
            return Err(bad("it names experts that do not exist"));
        }
        Ok(Trace {
            layers: h.layers,
            experts: h.experts,
            per_token: h.per_token,
            ids,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Trace {
        let mut t = Trace::new(2, 300, 3);
        t.push([1, 2, 3, 4, 5, 299]);
        t.push([7, 8, 9, 10, 11, 12]);
        t
    }

    #[test]
    fn reads_what_it_wrote() {
        let mut bytes = Vec::new();
        sample().write(&mut bytes).unwrap();
        let back = Trace::read(&bytes[..]).unwrap();
        assert_eq!(back, sample());
        assert_eq!((back.tokens(), back.wide(0, 1)), (2, vec![4, 5, 299]));
    }

    #[test]
    fn refuses_damaged_recordings() {
        let mut good = Vec::new();
        sample().write(&mut good).unwrap();
        for cut in 0..good.len() {
            assert!(Trace::read(&good[..cut]).is_err(), "cut at {cut}");
        }
        let mut wild = good.clone();
        let last = wild.len() - 1;
        wild[last] = 255;
        assert!(Trace::read(&wild[..]).is_err(), "an expert out of range");
        wild = good.clone();
        wild.push(0);
        assert!(Trace::read(&wild[..]).is_err(), "a byte too many");
        for header in [
            r#"{"layers":0,"experts":1,"per_token":1,"tokens":1}"#,
            r#"{"layers":4096,"experts":65536,"per_token":65536,"tokens":99999999999}"#,
            r#"{"layers":-1}"#,
        ] {
            let bytes = [MAGIC, header.as_bytes(), b"\n"].concat();
            assert!(Trace::read(&bytes[..]).is_err(), "{header}");
        }
    }
}
