//! Names that come from the Hub or a person, checked before any of them becomes
//! part of a path or a URL.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::HubError;

/// Longest name of a file or folder, as Linux allows.
const LONGEST_PART: usize = 255;
/// Longest path within a repository.
const LONGEST_PATH: usize = 1024;

/// A model repository: `owner/name`, or only `name` for the oldest ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepoId(String);

impl RepoId {
    /// Its folder in the cache: `models--owner--name`.
    pub fn folder(&self) -> String {
        format!("models--{}", self.0.replace('/', "--"))
    }

    /// The repository a folder of the cache belongs to.
    pub fn from_folder(folder: &str) -> Option<RepoId> {
        let name = folder.strip_prefix("models--")?.replacen("--", "/", 1);
        name.parse().ok()
    }

    /// Owner, empty for the oldest repositories, and name.
    pub fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or(("", &self.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for RepoId {
    type Err = HubError;

    /// Accepts a repository's web address as well.
    fn from_str(text: &str) -> Result<Self, HubError> {
        let name = text
            .trim()
            .trim_start_matches("https://")
            .trim_start_matches("huggingface.co/")
            .trim_end_matches('/');
        let plain = |part: &str| {
            (1..=96).contains(&part.len())
                && part
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
                && !part.starts_with(['.', '-'])
                && !part.ends_with(['.', '-'])
                && !part.contains("..")
                && !part.contains("--")
        };
        if name.split('/').count() <= 2 && name.split('/').all(plain) {
            return Ok(Self(name.into()));
        }
        Err(HubError::name(
            "repository",
            text,
            "write it as owner/name, such as Qwen/Qwen3-30B-A3B",
        ))
    }
}

/// A branch, a tag or a commit, as a person names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Revision(String);

impl Revision {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Revision {
    fn default() -> Self {
        Self("main".into())
    }
}

impl std::str::FromStr for Revision {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        match plain_path(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(problem) => Err(HubError::name("revision", text, problem)),
        }
    }
}

/// The full name of a commit: 40 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Commit(String);

impl Commit {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::str::FromStr for Commit {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        if is_hex(text, 40) {
            return Ok(Self(text.into()));
        }
        let problem = "a commit has 40 hexadecimal digits";
        Err(HubError::name("commit", text, problem))
    }
}

/// A file's path within its repository: relative, with `/` between plain names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// Folders above the file.
    pub fn depth(&self) -> usize {
        self.0.matches('/').count()
    }
}

impl std::str::FromStr for FilePath {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        match plain_path(text) {
            Ok(()) => Ok(Self(text.into())),
            Err(problem) => Err(HubError::name("file name", text, problem)),
        }
    }
}

/// What a file's bytes must hash to; also the name of its blob in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Digest {
    /// SHA-256 of the bytes: the object id of large files (Git LFS).
    Sha256(String),
    /// SHA-1 of the bytes behind Git's header: the object id of small files.
    GitBlob(String),
}

impl Digest {
    /// Lower-case hexadecimal.
    pub fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }
}

impl std::str::FromStr for Digest {
    type Err = HubError;

    fn from_str(text: &str) -> Result<Self, HubError> {
        match text.len() {
            64 if is_hex(text, 64) => Ok(Self::Sha256(text.into())),
            40 if is_hex(text, 40) => Ok(Self::GitBlob(text.into())),
            _ => {
                let problem = "a checksum has 40 or 64 lower-case hexadecimal digits";
                Err(HubError::name("checksum", text, problem))
            }
        }
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.len() == length && text.bytes().all(digit)
}

/// Nothing that could lead out of the folder it is joined to.
fn plain_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || path.len() > LONGEST_PATH {
        return Err("it is empty or too long");
    }
    for part in path.split('/') {
        if part.is_empty() || part == "." || part == ".." {
            return Err("it is absolute, or has `.`, `..` or an empty part");
        }
        if part.len() > LONGEST_PART {
            return Err("a part of it is longer than 255 bytes");
        }
        if part.contains('\\') || part.contains(char::is_control) {
            return Err("it has a backslash or a control character");
        }
    }
    Ok(())
}

macro_rules! as_text {
    ($($name:ident: $get:expr;)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad($get(self))
            }
        }
        impl TryFrom<String> for $name {
            type Error = HubError;
            fn try_from(text: String) -> Result<Self, HubError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.to_string()
            }
        }
    )*};
}

as_text! {
    RepoId: RepoId::as_str;
    Revision: Revision::as_str;
    Commit: Commit::as_str;
    FilePath: FilePath::as_str;
    Digest: Digest::hex;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_named_as_on_the_hub() {
        let id: RepoId = "Qwen/Qwen3-Next-80B-A3B-Instruct".parse().unwrap();
        assert_eq!(id.folder(), "models--Qwen--Qwen3-Next-80B-A3B-Instruct");
        assert_eq!(RepoId::from_folder(&id.folder()), Some(id.clone()));
        assert_eq!(id.parts(), ("Qwen", "Qwen3-Next-80B-A3B-Instruct"));
        let pasted: RepoId = "https://huggingface.co/Qwen/Qwen3-30B-A3B/"
            .parse()
            .unwrap();
        assert_eq!(pasted.as_str(), "Qwen/Qwen3-30B-A3B");
        assert_eq!("gpt2".parse::<RepoId>().unwrap().folder(), "models--gpt2");
        let bad = [
            "", "/", "a/b/c", "../x", "a/..", "a/b--c", "a/.b", "a b/c", "a/b?", "~/x",
        ];
        for bad in bad {
            assert!(bad.parse::<RepoId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_cannot_leave_its_folder() {
        for good in [
            "config.json",
            "Q4_K_M/model-00001-of-00002.gguf",
            ".gitattributes",
            "ä b.gguf",
        ] {
            assert!(good.parse::<FilePath>().is_ok(), "{good}");
        }
        let bad = [
            "",
            "/etc/passwd",
            "..",
            "../x",
            "a/../../x",
            "a//b",
            "./a",
            "a/.",
            "a\\..\\b",
            "a\0b",
            "a\nb",
        ];
        for bad in bad {
            assert!(bad.parse::<FilePath>().is_err(), "{bad:?}");
            assert!(bad.parse::<Revision>().is_err(), "{bad:?}");
        }
        assert!("x".repeat(256).parse::<FilePath>().is_err());
    }

    #[test]
    fn checksums_and_commits_are_hexadecimal() {
        assert!("0".repeat(40).parse::<Commit>().is_ok());
        assert!(matches!("a".repeat(64).parse(), Ok(Digest::Sha256(_))));
        assert!(matches!("a".repeat(40).parse(), Ok(Digest::GitBlob(_))));
        for bad in [
            "",
            "../../../etc/passwd",
            &"A".repeat(64),
            &"g".repeat(40),
            &"0".repeat(41),
        ] {
            assert!(
                bad.parse::<Digest>().is_err() && bad.parse::<Commit>().is_err(),
                "{bad}"
            );
        }
    }
}
