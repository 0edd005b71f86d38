//! Habits in the real window: commands and shortcuts, links that ask first, size,
//! hostile texts that stay texts; and every page and state looked through by axe and
//! by a person, in light and dark, in the usual and the smallest window.
//!
//! Needs Xvfb and WebKitWebDriver. Screenshots land in `target/screenshots`.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use moestro_chats::{Ending, MessageState, Prompt, Store};
use serde_json::{Value, json};
use support::app::App;
use support::process::kill;
use support::webdriver::{wait, wait_or_say};

const SETTINGS: &str = r#"{ "sampling": { "temperature": 0.0 }, "threads": 1, "theme": "light" }"#;
/// WebDriver's names of keys.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const CONTROL: &str = "\u{e009}";

const DONE: Ending = Ending {
    state: MessageState::Done,
    end: None,
    figures: None,
    failure: None,
};

/// Presses Ctrl and a key where the keyboard is.
fn control(app: &App, key: &str) {
    app.window.press(CONTROL, key);
}

fn type_keys(app: &App, keys: &str) {
    app.window.press("", keys);
}

fn focused(app: &App) -> Value {
    let script = "return document.activeElement?.dataset.testid ?? null;";
    app.window.run(script, json!([]))
}

fn wait_for(app: &App, id: &str) {
    wait(id, || (app.window.count(id) == 1).then_some(()));
}

fn wait_until_gone(app: &App, id: &str) {
    wait(&format!("no {id}"), || {
        (app.window.count(id) == 0).then_some(())
    });
}

/// Keeps a chat whose answers are `answers`, each with its prompt.
fn keep(store: &mut Store, title: &str, answers: &[(&str, &str)]) {
    let chat = store.blank().unwrap();
    let mut parent = None;
    for (question, answer) in answers {
        let prompt = Prompt {
            text: question,
            files: &[],
        };
        let asked = store.ask(chat, parent, prompt, Some("Demo")).unwrap();
        store.finish(asked.answer.id, answer, &DONE).unwrap();
        parent = Some(asked.answer.id);
    }
    store.rename(chat, title).unwrap();
    store.open_chat(chat).unwrap();
}

fn home_with(fill: impl FnOnce(&mut Store)) -> Rc<tempfile::TempDir> {
    let home = Rc::new(tempfile::tempdir().unwrap());
    let file = home.path().join("data/app.moestro.desktop/chats.sqlite");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fill(&mut Store::open(&file).unwrap());
    home
}

/// A browser that writes down what it is asked to open.
fn install_browser(home: &Path) {
    let script = home.join("browser.sh");
    let opened = home.join("opened");
    fs::write(
        &script,
        format!("#!/bin/sh\necho \"$1\" >>{}\n", opened.display()),
    )
    .unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let applications = home.join("data/applications");
    fs::create_dir_all(&applications).unwrap();
    let entry = format!(
        "[Desktop Entry]\nType=Application\nName=Browser\nExec={} %u\n\
         MimeType=x-scheme-handler/http;x-scheme-handler/https;\n",
        script.display()
    );
    fs::write(applications.join("browser.desktop"), entry).unwrap();
    fs::create_dir_all(home.join("config")).unwrap();
    let default = "[Default Applications]\nx-scheme-handler/http=browser.desktop\n\
                   x-scheme-handler/https=browser.desktop\n";
    fs::write(home.join("config/mimeapps.list"), default).unwrap();
}

#[test]
fn commands_shortcuts_links_and_size_by_keyboard() {
    let home = home_with(|store| {
        keep(store, "Lakes", &[("Lakes?", "Deep.")]);
        let linked = "See [the page](https://example.org/a?b=1).";
        keep(store, "Trams", &[("Trams?", linked)]);
    });
    install_browser(home.path());
    let opened = home.path().join("opened");
    let variables: &[(&str, &Path)] = &[];
    let app = App::open_at(home, Some(SETTINGS), variables);
    app.wait_for_model();
    commands(&app);
    shortcuts(&app);
    link(&app, &opened);
    size(app);
}

