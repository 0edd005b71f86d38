//! The models a person can pick: the demo model, what they opened before, and
//! what lies in the Hugging Face cache and the folders they added.

use std::fs;
use std::path::{Path, PathBuf};

use moestro_hub::{Model, PartName, Place, part_name};
use serde::Serialize;

/// Where the demo model lies in the source tree and below the installed
/// application's resource folder.
pub const DEMO_MODEL: &str = "models/demo/moestro-demo.gguf";
const DEMO_NAME: &str = "Moestro demo model";

/// One row of the model list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct ModelEntry {
    pub path: String,
    pub name: String,
    /// Size of the weights on disk, all shards together; 0 if missing.
    pub bytes: u64,
    pub demo: bool,
    /// Nothing is at `path` any more.
    pub missing: bool,
    /// Where it was found, unless it was opened by hand.
    pub place: Option<Place>,
    /// Parts of it are missing.
    pub incomplete: bool,
    /// Seconds since 1970 when its files were last read; 0 if nobody knows.
    pub used: u64,
}

/// The demo model: beside the installed application, else in the source tree
/// this development build came from.
pub fn demo_model(resources: Option<&Path>) -> PathBuf {
    let installed = resources.map(|folder| folder.join(DEMO_MODEL));
    let source =
        cfg!(debug_assertions).then(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(DEMO_MODEL));
    let places: Vec<PathBuf> = source.into_iter().chain(installed).collect();
    let found = places.iter().find(|path| path.is_file());
    found
        .or(places.last())
        .cloned()
        .unwrap_or_else(|| DEMO_MODEL.into())
}

/// The list as the window shows it; reads only file names and sizes. A model that
/// was both opened and `found` is listed where it was found.
pub fn list(demo: &Path, opened: &[String], found: &[Model]) -> Vec<ModelEntry> {
    let mut demo_entry = entry(demo);
    demo_entry.demo = true;
    demo_entry.name = DEMO_NAME.into();
    let mut entries = vec![demo_entry];
    for path in opened {
        let path = Path::new(path);
        if path != demo && !found.iter().any(|model| model.path == path) {
            entries.push(entry(path));
        }
    }
    let others = found.iter().filter(|model| model.path != demo);
    entries.extend(others.map(|model| ModelEntry {
        path: model.path.display().to_string(),
        name: model.name.clone(),
        bytes: model.bytes,
        demo: false,
        missing: false,
        place: Some(model.place),
        incomplete: model.incomplete,
        used: model.used,
    }));
    entries
}

fn entry(path: &Path) -> ModelEntry {
    ModelEntry {
        path: path.display().to_string(),
        name: name(path),
        bytes: weight_files(path)
            .iter()
            .filter_map(|file| Some(fs::metadata(file).ok()?.len()))
            .sum(),
        demo: false,
        missing: !path.exists(),
        place: None,
        incomplete: false,
        used: 0,
    }
}

/// A short name: of the file without shard number and ending, of the folder, or
/// of the repository a Hugging Face cache folder belongs to.
fn name(path: &Path) -> String {
    let lossy = |part: &std::ffi::OsStr| part.to_string_lossy().into_owned();
    if let Some(stem) = gguf_stem(path) {
        return part_name(&stem).map_or(stem.clone(), |part| part.stem.into());
    }
    let repository = path.ancestors().find_map(|folder| {
        lossy(folder.file_name()?)
            .strip_prefix("models--")
            .map(|name| name.replace("--", "/"))
    });
    repository.unwrap_or_else(|| {
        path.file_name()
            .map_or_else(|| path.display().to_string(), lossy)
    })
}

/// The files that hold the weights of the model at `path`.
fn weight_files(path: &Path) -> Vec<PathBuf> {
    if let Some(stem) = gguf_stem(path) {
        let Some(part) = part_name(&stem) else {
            return vec![path.into()];
        };
        let parts = files_in(path.parent().unwrap_or(Path::new(".")));
        return parts.filter(|file| is_part(file, part)).collect();
    }
    files_in(path)
        .filter(|file| file.extension().is_some_and(|end| end == "safetensors"))
        .collect()
}

