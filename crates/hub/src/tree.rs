//! The files of a repository with their checksums. Own code, because hf-hub 1.0
//! drops the SHA-256 from this listing (it calls `oid` what the Hub's tree calls
//! `lfs.oid`), and the SHA-256 is what everything here rests on.

use reqwest::header::{AUTHORIZATION, LINK};
use reqwest::{Client, Response, Url};
use serde::Deserialize;

use crate::environment::Environment;
use crate::error::{HubError, Result};
use crate::fetch::{RepoFile, root_cause};
use crate::names::{Commit, Digest, RepoId};

/// Files of a repository that are looked at; the largest have a few hundred.
const MOST_FILES: usize = 10_000;
/// Bytes of one page, which holds at most 1000 files.
const LONGEST_PAGE: usize = 8 << 20;

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "type")]
    kind: String,
    oid: String,
    #[serde(default)]
    size: u64,
    path: String,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
    size: u64,
}

/// All files at `commit`, in the order of their paths. A file with a name that is
/// not safe, or without a checksum, is left out: it could not be stored.
pub(crate) async fn list(
    client: &Client,
    environment: &Environment,
    repo: &RepoId,
    commit: &Commit,
) -> Result<Vec<RepoFile>> {
    let place = || environment.place().to_string();
    let malformed = |problem: String| HubError::Malformed {
        place: place(),
        problem,
    };
    let address = format!(
        "{}/api/models/{repo}/tree/{commit}?recursive=true",
        environment.endpoint
    );
    let mut next = Url::parse(&address).ok();
    let home = next.as_ref().map(Url::origin);
    let mut files = Vec::new();
    while let Some(url) = next {
        let mut request = client.get(url.clone());
        if let Some(token) = environment.token.text() {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let response = request.send().await.map_err(|e| HubError::Unreachable {
            place: place(),
            cause: root_cause(&e),
        })?;
        match response.status().as_u16() {
            200 => {}
            404 => {
                return Err(HubError::NotFound {
                    what: repo.to_string(),
                });
            }
            401 | 403 => {
                return Err(HubError::Denied {
                    place: place(),
                    what: repo.to_string(),
                });
            }
            status => {
                return Err(HubError::Status {
                    place: place(),
                    status,
                    detail: String::new(),
                });
            }
        }
        // A page elsewhere would get the token.
        next = next_page(&response, &url).filter(|next| Some(next.origin()) == home);
        let page = page(response).await.map_err(malformed)?;
        let entries: Vec<Entry> = serde_json::from_slice(&page)
            .map_err(|e| malformed(format!("its list of files: {e}")))?;
        if entries.is_empty() {
            break;
        }
        files.extend(entries.into_iter().filter_map(repo_file));
        if files.len() > MOST_FILES {
            return Err(malformed(format!("it lists more than {MOST_FILES} files")));
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files.dedup_by(|a, b| a.path == b.path);
    Ok(files)
}

async fn page(mut response: Response) -> std::result::Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| root_cause(&e))? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST_PAGE {
            return Err("its list of files is too long".into());
        }
    }
    Ok(bytes)
}

/// The address in `Link: <…>; rel="next"`.
fn next_page(response: &Response, url: &Url) -> Option<Url> {
    let links = response.headers().get(LINK)?.to_str().ok()?;
    let link = links
        .split(',')
        .find(|link| link.contains("rel=\"next\""))?;
    let (_, rest) = link.split_once('<')?;
    url.join(rest.split_once('>')?.0).ok()
}

fn repo_file(entry: Entry) -> Option<RepoFile> {
    if entry.kind != "file" {
        return None;
    }
    let (digest, size) = match entry.lfs {
        Some(lfs) => {
            let hex = lfs.oid.strip_prefix("sha256:").unwrap_or(&lfs.oid);
            let digest: Digest = hex.parse().ok()?;
            (
                matches!(digest, Digest::Sha256(_)).then_some(digest)?,
                lfs.size,
            )
        }
        None => (entry.oid.parse().ok()?, entry.size),
    };
    Some(RepoFile {
        path: entry.path.parse().ok()?,
        size,
        digest,
    })
}
