//! Fetching a file from a server that fails.

#[path = "../support/mod.rs"]
mod support;

mod bench;
mod cuts;
mod faults;
mod processes;

use std::path::{Path, PathBuf};
use std::time::Duration;

use moestro_hub::{Commit, Digest, Fetcher, HubError, Options, Progress, RepoFile, RepoId, Stop};
use support::{FaultServer, sha256};

const MIB: usize = 1 << 20;
const PATH: &str = "/org/model/resolve/1111111111111111111111111111111111111111/model.gguf";

fn repo() -> RepoId {
    "org/model".parse().unwrap()
}

fn commit() -> Commit {
    "1".repeat(40).parse().unwrap()
}

/// Quick to notice what takes a person's patience elsewhere.
fn hasty() -> Options {
    Options {
        stall: Duration::from_millis(700),
        patience: Duration::from_secs(8),
        ..Options::default()
    }
}

fn fetcher(endpoint: &str, cache: &Path, options: Options) -> Fetcher {
    Fetcher::new(support::environment(endpoint, cache, &[]), options).unwrap()
}

fn file(bytes: &[u8]) -> RepoFile {
    described(bytes.len() as u64, sha256(bytes))
}

fn described(size: u64, digest: Digest) -> RepoFile {
    RepoFile {
        path: "model.gguf".parse().unwrap(),
        size,
        digest,
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// A server with one file, and an empty cache.
struct Bench {
    server: FaultServer,
    bytes: Vec<u8>,
    file: RepoFile,
    cache: tempfile::TempDir,
}

impl Bench {
    fn new(length: usize) -> Bench {
        let bytes = support::noise(length, 1);
        let server = FaultServer::start();
        server.put(PATH, bytes.clone());
        Bench {
            server,
            file: file(&bytes),
            bytes,
            cache: tempfile::tempdir().unwrap(),
        }
    }

    fn fetcher(&self) -> Fetcher {
        fetcher(&self.server.endpoint(), self.cache.path(), hasty())
    }

    fn fetch(&self) -> Result<PathBuf, HubError> {
        self.fetch_with(&self.fetcher(), &Progress::default(), &Stop::default())
    }

    fn fetch_with(
        &self,
        fetcher: &Fetcher,
        progress: &Progress,
        stop: &Stop,
    ) -> Result<PathBuf, HubError> {
        block_on(fetcher.fetch(&repo(), &commit(), &self.file, progress, stop))
    }

    /// Fetches and checks every byte.
    fn succeeds(&self) {
        let path = self.fetch().unwrap();
        assert!(std::fs::read(path).unwrap() == self.bytes);
        assert_eq!(self.left_over(), 0, "nothing unfinished stays");
    }

    /// Fetches in vain; nothing may bear a final name. Returns the message.
    fn fails(&self) -> String {
        let error = self.fetch().unwrap_err();
        self.nothing_final();
        error.to_string()
    }

    fn nothing_final(&self) {
        let fetcher = self.fetcher();
        assert!(!fetcher.cache.blob(&repo(), &self.file.digest).exists());
        assert!(!fetcher.cache.snapshot(&repo(), &commit()).exists());
    }

    /// Files in the blobs folder other than the blob.
    fn left_over(&self) -> usize {
        let blobs = self.cache.path().join("models--org--model/blobs");
        let files = std::fs::read_dir(blobs).into_iter().flatten().flatten();
        files
            .filter(|f| f.file_name().to_str() != Some(self.file.digest.hex()))
            .count()
    }
}
