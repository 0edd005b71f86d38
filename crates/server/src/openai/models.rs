//! `GET /v1/models`

use axum_core::response::Response;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::model::{Api, Loaded, model_id};
use crate::respond::json as respond;

/// The loaded model, or nothing. Requests may name any model; this one answers.
pub fn list(api: &Api) -> Response {
    let models: Vec<Value> = api.present.loaded().iter().map(describe).collect();
    respond(&json!({ "object": "list", "data": models }))
}

pub fn one(api: &Api, id: &str) -> Result<Response, ApiError> {
    let loaded = api.present.loaded()?;
    if model_id(&loaded.model) != id {
        return Err(ApiError {
            code: Some("model_not_found"),
            ..ApiError::new(StatusCode::NOT_FOUND, "this model is not loaded")
        });
    }
    Ok(respond(&describe(&loaded)))
}

fn describe(loaded: &Loaded) -> Value {
    json!({
        "id": model_id(&loaded.model),
        "object": "model",
        "created": loaded.since,
        "owned_by": "moestro",
        "context_length": loaded.placement.context,
        "max_model_len": loaded.placement.context,
    })
}
