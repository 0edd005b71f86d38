//! `GET /api/v1/stream`: a WebSocket. The client sends what `/api/v1/generate` takes,
//! gets tokens and figures, and may send `{"type": "cancel"}` meanwhile.

use std::pin::pin;
use std::sync::Arc;

use axum_core::body::Body;
use axum_core::extract::Request;
use axum_core::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt, StreamExt};
use hyper::http::{HeaderMap, HeaderValue, StatusCode, header};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::generate::{Generate, events};
use crate::body::parse;
use crate::error::ApiError;
use crate::limits::BODY;
use crate::model::{Api, ended};
use crate::reply::Replies;
use crate::tickets::Ticket;

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What a client's key is joined with, RFC 6455 section 1.3.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Opens the WebSocket, RFC 6455 section 4.2.
///
/// Errors: a request that is no handshake.
pub fn stream(
    api: Arc<Api>,
    ticket: Arc<Ticket>,
    mut request: Request,
) -> Result<Response, ApiError> {
    let headers = request.headers();
    let key = headers.get(header::SEC_WEBSOCKET_KEY).cloned();
    let is_handshake = has_word(headers, header::UPGRADE, "websocket")
        && has_word(headers, header::CONNECTION, "upgrade")
        && has_word(headers, header::SEC_WEBSOCKET_VERSION, "13");
    let (true, Some(key)) = (is_handshake, key) else {
        return Err(ApiError::new(
            StatusCode::UPGRADE_REQUIRED,
            "this path is a WebSocket; connect to it as ws://",
        ));
    };
    let mut hash = Sha1::new();
    hash.update(key.as_bytes());
    hash.update(MAGIC.as_bytes());
    let accepted = STANDARD.encode(hash.finalize());
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(open(api, ticket, upgrade));
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    let accepted = HeaderValue::from_str(&accepted).map_err(|_| ApiError::bad("a bad key"))?;
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    Ok(response)
}

fn has_word(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    let values = headers.get_all(name);
    let mut words = values
        .iter()
        .filter_map(|v| v.to_str().ok())
        .flat_map(|v| v.split(','));
    words.any(|w| w.trim().eq_ignore_ascii_case(word))
}

async fn open(api: Arc<Api>, ticket: Arc<Ticket>, upgrade: OnUpgrade) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let limits = WebSocketConfig::default()
        .max_message_size(Some(BODY))
        .max_frame_size(Some(BODY));
    let io = TokioIo::new(upgraded);
    let socket = Socket::from_raw_socket(io, Role::Server, Some(limits)).await;
    converse(api, ticket, socket).await;
}

/// One question after the other until the client leaves or the server ends.
async fn converse(api: Arc<Api>, ticket: Arc<Ticket>, mut socket: Socket) {
    let mut ending = api.ending.clone();
    loop {
        let said = tokio::select! {
            said = socket.next() => said,
            () = ended(&mut ending) => None,
        };
        let stays = match said {
            // Too late, or for nothing: answered all the same, for who waits for it.
            Some(Ok(Message::Text(text))) if is_cancel(text.as_bytes()) => {
                tell(&mut socket, &json!({ "type": "cancelled" })).await
            }
            Some(Ok(Message::Text(text))) => {
                match answer(&api, &ticket, &mut socket, text.as_bytes()).await {
                    Ok(stays) => stays,
                    Err(error) => tell_error(&mut socket, &error).await,
                }
            }
            Some(Ok(Message::Binary(_))) => {
                tell_error(&mut socket, &ApiError::bad("send questions as text")).await
            }
            Some(Ok(Message::Close(_)) | Err(_)) | None => break,
            Some(Ok(_)) => true,
        };
        if !stays {
            return;
        }
    }
    let _ = socket.close(None).await;
}

/// What a client said while its question is answered.
enum Heard {
    Cancel,
    /// Another question, which must wait.
    Question,
    /// Nothing that concerns us.
    Nothing,
    /// It left.
    Bye,
}

/// Waits for the client; may be given up and begun again.
async fn hear(socket: &mut Socket) -> Heard {
    match socket.next().await {
        Some(Ok(Message::Text(text))) if is_cancel(text.as_bytes()) => Heard::Cancel,
        Some(Ok(Message::Text(_) | Message::Binary(_))) => Heard::Question,
        Some(Ok(Message::Close(_)) | Err(_)) | None => Heard::Bye,
        Some(Ok(_)) => Heard::Nothing,
    }
}

/// Does what the client wants. Returns whether it is still there, if that ends its answer.
async fn react(socket: &mut Socket, heard: Heard) -> Option<bool> {
    match heard {
        Heard::Cancel => Some(tell(socket, &json!({ "type": "cancelled" })).await),
        Heard::Question => {
            let busy = ApiError::bad("one answer after the other: wait, or cancel it");
            let stays = tell_error(socket, &busy).await;
            (!stays).then_some(false)
        }
        Heard::Nothing => None,
        Heard::Bye => Some(false),
    }
}

/// Answers one question. Returns whether the client is still there. It is listened to
/// all the time: it may cancel or leave while its question waits, too.
async fn answer(
    api: &Api,
    ticket: &Arc<Ticket>,
    socket: &mut Socket,
    text: &[u8],
) -> Result<bool, ApiError> {
    let (requests, reading) = parse::<Generate>(text)?.requests()?;
    let mut beginning = pin!(Replies::begin(api, ticket.clone(), requests, &reading));
    let mut replies = loop {
        let heard = tokio::select! {
            begun = &mut beginning => break begun?,
            heard = hear(socket) => heard,
        };
        if let Some(stays) = react(socket, heard).await {
            return Ok(stays);
        }
    };
    // What a client says that was told the end is its next question.
    while !replies.have_ended() {
        let heard = tokio::select! {
            next = replies.next() => {
                let Some(next) = next else {
                    break;
                };
                let (i, bit) = next?;
                for event in events(i, bit) {
                    if !tell(socket, &event).await {
                        return Ok(false);
                    }
                }
                continue;
            }
            heard = hear(socket) => heard,
        };
        if let Some(stays) = react(socket, heard).await {
            return Ok(stays);
        }
    }
    Ok(true)
}

fn is_cancel(text: &[u8]) -> bool {
    text.len() < 100 && parse::<Value>(text).is_ok_and(|v| v["type"] == "cancel")
}

async fn tell_error(socket: &mut Socket, error: &ApiError) -> bool {
    let mut said = error.openai();
    said["type"] = json!("error");
    tell(socket, &said).await
}

async fn tell(socket: &mut Socket, event: &Value) -> bool {
    let message = Message::text(event.to_string());
    socket.send(message).await.is_ok()
}
