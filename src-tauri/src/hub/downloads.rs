//! The commands of the download queue.

use moestro_hub::{HubError, JobView, RepoId, TokenPlace};
use serde::Serialize;
use tauri::State;

use super::desk::Desk;
use super::find::find;

/// All downloads, and the limit they keep to.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "typescript", derive(ts_rs::TS))]
pub struct DownloadList {
    pub jobs: Vec<JobView>,
    /// Bytes per second.
    pub limit: Option<u64>,
    /// Free bytes on the disk of the cache; 0 if it does not tell.
    pub free: u64,
    pub folder: String,
    /// Where the access token is.
    pub token: TokenPlace,
}

#[tauri::command]
pub async fn download_add(
    desk: State<'_, Desk>,
    repo: RepoId,
    label: String,
) -> Result<u64, HubError> {
    let repository = desk.repository(&repo, false).await?;
    let selection = find(&repository, &label)?.selection(&repository);
    desk.queue()?.add(format!("{repo}: {label}"), selection)
}

#[tauri::command(async)]
pub fn download_list(desk: State<'_, Desk>) -> Result<DownloadList, HubError> {
    let fetcher = desk.fetcher();
    Ok(DownloadList {
        jobs: desk.queue().map(|queue| queue.view()).unwrap_or_default(),
        limit: fetcher.limit.get(),
        free: moestro_hub::free_space(&fetcher.cache.root).unwrap_or(0),
        folder: fetcher.cache.root.display().to_string(),
        token: desk.environment().token.place().clone(),
    })
}

#[tauri::command(async)]
pub fn download_pause(desk: State<'_, Desk>, id: u64) -> Result<(), HubError> {
    desk.queue()?.pause(id)
}

#[tauri::command(async)]
pub fn download_resume(desk: State<'_, Desk>, id: u64) -> Result<(), HubError> {
    desk.queue()?.resume(id)
}

/// Ends a download and removes its unfinished files; returns the bytes freed.
#[tauri::command]
pub async fn download_cancel(desk: State<'_, Desk>, id: u64) -> Result<u64, HubError> {
    desk.queue()?.cancel(id).await
}

#[tauri::command(async)]
pub fn download_clear(desk: State<'_, Desk>) -> Result<(), HubError> {
    desk.queue()?.clear_done()
}

#[tauri::command(async)]
pub fn download_limit(desk: State<'_, Desk>, bytes_per_second: Option<u64>) {
    desk.fetcher().limit.set(bytes_per_second);
}

/// Keeps an access token; an empty one is forgotten.
#[tauri::command]
pub async fn hub_token(desk: State<'_, Desk>, token: String) -> Result<(), HubError> {
    desk.set_token(&token).await
}

/// Asks the person to unlock the keyring that holds the access token.
#[tauri::command]
pub async fn hub_token_unlock(desk: State<'_, Desk>) -> Result<(), HubError> {
    desk.unlock_token().await
}
