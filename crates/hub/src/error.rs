//! What can go wrong between here and the Hub. Messages are shown to the person
//! as they are, so each names the thing and the way out.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::size::show_bytes;

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("{name:?} is not the name of a {what}: {problem}")]
    Name {
        what: &'static str,
        name: String,
        problem: String,
    },
    #[error("{place} cannot be reached ({cause}); check the network and any proxy, then try again")]
    Unreachable { place: String, cause: String },
    #[error("{what} was not found; check its name, or give an access token if it is private")]
    NotFound { what: String },
    #[error(
        "{repo} is shared only with people who accepted its terms: accept them at {page}, then \
         give Moestro an access token (HF_TOKEN, or Models → Access token)"
    )]
    Gated { repo: String, page: String },
    #[error(
        "{place} refused access to {what}; check that the access token is valid and may read it"
    )]
    Denied { place: String, what: String },
    #[error("{place} asks to wait{}; try again later", .after.map(|t| format!(" for {} s", t.as_secs())).unwrap_or_default())]
    Busy {
        place: String,
        after: Option<Duration>,
    },
    #[error("{place} answered {status}{detail}; try again later")]
    Status {
        place: String,
        status: u16,
        detail: String,
    },
    #[error("{place} sent an answer that makes no sense ({problem}); try again later")]
    Malformed { place: String, problem: String },
    #[error(
        "{file} is {found} bytes on the server and not {expected} as its repository says; \
         refresh the list of files and start again"
    )]
    OtherSize {
        file: String,
        expected: u64,
        found: u64,
    },
    #[error(
        "{file} changed on the server while it was fetched; refresh the list of files and start again"
    )]
    Changed { file: String },
    #[error(
        "{file} came damaged twice: its bytes do not give the checksum {expected}. Nothing was kept. \
         Try another network, or another time; a proxy may be altering downloads"
    )]
    Damaged { file: String, expected: String },
    #[error("{file}: no data for {}; the part that is here was kept: try again when the connection is better ({cause})", show_time(*.waited))]
    GaveUp {
        file: String,
        waited: Duration,
        cause: String,
    },
    #[error(
        "{} has {} free, and {} more are needed; free some space and try again, what is here was kept",
        folder.display(), show_bytes(*free), show_bytes(*needed)
    )]
    Space {
        folder: PathBuf,
        free: u64,
        needed: u64,
    },
    #[error("{} disappeared during the download; put the folder or disk back and try again", .0.display())]
    FolderGone(PathBuf),
    #[error("{}: {action}: {source}", path.display())]
    Disk {
        path: PathBuf,
        action: &'static str,
        source: io::Error,
    },
    #[error("{}: what was written does not read back the same; the disk or the memory is faulty", .0.display())]
    FaultyDisk(PathBuf),
    #[error("{0}")]
    Request(String),
    #[error("stopped")]
    Stopped,
}

pub type Result<T> = std::result::Result<T, HubError>;

impl HubError {
    pub(crate) fn name(what: &'static str, name: &str, problem: impl Into<String>) -> Self {
        Self::Name {
            what,
            name: name.chars().take(120).collect(),
            problem: problem.into(),
        }
    }

    pub(crate) fn disk(path: &Path, action: &'static str, source: io::Error) -> Self {
        Self::Disk {
            path: path.into(),
            action,
            source,
        }
    }

    /// Would the same attempt, later and unchanged, perhaps succeed?
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Busy { .. }
                | Self::Status { .. }
                | Self::Malformed { .. }
                | Self::GaveUp { .. }
        )
    }
}

/// A window receives every error as a sentence.
impl serde::Serialize for HubError {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

fn show_time(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds => format!("{} minutes", seconds / 60),
    }
}
