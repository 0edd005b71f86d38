//! Errors as clients of each API expect them: with a status, a kind and a sentence.

use axum_core::response::Response;
use hyper::http::{HeaderValue, StatusCode, header};
use moestro_engine::protocol::{Failure, FailureKind};
use serde_json::{Value, json};

use crate::limits::RETRY_AFTER;
use crate::respond::json_with;

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    pub status: StatusCode,
    /// OpenAI's `code`.
    pub code: Option<&'static str>,
    /// The field it is about.
    pub param: Option<String>,
    pub message: String,
}

impl ApiError {
    pub fn new(status: StatusCode, message: impl Into<String>) -> ApiError {
        ApiError {
            status,
            code: None,
            param: None,
            message: message.into(),
        }
    }

    pub fn bad(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, message)
    }

    /// A wrong value of one field.
    pub fn field(param: &str, message: impl Into<String>) -> ApiError {
        ApiError {
            param: Some(param.into()),
            ..ApiError::bad(message)
        }
    }

    pub fn no_model() -> ApiError {
        ApiError {
            code: Some("model_not_loaded"),
            ..ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "no model is loaded; load one in the window or start with --model",
            )
        }
    }

    pub fn busy() -> ApiError {
        ApiError {
            code: Some("queue_full"),
            ..ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests are waiting; try again in a few seconds",
            )
        }
    }

    pub fn ending() -> ApiError {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "the server is ending")
    }

    pub fn too_slow(seconds: u64) -> ApiError {
        ApiError {
            code: Some("timeout"),
            ..ApiError::new(
                StatusCode::GATEWAY_TIMEOUT,
                format!("the answer was not complete after {seconds} seconds"),
            )
        }
    }

    pub fn gone() -> ApiError {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the engine has ended; start it again",
        )
    }

    /// OpenAI's `type`.
    fn kind(&self) -> &'static str {
        match self.status.as_u16() {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            429 => "rate_limit_error",
            503 => "service_unavailable",
            500.. => "server_error",
            _ => "invalid_request_error",
        }
    }

    pub fn openai(&self) -> Value {
        json!({ "error": {
            "message": self.message,
            "type": self.kind(),
            "param": self.param,
            "code": self.code,
        } })
    }

    pub fn anthropic(&self) -> Value {
        let kind = match self.status.as_u16() {
            413 => "request_too_large",
            503 => "overloaded_error",
            500.. => "api_error",
            _ => self.kind(),
        };
        json!({ "type": "error", "error": { "type": kind, "message": self.message } })
    }
}

impl From<Failure> for ApiError {
    fn from(failure: Failure) -> ApiError {
        if failure.message.starts_with("no model is loaded") {
            return ApiError::no_model();
        }
        let status = match failure.kind {
            FailureKind::Request => StatusCode::BAD_REQUEST,
            FailureKind::Memory => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Cancelled => return ApiError::ending(),
            FailureKind::Checkpoint | FailureKind::Disk | FailureKind::Internal => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        let code = failure
            .message
            .contains("the context holds")
            .then_some("context_length_exceeded");
        ApiError {
            code,
            ..ApiError::new(status, failure.message)
        }
    }
}

impl ApiError {
    /// As a response, in Anthropic's form or OpenAI's.
    pub fn respond(&self, is_anthropic: bool) -> Response {
        let body = match is_anthropic {
            true => self.anthropic(),
            false => self.openai(),
        };
        let mut response = json_with(self.status, &body);
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            let wait = HeaderValue::from(RETRY_AFTER);
            response.headers_mut().insert(header::RETRY_AFTER, wait);
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let how = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, how);
        }
        response
    }
}
