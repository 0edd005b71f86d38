//! `moestro pull`: a model from the Hub into the Hugging Face cache.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;
use moestro_engine::protocol::MemorySettings;
use moestro_engine::verdict::{self, Fit};
use moestro_engine::{bandwidth_file, hardware};
use moestro_hub::{
    Fetcher, Hub, Meter, Options, Phase, PullProgress, PullReading, RepoId, Revision, Selection,
    Stop, Variant, look, pull, show_bytes, variants,
};
use serde_json::json;

use crate::hub;
use crate::size::parse_size;

/// How often progress is told: on a terminal, and as JSON or lines.
const SOON: Duration = Duration::from_millis(200);
const LATER: Duration = Duration::from_secs(1);

#[derive(Args)]
pub struct Pull {
    /// Repository, such as Qwen/Qwen3-30B-A3B
    pub repo: RepoId,
    /// Which variant: its label (Q4_K_M), a part of a file name, or a pattern with * and ?
    #[arg(long, value_name = "PATTERN")]
    pub file: Option<String>,
    /// Branch, tag or commit
    #[arg(long, value_name = "R", default_value = "main")]
    pub revision: Revision,
    /// Show what would be fetched and how it would run here, from the headers alone
    #[arg(long)]
    pub dry_run: bool,
    /// With --dry-run: RAM the engine may use, such as 12GB [default: what is free]
    #[arg(long, visible_alias = "ram", value_name = "SIZE", value_parser = parse_size, requires = "dry_run")]
    pub ram_budget: Option<u64>,
    /// With --dry-run: expert slots per layer [default: as many as fit]
    #[arg(long, value_name = "N", requires = "dry_run")]
    pub experts_per_layer: Option<usize>,
    /// With --dry-run: tokens of context [default: what fits, at most 32768]
    #[arg(long, value_name = "N", requires = "dry_run")]
    pub context: Option<usize>,
    /// Fetch at most this much per second, such as 5MB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub limit: Option<u64>,
    /// Connections at the same time
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub connections: usize,
    /// Tell progress and result as lines of JSON
    #[arg(long)]
    pub json: bool,
}

pub fn run(a: &Pull) -> Result<()> {
    let options = Options {
        connections: a.connections,
        ..Options::default()
    };
    hub::runtime()?.block_on(async {
        let environment = hub::environment().await;
        let fetcher = Fetcher::new(environment.clone(), options)?;
        fetcher.limit.set(a.limit);
        let hub = Hub::new(environment)?;
        let repository = hub.repository(&a.repo, &a.revision).await?;
        let variants = variants(&repository, &hub::supported());
        let variant = hub::choose(&repository, &variants, a.file.as_deref())?;
        if let Some(reason) = &variant.unsupported {
            bail!("{}: {reason}", variant.label);
        }
        let selection = variant.selection(&repository);
        if a.dry_run {
            return judge(a, &fetcher, variant, &selection).await;
        }
        bring(a, &fetcher, variant, &selection).await
    })
}

async fn bring(
    a: &Pull,
    fetcher: &Fetcher,
    variant: &Variant,
    selection: &Selection,
) -> Result<()> {
    let here = selection.present(&fetcher.cache);
    let total = selection.bytes();
    if !a.json {
        eprintln!(
            "{} {}: {}{} into {}",
            a.repo,
            variant.label,
            show_bytes(total),
            if here > 0 {
                format!(" ({} are here already)", show_bytes(here))
            } else {
                String::new()
            },
            fetcher.cache.root.display()
        );
    }
    let progress = PullProgress::new(selection);
    let stop = Stop::default();
    let mut display = Display::new(a.json, selection);
    let work = pull(fetcher, selection, &progress, &stop);
    tokio::pin!(work);
    let path = loop {
        tokio::select! {
            done = &mut work => {
                display.clear();
                break done?;
            }
            () = tokio::time::sleep(display.pause) => display.show(&progress.read()),
        }
    };
    if a.json {
        println!("{}", json!({"event": "done", "path": path, "bytes": total}));
    } else {
        println!("{}", path.display());
    }
    Ok(())
}

