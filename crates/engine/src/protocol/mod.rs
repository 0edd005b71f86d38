//! What goes in and comes out of a running engine: commands and events as plain
//! serialisable messages. One JSON object per line when they cross a process
//! boundary. Sizes are bytes, times are milliseconds unless a name says otherwise.

mod command;
mod event;
mod memory;
mod telemetry;

pub use command::{
    CachePolicy, Command, Form, GenerateRequest, LoadRequest, MemorySettings, Prompt,
    SamplingOverrides, TemplateArguments,
};
pub use event::{
    Event, Failure, FailureKind, FinishReason, GenerationStats, LoadStage, ModelInfo, ModelSource,
    TokenLogprob, TokenLogprobs,
};
pub use moestro_text::Message;

pub use memory::{
    Component, GpuInfo, GpuReading, GpuShare, Hardware, LayerResidency, MemorySnapshot, Placement,
    PlacementRow, Tier, TierUse, Totals,
};
pub use telemetry::{AppliedForecast, Forecast, ForecastPoint, Preloading, Telemetry};
