//! `moestro cache`: weights that were quantized on this machine.

use anyhow::{Context, Result};
use clap::Args;
use moestro_engine::placement::show_bytes;
use moestro_engine::quantize::{self, Store};

#[derive(Args)]
pub struct Cache {
    /// List what is there (so does the command alone)
    #[arg(long, conflicts_with = "clear")]
    pub info: bool,
    /// Remove all of it; models are quantized again when next asked for
    #[arg(long)]
    pub clear: bool,
}

/// The cache of this person.
pub fn store() -> Result<Store> {
    Ok(Store::of(quantize::folder())?)
}

pub fn run(a: &Cache) -> Result<()> {
    let store = store()?;
    let at = || format!("reading {}", store.folder().display());
    if a.clear {
        let freed = store.clear().with_context(at)?;
        println!("freed {}", show_bytes(freed));
        return Ok(());
    }
    let files = store.files().with_context(at)?;
    let mut total = 0;
    for file in &files {
        let name = file.path.file_name().unwrap_or_default().to_string_lossy();
        let note = if file.unfinished {
            "  (unfinished)"
        } else {
            ""
        };
        println!("{:>12}  {name}{note}", show_bytes(file.bytes));
        total += file.bytes;
    }
    println!("{:>12}  in {}", show_bytes(total), store.folder().display());
    Ok(())
}
