//! `moestro models`: what is on this machine; verify and remove it.

use std::io::{BufRead, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use moestro_hub::{
    Cache, Environment, Model, Progress, Stop, removal, scan, show_bytes, unfinished, verify,
};
use serde_json::json;

#[derive(Args)]
pub struct Models {
    #[command(subcommand)]
    pub verb: Option<ModelsVerb>,
    /// Look into this folder too; may be given several times
    #[arg(long, value_name = "PATH", global = true)]
    pub folder: Vec<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum ModelsVerb {
    /// Show the models on this machine
    List,
    /// Read every byte of a model again and compare the checksums
    Verify {
        /// Name as listed, or a part of it, or a path
        model: String,
    },
    /// Delete a model from the Hugging Face cache
    Remove {
        /// Name as listed, or a part of it, or a path
        model: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

pub fn run(a: &Models) -> Result<()> {
    let cache = Cache::new(Environment::read().cache);
    let models = scan(&cache, &a.folder);
    match &a.verb {
        None | Some(ModelsVerb::List) => list(&cache, &models, a.json),
        Some(ModelsVerb::Verify { model }) => check(find(&models, model)?, a.json),
        Some(ModelsVerb::Remove { model, yes }) => {
            remove(&cache, find(&models, model)?, *yes, a.json)
        }
    }
}

fn find<'a>(models: &'a [Model], name: &str) -> Result<&'a Model> {
    let exact = |m: &&Model| m.name == name || m.path.as_os_str() == name;
    if let Some(model) = models.iter().find(exact) {
        return Ok(model);
    }
    let name_lower = name.to_lowercase();
    let part = |m: &&Model| m.name.to_lowercase().contains(&name_lower);
    let mut found = models.iter().filter(part);
    match (found.next(), found.next()) {
        (Some(model), None) => Ok(model),
        (None, _) => bail!("no model on this machine is called {name}; see moestro models list"),
        (Some(a), Some(b)) => {
            bail!(
                "{name} could be {} or {}; write more of the name",
                a.name,
                b.name
            )
        }
    }
}

fn list(cache: &Cache, models: &[Model], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(models)?);
        return Ok(());
    }
    if models.is_empty() {
        println!("There are no models in {}.", cache.root.display());
    }
    for model in models {
        println!(
            "{:>10}  {}{}\n            {}",
            show_bytes(model.bytes),
            model.name,
            if model.incomplete {
                " (incomplete)"
            } else {
                ""
            },
            model.path.display()
        );
    }
    let partial: u64 = unfinished(cache).iter().map(|(_, bytes)| bytes).sum();
    if partial > 0 {
        println!("{:>10}  in unfinished downloads", show_bytes(partial));
    }
    Ok(())
}

fn check(model: &Model, json: bool) -> Result<()> {
    let progress = Progress::default();
    let checked = std::thread::scope(|scope| {
        let work = scope.spawn(|| verify(&model.path, &progress, &Stop::default()));
        let shown = !json && std::io::stderr().is_terminal();
        while !work.is_finished() {
            std::thread::sleep(Duration::from_millis(100));
            let now = progress.read();
            if shown && now.total > 0 {
                eprint!(
                    "\r\x1b[Kverifying {}: {}%",
                    model.name,
                    now.verified * 100 / now.total
                );
            }
        }
        if shown {
            eprint!("\r\x1b[K");
        }
        work.join().expect("verifying does not panic")
    })?;
    if json {
        println!("{}", serde_json::to_string_pretty(&checked)?);
    } else {
        let files = match checked.good {
            1 => "the file is as it should be".to_string(),
            many => format!("{many} files are as they should be"),
        };
        println!("{}: {files}", model.name);
        if checked.unknown > 0 {
            println!("{} files have no known checksum", checked.unknown);
        }
    }
    if checked.damaged.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = checked
        .damaged
        .iter()
        .map(|p| p.display().to_string())
        .collect();
    bail!(
        "damaged: {}; remove the model and fetch it again",
        names.join(", ")
    )
}

fn remove(cache: &Cache, model: &Model, yes: bool, json: bool) -> Result<()> {
    let removal = removal(cache, &model.path)?;
    if !yes {
        if !std::io::stdin().is_terminal() {
            bail!(
                "removing {} frees {}; say --yes",
                model.name,
                show_bytes(removal.bytes)
            );
        }
        eprint!(
            "Delete {} and free {}? [y/N] ",
            model.name,
            show_bytes(removal.bytes)
        );
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            bail!("nothing was deleted");
        }
    }
    let freed = removal
        .carry_out(cache)
        .context("it is deleted in part only")?;
    if json {
        println!("{}", json!({"removed": model.path, "freed": freed}));
    } else {
        println!(
            "{} was deleted; {} are free again",
            model.name,
            show_bytes(freed)
        );
    }
    Ok(())
}
