//! Where the Hub is, who asks, and where files are kept: read once from the
//! variables that Hugging Face's own tools use.

use std::path::{Path, PathBuf};

/// Settings shared with Hugging Face's tools.
#[derive(Clone, PartialEq)]
pub struct Environment {
    /// Base address, without a slash at the end.
    pub endpoint: String,
    /// Folder of Hugging Face's files, for the token.
    pub home: PathBuf,
    /// Folder of the model cache.
    pub cache: PathBuf,
    pub token: Option<String>,
    /// `HF_HUB_OFFLINE`: nothing may be asked of the network.
    pub offline: bool,
}

/// A token is about 40 bytes; anything larger is not one.
const LONGEST_TOKEN: u64 = 4096;

impl Environment {
    /// The Hub itself.
    pub const ENDPOINT: &str = "https://huggingface.co";

    /// From this process's environment.
    pub fn read() -> Environment {
        Self::from(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn from(get: &dyn Fn(&str) -> Option<String>) -> Environment {
        let folder = |name: &str| get(name).map(|path| expand(&path, get));
        let user_cache = folder("XDG_CACHE_HOME")
            .or_else(|| Some(PathBuf::from(get("HOME")?).join(".cache")))
            .unwrap_or_else(std::env::temp_dir);
        let home = folder("HF_HOME").unwrap_or_else(|| user_cache.join("huggingface"));
        let cache = folder("HF_HUB_CACHE")
            .or_else(|| folder("HUGGINGFACE_HUB_CACHE"))
            .unwrap_or_else(|| home.join("hub"));
        let is_on =
            |value: String| !["0", "false", "no", "off"].contains(&value.to_lowercase().as_str());
        let token_file = folder("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        Environment {
            endpoint: get("HF_ENDPOINT")
                .unwrap_or_else(|| Self::ENDPOINT.into())
                .trim_end_matches('/')
                .into(),
            token: get("HF_TOKEN")
                .or_else(|| get("HUGGING_FACE_HUB_TOKEN"))
                .or_else(|| token_in(&token_file))
                .map(|token| token.trim().to_string()),
            offline: get("HF_HUB_OFFLINE").is_some_and(is_on),
            home,
            cache,
        }
    }

    /// The endpoint's host, as messages name it.
    pub fn place(&self) -> &str {
        self.endpoint.split("://").last().unwrap_or(&self.endpoint)
    }
}

/// The token must not get into a log.
impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("offline", &self.offline)
            .finish()
    }
}

fn expand(path: &str, get: &dyn Fn(&str) -> Option<String>) -> PathBuf {
    match (path.strip_prefix("~/"), get("HOME")) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => path.into(),
    }
}

/// The token that `hf auth login` saved.
fn token_in(path: &Path) -> Option<String> {
    let about = std::fs::metadata(path).ok()?;
    let small = about.is_file() && about.len() <= LONGEST_TOKEN;
    let text = small.then(|| std::fs::read_to_string(path).ok())??;
    let token = text.trim();
    (!token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic())).then(|| token.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Environment {
        Environment::from(&|name| {
            let pair = pairs.iter().find(|(key, _)| *key == name)?;
            Some(pair.1.to_string())
        })
    }

    #[test]
    fn the_variables_of_hugging_face_are_honoured() {
        let plain = with(&[("HOME", "/home/a")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("/home/a/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.token.is_none());
        let moved = with(&[
            ("HOME", "/home/a"),
            ("HF_HOME", "~/hf"),
            ("HF_ENDPOINT", "http://127.0.0.1:9/"),
            ("HF_TOKEN", "hf_secret\n"),
            ("HF_HUB_OFFLINE", "1"),
        ]);
        assert_eq!(moved.cache, Path::new("/home/a/hf/hub"));
        assert_eq!(
            (moved.endpoint.as_str(), moved.place()),
            ("http://127.0.0.1:9", "127.0.0.1:9")
        );
        assert_eq!(moved.token.as_deref(), Some("hf_secret"));
        assert!(moved.offline && !format!("{moved:?}").contains("secret"));
        let cache = with(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/elsewhere")]);
        assert_eq!(cache.cache, Path::new("/elsewhere"));
    }

    #[test]
    fn a_saved_token_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("token"), "hf_saved\n").unwrap();
        assert_eq!(
            with(&[("HF_HOME", home)]).token.as_deref(),
            Some("hf_saved")
        );
        std::fs::write(folder.path().join("token"), "not a\ntoken").unwrap();
        assert_eq!(with(&[("HF_HOME", home)]).token, None);
    }
}