/// A chat is opened by its title, a theme chosen, and the keyboard is where it was.
fn commands(app: &App) {
    app.window.click("prompt");
    control(app, "k");
    wait_for(app, "palette");
    assert_eq!(focused(app), "palette-field");
    type_keys(app, "lak");
    wait("one chat", || {
        (app.window.count("palette-entry") == 1).then_some(())
    });
    type_keys(app, ENTER);
    wait_until_gone(app, "palette");
    wait("the other chat", || {
        (app.window.text("chat-title")? == "Lakes").then_some(())
    });
    wait("the keyboard to be back", || {
        (focused(app) == "prompt").then_some(())
    });
    control(app, "k");
    wait_for(app, "palette");
    type_keys(app, "dark");
    type_keys(app, ENTER);
    let dark = "return document.documentElement.dataset.theme === 'dark';";
    wait("the dark theme", || {
        (app.window.run(dark, json!([])) == true).then_some(())
    });
    control(app, "k");
    wait_for(app, "palette");
    type_keys(app, ESCAPE);
    wait_until_gone(app, "palette");
}

fn shortcuts(app: &App) {
    control(app, "/");
    wait_for(app, "shortcuts");
    assert_eq!(focused(app), "shortcuts-close");
    // Tab stays within.
    for _ in 0..3 {
        type_keys(app, "\u{e004}");
        let inside = "return document.activeElement.closest('dialog') !== null || document.activeElement === document.body;";
        assert_eq!(app.window.run(inside, json!([])), true);
    }
    type_keys(app, ESCAPE);
    wait_until_gone(app, "shortcuts");
    control(app, "3");
    wait_for(app, "page-memory");
    control(app, "f");
    wait("the search", || {
        (focused(app) == "chat-search").then_some(())
    });
}

/// The address is shown, and only then opened, by the person's browser.
fn link(app: &App, opened: &Path) {
    control(app, "k");
    type_keys(app, "trams");
    type_keys(app, ENTER);
    wait("the chat with a link", || {
        (app.window.text("chat-title")? == "Trams").then_some(())
    });
    let press = "document.querySelector('.markdown button.link').click();";
    app.window.run(press, json!([]));
    wait_for(app, "link-dialog");
    assert_eq!(
        app.window.text("link-address").unwrap(),
        "https://example.org/a?b=1"
    );
    app.window.click("link-cancel");
    wait_until_gone(app, "link-dialog");
    assert!(!opened.exists());
    app.window.run(press, json!([]));
    wait_for(app, "link-dialog");
    type_keys(app, ENTER);
    let written = wait("the browser", || fs::read_to_string(opened).ok());
    assert_eq!(written.trim(), "https://example.org/a?b=1");
    assert_eq!(app.window.count("notice"), 0);
    // What is no address of the web is refused by the shell too.
    let ask = "window.refused = null;
        window.__TAURI_INTERNALS__.invoke('open_link', { address: 'file:///etc/passwd' })
            .then(() => { window.refused = ''; }, (why) => { window.refused = String(why); });";
    app.window.run(ask, json!([]));
    let refused = wait("the refusal", || {
        let why = app.window.run("return window.refused;", json!([]));
        why.as_str().map(str::to_owned)
    });
    assert!(refused.contains("no address of the web"), "{refused}");
}

fn size(app: App) {
    let width = |app: &App| {
        app.window
            .run("return innerWidth;", json!([]))
            .as_u64()
            .unwrap()
    };
    let usual = width(&app);
    app.window.click("prompt");
    control(&app, "=");
    wait("a larger page", || (width(&app) < usual).then_some(()));
    let larger = width(&app);
    // The driver clicks where things would be at the usual size: only keys from here.
    control(&app, "5");
    let shown = || app.window.text("zoom-now");
    wait_or_say(
        "the size in the settings",
        || (shown()? == "110%").then_some(()),
        || format!("{:?}", shown()),
    );
    // Settings are written shortly after a change.
    std::thread::sleep(Duration::from_millis(600));
    let app = app.reopen(&[]);
    app.wait_for_model();
    wait("the same size again", || {
        (width(&app) == larger).then_some(())
    });
    control(&app, "0");
    wait("the usual size", || (width(&app) == usual).then_some(()));
}

