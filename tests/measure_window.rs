//! Figures of the real window, by hand and on a quiet machine; docs/benchmarks.md has them.
//!
//!     cargo build --release --features cuda --bin moestro-desktop
//!     cargo test --test measure_window -- --ignored --nocapture --test-threads 1
//!
//! Needs Xvfb, WebKitWebDriver and python3. `MOESTRO_DESKTOP` names another program to
//! measure than `target/release/moestro-desktop`.

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use serde_json::{Value, json};
use support::app::App;
use support::kept::{home_with, keep};
use support::process::{descendants, kill, parent_of, processor_time, since_start};
use support::webdriver::{wait, wait_long};

const SETTINGS: &str = r#"{ "threads": 2, "theme": "light" }"#;
const STARTS: usize = 7;
const IDLE: Duration = Duration::from_secs(60);
const OPENED: usize = 9;
/// Of the long chat.
const MESSAGES: usize = 2000;
/// Of the long answer, in bytes and tokens per second.
const ANSWER: usize = 50 << 10;
const RATE: u32 = 60;

/// About 850 bytes with most of what Markdown has.
const PART: &str = include_str!("support/part_of_an_answer.md");

fn program() -> PathBuf {
    let given = std::env::var_os("MOESTRO_DESKTOP").map(PathBuf::from);
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/moestro-desktop");
    let program = given.unwrap_or_else(built);
    assert!(program.is_file(), "build {} first", program.display());
    program
}

fn open(home: Rc<tempfile::TempDir>, settings: Option<&str>) -> App {
    App::open_program(&program(), home, settings, &[])
}

fn show(what: &str, mut figures: Vec<f64>, unit: &str) {
    figures.sort_by(f64::total_cmp);
    let (least, most) = (figures[0], figures[figures.len() - 1]);
    let median = figures[figures.len() / 2];
    println!("{what}: median {median:.0} {unit}, {least:.0} to {most:.0}");
}

/// From the start of the process to a page in which one can write, and to a loaded model.
#[test]
#[ignore = "a measurement"]
fn start() {
    let home = home_with(|store| keep(store, "Lakes", &[("Lakes?", PART)]));
    let (mut usable, mut ready) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let app = open(home.clone(), Some(SETTINGS));
        wait("the prompt", || {
            (app.window.count("prompt") == 1).then_some(())
        });
        let pid = parent_of(app.engine_pid()).unwrap();
        usable.push(since_start(pid).as_secs_f64() * 1e3);
        app.wait_for_model();
        ready.push(since_start(pid).as_secs_f64() * 1e3);
    }
    show("start to a page with a prompt", usable, "ms");
    show("start to a loaded model", ready, "ms");
}

/// Processor time of all processes while nobody does anything.
#[test]
#[ignore = "a measurement"]
fn idle() {
    let home = home_with(|store| keep(store, "Lakes", &[("Lakes?", PART)]));
    let app = open(home, Some(SETTINGS));
    app.wait_for_model();
    for page in ["chat", "memory"] {
        app.go_to(page);
        std::thread::sleep(Duration::from_secs(10));
        let processes = || descendants(app.window.driver_pid());
        let time = || -> Vec<(u32, String, Duration)> {
            let all = processes().into_iter();
            all.filter_map(|pid| processor_time(pid).map(|(name, time)| (pid, name, time)))
                .collect()
        };
        let before = time();
        std::thread::sleep(IDLE);
        let mut sum = 0.0;
        for (pid, name, after) in time() {
            let earlier = before.iter().find(|(known, ..)| *known == pid);
            let earlier = earlier.map_or(Duration::ZERO, |(.., time)| *time);
            let share = (after - earlier).as_secs_f64() / IDLE.as_secs_f64();
            println!("  {name}: {:.2}% of a core", share * 100.0);
            sum += share;
        }
        println!("idle on the page {page}: {:.2}% of a core", sum * 100.0);
    }
}

/// From the click on a chat of many messages to its end on the screen.
#[test]
#[ignore = "a measurement"]
fn long_chat() {
    let home = home_with(|store| {
        let prompts: Vec<String> = (0..MESSAGES / 2)
            .map(|number| format!("Question {number}?"))
            .collect();
        let pairs: Vec<(&str, &str)> = prompts.iter().map(|one| (&**one, PART)).collect();
        keep(store, "Long", &pairs);
        keep(store, "Short", &[("Lakes?", "Deep.")]);
    });
    let app = open(home, Some(SETTINGS));
    app.wait_for_model();
    let last = format!("Question {}?", MESSAGES / 2 - 1);
    let mut times = Vec::new();
    for _ in 0..OPENED {
        times.push(open_chat(&app, "Long", &last));
        open_chat(&app, "Short", "Lakes?");
    }
    println!("each: {times:.0?}");
    show("a chat of 2,000 messages opened", times, "ms");
}

