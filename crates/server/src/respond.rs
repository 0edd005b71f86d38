//! Responses of one kind and content.

use axum_core::body::Body;
use axum_core::response::Response;
use hyper::http::{HeaderValue, StatusCode, header};
use serde_json::Value;

/// Done, with this JSON.
pub fn json(value: &Value) -> Response {
    json_with(StatusCode::OK, value)
}

pub fn json_with(status: StatusCode, value: &Value) -> Response {
    let mut response = with_kind("application/json", value.to_string());
    *response.status_mut() = status;
    response
}

/// Done, with content of this kind.
pub fn with_kind(kind: &'static str, content: impl Into<Body>) -> Response {
    let mut response = Response::new(content.into());
    let kind = HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
