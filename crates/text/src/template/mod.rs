//! Chat templates: a conversation as the one text a model was trained on.
//!
//! Templates are programs from model files. They run on minijinja with Jinja2's
//! and Transformers' conventions, inside bounds (see `budget`) that make any
//! template end soon, with little memory, and without touching anything else.

mod budget;
mod charge;
mod environment;
mod instructions;
mod json;
mod methods;
mod python;
mod run;
mod source;

use crate::error::Result;
use crate::message::{Message, SpecialTokens, TemplateOptions};

/// The common format of Qwen and many others, for files without a template.
const CHATML: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n\
     {{ message.content }}<|im_end|>\n{% endfor %}\
     {% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

#[derive(Clone, Debug)]
pub struct ChatTemplate {
    source: String,
    special: SpecialTokens,
}

impl ChatTemplate {
    /// Checks a template's source.
    ///
    /// Errors: not Jinja; larger than 512 KiB; a construct that is not offered.
    pub fn new(source: &str, special: SpecialTokens) -> Result<ChatTemplate> {
        let template = ChatTemplate {
            source: source::prepare(source)?,
            special,
        };
        run::check(&template.source)?;
        Ok(template)
    }

    /// The fallback for models that come without a template.
    pub fn chatml() -> ChatTemplate {
        ChatTemplate {
            source: CHATML.to_string(),
            special: SpecialTokens::default(),
        }
    }

    /// Writes the conversation as the model reads it.
    ///
    /// Errors: the template refuses the conversation, fails on it, or exceeds its
    /// bounds.
    pub fn render(&self, messages: &[Message], options: &TemplateOptions) -> Result<String> {
        run::render(&self.source, &self.special, messages, options)
    }
}
