//! Where a Hugging Face checkpoint keeps its chat template.

use std::path::Path;

use serde_json::Value;

use super::json;
use crate::error::CheckpointError;
use crate::limits;

/// The default template: chat_template.jinja, else `chat_template` in
/// tokenizer_config.json, else in chat_template.json. This is Transformers' order.
pub(super) fn read(
    directory: &Path,
    tokenizer_config: Option<&Value>,
) -> Result<Option<String>, CheckpointError> {
    let jinja = json::text(
        &directory.join("chat_template.jinja"),
        limits::CHAT_TEMPLATE,
    )?;
    if jinja.is_some() {
        return Ok(jinja);
    }
    let path = directory.join("tokenizer_config.json");
    if let Some(found) = tokenizer_config.and_then(|config| config.get("chat_template"))
        && let Some(template) = default_of(found, &path)?
    {
        return Ok(Some(template));
    }
    let path = directory.join("chat_template.json");
    match json::object(&path, limits::CHAT_TEMPLATE)? {
        Some(file) => match file.get("chat_template") {
            Some(found) => default_of(found, &path),
            None => Ok(None),
        },
        None => Ok(None),
    }
}

/// A template, or the one named "default" in a list of `{name, template}`.
fn default_of(found: &Value, path: &Path) -> Result<Option<String>, CheckpointError> {
    let wrong = || {
        json::invalid(
            path,
            "chat_template is neither a text nor a list of {name, template}",
        )
    };
    match found {
        Value::Null => Ok(None),
        Value::String(template) => Ok(Some(template.clone())),
        Value::Array(list) => {
            for entry in list {
                let text = |key| entry.get(key).and_then(Value::as_str).ok_or_else(wrong);
                if text("name")? == "default" {
                    return Ok(Some(text("template")?.into()));
                }
            }
            Ok(None)
        }
        _ => Err(wrong()),
    }
}
