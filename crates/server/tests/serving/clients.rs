//! The official clients of OpenAI and Anthropic, as people install them, and requests
//! made from the OpenAPI document.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;

use crate::server::{port, repository, scaled};

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Below the build's own folder, so that they are fetched once.
fn installed(name: &str) -> PathBuf {
    repository().join("target/api-clients").join(name)
}

fn run(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Is what was installed from this list? Remembers it for the next time.
fn is_current(folder: &Path, list: &str) -> bool {
    std::fs::read_to_string(folder.join("installed-from")).is_ok_and(|old| old == list)
}

/// A Python with the packages of `requirements.txt`, made on first use.
fn python() -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock();
    let folder = installed("python");
    let python = folder.join("bin/python");
    let list = std::fs::read_to_string(scripts().join("requirements.txt")).unwrap();
    if !is_current(&folder, &list) {
        run(Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder));
        run(Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ])
            .arg(scripts().join("requirements.txt")));
        std::fs::write(folder.join("installed-from"), list).unwrap();
    }
    python
}

fn address() -> String {
    format!("http://127.0.0.1:{}", port())
}

fn says_fine(output: &Output) {
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "fine");
}

#[test]
fn the_openai_package_works() {
    let script = scripts().join("openai_client.py");
    says_fine(&run(Command::new(python()).arg(script).arg(address())));
}

#[test]
fn the_anthropic_package_works() {
    let script = scripts().join("anthropic_client.py");
    says_fine(&run(Command::new(python()).arg(script).arg(address())));
}

#[test]
fn the_openai_package_for_javascript_works() {
    let folder = installed("javascript");
    std::fs::create_dir_all(&folder).unwrap();
    let list = std::fs::read_to_string(scripts().join("package.json")).unwrap();
    for file in ["package.json", "openai_client.mjs"] {
        std::fs::copy(scripts().join(file), folder.join(file)).unwrap();
    }
    if !is_current(&folder, &list) {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--no-package-lock"]);
        run(npm.current_dir(&folder));
        std::fs::write(folder.join("installed-from"), list).unwrap();
    }
    let script = folder.join("openai_client.mjs");
    says_fine(&run(Command::new("node").arg(script).arg(address())));
}

/// No request that the document allows, nor one beside it, is a fault of the server, and
/// every answer is what the document says.
#[test]
fn nothing_the_document_allows_is_a_fault() {
    let python = python();
    let schemathesis = python.with_file_name("schemathesis");
    let mut fuzz = Command::new(schemathesis);
    let most = scaled("15", "200");
    fuzz.args([
        "run",
        "--checks",
        "not_a_server_error,response_schema_conformance,content_type_conformance",
        "--max-examples",
        most,
    ]);
    fuzz.args(["--phases", "fuzzing", "--seed", "7", "--no-color"]);
    // It leaves a folder where it runs.
    fuzz.current_dir(installed("python"));
    fuzz.args(["--exclude-path", "/api/v1/stream"]);
    fuzz.env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", scripts());
    run(fuzz.arg(format!("{}/openapi.json", address())));
}
