//! Answers that must have a form: JSON, a JSON schema or a grammar decide which
//! tokens may come next. The work is llguidance's; nothing of a schema is trusted.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::error::{Result, TextError};
use crate::guard::guarded;
use crate::tokenizer::Tokenizer;

/// The form of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Form {
    /// Any JSON object.
    JsonObject,
    JsonSchema(Value),
    /// Rules in llguidance's dialect of Lark.
    Lark(String),
}

/// Largest schema or grammar, in bytes of text.
const MOST_BYTES: usize = 256 << 10;

/// Forms that are kept ready, because clients send the same ones again.
const MOST_KEPT: usize = 8;

/// The vocabulary as grammars see it; made once for a tokenizer.
pub struct Grammars {
    factory: ParserFactory,
    /// The latest last.
    kept: Mutex<VecDeque<(Form, Constraint)>>,
}

impl Grammars {
    /// `ends` are the tokens that end an answer.
    ///
    /// Errors: no token ends an answer; a vocabulary with absurdly long tokens.
    pub fn new(tokenizer: &Tokenizer, ends: &[u32]) -> Result<Grammars> {
        let size = tokenizer.vocab_size();
        let ends: Vec<u32> = ends
            .iter()
            .copied()
            .filter(|id| (*id as usize) < size)
            .collect();
        let Some(first) = ends.first() else {
            return Err(TextError::Grammar("the model has no end token".into()));
        };
        // The byte that marks a token as none of the text; no UTF-8 has it.
        let word = |id: u32| match tokenizer.is_special(id) {
            true => [
                &[TokTrie::SPECIAL_TOKEN_MARKER][..],
                tokenizer.token_bytes(id),
            ]
            .concat(),
            false => tokenizer.token_bytes(id).to_vec(),
        };
        let words: Vec<Vec<u8>> = (0..size as u32).map(word).collect();
        let made = guarded(|| {
            let trie = TokTrie::from(&TokRxInfo::new(size as u32, *first), &words);
            let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie.with_eos_tokens(&ends)));
            ParserFactory::new_simple(&env)
        });
        let mut factory = made
            .map_err(TextError::Grammar)?
            .map_err(|e| TextError::Grammar(e.to_string()))?;
        factory.quiet();
        factory.limits_mut().verbose_errors = false;
        Ok(Grammars {
            factory,
            kept: Mutex::default(),
        })
    }

    /// Begins an answer of this form.
    ///
    /// Errors: a schema that is wrong, too large or uses what is not supported.
    pub fn begin(&self, form: &Form) -> Result<Constraint> {
        let known = |kept: &VecDeque<(Form, Constraint)>| {
            let found = kept.iter().find(|(other, _)| other == form);
            found.map(|(_, constraint)| constraint.again())
        };
        if let Some(constraint) = known(&self.kept()) {
            return Ok(constraint);
        }
        let constraint = self.compile(form)?;
        let mut kept = self.kept();
        if kept.len() == MOST_KEPT {
            kept.pop_front();
        }
        kept.push_back((form.clone(), constraint.again()));
        Ok(constraint)
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<(Form, Constraint)>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn compile(&self, form: &Form) -> Result<Constraint> {
        let size = match form {
            Form::JsonObject => 0,
            Form::JsonSchema(schema) => schema.to_string().len(),
            Form::Lark(text) => text.len(),
        };
        if size > MOST_BYTES {
            return Err(TextError::Grammar(format!(
                "it has {size} bytes and at most {MOST_BYTES} are accepted"
            )));
        }
        let grammar = match form {
            Form::JsonObject => schema_grammar(&json!({ "type": "object" })),
            Form::JsonSchema(schema) => schema_grammar(schema),
            Form::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
        };
        let parser = guarded(|| self.factory.create_parser(grammar))
            .map_err(TextError::Grammar)?
            .map_err(|e| TextError::Grammar(e.to_string()))?;
        Ok(Constraint {
            matcher: Matcher::new(Ok(parser)),
        })
    }
}

/// Blanks are fixed, because a small model can go on with them for ever.
fn schema_grammar(schema: &Value) -> TopLevelGrammar {
    TopLevelGrammar::from_json_schema(with_blanks(schema))
}

/// A schema whose JSON is written with one blank after `:` and `,`.
pub(crate) fn with_blanks(schema: &Value) -> Value {
    let mut schema = match schema {
        Value::Object(map) => map.clone(),
        Value::Bool(false) => return schema.clone(),
        _ => serde_json::Map::new(),
    };
    let options = json!({
        "whitespace_flexible": false,
        "item_separator": ", ",
        "key_separator": ": ",
        "coerce_one_of": true,
    });
    schema.insert("x-guidance".into(), options);
    Value::Object(schema)
}

/// What may come next in one answer.
pub struct Constraint {
    matcher: Matcher,
}

impl Constraint {
    /// The same, independent of this one.
    pub fn again(&self) -> Constraint {
        Constraint {
            matcher: self.matcher.deep_clone(),
        }
    }

    /// Takes text that was written already. Returns false, and is of no more use, if
    /// that text has not this form.
    pub fn accept_text(&mut self, bytes: &[u8]) -> bool {
        let taken = guarded(|| {
            let tokens = self.matcher.tok_env()?.tok_trie().greedy_tokenize(bytes);
            self.matcher.consume_tokens(&tokens)
        });
        matches!(taken, Ok(Ok(())))
    }

    /// Makes every token impossible that must not come next.
    pub fn restrict(&mut self, logits: &mut [f32]) -> Result<()> {
        let allowed = guarded(|| self.matcher.compute_mask_or_eos())
            .map_err(TextError::Grammar)?
            .map_err(|e| TextError::Grammar(e.to_string()))?;
        let known = allowed.len();
        for (id, logit) in logits.iter_mut().enumerate() {
            if id >= known || !allowed.is_allowed(id as u32) {
                *logit = f32::NEG_INFINITY;
            }
        }
        Ok(())
    }

    /// Takes the token that came. Returns whether the answer is complete.
    pub fn accept(&mut self, token: u32) -> Result<bool> {
        guarded(|| self.matcher.consume_token(token))
            .map_err(TextError::Grammar)?
            .map_err(|e| TextError::Grammar(e.to_string()))?;
        Ok(self.matcher.is_stopped())
    }
}
