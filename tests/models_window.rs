//! The Models page in the real window, against a Hub on loopback: a search, a look
//! at a model, a download that is paused and goes on after the app was closed, and
//! a chat with what was fetched.
//!
//! Needs Xvfb and WebKitWebDriver. Screenshots land in `target/screenshots`.

#[path = "../crates/hub/tests/support/mod.rs"]
mod hub_support;
mod support;

use std::path::{Path, PathBuf};
use std::rc::Rc;

use hub_support::Answer;
use hub_support::hub::TestHub;
use support::app::App;
use support::webdriver::{wait, wait_or_say};

const SETTINGS: &str = r#"{ "sampling": { "temperature": 0.0 }, "threads": 1, "theme": "light" }"#;
const MIB: u64 = 1 << 20;
/// Bytes a second and connection, so that the download outlasts the windows that are closed on it,
/// however busy the machine.
const SLOW: u64 = MIB / 64;
/// WebDriver's names of keys.
const ENTER: &str = "\u{e007}";
const BACKSPACE: &str = "\u{e003}";

#[test]
fn a_model_is_found_judged_fetched_and_asked() {
    let mut hub = TestHub::new();
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/moestro-demo.gguf");
    hub.file("Model-Q8_0.gguf", &std::fs::read(demo).unwrap(), true);
    hub.file("Model-IQ2_XXS.gguf", b"GGUF", true);
    hub.file(
        "README.md",
        b"---\nlicense: mit\n---\n# Model\n\nA <b>small</b> model.\n",
        false,
    );
    hub.ready();

    let home = Rc::new(tempfile::tempdir().unwrap());
    let (endpoint, folder) = (PathBuf::from(hub.server.endpoint()), home.path().join("hf"));
    let environment = [
        ("HF_ENDPOINT", endpoint.as_path()),
        ("HF_HOME", folder.as_path()),
    ];
    let app = App::open_at(home, Some(SETTINGS), &environment);
    app.wait_for_model();
    app.go_to("models");
    app.window.click("tab-find");
    wait("the curated list", || {
        (app.window.count("suggestion") > 5).then_some(())
    });
    app.screenshot("models-suggestions");
    for theme in ["dark", "light"] {
        app.go_to("settings");
        app.window.choose("theme-select", theme);
        app.go_to("models");
        wait("the curated list again", || {
            (app.window.count("suggestion") > 5).then_some(())
        });
        app.screenshot(&format!("models-suggestions-{theme}"));
    }
    app.window.type_into("search-words", "model");
    app.window.click("search-go");
    wait("a result", || {
        (app.window.count("search-result") == 1).then_some(())
    });
    app.screenshot("models-search");

    look(&app);
    keep_a_token(&app, &folder);
    fetch_with_a_pause(&hub, &app);
    close_the_window(&hub, &app);
    let app = close_and_open(&hub, app, &environment);
    chat(&app);
    open_a_file(&app, &folder);
    quantize(&app);
}

fn look(app: &App) {
    app.window.click("search-result");
    wait("the variants", || {
        (app.window.count("variant") == 2).then_some(())
    });
    assert_eq!(app.window.count("variant-download"), 1, "IQ2_XXS is greyed");
    app.window.click("card-toggle");
    let card = wait("the card", || {
        let card = app.window.text("card")?;
        card.contains("Model").then_some(card)
    });
    assert!(
        !card.contains("<b>") && !card.contains("license:"),
        "{card}"
    );
    app.window.click("variant-judge");
    let fit = wait("a verdict", || app.window.attribute("verdict", "data-fit"));
    assert_eq!(fit, "memory");
    let speed = app.window.text("verdict-speed").unwrap();
    assert!(speed.contains("estimate"), "{speed}");
    let assumed = app.window.text("verdict-assumed").unwrap();
    assert!(assumed.contains("what is free now"), "{assumed}");
    app.screenshot("models-verdict");
    app.window.click("card-toggle");
    app.window.click("verdict-limits");
    let with_experts = |keys: &str, fit: &str| {
        app.window.type_into("limit-experts", keys);
        wait("another verdict", || {
            (app.window.attribute("verdict", "data-fit")? == fit).then_some(())
        });
    };
    with_experts(&format!("4{ENTER}"), "with_disk");
    let assumed = app.window.text("verdict-assumed").unwrap();
    assert!(
        assumed.contains("experts per layer: your limit"),
        "{assumed}"
    );
    app.screenshot("models-verdict-limits");
    with_experts(&format!("{BACKSPACE}{ENTER}"), "memory");
}

/// Without a keyring, in a file for this user alone.
fn keep_a_token(app: &App, folder: &Path) {
    app.window.click("token-toggle");
    app.window.type_into("token-field", "hf_secret");
    app.window.click("token-save");
    let is_at = |place: &str| {
        let now = app.window.attribute("token", "data-place")?;
        (now == place).then_some(())
    };
    wait("the token to be kept", || is_at("file"));
    let saved = std::fs::read_to_string(folder.join("token")).unwrap();
    assert_eq!(saved, "hf_secret");
    app.screenshot("models-token");
    app.window.click("token-forget");
    wait("the token to be forgotten", || is_at("nowhere"));
    assert!(!folder.join("token").exists());
}

