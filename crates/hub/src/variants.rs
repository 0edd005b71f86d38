//! The forms in which a repository offers its model: safetensors with their
//! configuration, and each quantization as GGUF; every one with all its files.

use std::collections::BTreeMap;

use moestro_checkpoint::part_name;
use serde::{Deserialize, Serialize};

use crate::api::Repository;
use crate::beside::is_beside;
use crate::fetch::RepoFile;
use crate::pull::Selection;

/// What the engine can read, told by who calls.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Supported {
    /// `model_type` in config.json.
    pub model_types: Vec<String>,
    /// Tensor formats, such as `Q4_K`.
    pub formats: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Container {
    Safetensors,
    Gguf,
    /// Of other programs; never fetched.
    Other,
}

/// One form of the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Short and unique within the repository: `Q4_K_M`, `safetensors`.
    pub label: String,
    pub container: Container,
    /// Files with weights.
    pub weights: Vec<RepoFile>,
    /// Files that the weights need: configuration and tokenizer.
    pub others: Vec<RepoFile>,
    /// Why it cannot be used here; `None` if nothing is known against it.
    pub unsupported: Option<String>,
}

impl Variant {
    /// Bytes of all its files.
    pub fn bytes(&self) -> u64 {
        let files = self.others.iter().chain(&self.weights);
        files.map(|f| f.size).fold(0, u64::saturating_add)
    }

    /// The files to fetch.
    pub fn selection(&self, of: &Repository) -> Selection {
        Selection {
            repo: of.found.repo.clone(),
            revision: of.revision.clone(),
            commit: of.commit.clone(),
            files: self.others.iter().chain(&self.weights).cloned().collect(),
        }
    }
}

/// Files beside safetensors that the engine or other programs read.
const COMPANIONS: &[&str] = &[
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "merges.txt",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "quantize_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
];

/// Groups the files of a repository. Smallest first, those that cannot be used last.
pub fn variants(repository: &Repository, supported: &Supported) -> Vec<Variant> {
    let mut found: Vec<Variant> = safetensors(repository).into_iter().collect();
    found.extend(ggufs(&repository.files, supported));
    if found.is_empty() {
        found.extend(others(&repository.files));
    }
    if let Some(reason) = unknown_model(repository, supported) {
        for variant in &mut found {
            variant.unsupported.get_or_insert(reason.clone());
        }
    }
    found.sort_by_key(|v| (v.unsupported.is_some(), v.bytes()));
    found
}

fn unknown_model(repository: &Repository, supported: &Supported) -> Option<String> {
    let found = repository.found.model_type.as_ref()?;
    let known = supported.model_types.contains(found) || supported.model_types.is_empty();
    (!known).then(|| {
        format!(
            "models of the kind {found} are not supported yet; supported are {}",
            supported.model_types.join(", ")
        )
    })
}

fn safetensors(repository: &Repository) -> Option<Variant> {
    // Only at the root: folders hold copies for other programs.
    let root = || repository.files.iter().filter(|f| f.path.depth() == 0);
    let mut weights: Vec<RepoFile> = root()
        .filter(|f| f.path.as_str().ends_with(".safetensors"))
        .filter(|f| !f.path.as_str().starts_with("consolidated"))
        .cloned()
        .collect();
    if weights
        .iter()
        .any(|f| f.path.as_str() == "model.safetensors")
    {
        weights.retain(|f| f.path.as_str() == "model.safetensors");
    }
    if weights.is_empty() {
        return None;
    }
    let others: Vec<RepoFile> = root()
        .filter(|f| COMPANIONS.contains(&f.path.as_str()))
        .cloned()
        .collect();
    let has = |name: &str| others.iter().any(|f| f.path.as_str() == name);
    let unsupported = if !has("config.json") {
        Some("the repository has no config.json, so this is a part of a model only".to_string())
    } else if weights.len() > 1 && !has("model.safetensors.index.json") {
        Some("the repository has no model.safetensors.index.json for its files".to_string())
    } else {
        packed_for_mlx(repository.found.repo.as_str())
    };
    Some(Variant {
        label: "safetensors".into(),
        container: Container::Safetensors,
        weights,
        others,
        unsupported,
    })
}

