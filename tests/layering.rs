//! The shape of the code: which crate may know which, where `unsafe` may stand,
//! and how files begin and end.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates of the workspace, each with those it may depend on.
const LAYERS: &[(&str, &[&str])] = &[
    ("moestro-kernels", &[]),
    ("moestro-cuda-emulator", &[]),
    ("moestro-text", &[]),
    ("moestro-residency", &[]),
    ("moestro-chats", &[]),
    ("moestro-checkpoint", &["moestro-kernels"]),
    ("moestro-cuda", &["moestro-kernels"]),
    ("moestro-hub", &["moestro-checkpoint"]),
    (
        "moestro-engine",
        &[
            "moestro-cuda",
            "moestro-kernels",
            "moestro-checkpoint",
            "moestro-text",
            "moestro-residency",
        ],
    ),
    ("moestro-server", &["moestro-engine", "moestro-text"]),
    (
        "moestro-cli",
        &[
            "moestro-server",
            "moestro-engine",
            "moestro-hub",
            "moestro-kernels",
            "moestro-checkpoint",
            "moestro-text",
            "moestro-residency",
        ],
    ),
    (
        "moestro-desktop",
        &[
            "moestro-chats",
            "moestro-server",
            "moestro-engine",
            "moestro-hub",
            "moestro-kernels",
            "moestro-checkpoint",
            "moestro-text",
        ],
    ),
];

/// Libraries of the window; only `moestro-desktop` may name them.
const WINDOW_LIBRARIES: &[&str] = &["tauri", "wry", "tao", "gtk", "webkit2gtk"];

/// Libraries that speak HTTP, each with the one crate that may name it: only
/// `moestro-hub` fetches, only `moestro-server` serves.
const HTTP_LIBRARIES: &[(&str, &str)] = &[
    ("reqwest", "moestro-hub"),
    ("hf-hub", "moestro-hub"),
    ("axum", "moestro-server"),
    ("axum-core", "moestro-server"),
    ("hyper", "moestro-server"),
    ("hyper-util", "moestro-server"),
];

/// The one crate that may keep a database.
const DATABASE: (&str, &str) = ("rusqlite", "moestro-chats");

/// Crates in which `unsafe` is at home.
const UNSAFE_CRATES: &[&str] = &["crates/kernels", "crates/cuda", "crates/cuda-emulator"];

/// Files outside of them that may contain `unsafe`.
const UNSAFE_ALLOWED: &[&str] = &[
    "crates/checkpoint/src/page_cache.rs",
    "crates/checkpoint/tests/support/bounds.rs",
];

const MAX_LINES: usize = 500;
/// Files that may be longer.
const LONG_FILES: &[&str] = &[];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

struct Package {
    name: String,
    /// Normal and build dependencies; tests may use what they like.
    dependencies: BTreeSet<String>,
}

fn packages() -> Vec<Package> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version=1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let package = |package: &Value| Package {
        name: text(&package["name"]),
        dependencies: package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"] != "dev")
            .map(|dependency| text(&dependency["name"]))
            .collect(),
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(package)
        .collect()
}

/// All Rust files of the repository, relative to its root.
fn rust_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["crates", "src-tauri", "tests", "tools", "fuzz"] {
        collect(&root().join(folder), &mut files);
    }
    assert!(files.len() > 20, "only {} files found", files.len());
    files
        .iter()
        .map(|file| file.strip_prefix(root()).unwrap().to_owned())
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path
                .file_name()
                .is_none_or(|name| name != "target" && name != "node_modules")
            {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
}

fn source(file: &Path) -> String {
    fs::read_to_string(root().join(file)).unwrap()
}

/// Does code, comments aside, use the keyword? In strings it may stand.
fn contains_unsafe(text: &str) -> bool {
    const AFTER: [&str; 6] = ["{", "(", "fn", "impl", "trait", "extern"];
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    text.lines().any(|line| {
        let code = line.split("//").next().unwrap_or_default();
        code.match_indices("unsafe").any(|(at, keyword)| {
            let rest = code[at + keyword.len()..].trim_start();
            !code[..at].ends_with(is_part) && AFTER.iter().any(|next| rest.starts_with(next))
        })
    })
}

#[test]
fn dependencies_point_down() {
    let packages = packages();
    let names: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let known: BTreeSet<&str> = LAYERS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, known, "give a new crate its place in LAYERS");
    for package in &packages {
        let (_, allowed) = LAYERS
            .iter()
            .find(|(name, _)| *name == package.name)
            .unwrap();
        for dependency in package
            .dependencies
            .iter()
            .filter(|name| known.contains(name.as_str()))
        {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{} must not depend on {dependency}",
                package.name
            );
        }
    }
}

#[test]
fn only_the_desktop_knows_the_window() {
    for package in packages()
        .iter()
        .filter(|package| package.name != "moestro-desktop")
    {
        let known = |name: &&String| {
            WINDOW_LIBRARIES.contains(&name.as_str()) || name.starts_with("tauri-")
        };
        let found: Vec<_> = package.dependencies.iter().filter(known).collect();
        assert!(
            found.is_empty(),
            "{} must not depend on {found:?}",
            package.name
        );
    }
}

#[test]
fn only_the_hub_fetches_and_only_the_server_serves() {
    for package in packages() {
        for (library, owner) in HTTP_LIBRARIES {
            assert!(
                package.name == *owner || !package.dependencies.contains(*library),
                "{} must not depend on {library}",
                package.name
            );
        }
    }
}

#[test]
fn only_the_chats_are_in_a_database() {
    let (library, owner) = DATABASE;
    for package in packages() {
        assert!(
            package.name == owner || !package.dependencies.contains(library),
            "{} must not depend on {library}",
            package.name
        );
    }
}

#[test]
fn unsafe_stays_in_the_kernels() {
    let unsafe_files: Vec<PathBuf> = rust_files()
        .into_iter()
        .filter(|file| !UNSAFE_CRATES.iter().any(|home| file.starts_with(home)))
        .filter(|file| contains_unsafe(&source(file)))
        .collect();
    let allowed: Vec<PathBuf> = UNSAFE_ALLOWED.iter().map(PathBuf::from).collect();
    assert_eq!(unsafe_files, allowed);
}

#[test]
fn the_search_for_unsafe_finds_it() {
    let keyword = "unsafe";
    assert!(contains_unsafe(&format!("let x = {keyword} {{ y() }};")));
    assert!(contains_unsafe(&format!("pub {keyword} fn x()")));
    assert!(contains_unsafe(&format!("#[{keyword}(no_mangle)]")));
    assert!(!contains_unsafe(&format!("// {keyword} fn in a comment")));
    assert!(!contains_unsafe(&format!("contains_{keyword}(text)")));
    assert!(!contains_unsafe(&format!(
        "#![deny({keyword}_op_in_{keyword}_fn)]"
    )));
    assert!(!contains_unsafe(&format!("style-src '{keyword}-inline'")));
}

#[test]
fn every_file_says_what_it_is_about() {
    let silent: Vec<PathBuf> = rust_files()
        .into_iter()
        .filter(|file| !source(file).starts_with("//!"))
        .collect();
    assert!(
        silent.is_empty(),
        "these do not begin with `//!`: {silent:?}"
    );
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<(PathBuf, usize)> = rust_files()
        .into_iter()
        .map(|file| (file.clone(), source(&file).lines().count()))
        .filter(|(file, lines)| {
            *lines > MAX_LINES && !LONG_FILES.iter().any(|allowed| file == Path::new(allowed))
        })
        .collect();
    assert!(
        long.is_empty(),
        "split these, at most {MAX_LINES} lines each: {long:?}"
    );
}
