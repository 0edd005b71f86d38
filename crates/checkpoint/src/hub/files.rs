//! The files beside the weights.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{chat_template, json};
use crate::error::{CheckpointError, quoted};
use crate::limits;
use crate::source::SourceFile;
use crate::tensor::gguf_formats;

/// Configuration and tokenizer files of a Hugging Face checkpoint.
#[derive(Debug)]
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
        refuse_quantized(&path, &config)?;
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

/// Quantized safetensors need rules of their own to be read, of which there are
/// none here yet; to read them as plain weights would give a broken model.
fn refuse_quantized(path: &Path, config: &Value) -> Result<(), CheckpointError> {
    let sections = [Some(config), config.get("text_config")];
    for section in sections.into_iter().flatten() {
        for key in ["quantization_config", "compression_config"] {
            let Some(found) = section.get(key).filter(|found| !found.is_null()) else {
                continue;
            };
            let method = match found.get("quant_method").and_then(Value::as_str) {
                Some(method) => format!("quantized with {}", quoted(method)),
                None => "quantized".into(),
            };
            return Err(CheckpointError::unsupported(
                path,
                format!("the weights are {method} ({key}), which is not supported in safetensors"),
                &format!(
                    "get the model as safetensors in BF16, F16 or F32, or as GGUF in one of {}",
                    gguf_formats()
                ),
            ));
        }
    }
    Ok(())
}