/// MLX repositories look like others up to their tensors; only the name tells.
fn packed_for_mlx(repo: &str) -> Option<String> {
    let name = repo.to_lowercase();
    let mlx = name.starts_with("mlx-community/") || name.contains("-mlx");
    mlx.then(|| "this is packed for Apple's MLX; choose GGUF or the original safetensors".into())
}

fn ggufs(files: &[RepoFile], supported: &Supported) -> Vec<Variant> {
    let mut sets: BTreeMap<String, Vec<RepoFile>> = BTreeMap::new();
    for file in files {
        let path = file.path.as_str();
        if let Some(stem) = strip_gguf(path)
            && !is_beside(file.path.file_name())
        {
            let set = part_name(stem).map_or(stem, |part| part.stem);
            sets.entry(set.into()).or_default().push(file.clone());
        }
    }
    let mut labels: BTreeMap<String, usize> = BTreeMap::new();
    for set in sets.keys() {
        *labels.entry(label(set)).or_default() += 1;
    }
    let variant = |(set, weights): (String, Vec<RepoFile>)| {
        let quantization = label(&set);
        let unsupported = incomplete(&weights).or_else(|| unknown_format(&quantization, supported));
        let unique = labels[&quantization] == 1;
        Variant {
            label: if unique { quantization } else { set },
            container: Container::Gguf,
            weights,
            others: Vec::new(),
            unsupported,
        }
    };
    sets.into_iter().map(variant).collect()
}

fn others(files: &[RepoFile]) -> Option<Variant> {
    let foreign = |f: &&RepoFile| {
        let ends = [".bin", ".pt", ".pth", ".onnx", ".h5", ".msgpack", ".ckpt"];
        ends.iter().any(|end| f.path.as_str().ends_with(end))
    };
    let weights: Vec<RepoFile> = files.iter().filter(foreign).cloned().collect();
    (!weights.is_empty()).then(|| Variant {
        label: "other formats".into(),
        container: Container::Other,
        weights,
        others: Vec::new(),
        unsupported: Some(
            "the weights are neither safetensors nor GGUF; look for the model in one of these"
                .into(),
        ),
    })
}

fn strip_gguf(path: &str) -> Option<&str> {
    let at = path.len().checked_sub(5)?;
    let (stem, end) = (path.get(..at)?, path.get(at..)?);
    end.eq_ignore_ascii_case(".gguf").then_some(stem)
}

/// Are parts of a split model missing from the repository?
fn incomplete(weights: &[RepoFile]) -> Option<String> {
    let parts: Vec<_> = weights
        .iter()
        .filter_map(|f| part_name(strip_gguf(f.path.as_str())?))
        .collect();
    let count = parts.first()?.count;
    let all = parts.iter().map(|p| p.number).eq(1..=count);
    (!all).then(|| format!("the repository has {} of its {count} parts", parts.len()))
}

/// The quantization in a file's name, `Q4_K_M` of `x/Qwen3-Next-UD-Q4_K_M`; the
/// whole name if there is none.
fn label(stem: &str) -> String {
    let name = stem.rsplit('/').next().unwrap_or(stem);
    let words = name.split(['-', '.']);
    let known = |word: &&str| is_quantization(word);
    let Some(found) = words.clone().rfind(known) else {
        return name.into();
    };
    let unsloth = words.clone().any(|word| word == "UD");
    format!(
        "{}{}",
        if unsloth { "UD-" } else { "" },
        found.to_uppercase()
    )
}

