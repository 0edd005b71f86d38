//! The TypeScript declarations in `ui/src/bindings` are those of the Rust types.
//! `make bindings` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use moestro_chats::{Chat, Hit, Imported};
use moestro_desktop::background::CloseChoice;
use moestro_desktop::chats::answers::{AnswerRequest, Answering};
use moestro_desktop::chats::commands::{ChatChange, ExportForm};
use moestro_desktop::events::DesktopEvent;
use moestro_desktop::hub::downloads::DownloadList;
use moestro_desktop::hub::find::{RepositoryView, SearchResult};
use moestro_desktop::models::ModelEntry;
use moestro_desktop::settings::Settings;
use moestro_engine::protocol::{Command, Event};
use moestro_engine::verdict::Verdict;
use moestro_hub::{Checked, Suggestion};
use moestro_server::ApiCommand;
use ts_rs::TS;

/// With this variable set, the test writes the committed files.
const WRITE: &str = "MOESTRO_WRITE_BINDINGS";

#[test]
fn the_committed_declarations_are_current() {
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/src/bindings");
    let generated = tempfile::tempdir().unwrap();
    generate(generated.path());
    if std::env::var_os(WRITE).is_some() {
        return write(generated.path(), &committed);
    }
    let (generated, committed) = (read(generated.path()), read(&committed));
    let files: Vec<_> = generated.keys().chain(committed.keys()).collect();
    let stale = |file: &&&String| generated.get(**file) != committed.get(**file);
    let stale: Vec<_> = files.iter().filter(stale).collect();
    assert!(
        stale.is_empty(),
        "run `make bindings` and commit ui/src/bindings; stale: {stale:?}"
    );
}

fn generate(folder: &Path) {
    // JavaScript numbers hold every integer below 2^53, and no size, count or
    // time here comes near.
    let config = ts_rs::Config::new()
        .with_large_int("number")
        .with_out_dir(folder);
    Command::export_all(&config).unwrap();
    Event::export_all(&config).unwrap();
    DesktopEvent::export_all(&config).unwrap();
    CloseChoice::export_all(&config).unwrap();
    Settings::export_all(&config).unwrap();
    ModelEntry::export_all(&config).unwrap();
    SearchResult::export_all(&config).unwrap();
    RepositoryView::export_all(&config).unwrap();
    DownloadList::export_all(&config).unwrap();
    Suggestion::export_all(&config).unwrap();
    Checked::export_all(&config).unwrap();
    Verdict::export_all(&config).unwrap();
    ApiCommand::export_all(&config).unwrap();
    Chat::export_all(&config).unwrap();
    Hit::export_all(&config).unwrap();
    Imported::export_all(&config).unwrap();
    AnswerRequest::export_all(&config).unwrap();
    Answering::export_all(&config).unwrap();
    ChatChange::export_all(&config).unwrap();
    ExportForm::export_all(&config).unwrap();
}

fn read(folder: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(folder).unwrap().map(|file| {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        (name, fs::read_to_string(file.path()).unwrap())
    });
    files.collect()
}

fn write(generated: &Path, committed: &Path) {
    fs::create_dir_all(committed).unwrap();
    let (new, old) = (read(generated), read(committed));
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        fs::remove_file(committed.join(name)).unwrap();
    }
    for (name, text) in new {
        fs::write(committed.join(name), text).unwrap();
    }
}
