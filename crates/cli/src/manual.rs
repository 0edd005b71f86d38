//! Manual pages and shell completions, from the same definitions as `--help`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;

#[derive(Args)]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell
    pub shell: Shell,
}

#[derive(Args)]
pub struct Manual {
    /// An existing folder
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

pub fn completions(a: &Completions) -> Result<()> {
    // Not at once to the output, which may be closed: that would be a panic.
    let mut script = Vec::new();
    clap_complete::generate(a.shell, &mut Arguments::command(), "moestro", &mut script);
    std::io::Write::write_all(&mut std::io::stdout(), &script)?;
    Ok(())
}

/// `moestro.1`, and a page for every command.
pub fn pages(a: &Manual) -> Result<()> {
    let command = Arguments::command().name("moestro");
    clap_mangen::generate_to(command, &a.folder).with_context(|| a.folder.display().to_string())
}
