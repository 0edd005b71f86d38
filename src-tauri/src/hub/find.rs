//! Searching the Hub, looking at a repository, and judging a model by its headers.

use moestro_engine::hardware;
use moestro_engine::protocol::MemorySettings;
use moestro_engine::verdict::{self, Verdict};
use moestro_hub::{
    Container, Found, HubError, RepoId, Repository, Stop, Suggestion, Variant, card, catalog, look,
    variants,
};
use serde::Serialize;
use tauri::State;

use super::desk::{Desk, supported};
use crate::engine_process::EngineProcess;

/// Results of one search.
const MOST_RESULTS: usize = 40;

/// A repository that was found, with what speaks against it.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct SearchResult {
    pub found: Found,
    pub unsupported: Option<String>,
}

/// A repository with its forms of the model.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct RepositoryView {
    pub found: Found,
    pub commit: String,
    /// Address of its page.
    pub page: String,
    pub variants: Vec<VariantView>,
}

#[derive(Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct VariantView {
    pub label: String,
    pub container: Container,
    pub bytes: u64,
    /// Bytes that are on this machine already.
    pub present: u64,
    pub files: usize,
    pub unsupported: Option<String>,
    /// Where it is opened, once it is here.
    pub path: String,
}

#[tauri::command(async)]
pub fn hub_catalog() -> Vec<Suggestion> {
    catalog()
}

#[tauri::command]
pub async fn hub_search(
    desk: State<'_, Desk>,
    words: String,
) -> Result<Vec<SearchResult>, HubError> {
    desk.find_token().await;
    let found = desk.hub().search(&words, MOST_RESULTS).await?;
    let known = supported().model_types;
    let judge = |found: Found| {
        let kind = found.model_type.as_ref();
        let unsupported = kind.filter(|kind| !known.contains(kind));
        let unsupported = unsupported.map(|kind| format!("{kind} is not supported yet"));
        SearchResult { found, unsupported }
    };
    Ok(found.into_iter().map(judge).collect())
}

#[tauri::command]
pub async fn hub_repository(
    desk: State<'_, Desk>,
    repo: RepoId,
) -> Result<RepositoryView, HubError> {
    let repository = desk.repository(&repo, true).await?;
    let cache = desk.cache();
    let view = |variant: Variant| {
        let selection = variant.selection(&repository);
        VariantView {
            label: variant.label.clone(),
            container: variant.container,
            bytes: variant.bytes(),
            present: selection.present(&cache),
            files: selection.files.len(),
            path: selection.path(&cache).display().to_string(),
            unsupported: variant.unsupported,
        }
    };
    let found = variants(&repository, &supported());
    Ok(RepositoryView {
        found: repository.found.clone(),
        commit: repository.commit.to_string(),
        page: format!("{}/{repo}", desk.environment().endpoint),
        variants: found.into_iter().map(view).collect(),
    })
}

/// The repository's card as plain text; empty if it has none.
#[tauri::command]
pub async fn hub_card(desk: State<'_, Desk>, repo: RepoId) -> Result<String, HubError> {
    let repository = desk.repository(&repo, false).await?;
    card(&desk.fetcher(), &repository).await
}

/// How a variant would run here with these settings, from its headers alone. A
/// model that is loaded would make room for it.
#[tauri::command]
pub async fn hub_judge(
    desk: State<'_, Desk>,
    engine: State<'_, EngineProcess>,
    repo: RepoId,
    label: String,
    memory: MemorySettings,
    threads: Option<usize>,
) -> Result<Verdict, HubError> {
    let repository = desk.repository(&repo, false).await?;
    let variant = find(&repository, &label)?;
    let selection = variant.selection(&repository);
    let stand_in = look(&desk.fetcher(), &selection, &Stop::default()).await?;
    let hardware = match engine.pid() {
        Some(pid) => hardware::probe_instead_of(pid),
        None => hardware::probe(),
    };
    let threads = threads.unwrap_or(hardware.physical_cores);
    let bandwidth = desk.bandwidth(threads).await;
    let judge = move || {
        let verdict = verdict::judge(stand_in.path(), &hardware, &memory, bandwidth.as_ref());
        verdict.map_err(|error| {
            // The stand-in's own path means nothing to a person.
            let folder = format!("{}/", stand_in.folder().display());
            HubError::Request(error.to_string().replace(&folder, ""))
        })
    };
    let judged = tokio::task::spawn_blocking(judge).await;
    judged.map_err(|e| HubError::Request(format!("the look at the model failed: {e}")))?
}

/// The variant of the repository that is called `label`.
pub fn find(repository: &Repository, label: &str) -> Result<Variant, HubError> {
    let found = variants(repository, &supported());
    let variant = found.into_iter().find(|v| v.label == label);
    let variant = variant.ok_or_else(|| HubError::NotFound {
        what: format!("{} {label}", repository.found.repo),
    })?;
    match variant.unsupported {
        Some(reason) => Err(HubError::Request(reason)),
        None => Ok(variant),
    }
}