async fn judge(
    a: &Pull,
    fetcher: &Fetcher,
    variant: &Variant,
    selection: &Selection,
) -> Result<()> {
    let stand_in = look(fetcher, selection, &Stop::default()).await?;
    let hardware = hardware::probe();
    let (root, store) = (&fetcher.cache.root, bandwidth_file());
    let bandwidth = verdict::bandwidth(hardware.physical_cores, root, store.as_deref());
    let settings = MemorySettings {
        ram_budget: a.ram_budget,
        cached_experts_per_layer: a.experts_per_layer,
        context: a.context,
        ..MemorySettings::default()
    };
    let verdict = verdict::judge(stand_in.path(), &hardware, &settings, Some(&bandwidth))?;
    if a.json {
        let files: Vec<_> = selection
            .files
            .iter()
            .map(|f| (f.path.as_str(), f.size))
            .collect();
        let answer = json!({
            "repo": a.repo, "variant": variant.label, "commit": selection.commit,
            "bytes": selection.bytes(), "files": files, "verdict": verdict,
        });
        println!("{}", serde_json::to_string_pretty(&answer)?);
        return Ok(());
    }
    println!(
        "{} {}: {}",
        a.repo,
        variant.label,
        show_bytes(selection.bytes())
    );
    for file in &selection.files {
        println!("  {:>10}  {}", show_bytes(file.size), file.path);
    }
    crate::plan::show(&verdict.placement);
    println!(
        "{}",
        match verdict.fit {
            Fit::Memory => "Everything fits into memory.",
            Fit::WithDisk => "It runs with experts read from disk as they are needed.",
            Fit::No => "It does not fit on this machine.",
        }
    );
    println!("Longest context: {} tokens.", verdict.longest_context);
    if let (Some(speed), Some(bandwidth)) = (verdict.tokens_per_second, verdict.bandwidth) {
        println!(
            "Estimate: about {speed:.1} tokens per second, from {:.1} GB/s of memory and {:.1} GB/s \
             of disk; {:.0}% of expert uses should find a slot, as in published routing.",
            bandwidth.memory / 1e9,
            bandwidth.disk / 1e9,
            100.0 * verdict.hit_rate
        );
    }
    Ok(())
}

/// Progress on a terminal as a bar, elsewhere as lines.
struct Display {
    json: bool,
    bar: bool,
    pause: Duration,
    names: Vec<String>,
    meter: Meter,
    last_phase: Phase,
    last_percent: u64,
}

impl Display {
    fn new(json: bool, selection: &Selection) -> Display {
        let bar = !json && std::io::stderr().is_terminal();
        let names = selection
            .files
            .iter()
            .map(|f| f.path.file_name().to_string());
        Display {
            json,
            bar,
            pause: if bar { SOON } else { LATER },
            names: names.collect(),
            meter: Meter::default(),
            last_phase: Phase::Waiting,
            last_percent: 0,
        }
    }

    fn show(&mut self, now: &PullReading) {
        self.meter.note(Instant::now(), now.received);
        let left = self.meter.time_left(now.total.saturating_sub(now.present));
        let speed = self.meter.speed();
        let file = self.names.get(now.file).map_or("", String::as_str);
        let percent = (now.present * 100).checked_div(now.total).unwrap_or(100);
        if self.json {
            let event = json!({
                "event": "progress", "bytes": now.present, "total": now.total, "file": file,
                "bytes_per_second": speed.round(), "seconds_left": left.map(|t| t.as_secs()),
                "state": now.phase,
            });
            println!("{event}");
            return;
        }
        if let Phase::Retrying { cause } = &now.phase
            && self.last_phase != now.phase
        {
            self.clear();
            eprintln!("trying again: {cause}");
        }
        self.last_phase = now.phase.clone();
        let numbers = format!(
            "{percent:>3}%  {} of {}  {}/s{}",
            show_bytes(now.present),
            show_bytes(now.total),
            show_bytes(speed as u64),
            left.map(|t| format!("  {} left", show_time(t)))
                .unwrap_or_default()
        );
        let what = match &now.phase {
            Phase::Elsewhere => "another process is fetching this",
            Phase::Verifying => "verifying",
            _ => file,
        };
        if self.bar {
            const WIDTH: u64 = 24;
            let full = (percent * WIDTH / 100) as usize;
            let bar = "█".repeat(full) + &"░".repeat(WIDTH as usize - full);
            eprint!("\r\x1b[K{bar} {numbers}  {what}");
            let _ = std::io::stderr().flush();
        } else if percent >= self.last_percent + 5 {
            self.last_percent = percent;
            eprintln!("{numbers}  {what}");
        }
    }

    fn clear(&self) {
        if self.bar {
            eprint!("\r\x1b[K");
        }
    }
}

/// 2 h 5 min, 3 min 20 s, 12 s.
fn show_time(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s} s"),
        (h, m, _) => format!("{h} h {m} min"),
    }
}
