//! Messages from the engine.

use serde::{Deserialize, Serialize};

use super::{Hardware, MemorySnapshot, Placement};

/// Something that happened. Events of one request come in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    /// First event of every engine.
    Ready {
        version: String,
        hardware: Hardware,
    },
    LoadProgress {
        id: u64,
        stage: LoadStage,
        done: u64,
        total: u64,
    },
    Loaded {
        id: u64,
        model: ModelInfo,
        placement: Placement,
    },
    Unloaded {
        id: u64,
    },
    /// Prompt tokens processed so far; `reused` of the `total` were already in
    /// the session and cost nothing.
    PrefillProgress {
        id: u64,
        done: usize,
        total: usize,
        reused: usize,
        /// Of the next tokens of the prompt, if they were asked for. The first token
        /// has nothing before it and is told as certain.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[cfg_attr(feature = "typescript", ts(skip))]
        logprobs: Vec<TokenLogprobs>,
    },
    /// Text that is safe to show; whole characters, never part of a stop text.
    Token {
        id: u64,
        text: String,
        tokens: usize,
        /// If they were asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "typescript", ts(skip))]
        logprobs: Option<TokenLogprobs>,
    },
    Finished {
        id: u64,
        reason: FinishReason,
        stats: GenerationStats,
    },
    Configured {
        id: u64,
        placement: Placement,
    },
    Planned {
        id: u64,
        placement: Placement,
    },
    /// Tokens of each prompt, in their order.
    Counted {
        id: u64,
        tokens: Vec<usize>,
    },
    Snapshot {
        snapshot: Box<MemorySnapshot>,
    },
    /// The state of memory, asked for once.
    #[cfg_attr(feature = "typescript", ts(skip))]
    Looked {
        id: u64,
        snapshot: Box<MemorySnapshot>,
    },
    /// `id` is `None` for a line that could not be understood.
    Failed {
        id: Option<u64>,
        failure: Failure,
    },
}

impl Event {
    /// Of the command that it answers.
    pub fn id(&self) -> Option<u64> {
        match self {
            Event::LoadProgress { id, .. }
            | Event::Loaded { id, .. }
            | Event::Unloaded { id }
            | Event::PrefillProgress { id, .. }
            | Event::Token { id, .. }
            | Event::Finished { id, .. }
            | Event::Configured { id, .. }
            | Event::Counted { id, .. }
            | Event::Looked { id, .. }
            | Event::Planned { id, .. } => Some(*id),
            Event::Failed { id, .. } => *id,
            Event::Ready { .. } | Event::Snapshot { .. } => None,
        }
    }
}

/// How likely a token was under the model itself, and which others
/// were likely. Probabilities are natural logarithms.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprobs {
    pub chosen: TokenLogprob,
    /// Likeliest first.
    pub likeliest: Vec<TokenLogprob>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    pub token: u32,
    /// Not always whole characters.
    pub bytes: Vec<u8>,
    pub logprob: f32,
}

/// What a load is doing; `done` and `total` count bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum LoadStage {
    Opening,
    Quantizing,
    Weights,
}

/// What has been loaded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ModelInfo {
    pub name: String,
    pub path: String,
    pub source: ModelSource,
    /// Architecture name as in config.json, such as `qwen3_next`.
    pub architecture: String,
    /// All weights, counted.
    pub parameters: u64,
    pub file_bytes: u64,
    pub layers: usize,
    /// Layers that route to experts; the rows of the heat map.
    pub moe_layers: usize,
    pub experts_per_layer: usize,
    pub experts_per_token: usize,
    /// Bytes of one expert (of the largest layer).
    pub expert_bytes: u64,
    pub vocabulary: usize,
    /// Longest context the model was made for, in tokens.
    pub max_context: usize,
    /// Weight formats in use with their share of bytes, such as `Q4_K 62%`.
    pub formats: String,
    /// Parts of the file that are known but not used, such as an MTP block.
    pub skipped: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum ModelSource {
    Gguf,
    HuggingFace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its answer, or a stop text was met.
    Stop,
    /// `max_tokens` was reached.
    MaxTokens,
    /// The reserved context is full.
    ContextFull,
    Cancelled,
}

/// Figures of one answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct GenerationStats {
    pub prompt_tokens: usize,
    /// Of those, tokens whose state the session still had.
    pub reused_tokens: usize,
    pub generated_tokens: usize,
    pub prefill_ms: f64,
    /// From the request to the first token.
    pub first_token_ms: f64,
    pub decode_ms: f64,
    pub prefill_tokens_per_second: f64,
    pub decode_tokens_per_second: f64,
    /// Expert uses during this answer served from a slot, 0 to 1.
    pub hit_rate: f64,
    /// Bytes of experts read from disk during this answer.
    pub expert_bytes_read: u64,
    pub seed: u64,
    /// The stop text that ended the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "typescript", ts(skip))]
    pub stopped_by: Option<String>,
}

/// Why a request failed, and the way out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Failure {
    pub kind: FailureKind,
    /// Names the file or value.
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request itself cannot be served (bad values, no model loaded, busy).
    Request,
    /// The model's files are missing, damaged or of an unknown kind.
    Checkpoint,
    /// Reading an expert failed while answering.
    Disk,
    /// The budgets cannot hold what the model needs.
    Memory,
    Cancelled,
    /// A fault of the engine.
    Internal,
}
