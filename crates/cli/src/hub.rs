//! What the commands that talk to the Hub share: the async runtime, the Hub and
//! the fetcher as the environment says, and the choice of a variant.

use anyhow::{Context, Result, bail};
use moestro_engine::verdict;
use moestro_hub::{Environment, Repository, Supported, Variant, catalog, show_bytes};
use tokio::runtime::{Builder, Runtime};

pub fn runtime() -> Result<Runtime> {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.context("the network cannot be used")
}

/// What the variables say, with the token of the system's keyring if they name
/// none.
pub async fn environment() -> Environment {
    let mut environment = Environment::read();
    environment.ask_keyring().await;
    environment
}

/// What the engine in this program can read.
pub fn supported() -> Supported {
    Supported {
        model_types: verdict::model_types(),
        formats: verdict::formats(),
    }
}

/// The variant that `pattern` names, or the obvious one.
pub fn choose<'a>(
    repository: &Repository,
    variants: &'a [Variant],
    pattern: Option<&str>,
) -> Result<&'a Variant> {
    let repo = &repository.found.repo;
    let list = || {
        let line = |v: &Variant| {
            let reason = v.unsupported.as_ref();
            let reason = reason.map(|r| format!("  ({r})")).unwrap_or_default();
            format!("\n  {:<16} {:>10}{reason}", v.label, show_bytes(v.bytes()))
        };
        variants.iter().map(line).collect::<String>()
    };
    if variants.is_empty() {
        bail!("{repo} holds no model weights");
    }
    if let Some(pattern) = pattern {
        let labelled = variants
            .iter()
            .find(|v| v.label.eq_ignore_ascii_case(pattern));
        let mut matching = variants.iter().filter(|v| {
            let paths = v.weights.iter().map(|f| f.path.as_str());
            paths.into_iter().any(|path| matches(pattern, path))
        });
        return match (labelled, matching.next(), matching.next()) {
            (Some(variant), ..) | (None, Some(variant), None) => Ok(variant),
            (None, None, _) => bail!("nothing in {repo} matches {pattern}; it has{}", list()),
            _ => bail!(
                "{pattern} matches several of{}\nwrite more of the name",
                list()
            ),
        };
    }
    let usable: Vec<&Variant> = variants
        .iter()
        .filter(|v| v.unsupported.is_none())
        .collect();
    if let [only] = usable[..] {
        return Ok(only);
    }
    let suggested = catalog().into_iter().flat_map(|m| m.sources);
    let suggested = suggested.filter(|s| s.repo == *repo).map(|s| s.suggested);
    let wanted: Vec<String> = suggested.chain(["Q4_K_M".to_string()]).collect();
    let found = usable.iter().find(|v| wanted.contains(&v.label));
    match found {
        Some(variant) => Ok(variant),
        None if usable.is_empty() => bail!("nothing in {repo} can be used here:{}", list()),
        None => bail!(
            "{repo} has several variants; choose one with --file:{}",
            list()
        ),
    }
}

/// Does `path`, or its last part, match a pattern with `*` and `?`? A pattern
/// without either may stand anywhere in the path.
fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path) = (pattern.to_lowercase(), path.to_lowercase());
    if !pattern.contains(['*', '?']) {
        return path.contains(&pattern);
    }
    let name = path.rsplit('/').next().unwrap_or(&path);
    glob(pattern.as_bytes(), path.as_bytes()) || glob(pattern.as_bytes(), name.as_bytes())
}

fn glob(pattern: &[u8], text: &[u8]) -> bool {
    // Where to go back to: behind the last `*`, and where it began in the text.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((after, from)) => {
                    (p, t) = (after, from + 1);
                    star = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_paths_and_names() {
        let path = "Q4_K_M/Model-80B-Q4_K_M-00001-of-00002.gguf";
        for good in [
            "q4_k_m",
            "*Q4_K_M*",
            "Q4_K_M/*",
            "Model-??B-*.gguf",
            "*.gguf",
        ] {
            assert!(matches(good, path), "{good}");
        }
        for bad in ["q8_0", "*.safetensors", "Model-?B*", "*Q4_K_S*"] {
            assert!(!matches(bad, path), "{bad}");
        }
        assert!(!matches(&"*a".repeat(200), &"a".repeat(100)));
    }
}
