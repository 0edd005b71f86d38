//! Runs a template on a thread of its own, whose stack is deep enough for the
//! deepest structure a template can build within its budget.

use std::error::Error as _;

use minijinja::machinery::{eval, make_string_output};
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Error, ErrorKind};
use serde_json::{Map, Value as Json};

use super::budget::Budget;
use super::environment::{self, Refusal};
use super::instructions::compile;
use crate::error::{Result, TextError};
use crate::guard::panic_message;
use crate::message::{Message, SpecialTokens, TemplateOptions};

/// Bytes of address space; only what is used becomes memory. A list in a list in
/// a list can be as deep as there is fuel, and is dropped by recursion.
const STACK: usize = 512 << 20;

/// Longest error text passed on from a template.
const MAX_REASON: usize = 500;

pub fn check(source: &str) -> Result<()> {
    on_own_stack(|| compile(source).map(drop))
}

pub fn render(
    source: &str,
    special: &SpecialTokens,
    messages: &[Message],
    options: &TemplateOptions,
) -> Result<String> {
    on_own_stack(|| {
        let instructions = compile(source)?;
        let variables = variables(special, messages, options);
        let input = serde_json::to_string(&variables).map_or(0, |text| text.len() as u64);
        let budget = Budget::new(input);
        let refusal = Refusal::default();
        let env = environment::build(&budget, &refusal);
        let mut text = String::new();
        let blocks = std::collections::BTreeMap::new();
        let result = eval(
            &env,
            &instructions,
            Value::from(Serde(&variables)),
            &blocks,
            &mut make_string_output(&mut text),
            AutoEscape::None,
        )
        .map(drop);
        let refused = refusal.lock().ok().and_then(|mut slot| slot.take());
        match (result, refused) {
            (Ok(()), _) => Ok(text),
            (Err(_), Some(reason)) => Err(TextError::TemplateRefused(reason)),
            (Err(error), None) => Err(failure(&error)),
        }
    })
}

/// What Transformers' `apply_chat_template` passes.
fn variables(
    special: &SpecialTokens,
    messages: &[Message],
    options: &TemplateOptions,
) -> Map<String, Json> {
    let mut variables = options.extra.clone();
    let mut set = |name: &str, value: Json| variables.insert(name.to_string(), value);
    set("messages", serde_json::json!(messages));
    set("tools", options.tools.clone().unwrap_or(Json::Null));
    set(
        "add_generation_prompt",
        Json::Bool(options.add_generation_prompt),
    );
    if let Some(thinking) = options.enable_thinking {
        set("enable_thinking", Json::Bool(thinking));
    }
    let tokens = [
        ("bos_token", &special.bos),
        ("eos_token", &special.eos),
        ("pad_token", &special.pad),
    ];
    for (name, token) in tokens {
        if let Some(token) = token {
            set(name, Json::String(token.clone()));
        }
    }
    variables
}

fn failure(error: &Error) -> TextError {
    let mut cause = Some(error);
    while let Some(e) = cause {
        if e.kind() == ErrorKind::OutOfFuel {
            let reason = e.detail().unwrap_or("it runs too many steps");
            return TextError::TemplateLimit(reason.to_string());
        }
        cause = e.source().and_then(|s| s.downcast_ref());
    }
    TextError::TemplateFailed(error.to_string().chars().take(MAX_REASON).collect())
}

fn on_own_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("chat-template".into())
            .stack_size(STACK)
            .spawn_scoped(scope, work)
            .map_err(|e| TextError::TemplateFailed(format!("no memory to run it: {e}")))?;
        thread
            .join()
            .unwrap_or_else(|panic| Err(TextError::TemplateFailed(panic_message(&*panic))))
    })
}