/// Milliseconds from the click to two frames after the last prompt is drawn.
fn open_chat(app: &App, title: &str, last: &str) -> f64 {
    let script = "window.opened = null;
        const [title, last] = arguments;
        const rows = [...document.querySelectorAll(`[data-testid='chat-open']`)];
        const row = rows.find((one) => one.innerText.includes(title));
        const begin = performance.now();
        row.click();
        const look = () => {
            const prompts = document.querySelectorAll(`[data-testid='message-user-text']`);
            if (prompts.length === 0 || prompts[prompts.length - 1].textContent !== last) {
                requestAnimationFrame(look);
                return;
            }
            requestAnimationFrame(() => setTimeout(() => { window.opened = performance.now() - begin; }));
        };
        requestAnimationFrame(look);";
    app.window.run(script, json!([title, last]));
    let opened = || app.window.run("return window.opened;", json!([])).as_f64();
    let time = wait("the chat", opened);
    std::thread::sleep(Duration::from_millis(700));
    time
}

/// Frames per second while a long answer with everything in it streams into the page.
#[test]
#[ignore = "a measurement"]
fn streaming() {
    // The engine's program is exchanged while the window is open, so the window gets
    // one of its own to exchange.
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("moestro-desktop");
    fs::copy(program(), &copy).unwrap();
    let answer = place.path().join("answer.md");
    fs::write(&answer, PART.repeat(ANSWER / PART.len() + 1)).unwrap();
    let (demo, rate) = (demo(), RATE.to_string());
    let environment = [
        ("MOESTRO_REAL_ENGINE", program()),
        ("MOESTRO_ANSWER", answer),
        ("MOESTRO_RATE", rate.into()),
    ];
    let environment: Vec<(&str, &Path)> = environment
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let settings = json!({ "threads": 1, "theme": "light", "models": [demo], "last_model": demo });
    let home = Rc::new(tempfile::tempdir().unwrap());
    let app = App::open_program(&copy, home, Some(&settings.to_string()), &environment);
    app.wait_for_model();
    let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/streaming_engine.py");
    let next = place.path().join("next");
    fs::copy(stand_in, &next).unwrap();
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
    fs::rename(&next, &copy).unwrap();
    kill(app.engine_pid());
    app.window.click("load-again");
    app.wait_for_model();

    let watch = "window.frames = [];
        const frame = (time) => { window.frames.push(time); requestAnimationFrame(frame); };
        requestAnimationFrame(frame);";
    app.ask("Go on.");
    app.wait_for_state("writing");
    app.window.run(watch, json!([]));
    let longest = Duration::from_secs((ANSWER as u64 / 3) / u64::from(RATE) + 120);
    wait_long("the end of the answer", longest, || {
        std::thread::sleep(Duration::from_secs(5));
        (app.state() == "done").then_some(())
    });
    let frames: Value = app.window.run("return window.frames;", json!([]));
    let frames: Vec<f64> = serde_json::from_value(frames).unwrap();
    let length = app.answer().len();
    println!(
        "an answer of {length} bytes of text, {} frames",
        frames.len()
    );
    rates(&frames);
}

/// What was drawn in each second, and the longest time without a frame.
fn rates(frames: &[f64]) {
    let begin = frames[0];
    let seconds = ((frames[frames.len() - 1] - begin) / 1e3) as usize;
    let drawn = |second: usize| {
        let from = begin + second as f64 * 1e3;
        let within = frames
            .iter()
            .filter(|time| (from..from + 1e3).contains(*time));
        within.count() as f64
    };
    let per_second: Vec<f64> = (0..seconds).map(drawn).collect();
    let below = per_second.iter().filter(|rate| **rate < 30.0).count();
    println!("seconds with fewer than 30 frames: {below} of {seconds}");
    let tenths = per_second.chunks((seconds / 10).max(1));
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    println!(
        "in each tenth: {:.0?}",
        tenths.map(mean).collect::<Vec<_>>()
    );
    show("frames in a second", per_second, "");
    let mut gaps: Vec<f64> = frames.windows(2).map(|pair| pair[1] - pair[0]).collect();
    gaps.sort_by(f64::total_cmp);
    let at = |share: f64| gaps[((gaps.len() - 1) as f64 * share) as usize];
    println!(
        "time between frames: median {:.0} ms, P99 {:.0} ms, P99.9 {:.0} ms, longest {:.0} ms",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("models/demo/moestro-demo.gguf")
}
