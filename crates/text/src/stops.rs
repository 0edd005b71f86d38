//! Finding stop strings in text that arrives in pieces.

/// One stop string and how much of it the text so far ends with
/// (Knuth, Morris and Pratt 1977: constant work per byte on average).
struct Stop {
    text: Box<str>,
    /// `fallback[i]`: length of the longest proper prefix of the stop that is a
    /// suffix of its first `i + 1` bytes.
    fallback: Box<[u32]>,
    matched: usize,
}

impl Stop {
    fn new(text: &str) -> Stop {
        let bytes = text.as_bytes();
        let mut fallback = vec![0u32; bytes.len()];
        let mut matched = 0;
        for i in 1..bytes.len() {
            while matched > 0 && bytes[i] != bytes[matched] {
                matched = fallback[matched - 1] as usize;
            }
            if bytes[i] == bytes[matched] {
                matched += 1;
            }
            fallback[i] = matched as u32;
        }
        Stop {
            text: text.into(),
            fallback: fallback.into(),
            matched: 0,
        }
    }

    /// Whether the stop is complete with this byte.
    fn advance(&mut self, byte: u8) -> bool {
        let bytes = self.text.as_bytes();
        while self.matched > 0 && byte != bytes[self.matched] {
            self.matched = self.fallback[self.matched - 1] as usize;
        }
        if byte == bytes[self.matched] {
            self.matched += 1;
        }
        self.matched == bytes.len()
    }
}

/// Holds back the end of a text while it may be the beginning of a stop string.
pub struct StopFilter {
    stops: Vec<Stop>,
    held: String,
}

impl StopFilter {
    /// Empty stop strings are ignored.
    pub fn new(stops: &[String]) -> StopFilter {
        let stops = stops
            .iter()
            .filter(|s| !s.is_empty())
            .map(|s| Stop::new(s))
            .collect();
        StopFilter {
            stops,
            held: String::new(),
        }
    }

    /// Appends to `shown` what is certainly not part of a stop string. Returns the
    /// stop string that is complete first, of several the longest; the text before
    /// it is then in `shown`, and the rest is gone.
    pub fn push(&mut self, text: &str, shown: &mut String) -> Option<String> {
        if self.stops.is_empty() {
            shown.push_str(text);
            return None;
        }
        let start = self.held.len();
        self.held.push_str(text);
        for (i, &byte) in text.as_bytes().iter().enumerate() {
            let mut complete = false;
            for stop in &mut self.stops {
                complete |= stop.advance(byte);
            }
            if complete {
                let full = self.stops.iter().filter(|s| s.matched == s.text.len());
                let longest = full.map(|s| &s.text).max_by_key(|text| text.len())?;
                let before = start + i + 1 - longest.len();
                shown.push_str(&self.held[..before]);
                self.held.clear();
                return Some(longest.to_string());
            }
        }
        // Every match began at a character boundary, because stops do.
        let keep = self.stops.iter().map(|s| s.matched).max().unwrap_or(0);
        let shown_to = self.held.len() - keep;
        shown.push_str(&self.held[..shown_to]);
        self.held.drain(..shown_to);
        None
    }

    /// The text held back; it was no stop string after all.
    pub fn take_held(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}
