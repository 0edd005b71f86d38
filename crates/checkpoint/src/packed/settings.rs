//! What a configuration says about how the weights are packed.

use std::path::Path;

use serde_json::Value;

use super::{SCHEMES, known};
use crate::error::{CheckpointError, DOWNLOAD_AGAIN, quoted};

/// `quantization_config` of config.json, or what stands for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings {
    found: Option<(&'static str, Value)>,
}

impl Settings {
    /// From config.json, or quantize_config.json of older GPTQ checkpoints.
    pub fn read(config: &Value, quantize_config: Option<Value>) -> Settings {
        let sections = [Some(config), config.get("text_config")];
        for section in sections.into_iter().flatten() {
            for key in ["quantization_config", "compression_config"] {
                if let Some(value) = section.get(key).filter(|value| !value.is_null()) {
                    return Settings {
                        found: Some((key, value.clone())),
                    };
                }
            }
        }
        let mut older = quantize_config;
        if let Some(Value::Object(fields)) = &mut older {
            fields.entry("quant_method").or_insert("gptq".into());
        }
        Settings {
            found: older.map(|value| ("quantize_config.json", value)),
        }
    }

    /// `quant_method`.
    pub fn method(&self) -> Option<&str> {
        self.text("quant_method")
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).and_then(Value::as_str)
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.get(key).and_then(Value::as_u64)
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).and_then(Value::as_bool)
    }

    pub fn get(&self, key: &str) -> Option<&Value> {
        self.found.as_ref()?.1.get(key).filter(|v| !v.is_null())
    }

    /// Fails if the method is not known, or of a kind that is not read.
    pub fn check(&self, config: &Path) -> Result<(), CheckpointError> {
        let Some((key, _)) = &self.found else {
            return Ok(());
        };
        let refused = |what: String| {
            CheckpointError::unsupported(
                config,
                format!("the weights are quantized {what} ({key}), which is not supported"),
                &format!("get the model as {}", super::known()),
            )
        };
        let Some(method) = self.method() else {
            return Err(refused("in a way that is not named".into()));
        };
        if !SCHEMES.iter().any(|s| s.methods.contains(&method)) {
            return Err(refused(format!("with {}", quoted(method))));
        }
        match self.unread(method) {
            Some(what) => Err(refused(format!("with {}, {what}", quoted(method)))),
            None => Ok(()),
        }
    }

    /// What of a known method is not read here.
    fn unread(&self, method: &str) -> Option<String> {
        let bits = self.number("bits");
        let text = |key: &str, known: &[&str]| {
            let found = self.text(key).filter(|found| !known.contains(found))?;
            Some(format!("{key} {}", quoted(found)))
        };
        match method {
            "bitsandbytes" if self.flag("load_in_8bit") == Some(true) => {
                Some("in 8 bits (LLM.int8)".into())
            }
            "bitsandbytes" => text("bnb_4bit_quant_storage", &["uint8"]),
            "fp8" => text("fmt", &["e4m3"]),
            "gptq" | "auto-round" if !matches!(bits, None | Some(4 | 8)) => {
                bits.map(|bits| format!("{bits} bits"))
            }
            "gptq" => text("checkpoint_format", &["gptq", "gptq_v2"]),
            "auto-round" => text(
                "packing_format",
                &["auto_round:auto_gptq", "auto_round:auto_awq"],
            ),
            "awq" if !matches!(bits, None | Some(4)) => bits.map(|bits| format!("{bits} bits")),
            "awq" => text("version", &["gemm", "GEMM"]),
            "compressed-tensors" => text(
                "format",
                &[
                    "pack-quantized",
                    "float-quantized",
                    "naive-quantized",
                    "mixed-precision",
                ],
            ),
            _ => None,
        }
    }

    /// Fails if the configuration promises packed weights: there are none.
    pub fn expect_none(&self, config: &Path) -> Result<(), CheckpointError> {
        let Some((key, _)) = &self.found else {
            return Ok(());
        };
        Err(CheckpointError::malformed(
            config,
            format!(
                "says that the weights are quantized with {} ({key}), but no tensor is",
                quoted(self.method().unwrap_or("something"))
            ),
            &format!("{DOWNLOAD_AGAIN}, or get the model as {}", known()),
        ))
    }
}
