//! The Memory page in the real window: presets, what a GPU's sensors tell, and a report.
//!
//! Needs Xvfb and WebKitWebDriver. Screenshots land in `target/screenshots`.

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;
use support::app::App;
use support::webdriver::{wait, wait_or_say};

const SETTINGS: &str = r#"{ "sampling": { "temperature": 0.0 }, "threads": 1, "theme": "light" }"#;
/// A GPU that can be asked how it is, and that refuses to compute: code for another one.
const GPU: &str = "name=A GPU to look at,image=209";

#[test]
fn presets_sensors_and_a_report() {
    let driver = moestro_cuda_emulator::folder();
    let environment = [
        ("LD_LIBRARY_PATH", driver),
        ("MOESTRO_EMULATED_GPU", Path::new(GPU)),
    ];
    let home = Rc::new(tempfile::tempdir().unwrap());
    let app = App::open_at(home.clone(), Some(SETTINGS), &environment);
    app.wait_for_model();
    app.answer_to("What is 2+2?");
    app.go_to("memory");
    presets(&app);
    sensors(&app);
    report(&app, home.path());
}

fn presets(app: &App) {
    let (_, all) = app.resident_experts();
    let take = |name: &str| {
        app.window.click(&format!("memory-preset-{name}"));
        let preset = format!("memory-preset-{name}");
        wait_or_say(
            &format!("{name} to be in force"),
            || {
                let state = app.window.attribute("configure-state", "data-state")?;
                let pressed = app.window.attribute(&preset, "aria-pressed")?;
                (state == "applied" && pressed == "true").then_some(())
            },
            || app.text(),
        );
    };
    let slots = || app.resident_experts().1;
    take("minimum");
    wait("few slots", || (slots() < all).then_some(()));
    let few = slots();
    app.screenshot("memory-preset-minimum");
    take("fastest");
    wait("all slots", || (slots() == all).then_some(()));
    take("balanced");
    assert!((few..=all).contains(&slots()));
    take("long");
    let longest = "const field = document.querySelector(`[data-testid='slider-context-number']`);
        return Number(field.value) === Number(field.max);";
    wait("the longest context", || {
        (app.window.run(longest, serde_json::json!([])) == true).then_some(())
    });
    // A slider that is moved by hand is no preset any more.
    app.window.type_into("slider-experts", "\u{e011}");
    wait("no preset", || {
        let pressed = app.window.attribute("memory-preset-long", "aria-pressed")?;
        (pressed == "false").then_some(())
    });
}

fn sensors(app: &App) {
    let gpu = wait("the sensors", || app.window.text("gpu"));
    for words in ["A GPU to look at", "40 °C", "1,200 MHz", "30 W"] {
        assert!(gpu.contains(words), "no {words} in {gpu}");
    }
    app.scroll_to("gpu");
    app.screenshot("memory-gpu");
}

fn report(app: &App, home: &Path) {
    app.window.click("save-report");
    wait("the dialog of the desktop", || {
        (app.visible_windows() == 2).then_some(())
    });
    let saved = wait("the report to be written", || {
        app.press_enter_on_top();
        app.window.text("report-saved")
    });
    let file = PathBuf::from(saved.trim().strip_prefix("Written to ").unwrap());
    assert!(file.starts_with(home), "{}", file.display());
    let report: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    assert_eq!(report["snapshot"]["gpus"][0]["temperature_celsius"], 40);
    assert!(report["model"]["architecture"].is_string());
    let text = report.to_string();
    assert!(!text.contains("2+2"), "something of a chat is in {text}");
}