/// Every address in the texts leads to this process, which must not be asked anything.
#[test]
fn hostile_texts_stay_texts() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let here = server.local_addr().unwrap().to_string();
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/src/testing/hostile.json");
    let texts: Vec<String> = serde_json::from_slice(&fs::read(list).unwrap()).unwrap();
    assert!(texts.len() >= 150);
    let texts: Vec<String> = texts
        .iter()
        .map(|text| text.replace("evil.example", &here))
        .collect();

    // An export of another machine, imported through the page's own way.
    let elsewhere = tempfile::tempdir().unwrap();
    let mut store = Store::open(&elsewhere.path().join("chats.sqlite")).unwrap();
    let pairs: Vec<(&str, &str)> = texts.iter().map(|text| (&**text, &**text)).collect();
    keep(&mut store, "All of them", &pairs);
    for text in &texts {
        keep(&mut store, text, &[(text, text)]);
    }
    let all: Vec<i64> = store.list().unwrap().iter().map(|chat| chat.id).collect();
    let mut export = Vec::new();
    store.export_json(&all, &mut export).unwrap();
    let export = String::from_utf8(export).unwrap();

    let app = App::open(SETTINGS);
    app.wait_for_model();
    let watch = "window.wrong = [];
        addEventListener('securitypolicyviolation', (event) => window.wrong.push(event.blockedURI || event.violatedDirective));
        addEventListener('error', (event) => window.wrong.push(event.message));
        window.alert = () => window.wrong.push('alert');
        window.imported = null;
        window.__TAURI_INTERNALS__.invoke('chat_import_text', { text: arguments[0] })
            .then((done) => { window.imported = done.added.length; }, (why) => { window.imported = String(why); });";
    app.window.run(watch, json!([export]));
    let imported = wait("the import", || {
        let imported = app.window.run("return window.imported;", json!([]));
        (!imported.is_null()).then_some(imported)
    });
    assert_eq!(imported, json!(texts.len() + 1));
    // A chat of one's own brings the list up to date.
    app.answer_to("What is 2+2?");
    let rows = || app.window.count("chat-open");
    wait("all titles in the list", || {
        (rows() > texts.len() as u64).then_some(())
    });
    app.window.fill("chat-search", "All of them");
    wait("the long one", || {
        (app.window.count("search-hit") >= 1).then_some(())
    });
    app.window.click("search-hit");
    wait("its last message", || {
        (app.window.count("message-user-text") > 5).then_some(())
    });
    let up = "document.querySelector(`[data-testid='conversation']`).scrollTop = 0;
        return document.querySelectorAll(`[data-testid='message-user-text']`).length;";
    wait("its first message", || {
        let drawn = app.window.run(up, json!([])).as_u64()?;
        (drawn == texts.len() as u64).then_some(())
    });
    let prompts = "return [...document.querySelectorAll(`[data-testid='message-user-text']`)]
        .map((one) => one.textContent);";
    // A NUL is shown as what stands for characters that cannot be shown.
    let shown = |text: &String| text.replace('\0', "\u{fffd}");
    let prompts: Vec<String> = serde_json::from_value(app.window.run(prompts, json!([]))).unwrap();
    for (prompt, text) in prompts.iter().zip(&texts) {
        assert_eq!(shown(prompt), shown(text));
    }
    let foreign = "return [...document.querySelectorAll(
        'script:not([src]), iframe, object, embed, img, video, audio, link[href*=\"127.0.0.1\"], base, a[href], [srcset]')]
        .map((one) => one.outerHTML);";
    assert_eq!(app.window.run(foreign, json!([])), json!([]));
    for (width, name) in [(1280, "hostile"), (900, "hostile-small")] {
        app.window.resize(width, 800);
        app.screenshot(name);
        let wider = "return document.documentElement.scrollWidth > innerWidth;";
        assert_eq!(app.window.run(wider, json!([])), false);
    }
    app.window.fill("chat-search", "");
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(app.window.run("return window.wrong;", json!([])), json!([]));
    let asked = server.accept();
    assert!(asked.is_err(), "the window asked for {asked:?}");
    // The window is the same, and answers.
    assert!(app.is_visible());
    app.new_chat();
    assert!(app.answer_to("What is 2+2?").contains('4'));
}

