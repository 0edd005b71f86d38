//! Habits in the real window: commands and shortcuts, links that ask first, size,
//! hostile texts that stay texts.
//!
//! Needs Xvfb and WebKitWebDriver. Screenshots land in `target/screenshots`.

mod support;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use moestro_chats::Store;
use serde_json::{Value, json};
use support::app::App;
use support::kept::{home_with, keep};
use support::webdriver::{wait, wait_or_say};

const SETTINGS: &str = r#"{ "sampling": { "temperature": 0.0 }, "threads": 1, "theme": "light" }"#;
/// WebDriver's names of keys.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

fn focused(app: &App) -> Value {
    let script = "return document.activeElement?.dataset.testid ?? null;";
    app.window.run(script, json!([]))
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
    let app = App::open_at(home.clone(), Some(SETTINGS), variables);
    app.wait_for_model();
    commands(&app);
    shortcuts(&app);
    link(&app, &opened);
    focus_order(&app);
    size(app, home.path());
}

/// A chat is opened by its title, a theme chosen, and the keyboard is where it was.
fn commands(app: &App) {
    app.window.click("prompt");
    app.control("k");
    app.wait_for("palette");
    assert_eq!(focused(app), "palette-field");
    app.keys("lak");
    wait("one chat", || {
        (app.window.count("palette-entry") == 1).then_some(())
    });
    app.keys(ENTER);
    app.wait_until_gone("palette");
    wait("the other chat", || {
        (app.window.text("chat-title")? == "Lakes").then_some(())
    });
    wait("the keyboard to be back", || {
        (focused(app) == "prompt").then_some(())
    });
    app.control("k");
    app.wait_for("palette");
    app.keys("dark");
    app.keys(ENTER);
    let dark = "return document.documentElement.dataset.theme === 'dark';";
    wait("the dark theme", || {
        (app.window.run(dark, json!([])) == true).then_some(())
    });
    app.control("k");
    app.wait_for("palette");
    app.keys(ESCAPE);
    app.wait_until_gone("palette");
}

fn shortcuts(app: &App) {
    app.control("/");
    app.wait_for("shortcuts");
    assert_eq!(focused(app), "shortcuts-close");
    // Tab stays within.
    for _ in 0..3 {
        app.keys("\u{e004}");
        let inside = "return document.activeElement.closest('dialog') !== null || document.activeElement === document.body;";
        assert_eq!(app.window.run(inside, json!([])), true);
    }
    app.keys(ESCAPE);
    app.wait_until_gone("shortcuts");
    app.control("3");
    app.wait_for("page-memory");
    app.control("f");
    wait("the search", || {
        (focused(app) == "chat-search").then_some(())
    });
}

/// The address is shown, and only then opened, by the person's browser.
fn link(app: &App, opened: &Path) {
    app.control("k");
    app.keys("trams");
    app.keys(ENTER);
    wait("the chat with a link", || {
        (app.window.text("chat-title")? == "Trams").then_some(())
    });
    let press = "document.querySelector('.markdown button.link').click();";
    app.window.run(press, json!([]));
    app.wait_for("link-dialog");
    assert_eq!(
        app.window.text("link-address").unwrap(),
        "https://example.org/a?b=1"
    );
    app.window.click("link-cancel");
    app.wait_until_gone("link-dialog");
    assert!(!opened.exists());
    app.window.run(press, json!([]));
    app.wait_for("link-dialog");
    app.keys(ENTER);
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

/// The keyboard reaches the parts of the chat page in the order in which they are seen.
fn focus_order(app: &App) {
    app.new_chat();
    app.window.click("nav-chat");
    let mut order = vec![focused(app)];
    for _ in 0..40 {
        app.keys("\u{e004}");
        order.push(focused(app));
    }
    let places: Vec<usize> = [
        "nav-chat",
        "nav-settings",
        "open-palette",
        "chat-search",
        "chat-open",
        "toggle-chats",
        "model-picker",
        "chat-settings",
        "conversation",
        "example",
        "attach",
        "prompt",
        "machine-strip",
    ]
    .iter()
    .map(|id| {
        let place = order.iter().position(|one| one == id);
        place.unwrap_or_else(|| panic!("Tab does not reach {id}: {order:?}"))
    })
    .collect();
    assert!(places.is_sorted(), "{order:?}");
}

/// A desktop without animations has a window without them.
fn reduced_motion(app: &App) {
    let script = "const moving = [...document.querySelectorAll('*')].filter((one) => {
            const style = getComputedStyle(one);
            const longest = (times) => Math.max(...times.split(',').map(parseFloat));
            return longest(style.transitionDuration) > 0.001
                || (style.animationName !== 'none' && style.animationIterationCount !== '1');
        });
        return [matchMedia('(prefers-reduced-motion: reduce)').matches, moving.length];";
    assert_eq!(app.window.run(script, json!([])), json!([true, 0]));
}

/// The window is as large as it was left, what is in it too, and nothing moves if the
/// desktop says so.
fn size(app: App, home: &Path) {
    app.window.resize(1111, 777);
    let width = |app: &App| {
        app.window
            .run("return innerWidth;", json!([]))
            .as_u64()
            .unwrap()
    };
    let usual = width(&app);
    app.window.click("prompt");
    app.control("=");
    wait("a larger page", || (width(&app) < usual).then_some(()));
    let larger = width(&app);
    // The driver clicks where things would be at the usual size: only keys from here.
    app.control("5");
    let shown = || app.window.text("zoom-now");
    wait_or_say(
        "the size in the settings",
        || (shown()? == "110%").then_some(()),
        || format!("{:?}", shown()),
    );
    // Settings are written shortly after a change.
    std::thread::sleep(Duration::from_millis(600));
    let gtk = home.join("config/gtk-3.0");
    fs::create_dir_all(&gtk).unwrap();
    fs::write(
        gtk.join("settings.ini"),
        "[Settings]\ngtk-enable-animations=0\n",
    )
    .unwrap();
    app.close();
    wait("the size to be kept", || {
        fs::metadata(home.join("config/app.moestro.desktop/window.json")).ok()
    });
    let app = app.reopen(&[]);
    app.wait_for_model();
    wait("the same size again", || {
        (width(&app) == larger).then_some(())
    });
    app.control("0");
    wait("the usual size", || (width(&app) == usual).then_some(()));
    reduced_motion(&app);
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
