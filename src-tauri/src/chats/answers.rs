//! The one way to an answer: what leads to it is on disk before the engine is asked.

use std::sync::Arc;

use moestro_chats::{AttachedFile, Message};
use moestro_engine::protocol::{Command, GenerateRequest, Prompt};
use serde::{Deserialize, Serialize};
use tauri::State;

use super::recorder::Recorder;
use super::{ChatError, Chats};
use crate::engine_process::EngineProcess;

/// What an answer is written to.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Turn {
    /// A new prompt after this message; without one it begins the chat.
    Ask {
        parent: Option<i64>,
        text: String,
        files: Vec<AttachedFile>,
    },
    /// Another answer to a prompt.
    Again { prompt: i64 },
    /// The rest of an answer that ended too early.
    Continue { answer: i64 },
}

/// An answer that the person wants.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct AnswerRequest {
    pub chat: i64,
    pub turn: Turn,
    /// The name of who answers.
    pub model: Option<String>,
    /// The number that the engine's events will have.
    pub id: u64,
    /// With all messages of the prompt.
    pub request: GenerateRequest,
}

/// An answer that was kept, and that the engine was asked for.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Answering {
    /// If it is new.
    pub prompt: Option<Message>,
    pub answer: Message,
    /// Why the engine could not be asked, as a sentence.
    pub failure: Option<String>,
}

/// Keeps what the person sent, and then asks the engine.
#[tauri::command(async)]
pub fn chat_answer(
    chats: State<'_, Chats>,
    recorder: State<'_, Arc<Recorder>>,
    engine: State<'_, EngineProcess>,
    asked: AnswerRequest,
) -> Result<Answering, ChatError> {
    let AnswerRequest {
        chat,
        turn,
        model,
        id,
        mut request,
    } = asked;
    let model = model.as_deref();
    let (prompt, answer) = chats.with(|store| match &turn {
        Turn::Ask {
            parent,
            text,
            files,
        } => {
            let asked = store.ask(chat, *parent, moestro_chats::Prompt { text, files }, model)?;
            Ok((Some(asked.prompt), asked.answer))
        }
        Turn::Again { prompt } => Ok((None, store.answer_again(*prompt, model)?)),
        Turn::Continue { answer } => Ok((None, store.continue_answer(*answer)?)),
    })?;
    if let (Turn::Continue { .. }, Prompt::Chat { template, .. }) = (&turn, &mut request.prompt) {
        template.continue_answer = true;
    }
    recorder.begin(id, answer.id);
    let asked = engine.send(&Command::Generate { id, request });
    let failure = asked.err().map(|error| error.to_string());
    if let Some(failure) = &failure {
        recorder.fail(id, failure.clone());
    }
    Ok(Answering {
        prompt,
        answer,
        failure,
    })
}
