//! What the window may do is written down twice: in the files that grant it and
//! here. A new right has to be given in both.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn configuration() -> Value {
    serde_json::from_str(&read("tauri.conf.json")).unwrap()
}

fn files_in(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn the_window_may_use_the_commands_of_this_application_and_nothing_else() {
    assert_eq!(files_in("src-tauri/capabilities"), ["main.json"]);
    assert_eq!(files_in("src-tauri/permissions"), ["app.toml"]);
    let capability: Value =
        serde_json::from_str(&read("src-tauri/capabilities/main.json")).unwrap();
    assert_eq!(capability["windows"], json!(["main"]));
    assert_eq!(capability["permissions"], json!(["app-commands"]));
    assert_eq!(capability.get("remote"), None);

    let permission = read("src-tauri/permissions/app.toml");
    assert_eq!(permission.matches("[[permission]]").count(), 1);
    let quoted = |text: &str| {
        text.split('"')
            .skip(1)
            .step_by(2)
            .map(String::from)
            .collect()
    };
    let allowed: Vec<String> = quoted(permission.split("commands.allow").nth(1).unwrap());
    let expected = [
        "close_window",
        "subscribe",
        "send",
        "send_api",
        "start_engine",
        "load_settings",
        "save_settings",
        "list_models",
        "choose_model",
        "forget_model",
        "add_models_folder",
        "open_link",
        "notify",
        "set_zoom",
        "save_report",
        "chat_answer",
        "chat_list",
        "chat_open",
        "chat_new",
        "chat_branch",
        "chat_change",
        "chat_search",
        "chat_foreign_changes",
        "chat_export",
        "chat_import",
        "chat_import_text",
        "hub_catalog",
        "hub_search",
        "hub_repository",
        "hub_card",
        "hub_judge",
        "download_add",
        "download_list",
        "download_pause",
        "download_resume",
        "download_cancel",
        "download_clear",
        "download_limit",
        "hub_token",
        "hub_token_unlock",
        "library_verify",
        "library_verify_stop",
        "library_removal",
        "library_remove",
        "library_reveal",
    ];
    assert_eq!(allowed, expected);
}

#[test]
fn pages_load_nothing_from_outside_and_evaluate_no_text() {
    let security = &configuration()["app"]["security"];
    let expected = [
        "default-src 'self'",
        "connect-src 'self' ipc: http://ipc.localhost",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data:",
        "object-src 'none'",
        "frame-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    ];
    assert_eq!(*security, json!({ "csp": expected.join("; ") }));
}

#[test]
fn no_page_gets_tauri_as_a_global() {
    let app = &configuration()["app"];
    assert_eq!(app.get("withGlobalTauri"), None);
    assert_eq!(app["windows"].as_array().unwrap().len(), 1);
}
