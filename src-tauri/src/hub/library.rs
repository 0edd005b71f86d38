//! The commands for models that are on this machine: verify, delete, show.

use std::path::{Path, PathBuf};

use gtk::gio;
use gtk::glib::{self, ToVariant};
use moestro_hub::{Checked, HubError, Progress, Stop, removal, verify};
use tauri::State;
use tauri::ipc::Channel;

use super::desk::{Desk, locked};

/// Reads every byte of a model and compares checksums; `progress` gets the share
/// that is done, 0 to 1.
#[tauri::command]
pub async fn library_verify(
    desk: State<'_, Desk>,
    path: PathBuf,
    on_progress: Channel<f64>,
) -> Result<Checked, HubError> {
    let stop = Stop::default();
    if let Some(before) = locked(&desk.checking).replace(stop.clone()) {
        before.stop();
    }
    let progress = Progress::default();
    let (shared, switch) = (progress.clone(), stop.clone());
    let mut work = tokio::task::spawn_blocking(move || verify(&path, &shared, &switch));
    loop {
        tokio::select! {
            done = &mut work => {
                return done.map_err(|e| HubError::Request(format!("the check failed: {e}")))?;
            }
            () = tokio::time::sleep(std::time::Duration::from_millis(200)) => {
                let now = progress.read();
                let share = now.verified as f64 / now.total.max(1) as f64;
                // A page that went away needs no progress.
                let _ = on_progress.send(share);
            }
        }
    }
}

#[tauri::command(async)]
pub fn library_verify_stop(desk: State<'_, Desk>) {
    if let Some(stop) = locked(&desk.checking).take() {
        stop.stop();
    }
}

/// Bytes that deleting a model would free.
#[tauri::command(async)]
pub fn library_removal(desk: State<'_, Desk>, path: PathBuf) -> Result<u64, HubError> {
    Ok(removal(&desk.cache(), &path)?.bytes)
}

/// Deletes a model of the cache; returns the bytes freed.
#[tauri::command(async)]
pub fn library_remove(desk: State<'_, Desk>, path: PathBuf) -> Result<u64, HubError> {
    let cache = desk.cache();
    removal(&cache, &path)?.carry_out(&cache)
}

/// Shows a file in the file manager, else opens its folder.
#[tauri::command(async)]
pub fn library_reveal(path: PathBuf) -> Result<(), HubError> {
    let failed = |e: &dyn std::fmt::Display| {
        HubError::Request(format!(
            "no file manager could show {}: {e}",
            path.display()
        ))
    };
    let uri = glib::filename_to_uri(&path, None).map_err(|e| failed(&e))?;
    if show_item(uri.as_str()).is_ok() {
        return Ok(());
    }
    let folder = if path.is_dir() {
        path.as_path()
    } else {
        path.parent().unwrap_or(Path::new("/"))
    };
    let uri = glib::filename_to_uri(folder, None).map_err(|e| failed(&e))?;
    gio::AppInfo::launch_default_for_uri(&uri, gio::AppLaunchContext::NONE).map_err(|e| failed(&e))
}

/// <https://www.freedesktop.org/wiki/Specifications/file-manager-interface/>
fn show_item(uri: &str) -> Result<(), glib::Error> {
    let bus = gio::bus_get_sync(gio::BusType::Session, gio::Cancellable::NONE)?;
    bus.call_sync(
        Some("org.freedesktop.FileManager1"),
        "/org/freedesktop/FileManager1",
        "org.freedesktop.FileManager1",
        "ShowItems",
        Some(&(vec![uri], "").to_variant()),
        None,
        gio::DBusCallFlags::NONE,
        3000,
        gio::Cancellable::NONE,
    )?;
    Ok(())
}
