//! A Hub with one repository, for whoever searches, looks and fetches.

use std::path::Path;

use moestro_hub::{Environment, Fetcher, Hub, HubError, Options, RepoId, Repository, Revision};
use serde_json::{Value, json};

use super::{FaultServer, git_blob, sha256};

pub const COMMIT: &str = "2222222222222222222222222222222222222222";

pub struct TestHub {
    pub server: FaultServer,
    pub cache: tempfile::TempDir,
    /// Entries of the listing.
    pub tree: Vec<Value>,
}

impl TestHub {
    pub fn new() -> TestHub {
        TestHub {
            server: FaultServer::start(),
            cache: tempfile::tempdir().unwrap(),
            tree: Vec::new(),
        }
    }

    /// Adds a file of the repository; a `large` one has a SHA-256.
    pub fn file(&mut self, path: &str, bytes: &[u8], large: bool) {
        let address = format!("/org/model/resolve/{COMMIT}/{path}");
        self.server.put(&address, bytes.to_vec());
        let mut entry = json!({
            "type": "file", "path": path, "size": bytes.len(), "oid": git_blob(bytes),
        });
        if large {
            entry["oid"] = json!("0".repeat(40));
            entry["lfs"] = json!({"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 134});
            entry["xetHash"] = json!("1".repeat(64));
        }
        self.tree.push(entry);
    }

    /// Puts the answers of the API in place.
    pub fn ready(&self) {
        let info = json!({
            "_id": "1", "id": "org/model", "sha": COMMIT, "downloads": 12, "likes": 3,
            "gated": false, "private": false, "lastModified": "2026-02-03T04:05:06.000Z",
            "tags": ["gguf", "license:apache-2.0"], "config": {"model_type": "qwen3_next"},
            "siblings": [],
        });
        let text = |value: &Value| value.to_string().into_bytes();
        let found = json!([info.clone(), {"id": "../evil"}]);
        self.server.put("/api/models", text(&found));
        self.server
            .put("/api/models/org/model/revision/main", text(&info));
        let tree = json!(self.tree);
        self.server
            .put(&format!("/api/models/org/model/tree/{COMMIT}"), text(&tree));
    }

    pub fn environment(&self) -> Environment {
        super::environment(&self.server.endpoint(), self.cache.path(), &[])
    }

    pub fn hub(&self) -> Hub {
        Hub::new(self.environment()).unwrap()
    }

    pub fn fetcher(&self) -> Fetcher {
        Fetcher::new(self.environment(), Options::default()).unwrap()
    }

    pub fn repository(&self) -> Result<Repository, HubError> {
        let repo: RepoId = "org/model".parse().unwrap();
        block_on(self.hub().repository(&repo, &Revision::default()))
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(future)
}

/// A file of the repository's fixtures.
pub fn fixture(path: &str) -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here
        .ancestors()
        .find(|folder| folder.join("tests/fixtures").is_dir());
    std::fs::read(root.unwrap().join("tests/fixtures").join(path)).unwrap()
}