fn files_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|file| file.path())
}

fn gguf_stem(path: &Path) -> Option<String> {
    let is_gguf = path.extension()?.eq_ignore_ascii_case("gguf");
    is_gguf.then(|| {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    })?
}

fn is_part(file: &Path, of: PartName) -> bool {
    let same = |part: PartName| (part.stem, part.count) == (of.stem, of.count);
    gguf_stem(file).is_some_and(|stem| part_name(&stem).is_some_and(same))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, bytes: usize) -> PathBuf {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, vec![0; bytes]).unwrap();
        path
    }

    #[test]
    fn the_demo_model_comes_first_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let demo = write(folder.path(), DEMO_MODEL, 5);
        let demo_path = demo.display().to_string();
        let entries = list(&demo, &["/nowhere/a.gguf".into(), demo_path.clone()], &[]);
        assert_eq!(entries.len(), 2);
        let expected = ModelEntry {
            path: demo_path,
            name: DEMO_NAME.into(),
            bytes: 5,
            demo: true,
            missing: false,
            place: None,
            incomplete: false,
            used: 0,
        };
        assert_eq!(entries[0], expected);
        assert!(entries[1].missing && entries[1].name == "a" && entries[1].bytes == 0);
    }

    #[test]
    fn a_model_that_was_opened_and_found_is_listed_once() {
        let model = |path: &str| Model {
            path: path.into(),
            name: "org/model".into(),
            place: Place::Cache,
            repo: None,
            bytes: 7,
            incomplete: true,
            used: 5,
        };
        let found = [model("/cache/a"), model("/demo")];
        let entries = list(
            Path::new("/demo"),
            &["/cache/a".into(), "/b".into()],
            &found,
        );
        let seen: Vec<_> = entries.iter().map(|e| (e.path.as_str(), e.place)).collect();
        let expected = [
            ("/demo", None),
            ("/b", None),
            ("/cache/a", Some(Place::Cache)),
        ];
        assert_eq!(seen, expected);
        assert!(entries[2].incomplete && !entries[2].missing && entries[2].used == 5);
    }

    #[test]
    fn the_demo_model_is_found_beside_the_installed_application() {
        let resources = tempfile::tempdir().unwrap();
        let installed = write(resources.path(), DEMO_MODEL, 1);
        let found = demo_model(Some(resources.path()));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(DEMO_MODEL);
        assert!(found == installed || (source.is_file() && found == source));
    }

    #[test]
    fn all_shards_of_a_split_file_count() {
        let folder = tempfile::tempdir().unwrap();
        let first = write(folder.path(), "big-Q4_K_M-00001-of-00002.gguf", 10);
        write(folder.path(), "big-Q4_K_M-00002-of-00002.gguf", 20);
        write(folder.path(), "big-Q4_K_M-00001-of-00003.gguf", 100);
        write(folder.path(), "big-Q4_K_M.gguf", 100);
        let entry = entry(&first);
        assert_eq!((entry.name.as_str(), entry.bytes), ("big-Q4_K_M", 30));
    }

    #[test]
    fn a_folder_counts_its_safetensors() {
        let folder = tempfile::tempdir().unwrap();
        let snapshot = folder
            .path()
            .join("models--Qwen--Qwen3-Next/snapshots/0123abcd");
        write(&snapshot, "model-00001-of-00002.safetensors", 10);
        write(&snapshot, "model-00002-of-00002.safetensors", 5);
        write(&snapshot, "config.json", 7);
        let in_cache = entry(&snapshot);
        assert_eq!(
            (in_cache.name.as_str(), in_cache.bytes),
            ("Qwen/Qwen3-Next", 15)
        );
        let plain = folder.path().join("my-model");
        write(&plain, "model.safetensors", 3);
        let plain = entry(&plain);
        assert_eq!((plain.name.as_str(), plain.bytes), ("my-model", 3));
    }
}
