//! What is loaded, where it is, how the experts' cache does, and how to change that.

use axum_core::response::Response;
use hyper::StatusCode;
use moestro_engine::protocol::{CachePolicy, Command, Event};
use serde::Deserialize;
use serde_json::json;

use crate::error::ApiError;
use crate::limits::PLACES;
use crate::model::{Api, model_id};
use crate::respond::{json as respond, with_kind};

/// Is anybody there, and what is loaded? Needs no key and tells nothing else.
pub fn health(api: &Api) -> Response {
    let loaded = api.present.loaded();
    respond(&json!({
        "status": if loaded.is_ok() { "ok" } else { "no_model" },
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

/// What somebody sees who opens the server's address, and what programs look for first.
/// Needs no key and tells nothing of the model.
pub fn greeting() -> Response {
    respond(&json!({
        "name": "Moestro",
        "version": env!("CARGO_PKG_VERSION"),
        "openai": "/v1",
        "anthropic": "/",
        "description": "/openapi.json",
    }))
}

pub fn model_info(api: &Api) -> Result<Response, ApiError> {
    let loaded = api.present.loaded()?;
    let mut info = json!(loaded.model);
    // Where it lies is the business of this machine.
    if let Some(fields) = info.as_object_mut() {
        fields.remove("path");
    }
    info["id"] = json!(model_id(&loaded.model));
    info["context"] = json!(loaded.placement.context);
    info["cached_experts_per_layer"] = json!(loaded.placement.experts_per_layer);
    Ok(respond(&info))
}

pub async fn memory(api: &Api) -> Result<Response, ApiError> {
    let m = api.look().await?;
    Ok(respond(&json!({
        "tiers": m.tiers,
        "components": m.rows,
        "process_bytes": m.process_bytes,
        "ram_available": m.ram_available,
        "context_used": m.context_used,
        "context": m.context,
    })))
}

pub async fn expert_stats(api: &Api) -> Result<Response, ApiError> {
    let m = api.look().await?;
    Ok(respond(&json!({
        "totals": m.totals,
        "layers": m.layers,
        "telemetry": m.telemetry,
        "hit_rate": m.hit_rate,
        "tokens_per_second": m.tokens_per_second,
        "forecast": m.forecast,
    })))
}

/// What to change; what is left out stays as it is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Optimize {
    /// Off keeps one expert per layer, on as many as fit.
    pub cache: Option<bool>,
    pub experts_per_layer: Option<usize>,
    pub experts_vram: Option<usize>,
    pub ram_budget: Option<u64>,
    pub vram_budget: Option<u64>,
    pub predictive_preloading: Option<bool>,
    pub policy: Option<CachePolicy>,
}

/// Applies new settings between two tokens.
pub async fn optimize(api: &Api, change: Optimize) -> Result<Response, ApiError> {
    let loaded = api.present.loaded()?;
    let mut memory = loaded.placement.settings;
    match change.cache {
        Some(true) => memory.cached_experts_per_layer = None,
        Some(false) => memory.cached_experts_per_layer = Some(loaded.placement.experts_min),
        None => {}
    }
    let slots = &mut memory.cached_experts_per_layer;
    *slots = change.experts_per_layer.or(*slots);
    memory.experts_vram = change.experts_vram.or(memory.experts_vram);
    memory.ram_budget = change.ram_budget.or(memory.ram_budget);
    memory.vram_budget = change.vram_budget.or(memory.vram_budget);
    memory.predictive_preloading = change
        .predictive_preloading
        .or(memory.predictive_preloading);
    memory.policy = change.policy.or(memory.policy);
    let answer = api.ask(|id| Command::Configure { id, memory }).await;
    // Budgets that are too small are the client's choice, no lack of this moment.
    let answer = answer.map_err(|e| match e.status {
        StatusCode::SERVICE_UNAVAILABLE if e.code.is_none() => ApiError::bad(e.message),
        _ => e,
    });
    match answer? {
        Event::Configured { placement, .. } => Ok(respond(&json!({
            "cached_experts_per_layer": placement.experts_per_layer,
            "tiers": placement.tiers,
            "components": placement.rows,
            "notes": placement.notes,
            "settings": placement.settings,
        }))),
        _ => Err(ApiError::gone()),
    }
}

pub async fn metrics(api: &Api) -> Response {
    let memory = api.look().await.ok();
    let open = PLACES - api.places.available_permits();
    let text = api.metrics.write(open, memory.as_deref());
    with_kind("text/plain; version=0.0.4", text)
}
