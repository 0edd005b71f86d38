//! The layout of Hugging Face's model cache, shared with its Python library:
//! `models--owner--name/{blobs,refs,snapshots}`, where a snapshot's files are
//! links to blobs that are named by their checksum.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::error::{HubError, Result};
use crate::names::{Commit, Digest, FilePath, RepoId, Revision};

/// A cache folder. Nothing is made before something is stored.
#[derive(Debug, Clone)]
pub struct Cache {
    pub root: PathBuf,
}

impl Cache {
    pub fn new(root: impl Into<PathBuf>) -> Cache {
        Cache { root: root.into() }
    }

    pub fn repo(&self, repo: &RepoId) -> PathBuf {
        self.root.join(repo.folder())
    }

    pub fn blob(&self, repo: &RepoId, digest: &Digest) -> PathBuf {
        self.repo(repo).join("blobs").join(digest.hex())
    }

    pub fn snapshot(&self, repo: &RepoId, commit: &Commit) -> PathBuf {
        self.repo(repo).join("snapshots").join(commit.as_str())
    }

    pub fn pointer(&self, repo: &RepoId, commit: &Commit, file: &FilePath) -> PathBuf {
        self.snapshot(repo, commit).join(file.as_str())
    }

    /// What is held while the blob is fetched; Python's library takes the same lock.
    pub fn lock(&self, repo: &RepoId, digest: &Digest) -> PathBuf {
        let locks = self.root.join(".locks").join(repo.folder());
        locks.join(format!("{}.lock", digest.hex()))
    }

    /// The unfinished blob. Not Python's `.incomplete`, which must have no gaps.
    pub fn partial(&self, repo: &RepoId, digest: &Digest) -> PathBuf {
        let blobs = self.repo(repo).join("blobs");
        blobs.join(format!("{}{PARTIAL}", digest.hex()))
    }

    /// The commit that a revision was when it was last fetched.
    pub fn read_ref(&self, repo: &RepoId, revision: &Revision) -> Option<Commit> {
        if let Ok(commit) = revision.as_str().parse() {
            return Some(commit);
        }
        let path = self.repo(repo).join("refs").join(revision.as_str());
        fs::read_to_string(path).ok()?.trim().parse().ok()
    }

    pub fn write_ref(&self, repo: &RepoId, revision: &Revision, commit: &Commit) -> Result<()> {
        if revision.as_str() == commit.as_str() {
            return Ok(());
        }
        let path = self.repo(repo).join("refs").join(revision.as_str());
        let failed = |source| HubError::disk(&path, "cannot be written", source);
        let folder = parent(&path);
        fs::create_dir_all(folder).map_err(failed)?;
        let new = folder.join(format!(".ref.{}", std::process::id()));
        fs::write(&new, commit.as_str()).map_err(failed)?;
        fs::rename(&new, &path).map_err(failed)
    }

    /// Is the whole blob there? A file of another size under its name is not it.
    pub fn has_blob(&self, repo: &RepoId, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.blob(repo, digest)).is_ok_and(|m| m.is_file() && m.len() == size)
    }

    /// Makes the snapshot's file lead to its blob and returns its path. Where
    /// the file system knows no links, the blob itself moves there.
    pub fn link(
        &self,
        repo: &RepoId,
        commit: &Commit,
        file: &FilePath,
        digest: &Digest,
    ) -> Result<PathBuf> {
        let pointer = self.pointer(repo, commit, file);
        let target = Path::new(&"../".repeat(file.depth() + 2))
            .join("blobs")
            .join(digest.hex());
        if fs::read_link(&pointer).is_ok_and(|old| old == target) {
            return Ok(pointer);
        }
        let failed = |source| HubError::disk(&pointer, "cannot be made", source);
        let folder = parent(&pointer);
        fs::create_dir_all(folder).map_err(failed)?;
        // Made beside and renamed, so that the name never leads nowhere.
        let new = folder.join(format!(".{}.{}", file.file_name(), std::process::id()));
        let _ = fs::remove_file(&new);
        match symlink(&target, &new) {
            Ok(()) => fs::rename(&new, &pointer).map_err(failed)?,
            Err(e) if has_no_links(&e) => {
                fs::rename(self.blob(repo, digest), &pointer).map_err(failed)?;
            }
            Err(e) => return Err(failed(e)),
        }
        sync_folder(folder).map_err(failed)?;
        Ok(pointer)
    }
}

/// Ending of an unfinished blob.
pub(crate) const PARTIAL: &str = ".moestro";

fn has_no_links(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied
    )
}

pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// After this, names made in the folder survive a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (RepoId, Commit, Digest) {
        let repo = "Qwen/Qwen3-Next".parse().unwrap();
        let commit = "1".repeat(40).parse().unwrap();
        (repo, commit, "ab".repeat(32).parse().unwrap())
    }

    #[test]
    fn links_lead_to_blobs_as_pythons_do() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let (repo, commit, digest) = names();
        let blob = cache.blob(&repo, &digest);
        fs::create_dir_all(parent(&blob)).unwrap();
        fs::write(&blob, "weights").unwrap();
        assert!(cache.has_blob(&repo, &digest, 7) && !cache.has_blob(&repo, &digest, 8));
        let file: FilePath = "Q4/model.gguf".parse().unwrap();
        let pointer = cache.link(&repo, &commit, &file, &digest).unwrap();
        let expected = format!(
            "models--Qwen--Qwen3-Next/snapshots/{}/Q4/model.gguf",
            "1".repeat(40)
        );
        assert_eq!(pointer, folder.path().join(expected));
        let target = format!("../../../blobs/{}", "ab".repeat(32));
        assert_eq!(fs::read_link(&pointer).unwrap(), Path::new(&target));
        assert_eq!(fs::read_to_string(&pointer).unwrap(), "weights");
        // Again is no error, and a link to another blob is replaced.
        cache.link(&repo, &commit, &file, &digest).unwrap();
        fs::remove_file(&pointer).unwrap();
        symlink("../gone", &pointer).unwrap();
        cache.link(&repo, &commit, &file, &digest).unwrap();
        assert_eq!(fs::read_to_string(&pointer).unwrap(), "weights");
    }

    #[test]
    fn refs_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(folder.path());
        let (repo, commit, _) = names();
        let revision: Revision = "refs/pr/7".parse().unwrap();
        assert_eq!(cache.read_ref(&repo, &revision), None);
        cache.write_ref(&repo, &revision, &commit).unwrap();
        assert_eq!(cache.read_ref(&repo, &revision), Some(commit.clone()));
        let by_commit: Revision = commit.as_str().parse().unwrap();
        assert_eq!(cache.read_ref(&repo, &by_commit), Some(commit));
    }
}
