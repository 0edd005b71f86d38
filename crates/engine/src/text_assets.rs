//! The text side of a checkpoint: tokenizer, chat template, default sampling and
//! the tokens that end an answer, from either kind of file.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use moestro_checkpoint::{Checkpoint, GgufMetadata, HubFiles, Metadata};
use moestro_text::{
    ChatTemplate, Constraint, GgufVocabulary, Grammars, Sampling, SpecialTokens, Tokenizer,
};
use serde_json::Value;

use crate::error::{EngineError, Result};
use crate::protocol::Form;

pub struct TextAssets {
    pub tokenizer: Arc<Tokenizer>,
    pub template: ChatTemplate,
    pub sampling: Sampling,
    /// Any of these ends an answer.
    pub end_tokens: BTreeSet<u32>,
    /// Made when the first answer needs a form.
    grammars: OnceLock<Grammars>,
}

/// End-of-turn markers of the ChatML family, which some files do not list.
const END_MARKERS: [&str; 2] = ["<|im_end|>", "<|endoftext|>"];

impl TextAssets {
    pub fn read(checkpoint: &Checkpoint) -> Result<TextAssets> {
        let mut assets = match checkpoint.metadata() {
            Metadata::HuggingFace(hub) => from_hub(hub)?,
            Metadata::Gguf(meta) => from_gguf(meta)?,
        };
        let markers = END_MARKERS
            .iter()
            .filter_map(|m| assets.tokenizer.token_id(m));
        assets.end_tokens.extend(markers);
        Ok(assets)
    }

    /// Begins an answer of this form.
    pub fn constraint(&self, form: &Form) -> Result<Constraint> {
        if self.grammars.get().is_none() {
            let ends: Vec<u32> = self.end_tokens.iter().copied().collect();
            let made = Grammars::new(&self.tokenizer, &ends)?;
            let _ = self.grammars.set(made);
        }
        let grammars = self.grammars.get().expect("it was just made");
        let form = match form {
            Form::JsonObject => moestro_text::Form::JsonObject,
            Form::JsonSchema { schema } => moestro_text::Form::JsonSchema(schema.clone()),
            Form::Lark { grammar } => moestro_text::Form::Lark(grammar.clone()),
            Form::Calls { .. } => {
                let said = "a form of calls is begun by each of its grammars";
                return Err(EngineError::Request(said.into()));
            }
        };
        Ok(grammars.begin(&form)?)
    }
}

fn from_hub(hub: &HubFiles) -> Result<TextAssets> {
    let bytes = hub.read_tokenizer_json()?.ok_or_else(|| {
        EngineError::Request(format!(
            "{}: tokenizer.json is missing; fetch it from the model's repository",
            hub.directory.display()
        ))
    })?;
    let tokenizer = Arc::new(Tokenizer::from_json(&bytes)?);
    let named = |key: &str| {
        let value = hub.tokenizer_config.as_ref()?.get(key)?;
        let text = value
            .as_str()
            .or_else(|| value.get("content").and_then(Value::as_str))?;
        Some(text.to_string())
    };
    let special = SpecialTokens {
        bos: named("bos_token"),
        eos: named("eos_token"),
        pad: named("pad_token"),
    };
    let mut end_tokens = BTreeSet::new();
    for config in hub.generation_config.iter().chain([&hub.config]) {
        match config.get("eos_token_id") {
            Some(Value::Array(ids)) => {
                end_tokens.extend(ids.iter().filter_map(Value::as_u64).map(|id| id as u32));
            }
            Some(id) => end_tokens.extend(id.as_u64().map(|id| id as u32)),
            None => {}
        }
    }
    end_tokens.extend(special.eos.as_ref().and_then(|t| tokenizer.token_id(t)));
    let template = match &hub.chat_template {
        Some(source) => ChatTemplate::new(source, special)?,
        None => ChatTemplate::chatml(),
    };
    let sampling = hub
        .generation_config
        .as_ref()
        .map_or_else(Sampling::default, Sampling::from_generation_config);
    Ok(TextAssets {
        tokenizer,
        template,
        sampling,
        end_tokens,
        grammars: OnceLock::new(),
    })
}

fn from_gguf(meta: &GgufMetadata) -> Result<TextAssets> {
    let missing = |key: &str| EngineError::from(meta.missing(key));
    let strings = |key: &str| -> Result<Vec<String>> {
        let list = meta.string_array(key)?.ok_or_else(|| missing(key))?;
        Ok(list.iter().map(String::from).collect())
    };
    let model = meta
        .string("tokenizer.ggml.model")?
        .ok_or_else(|| missing("tokenizer.ggml.model"))?;
    let tokens = strings("tokenizer.ggml.tokens")?;
    let id = |key: &str| -> Result<Option<u32>> { Ok(meta.u32(key)?) };
    let name = |id: Option<u32>| id.and_then(|i| tokens.get(i as usize)).cloned();
    let eos = id("tokenizer.ggml.eos_token_id")?;
    let special = SpecialTokens {
        bos: name(id("tokenizer.ggml.bos_token_id")?),
        eos: name(eos),
        pad: name(id("tokenizer.ggml.padding_token_id")?),
    };
    let mut end_tokens: BTreeSet<u32> = eos.into_iter().collect();
    for key in ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"] {
        end_tokens.extend(id(key)?);
    }
    let template = match meta.string("tokenizer.chat_template")? {
        Some(source) => ChatTemplate::new(source, special)?,
        None => ChatTemplate::chatml(),
    };
    let tokenizer = Tokenizer::from_gguf(GgufVocabulary {
        model,
        pre: meta.string("tokenizer.ggml.pre")?,
        token_types: meta
            .i32_array("tokenizer.ggml.token_type")?
            .unwrap_or_default(),
        merges: strings("tokenizer.ggml.merges")?,
        tokens,
    })?;
    let tokenizer = Arc::new(tokenizer);
    Ok(TextAssets {
        tokenizer,
        template,
        sampling: Sampling::default(),
        end_tokens,
        grammars: OnceLock::new(),
    })
}
