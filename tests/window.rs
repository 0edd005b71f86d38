//! The real window, used like a person would: a question, a slider moved during
//! an answer, a stopped answer, a killed engine, and a look at every page.
//!
//! Needs Xvfb and WebKitWebDriver. Screenshots land in `target/screenshots`.

mod support;

use support::app::App;
use support::process::kill;
use support::webdriver::wait;

/// Greedy, so that the same question has the same answer every time; and one
/// thread, so that the window keeps a core for itself.
const SETTINGS: &str = r#"{ "sampling": { "temperature": 0.0 }, "threads": 1 }"#;
/// An answer of a few hundred tokens, long enough to act while it is written.
const LONG_QUESTION: &str = "Count to 100.";
/// A fast machine may finish an answer before a slow window has been driven on.
const ATTEMPTS: usize = 20;

/// WebDriver's names of keys.
const HOME: &str = "\u{e011}";
const END: &str = "\u{e010}";

#[test]
fn a_person_chats_steers_the_memory_and_outlives_a_killed_engine() {
    let app = App::open(SETTINGS);
    assert_eq!(app.window.title(), "Moestro");
    app.wait_for_model();
    app.screenshot("chat-empty");

    short_question(&app);
    app.screenshot("chat-short-answer");
    app.new_chat();
    let whole = streamed_answer(&app);
    app.new_chat();
    slider_during_an_answer(&app, &whole);
    stopped_answer(&app, &whole);
    every_page(&app);
    app.go_to("chat");
    app.new_chat();
    killed_engine(&app, &whole);
}

fn short_question(app: &App) {
    let answer = app.answer_to("What is 2+2?");
    assert!(answer.contains('4'), "2+2 is not {answer:?}");
}

/// The answer to the long question if nobody interferes; its text must be seen growing.
fn streamed_answer(app: &App) -> String {
    app.watch_answers();
    let whole = app.answer_to(LONG_QUESTION);
    let lengths = app.answer_lengths();
    assert!(
        lengths.len() >= 5,
        "the text grew only {} times",
        lengths.len()
    );
    assert!(lengths.is_sorted(), "the text shrank: {lengths:?}");
    assert!(
        whole.contains("50") && whole.contains("99"),
        "no long answer: {whole:?}"
    );
    whole
}

/// Few and then all experts in memory while an answer is written. It goes on, and
/// not a letter of it changes.
fn slider_during_an_answer(app: &App, whole: &str) {
    let moved_in_time = (0..ATTEMPTS).any(|_| {
        app.ask(LONG_QUESTION);
        app.wait_for_state("writing");
        app.go_to("memory");
        let (_, slots) = app.resident_experts();
        app.window.type_into("slider-experts", HOME);
        let few = wait("few resident experts", || {
            let (resident, few) = app.resident_experts();
            (few < slots && resident <= few).then_some(few)
        });
        app.go_to("chat");
        let in_time = app.state() == "writing";
        app.go_to("memory");
        app.screenshot("memory-while-answering");
        app.window.type_into("slider-experts", END);
        wait("all slots again", || {
            (app.resident_experts().1 > few).then_some(())
        });
        app.go_to("chat");
        app.wait_for_state("done");
        assert_eq!(app.answer(), whole, "the slider changed the answer");
        app.new_chat();
        in_time
    });
    assert!(
        moved_in_time,
        "every answer was over before the slider had moved"
    );
}

fn stopped_answer(app: &App, whole: &str) {
    app.ask(LONG_QUESTION);
    app.wait_for_state("writing");
    app.window.click("stop");
    app.wait_for_state("stopped");
    let part = app.answer();
    assert!(
        part.len() < whole.len() && whole.starts_with(&part),
        "stopped at {part:?}"
    );
}

fn every_page(app: &App) {
    for theme in ["light", "dark"] {
        app.go_to("settings");
        app.window.choose("theme-select", theme);
        for page in ["chat", "models", "memory", "settings"] {
            app.go_to(page);
            app.screenshot(&format!("{page}-{theme}"));
            if page == "memory" {
                wait("the bottleneck to be named", || {
                    let advice = app.window.text("bottleneck")?;
                    advice.contains("of a token is").then_some(())
                });
                app.scroll_to("heatmap");
                app.screenshot(&format!("memory-{theme}-heat"));
            }
            if app.scroll_to_end() {
                app.screenshot(&format!("{page}-{theme}-end"));
            }
        }
    }
}

fn killed_engine(app: &App, whole: &str) {
    let engine = app.engine_pid();
    app.ask(LONG_QUESTION);
    app.wait_for_state("writing");
    kill(engine);
    wait("the window to say so", || {
        app.window.is_shown("engine-stopped").then_some(())
    });
    app.screenshot("chat-engine-killed");
    let message = app.window.text("engine-stopped").unwrap();
    assert!(
        message.contains("killed") && message.contains("memory"),
        "{message}"
    );
    assert_eq!(app.state(), "interrupted");
    let part = app.answer();
    let kept = !part.is_empty() && part.len() < whole.len() && whole.starts_with(&part);
    assert!(kept, "kept only {part:?}");

    app.window.click("load-again");
    app.wait_for_model();
    assert_ne!(app.engine_pid(), engine);
    assert_eq!(app.answer(), part, "loading again lost the partial answer");
    short_question(app);
    app.screenshot("chat-after-loading-again");
}
