//! The API page in the real window: the switch lets other programs use the model that
//! the window has loaded, and the page shows what they ask.
//!
//! Needs Xvfb and WebKitWebDriver. Screenshots land in `target/screenshots`.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use support::app::App;
use support::webdriver::wait;

/// Far longer than an answer takes; only a hang reaches it.
const PATIENCE: Duration = Duration::from_secs(120);

/// The status line and body of the answer to a chat.
fn chat(address: &str) -> (String, String) {
    let body = r#"{ "messages": [{ "role": "user", "content": "What is 2+2?" }],
        "temperature": 0, "max_tokens": 30 }"#;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(
        stream,
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_string(), body.to_string())
}

fn standing(app: &App) -> String {
    let shown = wait("the page", || app.window.text("api-state"));
    shown.trim().to_string()
}

fn address(app: &App) -> String {
    let url = wait("the address", || app.window.text("api-url"));
    let address = url.strip_prefix("http://").unwrap();
    address.strip_suffix("/v1").unwrap().to_string()
}

#[test]
fn other_programs_share_the_model_of_the_window() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = format!(
        r#"{{ "sampling": {{ "temperature": 0.0 }}, "threads": 1, "theme": "light",
            "api": {{ "port": {port} }} }}"#
    );
    let app = App::open(&settings);
    app.wait_for_model();
    app.go_to("api");
    assert_eq!(standing(&app), "Off", "it is off until somebody wants it");
    app.screenshot("api-off");

    let first = port_that_is_taken(&app, port);
    request_in_the_list(&app, &first);
    looks(&app);
    both_at_once(&app, &first);

    without_a_window(&app, &first);

    // It is on again after a restart of the app, and off when it is switched off.
    let app = app.reopen(&[]);
    app.wait_for_model();
    app.go_to("api");
    let second = address(&app);
    assert!(chat(&second).0.contains(" 200 "));
    app.window.click("api-switch");
    wait("the server to end", || {
        (standing(&app) == "Off").then_some(())
    });
    assert!(TcpStream::connect(&second).is_err());
}

/// The person is told which port it is and takes another one.
fn port_that_is_taken(app: &App, port: u16) -> String {
    app.window.click("api-switch");
    let problem = wait("the problem", || app.window.text("api-problem"));
    assert!(
        problem.contains(&port.to_string()) && problem.contains("another port"),
        "{problem}"
    );
    assert_eq!(standing(app), "Not running");
    app.screenshot("api-port-taken");
    app.window.fill("api-port", "0");
    app.window.click("api-apply");
    let address = address(app);
    assert_eq!(app.window.count("api-problem"), 0);
    address
}

fn request_in_the_list(app: &App, address: &str) {
    assert!(app.window.is_shown("api-no-requests"));
    let (status, body) = chat(address);
    assert!(
        status.contains(" 200 ") && body.contains('4'),
        "{status} {body}"
    );
    let row = wait("the request in the list", || {
        let text = app.window.text("api-request")?;
        text.contains("200").then_some(text)
    });
    assert!(
        row.contains("/v1/chat/completions") && row.contains("tokens"),
        "{row}"
    );
    for language in ["curl", "Python", "JavaScript"] {
        app.window.choose("api-language", language);
        let example = wait("its example", || app.window.text("api-example"));
        assert!(example.contains(address), "{example}");
    }
}

/// Every part of the page, light and dark, in the usual and the smallest window.
fn looks(app: &App) {
    for (size, (width, height)) in [("", (1280, 800)), ("-small", (900, 600))] {
        app.window.resize(width, height);
        for theme in ["dark", "light"] {
            app.go_to("settings");
            app.window.choose("theme-select", theme);
            app.go_to("api");
            wait("the list again", || app.window.text("api-request"));
            app.screenshot(&format!("api{size}-{theme}"));
            app.scroll_to("api-requests");
            app.screenshot(&format!("api{size}-{theme}-requests"));
            app.scroll_to_end();
            app.screenshot(&format!("api{size}-{theme}-end"));
        }
    }
    let wider = "const page = document.querySelector('.page');
        return page.scrollWidth > page.clientWidth;";
    let wider = app.window.run(wider, serde_json::json!([]));
    assert_eq!(wider, false, "nothing is cut off at the side");
}

/// The window is closed and the model stays there for other programs.
fn without_a_window(app: &App, address: &str) {
    app.close();
    wait("a question", || {
        (app.window.count("close-dialog") == 1).then_some(())
    });
    app.screenshot("api-closing");
    // The window goes before WebDriver could tell that it has clicked.
    let click = "const button = document.querySelector(`[data-testid='close-background']`);
        setTimeout(() => button.click(), 100);";
    app.window.run(click, serde_json::json!([]));
    wait("the window to go", || (!app.is_visible()).then_some(()));
    // Longer than between two looks at whether anything is left to do.
    std::thread::sleep(Duration::from_secs(3));
    let (status, body) = chat(address);
    assert!(
        status.contains(" 200 ") && body.contains('4'),
        "{status} {body}"
    );
    app.start_again(None);
    wait("the window to come back", || app.is_visible().then_some(()));
    wait("the model, still there", || {
        let name = app.window.text("strip-model")?;
        name.contains("Moestro Demo").then_some(())
    });
}

/// The window and other programs are answered at the same time.
fn both_at_once(app: &App, address: &str) {
    app.go_to("chat");
    app.ask("Count to 100.");
    let (status, _) = chat(address);
    assert!(status.contains(" 200 "), "{status}");
    app.wait_for_state("done");
    assert!(app.answer().contains("99"), "{}", app.answer());
}
