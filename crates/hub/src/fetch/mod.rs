//! Fetching one file of a repository into the cache: resumable, verified, by
//! several connections, and by one process at a time.

mod connection;
mod limit;
mod lock;
pub(crate) mod partial;
mod plan;
mod progress;
mod server;
pub(crate) mod space;
mod stop;
mod verify;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use reqwest::Client;
use serde::{Deserialize, Serialize};

use crate::cache::Cache;
use crate::client;
use crate::environment::Environment;
use crate::error::{HubError, Result};
use crate::names::{Commit, Digest, FilePath, RepoId};
use connection::Shared;
use partial::{Partial, block_bytes, blocks};
use plan::Plan;
pub(crate) use server::{RemoteFile, Retry, root_cause};
pub(crate) use verify::Hasher;

pub use limit::RateLimit;
pub use progress::{Phase, Progress, Reading};
pub use space::free as free_space;
pub use stop::Stop;

/// A file of a repository at one commit, as its listing describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoFile {
    pub path: FilePath,
    /// Bytes.
    pub size: u64,
    pub digest: Digest,
}

/// How to fetch.
#[derive(Debug, Clone)]
pub struct Options {
    pub connections: usize,
    /// Silence after which a connection is given up and made anew.
    pub stall: Duration,
    /// Silence on all connections after which the fetch ends with an error.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            connections: 4,
            stall: Duration::from_secs(20),
            patience: Duration::from_secs(30 * 60),
        }
    }
}

/// Files smaller than this get one connection: more would not pay.
const SMALL: u64 = 8 << 20;

/// Fetches files of any repository.
#[derive(Debug, Clone)]
pub struct Fetcher {
    pub environment: Environment,
    pub cache: Cache,
    pub options: Options,
    pub limit: Arc<RateLimit>,
    client: Client,
}

impl Fetcher {
    pub fn new(environment: Environment, options: Options) -> Result<Fetcher> {
        Ok(Fetcher {
            cache: Cache::new(&environment.cache),
            client: client::for_files()?,
            environment,
            options,
            limit: Arc::default(),
        })
    }

    /// Brings `file` into the cache, unless it is there, and returns the path
    /// under which it can be opened.
    ///
    /// Ends early when `stop` is thrown (`Stopped`); what was fetched stays and
    /// is continued by the next call, in this process or another.
    pub async fn fetch(
        &self,
        repo: &RepoId,
        commit: &Commit,
        file: &RepoFile,
        progress: &Progress,
        stop: &Stop,
    ) -> Result<PathBuf> {
        progress.set_total(file.size);
        let work = self.bring(repo, commit, file, progress);
        let path = tokio::select! {
            done = work => done?,
            () = stop.stopped() => return Err(HubError::Stopped),
        };
        progress.set_present(file.size);
        progress.set_verified(file.size);
        progress.set_phase(Phase::Done);
        Ok(path)
    }

    async fn bring(
        &self,
        repo: &RepoId,
        commit: &Commit,
        file: &RepoFile,
        progress: &Progress,
    ) -> Result<PathBuf> {
        let link = || self.cache.link(repo, commit, &file.path, &file.digest);
        let is_here = || self.cache.has_blob(repo, &file.digest, file.size);
        let pointer = self.cache.pointer(repo, commit, &file.path);
        // A copy in the snapshot itself, where the file system has no links.
        let is_copy = || {
            std::fs::symlink_metadata(&pointer).is_ok_and(|m| m.is_file() && m.len() == file.size)
        };
        if is_copy() {
            return Ok(pointer);
        }
        if is_here() {
            return link();
        }
        if self.environment.offline {
            let what = format!("{repo}/{}", file.path);
            return Err(HubError::Request(format!(
                "{what} is not in the cache and HF_HUB_OFFLINE forbids to fetch it; unset it to fetch"
            )));
        }
        let partial = self.cache.partial(repo, &file.digest);
        let _turn = lock::wait(&self.cache.lock(repo, &file.digest), || {
            progress.set_phase(Phase::Elsewhere);
            progress.set_present(partial::present(&partial, file.size));
        })
        .await?;
        progress.set_phase(Phase::Waiting);
        if !is_here() {
            self.download(repo, commit, file, progress).await?;
        }
        link()
    }

