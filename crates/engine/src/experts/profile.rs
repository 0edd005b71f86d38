//! The profile of a model's routing between two runs.

use std::path::{Path, PathBuf};

use moestro_residency::Profile;

use super::Experts;
use super::layer::Layer;

/// A profile and what of this run is already in it.
pub struct Kept {
    pub profile: Profile,
    path: PathBuf,
    /// Uses and tokens that were added.
    uses: Vec<Vec<u32>>,
    tokens: u64,
}

impl Experts {
    /// Starts from the profile at `path`, if there is one of this very model, and
    /// keeps it up to date there. A damaged one is replaced in time.
    pub fn use_profile(&mut self, path: PathBuf, model: &str) {
        let experts = self.layers.first().map_or(0, Layer::experts);
        if self.layers.iter().any(|l| l.experts() != experts) {
            return;
        }
        let fresh = || Profile::new(model, self.layers.len(), experts);
        let profile = std::fs::read(&path)
            .ok()
            .and_then(|json| Profile::parse(&json, model, self.layers.len(), experts).ok())
            .unwrap_or_else(fresh);
        if !profile.is_empty() {
            for (layer, of) in self.layers.iter_mut().zip(&profile.layers) {
                layer.resident_mut().seed(&of.uses, profile.tokens);
            }
        }
        self.profile = Some(Kept {
            uses: self.uses(),
            tokens: self.tokens,
            profile,
            path,
        });
    }

    /// Was there a profile to start from?
    pub fn profile_tokens(&self) -> u64 {
        self.profile.as_ref().map_or(0, |kept| kept.profile.tokens)
    }

    /// Adds the uses since the last time and writes the profile. A recording that
    /// is replayed leaves no trace in it.
    pub fn save_profile(&mut self) -> std::io::Result<()> {
        if self.replay.is_some() {
            return Ok(());
        }
        let (uses, tokens) = (self.uses(), self.tokens);
        let Some(kept) = &mut self.profile else {
            return Ok(());
        };
        if tokens == kept.tokens {
            return Ok(());
        }
        let less = |(now, then): (&Vec<u32>, &Vec<u32>)| -> Vec<u32> {
            now.iter().zip(then).map(|(a, b)| a - b).collect()
        };
        let more: Vec<Vec<u32>> = uses.iter().zip(&kept.uses).map(less).collect();
        kept.profile.add(&more, tokens - kept.tokens);
        (kept.uses, kept.tokens) = (uses, tokens);
        write(&kept.path, &kept.profile.to_json())
    }

    fn uses(&self) -> Vec<Vec<u32>> {
        let of = |l: &Layer| -> Vec<u32> {
            let uses = |c: &super::ExpertCounters| c.uses.min(u64::from(u32::MAX)) as u32;
            l.counters().iter().map(uses).collect()
        };
        self.layers.iter().map(of).collect()
    }
}

/// Whole or not at all, so that a crash leaves the old one.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let beside = path.with_extension(format!("{}.part", std::process::id()));
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, path)
}
