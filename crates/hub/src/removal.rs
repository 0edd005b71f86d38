//! Deleting a model of the cache: what belongs to it alone, and what that frees.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cache::{Cache, PARTIAL};
use crate::error::{HubError, Result};
use crate::library::{MOST_ENTRIES, Model, entries, files, repositories, scan};
use crate::names::RepoId;

/// What removing a model would delete and free.
#[derive(Debug, Clone, PartialEq)]
pub struct Removal {
    /// Links and the blobs they lead to.
    files: Vec<PathBuf>,
    /// Bytes of the disk that become free.
    pub bytes: u64,
}

/// Finds what belongs to `model` alone; errors if it is not in the cache.
pub fn removal(cache: &Cache, model: &Path) -> Result<Removal> {
    let inside = |path: &Path| path.starts_with(&cache.root);
    let refused = || {
        HubError::Request(format!(
            "{} is not in the model cache; remove it with the program it belongs to",
            model.display()
        ))
    };
    let models = scan(cache, &[]);
    let found = models
        .iter()
        .find(|m| m.path == model)
        .ok_or_else(refused)?;
    let mut links = files(model);
    links.retain(|link| inside(link));
    let repo = found.repo.as_ref().map(|repo| cache.repo(repo));
    let blobs_folder = repo.map(|repo| repo.join("blobs"));
    let blobs_folder = blobs_folder.and_then(|folder| fs::canonicalize(folder).ok());
    let used_elsewhere = blobs_of_others(cache, found, &links);
    let mut doomed = Vec::new();
    let mut bytes = 0;
    for link in links {
        let blob = fs::canonicalize(&link).ok();
        let own = blob.filter(|b| Some(crate::cache::parent(b)) == blobs_folder.as_deref());
        if let Some(blob) = own.filter(|blob| !used_elsewhere.contains(blob)) {
            bytes += fs::metadata(&blob).map_or(0, |m| m.blocks() * 512);
            doomed.push(blob);
        } else if fs::symlink_metadata(&link).is_ok_and(|m| m.is_file()) {
            bytes += fs::metadata(&link).map_or(0, |m| m.blocks() * 512);
        }
        doomed.push(link);
    }
    Ok(Removal {
        files: doomed,
        bytes,
    })
}

/// Blobs that other links of the repository lead to.
fn blobs_of_others(cache: &Cache, model: &Model, own: &[PathBuf]) -> Vec<PathBuf> {
    let Some(repo) = &model.repo else {
        return Vec::new();
    };
    let mut left = MOST_ENTRIES;
    let mut folders = vec![cache.repo(repo).join("snapshots")];
    let mut blobs = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in entries(&folder, &mut left) {
            if fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
                folders.push(path);
            } else if !own.contains(&path) {
                blobs.extend(fs::canonicalize(&path));
            }
        }
    }
    blobs
}

impl Removal {
    /// Deletes, and with the last model of a repository what is left of its folder.
    pub fn carry_out(self, cache: &Cache) -> Result<u64> {
        for file in &self.files {
            match fs::remove_file(file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(HubError::disk(file, "cannot be removed", e));
                }
                _ => {}
            }
        }
        for file in &self.files {
            let mut folder = file.parent();
            // Goes up while folders are empty; `remove_dir` refuses others.
            while let Some(empty) =
                folder.filter(|f| f.starts_with(&cache.root) && *f != cache.root)
            {
                if fs::remove_dir(empty).is_err() {
                    break;
                }
                folder = empty.parent();
            }
        }
        self.forget_repositories(cache);
        Ok(self.bytes)
    }

    /// A repository without blobs and snapshots is only its refs.
    fn forget_repositories(&self, cache: &Cache) {
        for (folder, _) in repositories(cache) {
            let touched = self.files.iter().any(|f| f.starts_with(&folder));
            let empty = !folder.join("blobs").exists() && !folder.join("snapshots").exists();
            if touched && empty {
                let _ = fs::remove_dir_all(folder.join("refs"));
                let _ = fs::remove_dir_all(folder.join(".no_exist"));
                let _ = fs::remove_dir(&folder);
            }
        }
    }
}

/// Unfinished downloads in the cache that no list knows any more, with their bytes.
pub fn unfinished(cache: &Cache) -> Vec<(PathBuf, u64)> {
    let partial = |path: &PathBuf| path.to_string_lossy().ends_with(PARTIAL);
    let of_repo =
        |(folder, _): (PathBuf, RepoId)| entries(&folder.join("blobs"), &mut MOST_ENTRIES.clone());
    let all = repositories(cache)
        .into_iter()
        .flat_map(of_repo)
        .filter(partial);
    all.map(|path| {
        let bytes = fs::metadata(&path).map_or(0, |m| m.blocks() * 512);
        (path, bytes)
    })
    .collect()
}
