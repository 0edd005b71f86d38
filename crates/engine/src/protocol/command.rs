//! Messages to the engine.

use std::collections::BTreeMap;
use std::path::PathBuf;

use moestro_text::Message;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::quantize::Quantize;

/// One request to a running engine. `id` is chosen by the caller and returned in
/// every event that answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all that come in numbers are the large ones"
)]
pub enum Command {
    /// Replaces the loaded model, if any. Answered by `LoadProgress`*, then `Loaded` or `Failed`.
    Load { id: u64, request: LoadRequest },
    /// Frees the model and its session. Answered by `Unloaded`.
    Unload { id: u64 },
    /// Answered by `PrefillProgress`*, `Token`*, then `Finished` or `Failed`.
    Generate { id: u64, request: GenerateRequest },
    /// Stops the load or generation with this id. It then ends as `Finished`
    /// with reason `cancelled`, or `Failed` with kind `cancelled` for a load.
    Cancel { id: u64 },
    /// Applies budgets and slots between two tokens, without reload. Answered by `Configured`.
    Configure { id: u64, memory: MemorySettings },
    /// Works out a placement without applying it: for `model`, or for the loaded
    /// model when that is `None`. Answered by `Planned`.
    Plan {
        id: u64,
        model: Option<PathBuf>,
        memory: MemorySettings,
    },
    /// Counts the tokens of prompts without answering them. Answered by `Counted`.
    Count { id: u64, prompts: Vec<Prompt> },
    /// Answered by `Looked`.
    #[cfg_attr(feature = "typescript", ts(skip))]
    Look { id: u64 },
    /// Starts sending `Snapshot` at this rate (0 stops, 20 is the most).
    Watch { hz: f32 },
    /// Ends the engine after the current token.
    Shutdown,
}

/// Which model to load, and how.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct LoadRequest {
    /// A GGUF file or a Hugging Face folder.
    pub model: PathBuf,
    #[serde(default)]
    pub memory: MemorySettings,
    /// Worker threads; `None` uses the physical cores.
    #[serde(default)]
    pub threads: Option<usize>,
    /// What to quantize BF16, F16, F32 or FP8 weights to, once; the result is kept for
    /// the next time.
    #[serde(default)]
    pub quantize: Option<Quantize>,
}

/// What the person allows the engine to use. `None` lets the engine choose.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct MemorySettings {
    /// Bytes of VRAM for weights, state and expert slots.
    #[serde(default)]
    pub vram_budget: Option<u64>,
    /// Bytes of RAM for the same.
    #[serde(default)]
    pub ram_budget: Option<u64>,
    /// Expert slots per layer in RAM, the same in every layer. The RAM budget still
    /// bounds them. `None` takes what fits and spreads it where it hits most.
    #[serde(default, alias = "experts_per_layer")]
    pub cached_experts_per_layer: Option<usize>,
    /// Expert slots per layer in VRAM. The VRAM budget still bounds them.
    #[serde(default)]
    pub experts_vram: Option<usize>,
    /// May experts be read before their layer has asked for them?
    #[serde(default)]
    pub predictive_preloading: Option<bool>,
    /// Who keeps a slot.
    #[serde(default)]
    pub policy: Option<CachePolicy>,
    /// Tokens of context to reserve memory for.
    #[serde(default)]
    pub context: Option<usize>,
}

/// Who keeps a slot when there are more experts than slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum CachePolicy {
    /// The experts of the profile, else the first that came, stay for good.
    Static,
    /// The most recently used stay.
    Lru,
    /// Uses count, and fade; how fast is learned for each layer.
    #[default]
    Learned,
}

/// One answer to write.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct GenerateRequest {
    pub prompt: Prompt,
    #[serde(default)]
    pub sampling: SamplingOverrides,
    /// `None` writes until the model stops or the context is full.
    #[serde(default)]
    pub max_tokens: Option<usize>,
    /// Texts that end the answer; they are never part of it.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Added to the logits of tokens, -100 to 100.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "typescript", ts(skip))]
    pub logit_bias: BTreeMap<u32, f32>,
    /// Tell how likely each token was, beside this many of the likeliest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(skip))]
    pub logprobs: Option<usize>,
    /// Tell it of the tokens of the prompt, too. All of it is read then, even what
    /// is known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[cfg_attr(feature = "typescript", ts(skip))]
    pub prompt_logprobs: bool,
    /// What the answer must look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(skip))]
    pub form: Option<Form>,
    /// Who asks: waiting requests of several are answered in turn.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[cfg_attr(feature = "typescript", ts(skip))]
    pub client: String,
}

/// The form that an answer is held to, token by token.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Form {
    /// Any JSON object.
    JsonObject,
    JsonSchema {
        schema: Value,
    },
    /// Rules in llguidance's dialect of Lark.
    Lark {
        grammar: String,
    },
    /// A free answer in which every call of a tool is held to the first of these
    /// grammars (Lark) that can be kept. It holds from behind the tag that opens the
    /// call to the end of the one that closes it.
    Calls {
        grammars: Vec<String>,
        /// May more follow the first one? If not, it ends the answer.
        several: bool,
    },
}

/// What the model is asked to continue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Prompt {
    /// A conversation, rendered through the model's chat template.
    Chat {
        #[cfg_attr(
            feature = "typescript",
            ts(type = "Array<{ role: string, content: string }>")
        )]
        messages: Vec<Message>,
        #[serde(default)]
        #[cfg_attr(feature = "typescript", ts(skip))]
        template: TemplateArguments,
    },
    /// Text taken as it is.
    Raw { text: String },
    /// Token ids taken as they are.
    Tokens { ids: Vec<u32> },
}

impl Prompt {
    pub fn chat(messages: Vec<Message>) -> Prompt {
        Prompt::Chat {
            messages,
            template: TemplateArguments::default(),
        }
    }
}

impl Default for Prompt {
    fn default() -> Prompt {
        Prompt::Raw {
            text: String::new(),
        }
    }
}

/// What a chat template gets besides the messages.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TemplateArguments {
    /// A list of tool definitions in OpenAI's form.
    pub tools: Option<Value>,
    /// For models that can think before answering; `None` leaves it to the template.
    pub enable_thinking: Option<bool>,
    /// The last message is the beginning of the answer, to be gone on with.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continue_answer: bool,
    /// Further variables of a template.
    pub variables: Map<String, Value>,
}

/// Sampling settings of one request; what is `None` comes from the model's
/// `generation_config`, else from the app's defaults.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(default)]
pub struct SamplingOverrides {
    pub temperature: Option<f32>,
    pub top_k: Option<u32>,
    pub top_p: Option<f32>,
    pub min_p: Option<f32>,
    pub repetition_penalty: Option<f32>,
    pub presence_penalty: Option<f32>,
    pub frequency_penalty: Option<f32>,
    pub seed: Option<u64>,
}
