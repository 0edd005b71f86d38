//! Bodies of requests: JSON of bounded size, depth and time.

use std::time::Duration;

use axum_core::body::Body;
use axum_core::extract::Request;
use futures_util::StreamExt;
use hyper::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::error::ApiError;
use crate::limits::{BODY, BODY_TIME, DEPTH};

/// The JSON of a request.
pub async fn read<T: DeserializeOwned>(request: Request) -> Result<T, ApiError> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|k| k.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    // A form or plain text is what a web page can send without asking.
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "the body must be sent as Content-Type: application/json",
        ));
    }
    parse(&whole(request.into_body(), BODY_TIME).await?)
}

async fn whole(body: Body, time: Duration) -> Result<Vec<u8>, ApiError> {
    let mut parts = body.into_data_stream();
    let mut bytes = Vec::new();
    let reading = async {
        while let Some(part) = parts.next().await {
            let part = part.map_err(|_| ApiError::bad("the body could not be read to its end"))?;
            if bytes.len() + part.len() > BODY {
                return Err(ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("the body is larger than {} MiB", BODY >> 20),
                ));
            }
            bytes.extend_from_slice(&part);
        }
        Ok(())
    };
    match tokio::time::timeout(time, reading).await {
        Ok(done) => done.map(|()| bytes),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "the body did not come in time",
        )),
    }
}

/// JSON of bounded depth.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    if depth(bytes) > DEPTH {
        return Err(ApiError::bad(format!(
            "the JSON is nested deeper than {DEPTH} levels"
        )));
    }
    serde_json::from_slice(bytes).map_err(|e| {
        let said: String = e.to_string().chars().take(300).collect();
        ApiError::bad(format!("the body is not what this endpoint takes: {said}"))
    })
}

/// The deepest nesting, brackets in texts aside.
fn depth(bytes: &[u8]) -> usize {
    let (mut now, mut most) = (0usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                now += 1;
                most = most.max(now);
            }
            b'}' | b']' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        assert_eq!(depth(br#"{"a": ["[[[[\"[[", {}]}"#), 3);
        assert_eq!(depth(b"]]]]"), 0);
        let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        let said = parse::<serde_json::Value>(&deep).unwrap_err();
        assert!(said.message.contains("deeper"), "{}", said.message);
    }
}
