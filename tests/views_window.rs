//! Every page and state in the real window, looked through by axe and by a person:
//! light and dark, in the usual and the smallest window.
//!
//! Needs Xvfb, WebKitWebDriver and `ui/node_modules`. Screenshots land in
//! `target/screenshots`.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::app::App;
use support::kept::{home_with, keep};
use support::process::kill;
use support::webdriver::wait;

const SETTINGS: &str = r#"{ "sampling": { "temperature": 0.0 }, "threads": 1, "theme": "light" }"#;
/// WebDriver's names of keys.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";

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
        for (const one of document.querySelectorAll('button > span, .menu span')) {
            const inner = one.getBoundingClientRect();
            const outer = one.parentElement.getBoundingClientRect();
            if (inner.width > 1 && (inner.left < outer.left - 0.5 || inner.right > outer.right + 0.5)) {
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
            std::thread::sleep(Duration::from_millis(150));
            app.screenshot(&name);
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
    app.wait_for("engine-stopped");
    for (width, height, theme) in views {
        app.window.resize(width, height);
        app.go_to("settings");
        app.window.choose("theme-select", theme);
        for page in ["chat", "models", "memory", "api"] {
            app.go_to(page);
            let name = format!("view-{width}-{theme}-{page}-stopped");
            app.screenshot(&name);
            look_through(&app, &name, &mut found);
            fits(&app, &name, &mut found);
        }
    }
    found.dedup();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn states(app: &App, look: &mut impl FnMut(&str)) {
    let open = |words: &str| {
        app.control("k");
        app.wait_for("palette");
        app.keys(words);
        app.keys(ENTER);
        app.wait_until_gone("palette");
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
    app.control("k");
    app.wait_for("palette");
    look("palette");
    app.keys("zeppelin");
    look("palette-nothing");
    app.keys(ESCAPE);
    app.wait_until_gone("palette");
    app.control("/");
    app.wait_for("shortcuts");
    look("shortcuts");
    app.keys(ESCAPE);
    app.wait_until_gone("shortcuts");
    app.window.run(
        "document.querySelector('.markdown button.link').click();",
        json!([]),
    );
    app.wait_for("link-dialog");
    look("link");
    app.window.click("link-cancel");
    app.control(",");
    app.wait_for("chat-settings-dialog");
    app.window.fill("preset-name", "Careful and short");
    app.window.click("preset-save");
    look("chat-settings");
    app.keys(ESCAPE);
    app.wait_until_gone("chat-settings-dialog");
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
    app.wait_for("memory-preset-balanced");
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