const RICH: &str = "## A heading\n\nWords with *emphasis*, `code`, [a link](https://example.org) and \
    Euler's $e^{i\\pi} + 1 = 0$. It costs $5 and $6.\n\n\
    $$\n\\int_{-\\infty}^{\\infty} e^{-x^2}\\,dx = \\sqrt{\\pi}\n$$\n\n\
    | Method | Time | Space |\n|:--|--:|--:|\n| Merge sort | $O(n \\log n)$ | $O(n)$ |\n| Heap sort | $O(n \\log n)$ | $O(1)$ |\n\n\
    ```rust\n/// Reverses the words.\nfn reverse(sentence: &str) -> String {\n    sentence.split(' ').rev().collect::<Vec<_>>().join(\" \")\n}\n```\n\n\
    > A quotation.\n\n1. One\n2. Two\n   - nested\n\n\
    \\[ A = \\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix} \\]\n\nDone.";

/// What axe finds serious or worse, colours included.
fn look_through(app: &App, state: &str, found: &mut Vec<String>) {
    // Colours that change take a moment.
    std::thread::sleep(Duration::from_millis(250));
    app.screenshot(state);
    let start = "window.looked = null;
        axe.run(document, { resultTypes: ['violations'] }).then((result) => {
            window.looked = result.violations
                .filter((one) => one.impact === 'serious' || one.impact === 'critical')
                .map((one) => one.id + ': ' + one.nodes.map((node) => node.html.slice(0, 140)
                    + ' ' + (node.any[0]?.message ?? '').slice(0, 120)).slice(0, 4).join(' | '));
        }, (why) => { window.looked = [String(why)]; });";
    app.window.run(start, json!([]));
    let looked = wait("axe", || {
        let looked = app.window.run("return window.looked;", json!([]));
        looked.as_array().cloned()
    });
    let words = looked.iter().filter_map(Value::as_str);
    found.extend(words.map(|word| format!("{state}: {word}")));
}

/// Nothing is wider than the window, and no text of a button is cut.
fn fits(app: &App, state: &str, found: &mut Vec<String>) {
    let script = "const wide = document.documentElement.scrollWidth > innerWidth ? ['the page is wider'] : [];
        for (const one of document.querySelectorAll('button, h1, h2, label')) {
            const style = getComputedStyle(one);
            if (style.textOverflow === 'ellipsis' || one.querySelector('*')) continue;
            if (one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 4 && style.display !== 'inline') {
                wide.push(one.outerHTML.slice(0, 120));
            }
        }
        return wide;";
    let cut: Vec<String> = serde_json::from_value(app.window.run(script, json!([]))).unwrap();
    found.extend(cut.iter().map(|one| format!("{state}: cut: {one}")));
}

