//! What the window asks of the desktop around it: to open a page in the browser, to
//! tell that something is done, to be drawn larger, to keep a report.

use std::io::{self, Write};
use std::path::Path;

use gtk::gio;
use gtk::glib::{self, ToVariant};
use tauri::{Manager, Url, WebviewWindow};
use tauri_plugin_dialog::DialogExt;
use tokio::sync::oneshot;

/// Smaller or larger, the window's controls could not be reached any more.
const ZOOM: std::ops::RangeInclusive<f64> = 0.5..=2.0;

/// Opens a page in the person's browser. The window shows the address first.
///
/// Errors: not an address of the web; no browser.
#[tauri::command(async)]
pub fn open_link(address: &str) -> Result<(), String> {
    let address = web_address(address)?;
    gio::AppInfo::launch_default_for_uri(address.as_str(), gio::AppLaunchContext::NONE)
        .map_err(|e| format!("no browser could open {address}: {e}; copy the address instead"))
}

/// The address as a browser takes it, if it leads to the web and nowhere else.
fn web_address(address: &str) -> Result<Url, String> {
    let refused =
        || format!("{address} is no address of the web; only http and https can be opened");
    let url = Url::parse(address).map_err(|_| refused())?;
    let web = matches!(url.scheme(), "http" | "https") && url.has_host();
    if web { Ok(url) } else { Err(refused()) }
}

/// Shows a message outside of the window; false where the desktop shows none.
/// <https://specifications.freedesktop.org/notification-spec/latest/>
#[tauri::command(async)]
pub fn notify(title: &str, body: &str) -> bool {
    let show = || {
        let bus = gio::bus_get_sync(gio::BusType::Session, gio::Cancellable::NONE)?;
        let actions: Vec<String> = Vec::new();
        let hints = glib::VariantDict::new(None);
        hints.insert("desktop-entry", "Moestro");
        // A title may be anybody's, and desktops read markup in the body.
        let body = glib::markup_escape_text(body);
        let message = glib::Variant::tuple_from_iter([
            "Moestro".to_variant(),
            0u32.to_variant(),
            "moestro-desktop".to_variant(),
            title.to_variant(),
            body.as_str().to_variant(),
            actions.to_variant(),
            hints.end(),
            (-1i32).to_variant(),
        ]);
        bus.call_sync(
            Some("org.freedesktop.Notifications"),
            "/org/freedesktop/Notifications",
            "org.freedesktop.Notifications",
            "Notify",
            Some(&message),
            None,
            gio::DBusCallFlags::NONE,
            3000,
            gio::Cancellable::NONE,
        )
    };
    show().is_ok()
}

/// Draws everything in the window larger or smaller; 1 is as it was made.
#[tauri::command]
pub fn set_zoom(window: WebviewWindow, factor: f64) -> Result<(), String> {
    if !ZOOM.contains(&factor) {
        return Err(format!("{factor} is no zoom between 0.5 and 2"));
    }
    window.set_zoom(factor).map_err(|e| e.to_string())
}

/// Asks where to and writes `text` there. `None` if the person changed their mind.
#[tauri::command]
pub async fn save_report(
    window: WebviewWindow,
    name: String,
    text: String,
) -> Result<Option<String>, String> {
    let dialog = window.dialog().file().set_parent(&window);
    let mut dialog = dialog.set_title("Save the report").set_file_name(name);
    let folders = window.path();
    if let Ok(folder) = folders.document_dir().or_else(|_| folders.home_dir()) {
        dialog = dialog.set_directory(folder);
    }
    let (answer, chosen) = oneshot::channel();
    dialog.save_file(move |path| drop(answer.send(path)));
    let Some(path) = chosen.await.ok().flatten() else {
        return Ok(None);
    };
    let path = path.into_path().map_err(|e| e.to_string())?;
    match write_whole(&path, &text) {
        Ok(()) => Ok(Some(path.display().to_string())),
        Err(e) => Err(format!(
            "{} could not be written: {e}; choose another place",
            path.display()
        )),
    }
}

/// Never half there: written beside the target first.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_web_are_opened() {
        for good in ["https://example.org/a?b=1#c", "HTTP://example.org:8080"] {
            assert!(web_address(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "//example.org",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "data:text/html,x",
            "tauri://localhost",
            "ftp://example.org",
            "mailto:a@b.example",
            "https://",
            "--help",
        ] {
            assert!(web_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_report_takes_the_place_of_an_older_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.json");
        write_whole(&path, "one").unwrap();
        write_whole(&path, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert!(write_whole(&folder.path().join("no/where"), "x").is_err());
    }
}
