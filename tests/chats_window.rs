//! Chats in the real window: kept through a kill and a restart, edited, switched
//! between, searched, deleted and taken back.
//!
//! Needs Xvfb and WebKitWebDriver. Screenshots land in `target/screenshots`.

mod support;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use moestro_chats::{Ending, MessageState, Prompt, Store};
use serde_json::json;
use support::app::App;
use support::process::{hold, kill, parent_of};
use support::webdriver::{wait, wait_or_say};

const SETTINGS: &str = r#"{ "sampling": { "temperature": 0.0 }, "threads": 1, "theme": "light" }"#;
const LONG_QUESTION: &str = "Count to 100.";
/// What a killed window may lose of an answer.
const PROMISE: Duration = Duration::from_secs(2);
/// WebDriver's name of the Escape key.
const ESCAPE: &str = "\u{e00c}";

fn titles(app: &App) -> Vec<String> {
    texts(app, "[data-testid='chat-open'] .title")
}

fn texts(app: &App, selector: &str) -> Vec<String> {
    let script = "return [...document.querySelectorAll(arguments[0])].map(one => one.innerText);";
    serde_json::from_value(app.window.run(script, json!([selector]))).unwrap()
}

fn prompts(app: &App) -> Vec<String> {
    texts(app, "[data-testid='message-user-text']")
}

fn click_nth(app: &App, id: &str, index: usize) {
    let script =
        "document.querySelectorAll(`[data-testid='${arguments[0]}']`)[arguments[1]].click();";
    app.window.run(script, json!([id, index]));
}

#[test]
fn chats_are_kept_found_changed_and_taken_back() {
    let app = App::open(SETTINGS);
    app.wait_for_model();
    app.screenshot("chats-none");
    app.answer_to("What is 2+2?");
    app.new_chat();
    app.answer_to("Spell garden.");
    wait("both chats in the list", || {
        (titles(&app).len() == 2).then_some(())
    });
    assert_eq!(titles(&app), ["Spell garden.", "What is 2+2?"]);

    let hidden = edited_prompt(&app);
    found_again(&app, &hidden);
    deleted_and_taken_back(&app);
    files(&app);
    let app = killed_window(app);
    looks(&app);
}

