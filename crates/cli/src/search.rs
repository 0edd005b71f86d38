//! `moestro search`: models on the Hub, or the curated list.

use anyhow::Result;
use clap::Args;
use moestro_hub::{Hub, catalog, show_bytes};

use crate::hub;

#[derive(Args)]
pub struct Search {
    /// What to look for [default: the curated list]
    pub words: Vec<String>,
    /// Most results
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(a: &Search) -> Result<()> {
    if a.words.is_empty() {
        return suggest(a.json);
    }
    let words = a.words.join(" ");
    let found = hub::runtime()?.block_on(async {
        let hub = Hub::new(hub::environment().await)?;
        anyhow::Ok(hub.search(&words, a.limit.clamp(1, 200)).await?)
    })?;
    if a.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    if found.is_empty() {
        println!("Nothing was found for \"{words}\".");
        return Ok(());
    }
    let supported = hub::supported();
    println!(
        "{:<58}{:>10}  {:<13}{:<12}",
        "repository", "downloads", "kind", "license"
    );
    for model in &found {
        let kind = match &model.model_type {
            Some(kind) => kind.as_str(),
            None if model.gguf => "GGUF",
            None => "-",
        };
        let known = model.model_type.as_ref();
        let known = known.is_none_or(|kind| supported.model_types.contains(kind));
        println!(
            "{:<58}{:>10}  {:<13}{:<12}{}{}",
            model.repo,
            model.downloads,
            kind,
            model.license.as_deref().unwrap_or("-"),
            if model.gated {
                " (terms to accept)"
            } else {
                ""
            },
            if known { "" } else { " (not supported yet)" }
        );
    }
    println!("\nmoestro pull REPOSITORY --dry-run shows its size and how it would run here.");
    Ok(())
}

fn suggest(json: bool) -> Result<()> {
    let list = catalog();
    if json {
        println!("{}", serde_json::to_string_pretty(&list)?);
        return Ok(());
    }
    for model in &list {
        println!("{}\n  {}", model.name, model.summary);
        for source in &model.sources {
            let size = show_bytes(source.approximate_bytes);
            println!(
                "  {:<52} {:<12} about {size}",
                source.repo, source.suggested
            );
        }
    }
    Ok(())
}
