//! Questions to the Hub's API: searching, and what a repository holds.

use futures_util::{StreamExt, TryStreamExt};
use hf_hub::repository::ModelInfo;
use hf_hub::{HFClient, HFError};
use serde::Serialize;

use crate::client;
use crate::environment::Environment;
use crate::error::{HubError, Result};
use crate::fetch::RepoFile;
use crate::names::{Commit, RepoId, Revision};
use crate::tree;

/// Longest text kept of any single field.
const LONGEST_FIELD: usize = 200;

/// The Hub's API.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Or why there is none; that must not keep anything else from working.
    client: std::result::Result<HFClient, String>,
    /// For what hf-hub does not do.
    http: reqwest::Client,
    environment: Environment,
}

/// A repository that a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct Found {
    #[cfg_attr(feature = "typescript", ts(type = "string"))]
    pub repo: RepoId,
    /// In the last 30 days.
    pub downloads: u64,
    pub likes: u64,
    /// Its terms have to be accepted on its page first.
    pub gated: bool,
    /// Date, such as 2025-09-11.
    pub updated: Option<String>,
    pub license: Option<String>,
    /// `model_type` in config.json, where the Hub tells it.
    pub model_type: Option<String>,
    /// It holds GGUF files.
    pub gguf: bool,
}

/// A repository at one commit.
#[derive(Debug, Clone, PartialEq)]
pub struct Repository {
    pub found: Found,
    pub revision: Revision,
    pub commit: Commit,
    /// In the order of their paths. Files whose names are not safe are left out.
    pub files: Vec<RepoFile>,
}

impl Hub {
    pub fn new(environment: Environment) -> Result<Hub> {
        let http = client::for_api()?;
        let mut builder = HFClient::builder()
            .endpoint(&environment.endpoint)
            .cache_dir(&environment.cache)
            .client(http.clone())
            .retry_max_attempts(2);
        if let Some(token) = environment.token.text() {
            builder = builder.token(token);
        }
        if reqwest::Url::parse(&environment.endpoint).is_err() {
            let problem = "HF_ENDPOINT must be an address such as https://huggingface.co";
            return Err(HubError::name("server", &environment.endpoint, problem));
        }
        let client = builder.build().map_err(|e| {
            format!(
                "nothing can be asked of {}: {e}. If this system has no certificates, install \
                 the package ca-certificates and start Moestro again.",
                environment.endpoint
            )
        });
        Ok(Hub {
            client,
            http,
            environment,
        })
    }

    fn client(&self) -> Result<&HFClient> {
        let client = self.client.as_ref();
        client.map_err(|problem| HubError::Request(problem.clone()))
    }

    /// Repositories with `words` in their names, the most downloaded first.
    pub async fn search(&self, words: &str, limit: usize) -> Result<Vec<Found>> {
        self.check_online()?;
        let words: String = words.trim().chars().take(LONGEST_FIELD).collect();
        let failed = |e| self.explain(e, &format!("search for {words}"));
        let found = self
            .client()?
            .list_models()
            .search(words.clone())
            .sort("downloads")
            .full(true)
            .fetch_config(true)
            .limit(limit)
            .send()
            .map_err(failed)?;
        let infos: Vec<ModelInfo> = found.take(limit).try_collect().await.map_err(failed)?;
        Ok(infos.iter().filter_map(Found::read).collect())
    }

    /// What `repo` holds at `revision`.
    pub async fn repository(&self, repo: &RepoId, revision: &Revision) -> Result<Repository> {
        self.check_online()?;
        let failed = |e| self.explain(e, repo.as_str());
        let (owner, name) = repo.parts();
        let model = self.client()?.model(owner, name);
        let info = model
            .info()
            .revision(revision.as_str())
            .send()
            .await
            .map_err(failed)?;
        let malformed = |problem: &str| HubError::Malformed {
            place: self.environment.place().into(),
            problem: problem.into(),
        };
        let commit = info
            .sha
            .as_deref()
            .and_then(|sha| sha.parse::<Commit>().ok());
        let commit = commit.ok_or_else(|| malformed("it names no commit"))?;
        let files = tree::list(&self.http, &self.environment, repo, &commit).await?;
        let mut found = Found::read(&info).ok_or_else(|| malformed("it names no repository"))?;
        // Renamed repositories answer with their new name.
        found.repo = repo.clone();
        Ok(Repository {
            found,
            revision: revision.clone(),
            commit,
            files,
        })
    }

    fn check_online(&self) -> Result<()> {
        match self.environment.offline {
            true => Err(HubError::Request(
                "HF_HUB_OFFLINE forbids to ask the network; unset it to search and fetch".into(),
            )),
            false => Ok(()),
        }
    }

    fn explain(&self, error: HFError, what: &str) -> HubError {
        let place = self.environment.place().to_string();
        let what = what.to_string();
        let page = format!("{}/{what}", self.environment.endpoint);
        match error {
            HFError::RepoNotFound { .. } | HFError::EntryNotFound { .. } => {
                HubError::NotFound { what }
            }
            HFError::RevisionNotFound { revision, .. } => HubError::NotFound {
                what: format!("{what} (revision {revision})"),
            },
            HFError::AuthRequired { context } | HFError::Forbidden { context } => {
                match context.error_code.as_deref() {
                    Some("GatedRepo") => HubError::Gated { repo: what, page },
                    Some("RepoNotFound") => HubError::NotFound { what },
                    _ => HubError::Denied { place, what },
                }
            }
            HFError::RateLimited { retry_after, .. } => HubError::Busy {
                place,
                after: retry_after,
            },
            HFError::Http { context } => HubError::Status {
                place,
                status: context.status.as_u16(),
                detail: String::new(),
            },
            HFError::Request { source, .. } if !source.is_decode() => HubError::Unreachable {
                place,
                cause: crate::fetch::root_cause(&source),
            },
            other => {
                let problem: String = other.to_string().chars().take(LONGEST_FIELD).collect();
                HubError::Malformed { place, problem }
            }
        }
    }
}

impl Found {
    /// `None` if the name is not one.
    fn read(info: &ModelInfo) -> Option<Found> {
        let tags = info.tags.as_deref().unwrap_or_default();
        let short = |text: &str| text.chars().take(LONGEST_FIELD).collect::<String>();
        let license = tags.iter().find_map(|tag| tag.strip_prefix("license:"));
        let config = info.config.as_ref();
        let updated = info.last_modified.as_deref().and_then(|t| t.get(..10));
        Some(Found {
            repo: info.id.parse().ok()?,
            downloads: info.downloads.unwrap_or(0),
            likes: info.likes.unwrap_or(0),
            gated: !matches!(&info.gated, None | Some(serde_json::Value::Bool(false))),
            updated: updated.map(short),
            license: license.map(short),
            model_type: config
                .and_then(|c| c.get("model_type")?.as_str())
                .map(short),
            gguf: info.gguf.is_some() || tags.iter().any(|tag| tag == "gguf"),
        })
    }
}