#[test]
fn every_page_and_state_in_both_themes_and_sizes() {
    let home = home_with(|store| {
        keep(
            store,
            "Sorting in a table, with a title that is rather long",
            &[("Compare two ways of sorting.", "Soon.")],
        );
        keep(
            store,
            "Rich",
            &[(
                "Show all that you can.",
                &format!("<think>What can I do?</think>{RICH}"),
            )],
        );
    });
    let variables: &[(&str, &Path)] = &[];
    let app = App::open_at(home, Some(SETTINGS), variables);
    app.wait_for_model();
    let axe = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(axe).expect("run `npm --prefix ui ci` first");
    app.window.run(&axe, json!([]));
    let mut found = Vec::new();
    let views = [
        (1280, 800, "light"),
        (1280, 800, "dark"),
        (900, 600, "light"),
        (900, 600, "dark"),
    ];
    for (width, height, theme) in views {
        app.window.resize(width, height);
        app.go_to("settings");
        app.window.choose("theme-select", theme);
        let look = &mut |state: &str| {
            let name = format!("view-{width}-{theme}-{state}");
            look_through(&app, &name, &mut found);
            fits(&app, &name, &mut found);
        };
        look("settings");
        if app.scroll_to_end() {
            look("settings-end");
        }
        states(&app, look);
    }
    let fonts = "return [...document.fonts].filter((font) => font.status === 'loaded').map((font) => font.family).join();";
    let fonts = app.window.run(fonts, json!([]));
    assert!(fonts.as_str().unwrap().contains("KaTeX_Math"), "{fonts}");
    app.go_to("chat");
    kill(app.engine_pid());
    wait_for(&app, "engine-stopped");
    for (width, height, theme) in views {
        app.window.resize(width, height);
        app.go_to("settings");
        app.window.choose("theme-select", theme);
        for page in ["chat", "models", "memory", "api"] {
            app.go_to(page);
            let name = format!("view-{width}-{theme}-{page}-stopped");
            look_through(&app, &name, &mut found);
            fits(&app, &name, &mut found);
        }
    }
    found.dedup();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn states(app: &App, look: &mut impl FnMut(&str)) {
    let open = |words: &str| {
        control(app, "k");
        wait_for(app, "palette");
        type_keys(app, words);
        type_keys(app, ENTER);
        wait_until_gone(app, "palette");
    };
    app.go_to("chat");
    if app.window.text("chat-title").unwrap() != "Rich" {
        open("open rich");
    }
    wait("the rich answer", || {
        (app.window.text("chat-title")? == "Rich").then_some(())
    });
    look("chat");
    let top = "document.querySelector(`[data-testid='conversation']`).scrollTop = 0;";
    app.window.run(top, json!([]));
    look("chat-top");
    control(app, "k");
    wait_for(app, "palette");
    look("palette");
    type_keys(app, "zeppelin");
    look("palette-nothing");
    type_keys(app, ESCAPE);
    wait_until_gone(app, "palette");
    control(app, "/");
    wait_for(app, "shortcuts");
    look("shortcuts");
    type_keys(app, ESCAPE);
    wait_until_gone(app, "shortcuts");
    app.window.run(
        "document.querySelector('.markdown button.link').click();",
        json!([]),
    );
    wait_for(app, "link-dialog");
    look("link");
    app.window.click("link-cancel");
    control(app, ",");
    wait_for(app, "chat-settings-dialog");
    app.window.fill("preset-name", "Careful and short");
    app.window.click("preset-save");
    look("chat-settings");
    type_keys(app, ESCAPE);
    wait_until_gone(app, "chat-settings-dialog");
    app.window.fill("chat-search", "sorting");
    wait("a hit", || {
        (app.window.count("search-hit") >= 1).then_some(())
    });
    look("chat-search");
    app.window.fill("chat-search", "");
    app.new_chat();
    look("chat-empty");
    open("find models");
    look("models-find");
    app.window.run(
        "document.querySelector(`[data-testid='tab-here']`).click();",
        json!([]),
    );
    app.go_to("models");
    look("models");
    app.go_to("memory");
    wait_for(app, "memory-preset-balanced");
    look("memory");
    if app.scroll_to_end() {
        look("memory-end");
    }
    app.go_to("api");
    look("api");
    if app.scroll_to_end() {
        look("api-end");
    }
}
