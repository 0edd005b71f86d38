//! Where the Hub is, who asks, and where files are kept: read once from the
//! variables that Hugging Face's own tools use.

use std::path::{Path, PathBuf};

use crate::keyring::Keyring;
use crate::token::{Token, TokenPlace, token_in};

/// Settings shared with Hugging Face's tools.
#[derive(Clone, PartialEq)]
pub struct Environment {
    /// Base address, without a slash at the end.
    pub endpoint: String,
    /// Folder of the model cache.
    pub cache: PathBuf,
    pub token: Token,
    /// Where Hugging Face's own tools keep the token.
    pub token_file: PathBuf,
    pub keyring: Keyring,
    /// `HF_HUB_OFFLINE`: nothing may be asked of the network.
    pub offline: bool,
}

impl Environment {
    /// The Hub itself.
    pub const ENDPOINT: &str = "https://huggingface.co";

    /// From this process's environment. The keyring is not asked yet.
    pub fn read() -> Environment {
        Self::from_variables(&|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    /// From variables that `get` knows.
    pub fn from_variables(get: &dyn Fn(&str) -> Option<String>) -> Environment {
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
        let mut in_variable = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"].into_iter();
        let in_variable = in_variable.find_map(|name| {
            let text = get(name)?;
            let place = TokenPlace::Variable { name: name.into() };
            Some(Token::at(place, text.trim()))
        });
        let in_file = || {
            let path = token_file.clone();
            Some(Token::at(TokenPlace::File { path }, token_in(&token_file)?))
        };
        let bus = get("DBUS_SESSION_BUS_ADDRESS").or_else(|| {
            let bus = PathBuf::from(get("XDG_RUNTIME_DIR")?).join("bus");
            bus.exists().then(|| format!("unix:path={}", bus.display()))
        });
        Environment {
            endpoint: get("HF_ENDPOINT")
                .unwrap_or_else(|| Self::ENDPOINT.into())
                .trim_end_matches('/')
                .into(),
            token: in_variable.or_else(in_file).unwrap_or_default(),
            offline: get("HF_HUB_OFFLINE").is_some_and(is_on),
            keyring: Keyring::at(bus),
            token_file,
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
            .field("token", &self.token)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_variables(&|name| {
            let pair = pairs.iter().find(|(key, _)| *key == name)?;
            Some(pair.1.to_string())
        })
    }

    #[test]
    fn the_variables_of_hugging_face_are_honoured() {
        let plain = with(&[("HOME", "/home/a")]);
        assert_eq!(plain.endpoint, "https://huggingface.co");
        assert_eq!(plain.cache, Path::new("/home/a/.cache/huggingface/hub"));
        assert!(!plain.offline && plain.token.text().is_none());
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
        assert_eq!(moved.token.text(), Some("hf_secret"));
        let name = "HF_TOKEN".to_string();
        assert_eq!(moved.token.place(), &TokenPlace::Variable { name });
        assert!(moved.offline && !format!("{moved:?}").contains("secret"));
        let cache = with(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/elsewhere")]);
        assert_eq!(cache.cache, Path::new("/elsewhere"));
    }

    #[test]
    fn a_token_that_other_tools_saved_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let (home, path) = (folder.path().to_str().unwrap(), folder.path().join("token"));
        std::fs::write(&path, "hf_saved\n").unwrap();
        let saved = with(&[("HF_HOME", home)]);
        assert_eq!(saved.token.text(), Some("hf_saved"));
        assert_eq!(
            saved.token.place(),
            &TokenPlace::File { path: path.clone() }
        );
        let first = with(&[("HF_HOME", home), ("HF_TOKEN", "hf_first")]);
        assert_eq!(first.token.text(), Some("hf_first"));
        let elsewhere = with(&[
            ("HF_HOME", "/none"),
            ("HF_TOKEN_PATH", path.to_str().unwrap()),
        ]);
        assert_eq!(elsewhere.token.text(), Some("hf_saved"));
        std::fs::write(&path, "not a\ntoken").unwrap();
        assert_eq!(with(&[("HF_HOME", home)]).token, Token::default());
    }
}
