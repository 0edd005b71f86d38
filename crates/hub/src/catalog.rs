//! The curated list: models that the engine is made for, as data in this crate.

use serde::{Deserialize, Serialize};

use crate::names::RepoId;

/// A model worth trying, with the places it can be had from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct Suggestion {
    pub name: String,
    /// One or two sentences.
    pub summary: String,
    /// `model_type` in its config.json.
    pub model_type: String,
    pub license: String,
    pub total_parameters: u64,
    /// Used per token.
    pub active_parameters: u64,
    /// The usual choice first.
    pub sources: Vec<Source>,
}

/// A repository that has the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(deny_unknown_fields)]
pub struct Source {
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub repo: RepoId,
    /// `gguf` or `safetensors`.
    pub format: String,
    /// Label of the variant that suits most.
    pub suggested: String,
    /// Of the suggested variant; its listing has the exact number.
    pub approximate_bytes: u64,
}

#[derive(Deserialize)]
struct File {
    models: Vec<Suggestion>,
}

/// The list, in the order in which it is shown.
pub fn catalog() -> Vec<Suggestion> {
    let file: Result<File, _> = serde_json::from_str(include_str!("../catalog.json"));
    file.map(|file| file.models).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_read_and_holds_what_it_must() {
        let list = catalog();
        assert!(list.len() >= 6);
        for word in [
            "Qwen3-Next 80B-A3B Instruct",
            "Thinking",
            "Coder-Next",
            "30B-A3B",
        ] {
            assert!(list.iter().any(|m| m.name.contains(word)), "{word}");
        }
        for model in &list {
            assert!(["qwen3_next", "qwen3_moe"].contains(&model.model_type.as_str()));
            assert!(!model.sources.is_empty() && model.total_parameters > model.active_parameters);
            for source in &model.sources {
                assert!(["gguf", "safetensors"].contains(&source.format.as_str()));
                // Between 4 and 17 bits per weight.
                let bits = source.approximate_bytes * 8 / model.total_parameters;
                assert!((4..=17).contains(&bits), "{}: {bits}", source.repo);
            }
        }
    }
}
