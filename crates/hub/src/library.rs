//! The models that are on this machine: in the Hugging Face cache and in folders
//! that the person added, such as those of other apps.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use moestro_checkpoint::part_name;
use serde::{Deserialize, Serialize};

use crate::beside::is_beside;
use crate::cache::Cache;
use crate::names::RepoId;

/// Folders below an added one that are looked through.
const DEEPEST: usize = 4;
/// Entries looked at in one scan, so that a folder like `/` does not take for ever.
pub(crate) const MOST_ENTRIES: usize = 50_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In the Hugging Face cache; this app may delete it.
    Cache,
    /// In a folder the person added; it belongs to somebody else.
    Folder,
}

/// A model that could be opened.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Model {
    /// What to open: a GGUF file, of a split one the first part, or a folder.
    pub path: PathBuf,
    /// `owner/name` with the quantization, or the file's name.
    pub name: String,
    pub place: Place,
    /// Repository it came from, if it is in the cache.
    #[cfg_attr(feature = "typescript", ts(type = "string | null"))]
    pub repo: Option<RepoId>,
    /// On disk, all parts together.
    pub bytes: u64,
    /// Parts or shards are missing, as of a download that is not finished.
    pub incomplete: bool,
    /// Seconds since 1970 when it was last read, as far as the disk notes that.
    pub used: u64,
}

/// Everything in the cache and below `folders`; unreadable places are left out.
pub fn scan(cache: &Cache, folders: &[PathBuf]) -> Vec<Model> {
    let mut left = MOST_ENTRIES;
    let mut found = Vec::new();
    for (folder, repo) in repositories(cache) {
        for snapshot in entries(&folder.join("snapshots"), &mut left) {
            models_in(&snapshot, Some(&repo), &mut left, DEEPEST, &mut found);
        }
    }
    for folder in folders {
        models_in(folder, None, &mut left, DEEPEST, &mut found);
    }
    let mut by_path = BTreeMap::new();
    for model in found {
        // A folder that contains the cache finds its models again.
        let path = fs::canonicalize(&model.path).unwrap_or_else(|_| model.path.clone());
        by_path.entry(path).or_insert(model);
    }
    let mut models: Vec<Model> = by_path.into_values().collect();
    models.sort_by(|a, b| a.name.cmp(&b.name).then_with(|| a.path.cmp(&b.path)));
    models
}

/// The repositories of the cache.
pub(crate) fn repositories(cache: &Cache) -> Vec<(PathBuf, RepoId)> {
    let folders = entries(&cache.root, &mut MOST_ENTRIES.clone());
    let repo = |folder: PathBuf| {
        let id = RepoId::from_folder(folder.file_name()?.to_str()?)?;
        folder.is_dir().then_some((folder, id))
    };
    folders.into_iter().filter_map(repo).collect()
}

fn models_in(
    folder: &Path,
    repo: Option<&RepoId>,
    left: &mut usize,
    depth: usize,
    found: &mut Vec<Model>,
) {
    let files = entries(folder, left);
    let is = |path: &Path, end: &str| {
        path.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case(end))
    };
    let safetensors: Vec<&PathBuf> = files.iter().filter(|f| is(f, "safetensors")).collect();
    if !safetensors.is_empty() && folder.join("config.json").exists() {
        let about = total(&safetensors);
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        found.push(Model {
            path: folder.into(),
            name: repo.map_or_else(|| name.into_owned(), |r| r.to_string()),
            incomplete: about.missing || shards_missing(folder, &safetensors),
            ..about.model(repo)
        });
    }
    let mut sets: BTreeMap<String, Vec<&PathBuf>> = BTreeMap::new();
    for file in files
        .iter()
        .filter(|f| is(f, "gguf") && !is_beside(&lossy(f.file_name())))
    {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let set = part_name(&stem).map_or(stem.as_ref(), |part| part.stem);
        sets.entry(set.into()).or_default().push(file);
    }
    for (set, parts) in sets {
        let about = total(&parts);
        let stem = parts[0].file_stem().unwrap_or_default().to_string_lossy();
        let wanted = part_name(&stem).map_or(1, |part| part.count);
        let name = match repo {
            Some(repo) => format!("{repo}: {set}"),
            None => set.clone(),
        };
        found.push(Model {
            path: parts[0].clone(),
            name,
            incomplete: about.missing || parts.len() != wanted,
            ..about.model(repo)
        });
    }
    if depth > 0 {
        for file in &files {
            let hidden = file
                .file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with('.'));
            // Links to folders could lead round in a circle.
            let is_folder = fs::symlink_metadata(file).is_ok_and(|m| m.is_dir());
            if is_folder && !hidden {
                models_in(file, repo, left, depth - 1, found);
            }
        }
    }
}

/// Entries of a folder, sorted.
pub(crate) fn entries(folder: &Path, left: &mut usize) -> Vec<PathBuf> {
    let read = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = read.take(*left).map(|entry| entry.path()).collect();
    *left -= paths.len();
    paths.sort();
    paths
}

struct Total {
    bytes: u64,
    used: u64,
    missing: bool,
}

impl Total {
    fn model(&self, repo: Option<&RepoId>) -> Model {
        Model {
            path: PathBuf::new(),
            name: String::new(),
            place: if repo.is_some() {
                Place::Cache
            } else {
                Place::Folder
            },
            repo: repo.cloned(),
            bytes: self.bytes,
            incomplete: false,
            used: self.used,
        }
    }
}

fn total(files: &[&PathBuf]) -> Total {
    let about: Vec<Option<Metadata>> = files.iter().map(|f| fs::metadata(f).ok()).collect();
    let seconds = |m: &Metadata| {
        let time = m.accessed().ok()?.duration_since(SystemTime::UNIX_EPOCH);
        Some(time.ok()?.as_secs())
    };
    Total {
        bytes: about.iter().flatten().map(Metadata::len).sum(),
        used: about
            .iter()
            .flatten()
            .filter_map(seconds)
            .max()
            .unwrap_or(0),
        missing: about.iter().any(Option::is_none),
    }
}

fn lossy(name: Option<&std::ffi::OsStr>) -> String {
    name.unwrap_or_default().to_string_lossy().into_owned()
}

/// Do the names `model-00001-of-00041` of shards count more than are there?
fn shards_missing(folder: &Path, files: &[&PathBuf]) -> bool {
    if folder.join("model.safetensors").exists() {
        return false;
    }
    let stem = files[0].file_stem().unwrap_or_default().to_string_lossy();
    part_name(&stem).is_some_and(|part| files.len() < part.count)
}

/// The files of the model at `path`, as the library lists it.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let is_gguf = |f: &Path| {
        f.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("gguf"))
    };
    let mut left = MOST_ENTRIES;
    if path.is_dir() {
        let files = entries(path, &mut left);
        // A GGUF in the same folder is another model.
        return files
            .into_iter()
            .filter(|f| !f.is_dir() && !is_gguf(f))
            .collect();
    }
    let stem = |f: &Path| {
        f.file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    let own = stem(path);
    let set = |stem: &str| part_name(stem).map(|part| part.stem.to_string());
    let same = |f: &PathBuf| {
        is_gguf(f) && (f == path || (set(&own).is_some() && set(&stem(f)) == set(&own)))
    };
    let beside = entries(crate::cache::parent(path), &mut left);
    beside.into_iter().filter(same).collect()
}
