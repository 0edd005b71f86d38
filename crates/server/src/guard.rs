//! Who may ask: the name the client used, the web page it comes from, its key.
//! A page of somebody else's must not reach this machine through its browser, by
//! whatever name it calls it (DNS rebinding: Ollama CVE-2024-28224).

use std::net::IpAddr;

use axum_core::body::Body;
use axum_core::extract::Request;
use axum_core::response::Response;
use hyper::http::uri::Authority;
use hyper::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use subtle::ConstantTimeEq;

use crate::error::ApiError;
use crate::settings::{Rules, digest};

/// The paths that need no key: is anybody there?
const OPEN: [&str; 3] = ["/api/v1/health", "/health", "/"];

/// The web page that a request comes from, if it does and is allowed.
pub type Origin = Option<HeaderValue>;

/// Errors: another name for this machine, a web page that was not named.
pub fn check_place(rules: &Rules, request: &Request) -> Result<Origin, ApiError> {
    check_name(rules, request)?;
    check_origin(rules, request.headers())
}

/// Errors: a missing or wrong key.
pub fn check_key(rules: &Rules, request: &Request) -> Result<(), ApiError> {
    if OPEN.contains(&request.uri().path()) || has_key(rules, request.headers()) {
        return Ok(());
    }
    Err(ApiError {
        code: Some("invalid_api_key"),
        ..ApiError::new(
            StatusCode::UNAUTHORIZED,
            "the API key is missing or wrong; send it as Authorization: Bearer KEY",
        )
    })
}

/// Does a browser ask whether it may ask?
pub fn is_preflight(request: &Request) -> bool {
    let asks = header::ACCESS_CONTROL_REQUEST_METHOD;
    request.method() == Method::OPTIONS && request.headers().contains_key(asks)
}

/// Lets a page that was let in send what it asks to: its origin was named, and the
/// libraries for browsers send a dozen headers of their own.
pub fn preflight(request: &Request) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST");
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    let asked = request
        .headers()
        .get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let usual = HeaderValue::from_static("authorization, content-type, x-api-key");
    let asked = asked.cloned().unwrap_or(usual);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
    // Chrome asks so before a page of another network reaches this machine.
    if request
        .headers()
        .contains_key("access-control-request-private-network")
    {
        let name = HeaderName::from_static("access-control-allow-private-network");
        headers.insert(name, HeaderValue::from_static("true"));
    }
    let seconds = HeaderValue::from_static("600");
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, seconds);
    response
}

/// What a browser must know of every response.
pub fn mark(response: &mut Response, origin: Origin) {
    let headers = response.headers_mut();
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    let strict = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, strict);
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let wait = HeaderValue::from_static("retry-after");
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, wait);
    }
}

/// A server for this machine alone answers only to this machine's names.
fn check_name(rules: &Rules, request: &Request) -> Result<(), ApiError> {
    let refused = || {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "this server is called by another name; use http://127.0.0.1",
        )
    };
    let mut names = request.headers().get_all(header::HOST).iter();
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(ApiError::bad("a request needs one Host header"));
    };
    let name = name.to_str().map_err(|_| refused())?;
    let written: Authority = name.parse().map_err(|_| refused())?;
    let in_line = request.uri().authority();
    if name.contains('@') || in_line.is_some_and(|a| a.as_str() != name) {
        return Err(refused());
    }
    // Others are let in by their key alone, whatever they call this machine.
    if rules.address.ip().is_loopback() && !is_loopback(written.host()) {
        return Err(refused());
    }
    Ok(())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let ip: Option<IpAddr> = bare.parse().ok();
    host.eq_ignore_ascii_case("localhost") || ip.is_some_and(|ip| ip.is_loopback())
}

/// Web pages must be named; programs send no origin. Returns the origin to allow.
fn check_origin(rules: &Rules, headers: &HeaderMap) -> Result<Origin, ApiError> {
    let refused = || {
        ApiError::new(
            StatusCode::FORBIDDEN,
            "web pages of this origin may not call this server; name it with --allow-origin",
        )
    };
    let mut origins = headers.get_all(header::ORIGIN).iter();
    match (origins.next(), origins.next()) {
        (None, _) => {
            // An image or a link in a page sends no origin, but this.
            let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
            match site {
                None | Some(b"none" | b"same-origin") => Ok(None),
                Some(_) => Err(refused()),
            }
        }
        (Some(origin), None) => {
            let text = origin.to_str().map_err(|_| refused())?.to_ascii_lowercase();
            match rules.origins.contains(&text) {
                true => Ok(Some(origin.clone())),
                false => Err(refused()),
            }
        }
        _ => Err(refused()),
    }
}

fn has_key(rules: &Rules, headers: &HeaderMap) -> bool {
    let Some(wanted) = &rules.key else {
        return true;
    };
    let bearer = headers.get(header::AUTHORIZATION).and_then(|v| {
        let text = v.to_str().ok()?;
        let (scheme, key) = text.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    });
    let plain = headers.get("x-api-key").and_then(|v| v.to_str().ok());
    let given = [bearer, plain].into_iter().flatten();
    // All are compared, in the same time whatever they are.
    let right = |key| bool::from(digest(key).ct_eq(wanted));
    given.fold(false, |found, key| found | right(key))
}
