//! Tokens in, text out, while an answer is being written.

use std::sync::Arc;

use crate::error::{Result, TextError};
use crate::stops::StopFilter;
use crate::tokenizer::Tokenizer;

/// What one token brought.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Piece {
    /// Text that can be shown now; often empty.
    pub text: String,
    /// The stop string that ended the answer.
    pub stopped_by: Option<String>,
}

/// Never gives out half a character nor any part of a stop string. All its texts
/// together are what `Tokenizer::decode` makes of all tokens (without special
/// tokens), up to the first stop string. The cost is linear in the bytes.
pub struct StreamDecoder {
    tokenizer: Arc<Tokenizer>,
    /// Bytes of a character that is not complete; at most three.
    partial: Vec<u8>,
    filter: StopFilter,
    /// Stop strings that are the text of a special token, which is never shown.
    special_stops: Vec<(u32, String)>,
    stopped_by: Option<String>,
}

impl StreamDecoder {
    /// Empty stop strings are ignored.
    pub fn new(tokenizer: Arc<Tokenizer>, stops: Vec<String>) -> StreamDecoder {
        let special_stops = stops
            .iter()
            .filter_map(|s| Some((tokenizer.token_id(s)?, s.clone())))
            .filter(|(id, _)| tokenizer.is_special(*id))
            .collect();
        StreamDecoder {
            partial: Vec::new(),
            filter: StopFilter::new(&stops),
            special_stops,
            stopped_by: None,
            tokenizer,
        }
    }

    /// Takes the next token. After a stop string nothing more comes.
    pub fn push(&mut self, id: u32) -> Result<Piece, TextError> {
        let mut piece = Piece {
            text: String::new(),
            stopped_by: self.stopped_by.clone(),
        };
        if piece.stopped_by.is_some() {
            return Ok(piece);
        }
        if self.tokenizer.is_special(id) {
            if let Some((_, stop)) = self.special_stops.iter().find(|(stop, _)| *stop == id) {
                self.stopped_by = Some(stop.clone());
                piece.text = self.rest();
                piece.stopped_by.clone_from(&self.stopped_by);
            }
            return Ok(piece);
        }
        self.partial
            .extend_from_slice(self.tokenizer.token_bytes(id));
        let text = take_characters(&mut self.partial);
        self.stopped_by = self.filter.push(&text, &mut piece.text);
        piece.stopped_by.clone_from(&self.stopped_by);
        Ok(piece)
    }

    /// Ends the answer: what was held back and is no stop string after all.
    pub fn finish(&mut self) -> Result<String, TextError> {
        Ok(if self.stopped_by.is_some() {
            String::new()
        } else {
            self.rest()
        })
    }

    fn rest(&mut self) -> String {
        let last = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial.clear();
        let mut text = String::new();
        match self.filter.push(&last, &mut text) {
            Some(_) => {}
            None => text.push_str(&self.filter.take_held()),
        }
        text
    }
}

/// Takes all complete characters, with U+FFFD for what can become none, and
/// leaves an unfinished one.
fn take_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut rest: &[u8] = bytes;
    let unfinished = loop {
        match std::str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                break 0;
            }
            Err(error) => {
                let (valid, bad) = rest.split_at(error.valid_up_to());
                text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                match error.error_len() {
                    Some(length) => {
                        text.push(char::REPLACEMENT_CHARACTER);
                        rest = &bad[length..];
                    }
                    None => break bad.len(),
                }
            }
        }
    };
    bytes.drain(..bytes.len() - unfinished);
    text
}