fn is_quantization(word: &str) -> bool {
    let word = word.to_uppercase();
    let number_after = |prefix: &str| {
        let rest = word.strip_prefix(prefix);
        rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    ["BF16", "F16", "F32", "FP16", "FP32"].contains(&word.as_str())
        || word.starts_with("MXFP4")
        || (["IQ", "Q", "TQ"].into_iter().any(number_after) && word.contains('_'))
}

/// The format most tensors of this quantization have, if it is not supported.
/// Which ones the file really mixes, only its header tells.
fn unknown_format(label: &str, supported: &Supported) -> Option<String> {
    let name = label.strip_prefix("UD-").unwrap_or(label);
    if supported.formats.is_empty() || !is_quantization(name) {
        return None;
    }
    let name = name.replace("FP16", "F16").replace("FP32", "F32");
    let known = |format: &String| {
        let rest = name.strip_prefix(format.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    (!supported.formats.iter().any(known)).then(|| {
        format!("{name} weights are not supported yet; choose Q4_K_M or another of the usual ones")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Found;

    fn repository(files: &[(&str, u64)]) -> Repository {
        let file = |(path, size): &(&str, u64)| RepoFile {
            path: path.parse().unwrap(),
            size: *size,
            digest: "a".repeat(64).parse().unwrap(),
        };
        Repository {
            found: Found {
                repo: "org/model-GGUF".parse().unwrap(),
                downloads: 0,
                likes: 0,
                gated: false,
                updated: None,
                license: None,
                model_type: Some("qwen3_next".into()),
                gguf: true,
            },
            revision: "main".parse().unwrap(),
            commit: "1".repeat(40).parse().unwrap(),
            files: files.iter().map(file).collect(),
        }
    }

    fn supported() -> Supported {
        Supported {
            model_types: vec!["qwen3_next".into(), "qwen3_moe".into()],
            formats: [
                "F32", "F16", "BF16", "Q4_K", "Q6_K", "Q8_0", "IQ4_XS", "MXFP4",
            ]
            .map(String::from)
            .to_vec(),
        }
    }

    #[test]
    fn quantizations_are_told_apart_with_all_their_parts() {
        let found = variants(
            &repository(&[
                ("README.md", 5),
                ("Q4_K_M/Model-80B-Q4_K_M-00001-of-00002.gguf", 30),
                ("Q4_K_M/Model-80B-Q4_K_M-00002-of-00002.gguf", 18),
                ("Model-80B-UD-Q8_0.gguf", 80),
                ("Model-80B-IQ2_XXS.gguf", 20),
                ("Model-80B-BF16-00001-of-00003.gguf", 50),
                ("mmproj-F16.gguf", 1),
                ("imatrix.gguf", 1),
                ("Model-80B-MXFP4_MOE.gguf", 44),
            ]),
            &supported(),
        );
        let seen: Vec<_> = found
            .iter()
            .map(|v| (v.label.as_str(), v.bytes()))
            .collect();
        let expected = [
            ("MXFP4_MOE", 44),
            ("Q4_K_M", 48),
            ("UD-Q8_0", 80),
            ("IQ2_XXS", 20),
            ("BF16", 50),
        ];
        assert_eq!(seen, expected);
        assert_eq!(found[1].weights.len(), 2);
        assert!(found[3].unsupported.as_ref().unwrap().contains("IQ2_XXS"));
        assert!(
            found[4]
                .unsupported
                .as_ref()
                .unwrap()
                .contains("1 of its 3 parts")
        );
    }

    #[test]
    fn safetensors_bring_their_companions() {
        let files = [
            ("config.json", 1),
            ("model-00001-of-00002.safetensors", 10),
            ("model-00002-of-00002.safetensors", 10),
            ("model.safetensors.index.json", 2),
            ("original/model.safetensors", 99),
            ("tokenizer.json", 3),
            ("README.md", 5),
            ("pytorch_model.bin", 99),
        ];
        let found = variants(&repository(&files), &supported());
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].bytes(), found[0].unsupported.clone()), (26, None));
        let selection = found[0].selection(&repository(&files));
        assert_eq!(selection.files[0].path.as_str(), "config.json");
        let without_index = variants(&repository(&files[..3]), &supported());
        assert!(
            without_index[0]
                .unsupported
                .as_ref()
                .unwrap()
                .contains("index")
        );
    }

    #[test]
    fn what_cannot_run_says_why() {
        let mut other = repository(&[("config.json", 1), ("model.safetensors", 10)]);
        other.found.model_type = Some("llama".into());
        let found = variants(&other, &supported());
        let reason = found[0].unsupported.as_ref().unwrap();
        assert!(reason.contains("llama") && reason.contains("qwen3_next"));
        let pickle = variants(&repository(&[("pytorch_model.bin", 9)]), &supported());
        assert_eq!(pickle[0].container, Container::Other);
        assert!(variants(&repository(&[("README.md", 1)]), &supported()).is_empty());
    }

    #[test]
    fn two_models_in_one_repository_keep_their_names() {
        let files = [("a-Q8_0.gguf", 1), ("b-Q8_0.gguf", 2), ("plain.gguf", 3)];
        let found = variants(&repository(&files), &supported());
        let labels: Vec<_> = found.iter().map(|v| v.label.as_str()).collect();
        assert_eq!(labels, ["a-Q8_0", "b-Q8_0", "plain"]);
    }
}