/// While a download runs the window asks; then the download goes on without it.
fn close_the_window(hub: &TestHub, app: &App) {
    let asked = || (app.window.count("close-dialog") == 1).then_some(());
    app.close();
    wait("a question", asked);
    app.screenshot("models-closing");
    app.window.click("close-stay");
    wait("the question to go", || {
        (app.window.count("close-dialog") == 0).then_some(())
    });
    assert!(app.is_visible());
    app.close();
    wait("the question again", asked);
    app.window.click("close-background");
    wait("the window to go", || (!app.is_visible()).then_some(()));
    wait("the model to make room", || (!loaded(app)).then_some(()));
    let sent = hub.server.sent();
    wait("more bytes without a window", || {
        (hub.server.sent() > sent + MIB / 4).then_some(())
    });
    app.start_again(None);
    wait("the window to come back", || app.is_visible().then_some(()));
    wait("the model to come back", || loaded(app).then_some(()));
}

fn fetch_with_a_pause(hub: &TestHub, app: &App) {
    hub.server.rule(|_, _| Answer::Slow(MIB / 16));
    let before = hub.server.sent();
    app.window.click("variant-download");
    let present = || app.window.text("download-numbers");
    wait("bytes to come in", || {
        let text = present()?;
        (text.contains("/s") && !text.starts_with('0')).then_some(())
    });
    app.screenshot("models-download");
    wait("a part of the file", || {
        (hub.server.sent() > before + 4 * MIB).then_some(())
    });
    app.window.click("download-pause");
    wait("the pause", || (state(app)? == "paused").then_some(()));
    hub.server.rule(|_, _| Answer::Slow(SLOW));
    let sent = hub.server.sent();
    app.screenshot("models-paused");
    app.window.click("download-resume");
    wait("more bytes", || {
        let more = hub.server.sent() > sent + MIB / 4;
        (state(app)? == "running" && more).then_some(())
    });
}

/// The app is closed in the middle of the download, which then goes on by itself.
fn close_and_open(hub: &TestHub, app: App, environment: &[(&str, &Path)]) -> App {
    hub.server.rule(|_, _| Answer::Slow(MIB / 16));
    let app = app.reopen(environment);
    app.wait_for_model();
    app.go_to("models");
    wait("the download to go on", || {
        (state(&app)? == "running").then_some(())
    });
    app.screenshot("models-after-restart");
    let sent = hub.server.sent();
    hub.server.rule(|_, _| Answer::Good);
    wait("its end", || (state(&app)? == "done").then_some(()));
    let again = hub.server.sent() - sent;
    assert!(
        again < 10 * MIB,
        "what was here is not fetched again: {again}"
    );
    wait("the model in the list", || {
        (app.window.count("model-row") == 2).then_some(())
    });
    app
}

fn chat(app: &App) {
    app.window.click("download-load");
    wait("the model to be loaded", || {
        let path = app
            .window
            .attribute("strip-model", "title")
            .unwrap_or_default();
        let row = app.window.attribute("model-row", "data-loaded")?;
        (row == "true" || path.contains("org/model")).then_some(())
    });
    app.screenshot("models-fetched");
    app.go_to("chat");
    app.wait_for_model();
    let answer = app.answer_to("What is 2+2?");
    assert!(answer.contains('4'), "2+2 is not {answer:?}");
    app.screenshot("chat-with-fetched-model");
}

/// A double-click on a file that the app does not know, while its window is open.
fn open_a_file(app: &App, folder: &Path) {
    let file = folder.join("double-clicked.gguf");
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/moestro-demo.gguf");
    std::fs::copy(demo, &file).unwrap();
    app.start_again(Some(&file));
    app.go_to("models");
    let script = "return document.querySelector(
        `[data-testid='model-row'][data-loaded='true']`)?.innerText;";
    wait("the file to be loaded", || {
        let row = app.window.run(script, serde_json::json!([]));
        row.as_str()?.contains("double-clicked").then_some(())
    });
    assert!(app.is_visible());
}

/// A folder in BF16 is opened by its path, and on the next load quantized as was chosen.
fn quantize(app: &App) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/qwen3_next-tiny");
    app.window.fill("model-path", &folder.display().to_string());
    app.window.click("model-path-load");
    let formats = |wanted: &str| {
        wait_or_say(
            &format!("a model with {wanted}"),
            || {
                let details = app.window.text("model-details")?;
                (details.contains("qwen3_next-tiny") && details.contains(wanted)).then_some(())
            },
            || app.text(),
        );
    };
    formats("BF16 100%");
    let press = |id: &str| {
        let script = "const [path, id] = arguments;
            const rows = [...document.querySelectorAll(`[data-testid='model-row']`)];
            const row = rows.find((one) => one.dataset.path === path);
            const button = row?.querySelector(`[data-testid='${id}']`);
            if (!button || button.disabled) return false;
            button.click();
            return true;";
        let arguments = serde_json::json!([folder.display().to_string(), id]);
        wait(id, || {
            (app.window.run(script, arguments.clone()) == true).then_some(())
        });
    };
    press("model-unload");
    press("model-more");
    app.window.choose("model-quantize", "q8_0");
    app.screenshot("models-quantize");
    press("model-load");
    formats("Q8_0");
}

fn loaded(app: &App) -> bool {
    let name = app.window.text("strip-model");
    name.is_some_and(|name| name.contains("Moestro Demo"))
}

fn state(app: &App) -> Option<String> {
    app.window.attribute("download-row", "data-state")
}
