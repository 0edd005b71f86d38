//! `GET /v1/models`

use axum_core::response::Response;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::model::{Api, Loaded, model_id};
use crate::respond::json as respond;

/// The loaded model, or nothing. Requests may name any model; this one answers. Has the
/// fields of OpenAI's list and of Anthropic's, which live at the same path.
pub fn list(api: &Api) -> Response {
    let models: Vec<Value> = api.present.loaded().iter().map(describe).collect();
    let id = |model: Option<&Value>| model.map(|model| model["id"].clone());
    let (first, last) = (id(models.first()), id(models.last()));
    respond(&json!({ "object": "list", "data": models,
        "has_more": false, "first_id": first, "last_id": last }))
}

pub fn one(api: &Api, id: &str) -> Result<Response, ApiError> {
    let loaded = api.present.loaded()?;
    if model_id(&loaded.model) != unescaped(id) {
        return Err(ApiError {
            code: Some("model_not_found"),
            ..ApiError::new(StatusCode::NOT_FOUND, "this model is not loaded")
        });
    }
    Ok(respond(&describe(&loaded)))
}

/// A piece of a path without its escapes, as clients write the slash of a name.
fn unescaped(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let hex = piece.get(..2).unwrap_or("-");
        let is_hex = hex.bytes().all(|b| b.is_ascii_hexdigit());
        match is_hex.then(|| u8::from_str_radix(hex, 16)) {
            Some(Ok(byte)) => {
                bytes.push(byte);
                bytes.extend_from_slice(&piece.as_bytes()[2..]);
            }
            _ => {
                bytes.push(b'%');
                bytes.extend_from_slice(piece.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A second since 1970 as RFC 3339 writes it.
fn time_text(seconds: u64) -> String {
    // Days to a date as in Howard Hinnant's "chrono-compatible low-level date algorithms".
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = 400 * era + year + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

fn describe(loaded: &Loaded) -> Value {
    json!({
        "id": model_id(&loaded.model),
        "object": "model",
        "created": loaded.since,
        "owned_by": "moestro",
        "type": "model",
        "display_name": loaded.model.name,
        "created_at": time_text(loaded.since),
        "context_length": loaded.placement.context,
        "max_model_len": loaded.placement.context,
    })
}

#[cfg(test)]
mod tests {
    use super::{time_text, unescaped};

    #[test]
    fn names_come_with_and_without_escapes() {
        assert_eq!(unescaped("org%2Fmodel%3A8b"), "org/model:8b");
        assert_eq!(unescaped("org/model"), "org/model");
        for odd in ["%", "a%2", "%zz", "%+f", "%é", ""] {
            assert_eq!(unescaped(odd), odd);
        }
    }

    #[test]
    fn seconds_are_written_as_dates() {
        // As `date -u -d @N` writes them.
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(time_text(seconds), text);
        }
    }
}
