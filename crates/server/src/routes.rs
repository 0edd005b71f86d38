//! All paths, and what every request passes on its way to them.

use std::sync::Arc;

use axum_core::extract::Request;
use axum_core::response::Response;
use hyper::http::{Method, StatusCode};

use crate::body::read;
use crate::error::ApiError;
use crate::model::Api;
use crate::tickets::Ticket;
use crate::{anthropic, guard, openai, openapi, own};

/// Method and path of everything that is offered.
pub const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/models"),
    ("GET", MODEL),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/messages/count_tokens"),
    ("POST", "/api/v1/chat/completions"),
    ("POST", "/api/v1/generate"),
    ("POST", "/api/v1/generate/batch"),
    ("GET", "/api/v1/stream"),
    ("GET", "/api/v1/expert-stats"),
    ("GET", "/api/v1/memory"),
    ("GET", "/api/v1/model-info"),
    ("POST", "/api/v1/optimize"),
    ("GET", "/api/v1/health"),
    ("GET", "/health"),
    ("GET", "/"),
    ("GET", "/metrics"),
    ("GET", "/openapi.json"),
];

/// Names of models may have slashes.
const MODEL: &str = "/v1/models/{id}";
const BEFORE_ID: &str = "/v1/models/";

/// Answers any request.
pub async fn answer(api: Arc<Api>, request: Request) -> Response {
    let path = request.uri().path();
    let is_anthropic = path.starts_with("/v1/messages");
    let route = find(path);
    let ticket = Ticket::open(&api, &request, route.map_or("other", |(_, path)| path));
    let mut response;
    match guard::check_place(&api.rules, &request) {
        Err(refused) => response = refused.respond(is_anthropic),
        Ok(origin) => {
            response = if guard::is_preflight(&request) {
                guard::preflight(&request)
            } else {
                let answer = let_in(&api, &ticket, route, request).await;
                answer.unwrap_or_else(|error| error.respond(is_anthropic))
            };
            guard::mark(&mut response, origin);
        }
    }
    ticket.status(response.status().as_u16());
    response
}

fn find(path: &str) -> Option<(&'static str, &'static str)> {
    let is_model = path.len() > BEFORE_ID.len() && path.starts_with(BEFORE_ID);
    let wanted = if is_model { MODEL } else { path };
    ROUTES.iter().copied().find(|(_, route)| *route == wanted)
}

async fn let_in(
    api: &Arc<Api>,
    ticket: &Arc<Ticket>,
    route: Option<(&'static str, &'static str)>,
    request: Request,
) -> Result<Response, ApiError> {
    guard::check_key(&api.rules, &request)?;
    let Some((method, path)) = route else {
        return Err(ApiError {
            code: Some("unknown_url"),
            ..ApiError::new(
                StatusCode::NOT_FOUND,
                "there is nothing at this path; /openapi.json lists what there is",
            )
        });
    };
    // Of a HEAD the connection sends no more than the headers.
    let head = method == "GET" && request.method() == Method::HEAD;
    if request.method().as_str() != method && !head {
        return Err(ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            format!("this path takes {method}; see /openapi.json"),
        ));
    }
    let ticket = ticket.clone();
    match path {
        "/v1/models" => Ok(openai::models::list(api)),
        MODEL => openai::models::one(api, &request.uri().path()[BEFORE_ID.len()..]),
        "/v1/chat/completions" | "/api/v1/chat/completions" => {
            openai::chat::chat(api, ticket, read(request).await?).await
        }
        "/v1/completions" => {
            openai::completions::completions(api, ticket, read(request).await?).await
        }
        "/v1/responses" => openai::responses::responses(api, ticket, read(request).await?).await,
        "/v1/messages" => anthropic::messages(api, ticket, read(request).await?).await,
        "/v1/messages/count_tokens" => anthropic::count_tokens(api, read(request).await?).await,
        "/api/v1/generate" => own::generate::generate(api, ticket, read(request).await?).await,
        "/api/v1/generate/batch" => own::generate::batch(api, ticket, read(request).await?).await,
        "/api/v1/stream" => own::stream::stream(api.clone(), ticket, request),
        "/api/v1/expert-stats" => own::memory::expert_stats(api).await,
        "/api/v1/memory" => own::memory::memory(api).await,
        "/api/v1/model-info" => own::memory::model_info(api),
        "/api/v1/optimize" => own::memory::optimize(api, read(request).await?).await,
        "/api/v1/health" | "/health" => Ok(own::memory::health(api)),
        "/" => Ok(own::memory::greeting()),
        "/metrics" => Ok(own::memory::metrics(api).await),
        "/openapi.json" => Ok(openapi::document()),
        _ => unreachable!("every route is one of the above"),
    }
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn paths_are_found_exactly() {
        assert_eq!(find("/v1/models").unwrap().1, "/v1/models");
        assert_eq!(find("/v1/models/a/b").unwrap().1, "/v1/models/{id}");
        for wrong in [
            "",
            "//",
            "/v1",
            "/v1/models/",
            "/v1/models/../x/..",
            "/V1/models",
        ] {
            let found = find(wrong).map(|(_, path)| path);
            assert!(
                found.is_none() || found == Some("/v1/models/{id}"),
                "{wrong}"
            );
        }
        assert!(find("/v1/chat/completions/").is_none());
    }
}
