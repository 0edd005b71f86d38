//! Fetching all files of a model, in order, and telling how far that is.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::error::Result;
use crate::fetch::{Fetcher, Phase, Progress, RepoFile, Stop, partial, space};
use crate::names::{Commit, RepoId, Revision};

/// The files of one model, pinned to a commit so that they fit together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Selection {
    pub repo: RepoId,
    pub revision: Revision,
    pub commit: Commit,
    /// Never empty. Small files first, parts of the weights in order.
    pub files: Vec<RepoFile>,
}

impl Selection {
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .map(|f| f.size)
            .fold(0, u64::saturating_add)
    }

    /// Where a program opens the model once it is there: the first GGUF part, else
    /// the folder.
    pub fn path(&self, cache: &Cache) -> PathBuf {
        let gguf = |file: &&RepoFile| file.path.as_str().to_lowercase().ends_with(".gguf");
        match self.files.iter().find(gguf) {
            Some(file) => cache.pointer(&self.repo, &self.commit, &file.path),
            None => cache.snapshot(&self.repo, &self.commit),
        }
    }

    /// Bytes of the files that are in the cache, whole or in part.
    pub fn present(&self, cache: &Cache) -> u64 {
        let present = |file: &RepoFile| {
            if cache.has_blob(&self.repo, &file.digest, file.size) {
                file.size
            } else {
                partial::present(&cache.partial(&self.repo, &file.digest), file.size)
            }
        };
        self.files.iter().map(present).fold(0, u64::saturating_add)
    }

    /// Removes the unfinished files; returns the bytes that this freed.
    pub fn remove_partials(&self, cache: &Cache) -> Result<u64> {
        let mut freed = 0;
        for file in &self.files {
            let path = cache.partial(&self.repo, &file.digest);
            freed += partial::remove(&path)
                .map_err(|e| crate::HubError::disk(&path, "cannot be removed", e))?;
        }
        Ok(freed)
    }
}

/// The fetches of a selection's files. Clones show the same ones.
#[derive(Debug, Clone)]
pub struct PullProgress {
    files: Vec<Progress>,
    total: u64,
}

/// One reading of a [`PullProgress`].
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PullReading {
    pub total: u64,
    pub present: u64,
    pub received: u64,
    /// Bytes checked so far, for the end of a resumed fetch.
    pub verified: u64,
    /// Number of the file being fetched, from 0.
    pub file: usize,
    pub phase: Phase,
}

impl PullProgress {
    pub fn new(selection: &Selection) -> PullProgress {
        PullProgress {
            files: selection
                .files
                .iter()
                .map(|_| Progress::default())
                .collect(),
            total: selection.bytes(),
        }
    }

    pub fn read(&self) -> PullReading {
        let mut sum = PullReading {
            total: self.total,
            phase: Phase::Done,
            ..PullReading::default()
        };
        let mut found = false;
        for (i, file) in self.files.iter().enumerate() {
            let reading = file.read();
            sum.present += reading.present;
            sum.received += reading.received;
            sum.verified += reading.verified;
            if !found && reading.phase != Phase::Done {
                (sum.file, sum.phase, found) = (i, reading.phase, true);
            }
        }
        sum
    }
}

/// Brings every file of the selection into the cache and returns the model's path.
/// Parts that are there are kept, also when this ends early.
pub async fn pull(
    fetcher: &Fetcher,
    selection: &Selection,
    progress: &PullProgress,
    stop: &Stop,
) -> Result<PathBuf> {
    let cache = &fetcher.cache;
    // All of it has to fit, not only the next file.
    let missing = selection.bytes() - selection.present(cache).min(selection.bytes());
    space::check(&cache.repo(&selection.repo), missing)?;
    for (file, progress) in selection.files.iter().zip(&progress.files) {
        let (repo, commit) = (&selection.repo, &selection.commit);
        fetcher.fetch(repo, commit, file, progress, stop).await?;
    }
    cache.write_ref(&selection.repo, &selection.revision, &selection.commit)?;
    Ok(selection.path(cache))
}

/// Speed over the last seconds, and the time that is left at that speed.
#[derive(Debug, Default)]
pub struct Meter {
    /// Moments and bytes received by then, oldest first.
    marks: std::collections::VecDeque<(Instant, u64)>,
}

/// Long enough to be calm, short enough to follow the network.
const WINDOW: Duration = Duration::from_secs(8);

impl Meter {
    /// Notes a reading; call it a few times a second.
    pub fn note(&mut self, now: Instant, received: u64) {
        self.marks.push_back((now, received));
        let old = |mark: &(Instant, u64)| now.duration_since(mark.0) > WINDOW;
        while self.marks.len() > 2 && self.marks.front().is_some_and(old) {
            self.marks.pop_front();
        }
    }

    /// Bytes per second.
    pub fn speed(&self) -> f64 {
        match (self.marks.front(), self.marks.back()) {
            (Some((start, first)), Some((end, last))) if end > start => {
                last.saturating_sub(*first) as f64 / end.duration_since(*start).as_secs_f64()
            }
            _ => 0.0,
        }
    }

    /// Time for `bytes` more; `None` while nothing comes in.
    pub fn time_left(&self, bytes: u64) -> Option<Duration> {
        let seconds = bytes as f64 / self.speed();
        (seconds.is_finite() && seconds < 1e8).then(|| Duration::from_secs_f64(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speed_is_of_the_last_seconds() {
        let mut meter = Meter::default();
        let start = Instant::now();
        assert_eq!(meter.time_left(10), None);
        for second in 0..=20 {
            meter.note(start + Duration::from_secs(second), second * 100);
        }
        for second in 21..=40 {
            meter.note(
                start + Duration::from_secs(second),
                2000 + (second - 20) * 1000,
            );
        }
        assert!((meter.speed() - 1000.0).abs() < 1.0, "{}", meter.speed());
        assert_eq!(meter.time_left(5000).unwrap().as_secs(), 5);
        for second in 41..=60 {
            meter.note(start + Duration::from_secs(second), 22_000);
        }
        assert_eq!(meter.time_left(1), None);
    }
}
