//! The form that an answer is held to: all of it behind its thoughts, or every call
//! of a tool in it.

use moestro_text::{Constraint, Gate, TextError};

use crate::error::{EngineError, Result};
use crate::protocol::Form;
use crate::text_assets::TextAssets;

pub struct Held {
    /// As it is when it begins.
    form: Constraint,
    /// While it holds.
    now: Option<Constraint>,
    /// Where it begins; `None` if it holds from the start.
    gate: Option<Gate>,
    is_call: bool,
    /// Is the answer complete when the form is?
    ends: bool,
}

impl Held {
    /// `thinks` if the template has opened thoughts for the answer.
    ///
    /// Errors: a form that cannot be kept.
    pub fn new(text: &TextAssets, form: &Form, thinks: bool) -> Result<Held> {
        if let Form::Calls { grammars, several } = form {
            return Ok(Held {
                form: first(text, grammars)?,
                now: None,
                gate: Some(Gate::at_calls(thinks)),
                is_call: true,
                ends: !several,
            });
        }
        let form = text.constraint(form)?;
        Ok(Held {
            now: (!thinks).then(|| form.again()),
            form,
            gate: thinks.then(Gate::behind_thoughts),
            is_call: false,
            ends: true,
        })
    }

    /// What may come next, if that is not free.
    pub fn now(&mut self) -> Option<&mut Constraint> {
        self.now.as_mut()
    }

    /// Takes the token that came, with its bytes. Returns whether the answer is complete.
    pub fn accept(&mut self, token: u32, bytes: &[u8]) -> Result<bool> {
        if let Some(now) = &mut self.now {
            let complete = now.accept(token)?;
            if complete && self.is_call {
                self.now = None;
            }
            return Ok(complete && self.ends);
        }
        let behind = self.gate.as_mut().and_then(|gate| gate.push(bytes));
        if let Some(behind) = behind {
            let mut form = self.form.again();
            // A token may hold the end of the mark and the beginning of the call. One
            // that begins like no call is told as text, and so need not be held.
            let begun = &bytes[bytes.len().saturating_sub(behind)..];
            if !self.is_call || begun.is_empty() || form.accept_text(begun) {
                self.now = Some(form);
            }
        }
        Ok(false)
    }
}

/// The first grammar that can be kept; schemas of tools may say what no grammar can.
fn first(text: &TextAssets, grammars: &[String]) -> Result<Constraint> {
    let mut problem = EngineError::from(TextError::Grammar("it has no rules".into()));
    for grammar in grammars {
        let grammar = grammar.clone();
        match text.constraint(&Form::Lark { grammar }) {
            Ok(form) => return Ok(form),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}