/// A PDF of one page with these words.
fn pdf(words: &str) -> String {
    let drawn = format!("BT /F1 12 Tf 72 720 Td ({words}) Tj ET");
    let objects = [
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        "<< /Type /Pages /Count 1 /Kids [4 0 R] >>".to_owned(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R \
         /Resources << /Font << /F1 3 0 R >> >> >>"
            .to_owned(),
        format!("<< /Length {} >>\nstream\n{drawn}\nendstream", drawn.len()),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut table = "0000000000 65535 f \n".to_owned();
    for (index, object) in objects.iter().enumerate() {
        table += &format!("{:010} 00000 n \n", file.len());
        file += &format!("{} 0 obj\n{object}\nendobj\n", index + 1);
    }
    let at = file.len();
    let size = objects.len() + 1;
    format!(
        "{file}xref\n0 {size}\n{table}trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{at}\n%%EOF\n"
    )
}

/// Text and the text of a PDF are dropped, counted, and go with the prompt.
fn files(app: &App) {
    app.new_chat();
    let drop = "const [files] = arguments;
        const carried = new DataTransfer();
        for (const [name, text] of files) carried.items.add(new File([text], name));
        const chat = document.querySelector(`[data-testid='conversation']`);
        const tell = (type) => chat.dispatchEvent(new DragEvent(type,
            { bubbles: true, cancelable: true, dataTransfer: carried }));
        tell('dragover');
        window.dropped = { shown: document.querySelector(`[data-testid='drop']`) !== null };
        tell('drop');";
    let carried = json!([
        ["notes.txt", "some notes"],
        ["paper.pdf", pdf("A sentence about gardens")]
    ]);
    app.window.run(drop, json!([carried]));
    let counted = || {
        let chips = texts(app, "[data-testid='file']");
        let counted = chips.len() == 2 && chips.iter().all(|chip| chip.contains("tokens"));
        counted.then_some(())
    };
    wait_or_say("both files, counted", counted, || app.text());
    let chips = texts(app, "[data-testid='file']");
    assert!(
        chips[0].contains("notes.txt") && chips[1].contains("paper.pdf"),
        "{chips:?}"
    );
    app.screenshot("chat-files");
    app.answer_to("What is 3+3?");
    let sent = texts(app, "[data-testid='message-file']");
    assert_eq!(sent, ["notes.txt", "paper.pdf"]);
    let kept = "window.kept = null;
        window.__TAURI_INTERNALS__.invoke('chat_open', { chat: null })
            .then((chat) => { window.kept = chat.path[0].details.files.map((file) => file.text); });";
    app.window.run(kept, json!([]));
    let kept = wait("the kept chat", || {
        let kept = app.window.run("return window.kept;", json!([]));
        (!kept.is_null()).then_some(kept)
    });
    assert_eq!(kept, json!(["some notes", "A sentence about gardens"]));
}

/// The edited prompt is a branch beside the first one, and both can be shown. Returns
/// the answer of the one that is not shown at the end.
fn edited_prompt(app: &App) -> String {
    app.window.click("edit");
    app.window.fill("edit-field", "Spell tree.");
    app.screenshot("chat-editing");
    app.window.click("edit-send");
    wait("the edited prompt", || {
        (prompts(app) == ["Spell tree."]).then_some(())
    });
    app.wait_for_state("done");
    let branch = || app.window.text("branches").unwrap_or_default();
    assert!(branch().contains("2 of 2"), "{}", branch());
    let tree = app.answer();
    app.window.click("branch-previous");
    wait("the first prompt", || {
        (prompts(app) == ["Spell garden."]).then_some(())
    });
    let garden = app.answer();
    assert_ne!(garden, tree);
    app.window.click("branch-next");
    wait("the second prompt again", || {
        (prompts(app) == ["Spell tree."]).then_some(())
    });
    assert_eq!(app.answer(), tree);
    // Another answer to the same prompt.
    app.window.click("retry");
    wait("a second answer", || {
        let last = texts(
            app,
            "[data-testid='message-assistant'] [data-testid='branches']",
        );
        last.first()?.contains("2 of 2").then_some(())
    });
    app.wait_for_state("done");
    app.screenshot("chat-branches");
    garden
}

/// Words are found in the chat that is not open and in the branch that is not shown.
fn found_again(app: &App, hidden: &str) {
    app.window.fill("chat-search", hidden);
    wait("the chat with gardens", || {
        (app.window.count("search-hit") == 1).then_some(())
    });
    app.screenshot("chats-search");
    app.window.click("search-hit");
    wait("that branch", || {
        (prompts(app) == ["Spell garden."]).then_some(())
    });
    app.window.fill("chat-search", "2+2");
    wait("the other chat", || {
        let hit = app.window.text("search-hit")?;
        hit.contains("2+2").then_some(())
    });
    app.window.click("search-hit");
    wait("the other chat to be shown", || {
        (prompts(app) == ["What is 2+2?"]).then_some(())
    });
    app.window.fill("chat-search", "zeppelin");
    wait("nothing to be found", || {
        let count = app.window.text("search-count")?;
        count.starts_with("Nothing").then_some(())
    });
    app.window.type_into("chat-search", ESCAPE);
    wait("the whole list again", || {
        (titles(app).len() == 2).then_some(())
    });
}

fn deleted_and_taken_back(app: &App) {
    click_nth(app, "chat-more", 1);
    wait("the menu", || {
        app.window.is_shown("chat-more-delete").then_some(())
    });
    app.screenshot("chats-menu");
    app.window.click("chat-more-delete");
    wait("one chat less", || (titles(app).len() == 1).then_some(()));
    wait("an empty chat in its place", || {
        prompts(app).is_empty().then_some(())
    });
    app.screenshot("chats-undo");
    app.window.click("chat-undo");
    wait("it to be back", || (titles(app).len() == 2).then_some(()));
    wait("it to be shown", || {
        (prompts(app) == ["What is 2+2?"]).then_some(())
    });
    // A name of its own.
    click_nth(app, "chat-more", 1);
    app.window.click("chat-more-rename");
    app.window.fill("chat-row-field", "Sums");
    app.window.type_into("chat-row-field", "\u{e007}");
    wait("the name", || {
        titles(app).contains(&"Sums".to_owned()).then_some(())
    });
}

/// Killed in the middle of an answer, with a draft in the box: at most the last two
/// seconds are gone, and the answer goes on where it was cut.
fn killed_window(app: App) -> App {
    app.new_chat();
    app.ask(LONG_QUESTION);
    app.wait_for_state("writing");
    let engine = app.engine_pid();
    hold(engine);
    // What the engine had said before may still be on its way to the page.
    let mut shown = app.answer();
    wait("the page to have shown all", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = app.answer();
        let same = now == shown;
        shown = now;
        same.then_some(())
    });
    app.window.type_into("prompt", "a draft");
    std::thread::sleep(PROMISE);
    kill(parent_of(engine).unwrap());

    let app = app.reopen(&[]);
    app.wait_for_model();
    wait("the chat again", || {
        (prompts(&app) == [LONG_QUESTION]).then_some(())
    });
    assert_eq!(app.state(), "interrupted");
    assert_eq!(app.answer(), shown, "something of the answer is lost");
    let draft = "return document.querySelector(`[data-testid='prompt']`).value;";
    assert_eq!(app.window.run(draft, json!([])), "a draft");
    let all = [LONG_QUESTION, "What is 3+3?", "Spell garden.", "Sums"];
    assert_eq!(titles(&app), all);
    app.screenshot("chat-cut");
    app.window.click("continue");
    app.wait_for_state("done");
    let whole = app.answer();
    assert!(
        whole.starts_with(&shown) && whole.contains("99"),
        "it did not go on: {whole:?}"
    );
    assert_eq!(app.window.count("message-assistant"), 1);
    app
}

/// The list and a chat, light and dark, in the usual and the smallest window.
fn looks(app: &App) {
    for (size, (width, height)) in [("", (1280, 800)), ("-small", (900, 600))] {
        app.window.resize(width, height);
        for theme in ["dark", "light"] {
            app.go_to("settings");
            app.window.choose("theme-select", theme);
            app.go_to("chat");
            wait("the list", || (titles(app).len() == 4).then_some(()));
            app.screenshot(&format!("chats{size}-{theme}"));
            app.window.click("toggle-chats");
            app.screenshot(&format!("chats{size}-{theme}-hidden"));
            app.window.click("toggle-chats");
            let wider = "return document.documentElement.scrollWidth > innerWidth;";
            assert_eq!(app.window.run(wider, json!([])), false);
        }
    }
}

const MESSAGES: usize = 2000;

/// A home in which a long chat was kept, and a short one was opened last.
fn home_with_a_long_chat() -> Rc<tempfile::TempDir> {
    let home = Rc::new(tempfile::tempdir().unwrap());
    let file: PathBuf = home.path().join("data/app.moestro.desktop/chats.sqlite");
    let mut store = Store::open(&file).unwrap();
    let done = Ending {
        state: MessageState::Done,
        end: None,
        figures: None,
        failure: None,
    };
    let chat = store.blank().unwrap();
    let mut parent = None;
    for number in 0..MESSAGES / 2 {
        let text = format!("Question **{number}**");
        let prompt = Prompt {
            text: &text,
            files: &[],
        };
        let asked = store.ask(chat, parent, prompt, Some("Demo")).unwrap();
        let words = "Some *words* of an answer with `code` in it. ".repeat(12);
        let answer =
            format!("Answer {number}.\n\n{words}\n\n- one\n- two\n\n```rust\nfn main() {{}}\n```");
        store.finish(asked.answer.id, &answer, &done).unwrap();
        parent = Some(asked.answer.id);
    }
    store.rename(chat, "Long").unwrap();
    let short = store.blank().unwrap();
    let prompt = Prompt {
        text: "Short",
        files: &[],
    };
    let asked = store.ask(short, None, prompt, None).unwrap();
    store.finish(asked.answer.id, "Yes.", &done).unwrap();
    store.open_chat(short).unwrap();
    home
}

/// A chat of 2,000 messages shows its end at once and the rest as one scrolls.
#[test]
fn a_long_chat_opens_and_is_read_back_to_its_beginning() {
    let home = home_with_a_long_chat();
    let variables: &[(&str, &Path)] = &[];
    let app = App::open_at(home, Some(SETTINGS), variables);
    wait("the short chat", || {
        (prompts(&app) == ["Short"]).then_some(())
    });
    let open = "const began = performance.now();
        const row = [...document.querySelectorAll(`[data-testid='chat-open']`)]
            .find(one => one.innerText.includes('Long'));
        new MutationObserver(() => {
            if (window.opened === undefined && document.body.textContent.includes('Answer 999.')) {
                requestAnimationFrame(() => { window.opened = performance.now() - began; });
            }
        }).observe(document.body, { subtree: true, childList: true });
        row.click();";
    app.window.run(open, json!([]));
    let took = wait("the long chat", || {
        app.window
            .run("return window.opened ?? null;", json!([]))
            .as_f64()
    });
    eprintln!("a chat of {MESSAGES} messages is shown after {took:.0} ms");
    let drawn = prompts(&app).len();
    assert!(drawn < 100, "{drawn} prompts are drawn at once");
    let at_end = "const box = document.querySelector(`[data-testid='conversation']`);
        return box.scrollHeight - box.scrollTop - box.clientHeight < 40;";
    wait("its end", || {
        (app.window.run(at_end, json!([])) == true).then_some(())
    });
    app.screenshot("chat-long");
    let up = "document.querySelector(`[data-testid='conversation']`).scrollTop = 0;";
    wait("its beginning", || {
        app.window.run(up, json!([]));
        (prompts(&app).first()?.as_str() == "Question **0**").then_some(())
    });
    assert_eq!(prompts(&app).len(), MESSAGES / 2);
}
