//! Everything that can go wrong in the engine. Messages name the file or value
//! and the way out, because they are shown to the person as they are.

use moestro_checkpoint::CheckpointError;
use moestro_cuda::CudaError;
use moestro_text::TextError;
use thiserror::Error;

use crate::protocol::{Event, Failure, FailureKind};

#[derive(Debug, Error)]
pub enum EngineError {
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error("architecture `{found}` is not supported; supported are {known}")]
    Architecture { found: String, known: String },
    #[error("configuration: `{key}` {problem}")]
    Config { key: String, problem: String },
    #[error(
        "tensor `{name}` is missing from the checkpoint; the download may be incomplete, fetch it again"
    )]
    MissingTensor { name: String },
    #[error("tensor `{name}` has shape {found:?} where the configuration asks for {expected:?}")]
    WrongShape {
        name: String,
        expected: Vec<usize>,
        found: Vec<usize>,
    },
    #[error(
        "tensor `{name}`{others} is in the checkpoint but not part of a `{architecture}` model; \
         the file is of a newer or modified kind"
    )]
    UnusedTensor {
        name: String,
        others: String,
        architecture: String,
    },
    #[error(
        "tensor `{name}`: {rows} x {cols} in {format} does not divide into whole blocks per row"
    )]
    RaggedRows {
        name: String,
        rows: usize,
        cols: usize,
        format: String,
    },
    #[error(
        "tensor `{name}` is {found} where the layer's other experts are {others}; experts of one \
         layer must share a format"
    )]
    MixedExperts {
        name: String,
        found: String,
        others: String,
    },
    #[error("{0}")]
    Budget(String),
    #[error(
        "not enough memory for {what} ({bytes} bytes); lower the budgets or close other programs"
    )]
    OutOfMemory { what: String, bytes: u64 },
    #[error("reading an expert failed: {0}")]
    ExpertRead(#[source] CheckpointError),
    #[error("{0}")]
    Cache(String),
    #[error("cancelled")]
    Cancelled,
    #[error("{0}")]
    Request(String),
    #[error(transparent)]
    Gpu(#[from] CudaError),
    #[error("computing failed: {0}")]
    Compute(#[from] candle_core::Error),
}

impl EngineError {
    /// The last event of the command that it ended.
    pub fn event(&self, id: u64) -> Event {
        Event::Failed {
            id: Some(id),
            failure: self.failure(),
        }
    }

    /// The message for the other side of the protocol.
    pub fn failure(&self) -> Failure {
        let kind = match self {
            EngineError::Checkpoint(_)
            | EngineError::Architecture { .. }
            | EngineError::Config { .. }
            | EngineError::MissingTensor { .. }
            | EngineError::WrongShape { .. }
            | EngineError::UnusedTensor { .. }
            | EngineError::RaggedRows { .. }
            | EngineError::MixedExperts { .. } => FailureKind::Checkpoint,
            EngineError::Budget(_)
            | EngineError::OutOfMemory { .. }
            | EngineError::Gpu(CudaError::OutOfMemory { .. }) => FailureKind::Memory,
            EngineError::ExpertRead(_) | EngineError::Cache(_) => FailureKind::Disk,
            EngineError::Cancelled => FailureKind::Cancelled,
            EngineError::Text(_) | EngineError::Request(_) => FailureKind::Request,
            EngineError::Gpu(_) | EngineError::Compute(_) => FailureKind::Internal,
        };
        let message = match self {
            EngineError::ExpertRead(cause) => format!("reading an expert failed: {cause}"),
            other => other.to_string(),
        };
        Failure { kind, message }
    }
}

pub type Result<T> = std::result::Result<T, EngineError>;

/// Shorthand for a refused configuration value.
pub fn config_error(key: impl Into<String>, problem: impl Into<String>) -> EngineError {
    EngineError::Config {
        key: key.into(),
        problem: problem.into(),
    }
}
