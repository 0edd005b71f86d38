//! What can go wrong with text, said so that a user knows the way out.

pub type Result<T, E = TextError> = std::result::Result<T, E>;

#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TextError {
    /// The vocabulary is damaged or of a kind that is not read here.
    #[error("the tokenizer cannot be used: {0}")]
    Tokenizer(String),

    #[error(
        "the file's pre-tokenizer '{found}' is unknown; known are {known}. Use the Hugging Face \
         folder of this model, whose tokenizer.json says how it splits text"
    )]
    UnknownPreTokenizer { found: String, known: String },

    #[error("the text could not be split into tokens: {0}")]
    Encode(String),

    /// The template is not valid Jinja or uses something that is not offered.
    #[error("the model's chat template is not usable: {0}")]
    TemplateSyntax(String),

    /// The template itself refused the conversation (`raise_exception`).
    #[error("the model's chat template refuses this conversation: {0}")]
    TemplateRefused(String),

    /// The template failed on this conversation.
    #[error("the model's chat template failed: {0}")]
    TemplateFailed(String),

    #[error("the model's chat template was stopped: {0}")]
    TemplateLimit(String),

    #[error("{field} is {value}, but must be {range}")]
    Sampling {
        field: &'static str,
        value: String,
        range: &'static str,
    },

    #[error(
        "the model returned no usable number for any token; its weights are damaged or overflow \
         in this precision"
    )]
    NoUsableLogit,

    /// A schema or grammar that answers should have.
    #[error("the form asked for cannot be kept: {0}")]
    Grammar(String),

    #[error("drawing a token failed: {0}")]
    Draw(String),
}