    async fn download(
        &self,
        repo: &RepoId,
        commit: &Commit,
        file: &RepoFile,
        progress: &Progress,
    ) -> Result<()> {
        let remote = self.remote(repo, commit, file)?;
        let path = self.cache.partial(repo, &file.digest);
        // Before memory is taken in proportion to a size that the server names.
        space::check(
            &path,
            file.size.saturating_sub(partial::bytes_on_disk(&path)),
        )?;
        // Bytes altered on their way can be right the second time.
        for _ in 0..2 {
            let (partial, found) = Partial::open(&path, file.size)?;
            let partial = Arc::new(partial);
            let whole = self.fill(&remote, &partial, &found, progress).await?;
            if whole {
                let name = self.cache.blob(repo, &file.digest);
                return tokio::task::spawn_blocking(move || partial.finish(&name))
                    .await
                    .map_err(|e| HubError::Request(format!("finishing the file failed: {e}")))?;
            }
            progress.set_present(0);
            progress.set_verified(0);
            partial::remove(&path).map_err(|e| HubError::disk(&path, "cannot be removed", e))?;
        }
        Err(HubError::Damaged {
            file: remote.name.clone(),
            expected: file.digest.to_string(),
        })
    }

    /// Fetches what is missing. Returns whether the whole has its checksum.
    async fn fill(
        &self,
        remote: &RemoteFile<'_>,
        partial: &Arc<Partial>,
        found: &[Option<u32>],
        progress: &Progress,
    ) -> Result<bool> {
        let size = remote.size;
        let here = (0..blocks(size)).filter(|i| found[*i].is_some());
        progress.set_present(here.map(|i| block_bytes(i, size)).sum());
        let plan = Arc::new(Plan::new(found));
        // Ends the checksum thread also when this future is dropped.
        let _end = EndOnDrop(&plan);
        let checked = {
            let (plan, partial) = (plan.clone(), partial.clone());
            let digest = remote.digest.clone();
            let shared = progress.clone();
            tokio::task::spawn_blocking(move || {
                let done = verify::follow(&plan, &partial, &shared, &digest, size);
                plan.end();
                done
            })
        };
        let shared = Shared {
            remote,
            plan: &plan,
            partial,
            progress,
            limit: &self.limit,
            options: &self.options,
            last_byte: AtomicU64::new(0),
            started: Instant::now(),
        };
        let connections = match size {
            0..SMALL => 1,
            _ => self.options.connections.clamp(1, 16),
        };
        try_join_all((0..connections).map(|_| shared.work())).await?;
        let checked = checked.await;
        let checked =
            checked.map_err(|e| HubError::Request(format!("the checksum failed: {e}")))?;
        checked?.ok_or(HubError::Stopped)
    }

    /// The file on the server.
    pub(crate) fn remote<'a>(
        &'a self,
        repo: &RepoId,
        commit: &Commit,
        file: &'a RepoFile,
    ) -> Result<RemoteFile<'a>> {
        Ok(RemoteFile {
            client: &self.client,
            token: self.environment.token.text(),
            url: client::file_url(&self.environment.endpoint, repo, commit, &file.path)?,
            name: format!("{repo}/{}", file.path),
            page: format!("{}/{repo}", self.environment.endpoint),
            size: file.size,
            digest: &file.digest,
            patience: self.options.stall,
            signed: Mutex::new(None),
        })
    }
}

/// The folder whose disk the blobs are on.
fn cache_folder(partial: &Path) -> &Path {
    crate::cache::parent(partial)
}

struct EndOnDrop<'a>(&'a Plan);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}
