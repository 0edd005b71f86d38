//! Embeds the kernels that `make cuda` compiled, with the feature `cuda`: writes
//! `images.rs`, a table of compute capabilities and images.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap());
    let compiled = here.join("../../target/cuda");
    let kernels = here.join("kernels");
    let list = compiled.join("images.txt");
    for path in [&list, &kernels] {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let Ok(text) = fs::read_to_string(&list) else {
        panic!("the feature `cuda` needs compiled kernels: run `make cuda` first");
    };
    if files(&compiled.join("sources")) != files(&kernels) {
        panic!("the kernels have changed since they were compiled: run `make cuda`");
    }
    let mut table = String::from("pub(crate) const IMAGES: &[(u32, &[u8])] = &[\n");
    for line in text.lines() {
        let (capability, name) = line.split_once(' ').expect("capability and file");
        let image = compiled.join("images").join(name).canonicalize();
        let image = image.unwrap_or_else(|error| {
            panic!(
                "{name} is gone ({error}): remove {} and run `make cuda`",
                list.display()
            )
        });
        writeln!(table, "    ({capability}, include_bytes!({image:?})),").unwrap();
    }
    table.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    fs::write(out.join("images.rs"), table).unwrap();
}

/// The contents of all files in a folder.
fn files(folder: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            (
                entry.file_name(),
                fs::read(entry.path()).unwrap_or_default(),
            )
        })
        .collect()
}
