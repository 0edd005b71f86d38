//! Is the page in the window the one whose sources lie here?

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a person who runs the tests alone has to do first.
const WAY_OUT: &str = "run `make ui/dist/assets`, then the test again";

/// Stops the test if the front end was not built, or before it was changed last:
/// the window would show a placeholder or an old page, and each test would wait in
/// vain for something else.
pub fn check_it_is_built() {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    let built = changed(&ui.join("dist/assets"));
    let built = built.unwrap_or_else(|| panic!("ui/dist/assets is not there: {WAY_OUT}"));
    for file in files(&ui.join("src")) {
        let is_old = changed(&file).is_some_and(|time| time > built);
        assert!(
            !is_old,
            "ui/dist is older than {}: {WAY_OUT}",
            file.display()
        );
    }
}

/// Stops the test if the text of the page is that of the placeholder.
pub fn check_it_is_shown(text: &str) {
    assert!(
        !text.contains("has not been built"),
        "the app was compiled without its front end: {WAY_OUT}"
    );
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let below = |path: PathBuf| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    };
    entries.flat_map(|entry| below(entry.path())).collect()
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}
