//! Lets tauri-build generate what the window needs, with the capability and
//! permission files kept under `src-tauri/`.

use std::path::Path;

/// What a window shows that was built before `npm run build`.
const PLACEHOLDER: &str = "<!doctype html><meta charset=\"utf-8\"><title>Moestro</title>\
<p>The user interface has not been built. Run <code>make run</code>.</p>\n";

fn main() {
    // The window's files are embedded at compile time, so they must exist.
    let index = Path::new("ui/dist/index.html");
    if !index.exists() {
        std::fs::create_dir_all("ui/dist").expect("cannot create ui/dist");
        std::fs::write(index, PLACEHOLDER).expect("cannot write ui/dist/index.html");
        println!("cargo::warning=ui/dist was missing, so the window will show a placeholder");
    }
    // With own patterns tauri-build no longer watches these folders itself.
    for path in ["build.rs", "capabilities", "permissions"] {
        println!("cargo::rerun-if-changed=src-tauri/{path}");
    }
    println!("cargo::rerun-if-changed=ui/dist");

    let attributes = tauri_build::Attributes::new()
        .capabilities_path_pattern("./src-tauri/capabilities/**/*")
        .app_manifest(
            tauri_build::AppManifest::new()
                .permissions_path_pattern("./src-tauri/permissions/**/*"),
        );
    if let Err(error) = tauri_build::try_build(attributes) {
        println!("cargo::error={error:#}");
        std::process::exit(1);
    }
}
