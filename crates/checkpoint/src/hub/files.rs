//! The files beside the weights.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{chat_template, json};
use crate::error::CheckpointError;
use crate::limits;
use crate::packed::Settings;
use crate::source::SourceFile;

/// Configuration and tokenizer files of a Hugging Face checkpoint.
#[derive(Debug, Clone)]
pub struct HubFiles {
    /// The folder they lie in.
    pub directory: PathBuf,
    /// config.json, an object.
    pub config: Value,
    /// generation_config.json, an object.
    pub generation_config: Option<Value>,
    /// Path of tokenizer.json; [`HubFiles::read_tokenizer_json`] reads it.
    pub tokenizer_json: Option<PathBuf>,
    /// tokenizer_config.json, an object.
    pub tokenizer_config: Option<Value>,
    /// The default chat template, in Jinja.
    pub chat_template: Option<String>,
    /// What it says about quantized weights.
    pub(crate) packing: Settings,
}

impl HubFiles {
    pub(super) fn read(directory: &Path) -> Result<Self, CheckpointError> {
        let path = directory.join("config.json");
        let config = json::object(&path, limits::CONFIG_JSON)?.ok_or_else(|| {
            CheckpointError::incomplete(
                directory,
                "has no config.json",
                "download all files of the model into this folder",
            )
        })?;
        let older = json::object(&directory.join("quantize_config.json"), limits::CONFIG_JSON)?;
        let packing = Settings::read(&config, older);
        packing.check(&path)?;
        let generation_config = json::object(
            &directory.join("generation_config.json"),
            limits::GENERATION_CONFIG_JSON,
        )?;
        let tokenizer_config = json::object(
            &directory.join("tokenizer_config.json"),
            limits::TOKENIZER_CONFIG_JSON,
        )?;
        let tokenizer_json = directory.join("tokenizer.json");
        Ok(Self {
            chat_template: chat_template::read(directory, tokenizer_config.as_ref())?,
            directory: directory.into(),
            packing,
            config,
            generation_config,
            tokenizer_json: tokenizer_json.exists().then_some(tokenizer_json),
            tokenizer_config,
        })
    }

    /// The bytes of tokenizer.json, if the checkpoint has one.
    pub fn read_tokenizer_json(&self) -> Result<Option<Vec<u8>>, CheckpointError> {
        self.tokenizer_json
            .as_deref()
            .map(|path| SourceFile::open(path)?.read_all(limits::TOKENIZER_JSON))
            .transpose()
    }
}
