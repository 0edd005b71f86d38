//! A small W3C WebDriver client: enough to open the app's window through
//! WebKitWebDriver, act in it like a person, and look at it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};

/// The name under which the protocol hands out elements.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Only ends a test that would wait for ever; nothing is timed.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// One app with its window.
pub struct Window {
    driver: Driver,
    session: String,
}

/// A running WebKitWebDriver.
struct Driver {
    process: Child,
    port: u16,
}

impl Window {
    /// Starts `app` with these environment variables and attaches to its window.
    pub fn open(app: &Path, environment: &[(&str, &Path)], display: &str) -> Self {
        let port = free_port();
        let process = Command::new("WebKitWebDriver")
            .args([format!("--port={port}"), "--host=127.0.0.1".into()])
            .envs(environment.iter().copied())
            .env("DISPLAY", display)
            .env_remove("WAYLAND_DISPLAY")
            // Neither the keyring of the person who runs the tests nor their token.
            .env_remove("DBUS_SESSION_BUS_ADDRESS")
            .env_remove("HF_TOKEN")
            .env("LANG", "C.UTF-8")
            .env("TAURI_WEBVIEW_AUTOMATION", "true")
            // Without a GPU the accelerated path may show an empty window.
            .env("WEBKIT_DISABLE_COMPOSITING_MODE", "1")
            .env("NO_AT_BRIDGE", "1")
            // Dialogs of the desktop keep nothing.
            .env("GSETTINGS_BACKEND", "memory")
            .stdout(Stdio::null())
            .spawn()
            .expect("WebKitWebDriver is missing: install the package webkit2gtk-driver");
        let driver = Driver { process, port };
        let options = json!({ "binary": app, "args": [] });
        let wanted = json!({
            "capabilities": { "alwaysMatch": { "webkitgtk:browserOptions": options } }
        });
        let listening = || TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok();
        wait("WebKitWebDriver to listen", listening);
        let opened = driver
            .post("/session", &wanted)
            .expect("the app opens a window");
        let session = opened["sessionId"]
            .as_str()
            .expect("a session id")
            .to_owned();
        Window { driver, session }
    }

    /// The process that started the app.
    pub fn driver_pid(&self) -> u32 {
        self.driver.process.id()
    }

    pub fn title(&self) -> String {
        string(self.get("/title"))
    }

    /// Waits for the element with this `data-testid` and clicks it.
    pub fn click(&self, id: &str) {
        wait(&format!("{id} to be clickable"), || {
            self.post(&format!("/element/{}/click", self.find(id)?), &json!({}))
                .ok()
        });
    }

    /// Waits for the element and types into it.
    pub fn type_into(&self, id: &str, text: &str) {
        wait(&format!("{id} to take text"), || {
            let path = format!("/element/{}/value", self.find(id)?);
            self.post(&path, &json!({ "text": text })).ok()
        });
    }

    /// Types where the keyboard is, while the keys of `held` are down.
    pub fn press(&self, held: &str, keys: &str) {
        let key = |kind: &str, key: char| json!({ "type": kind, "value": key.to_string() });
        let mut actions: Vec<Value> = held.chars().map(|one| key("keyDown", one)).collect();
        for one in keys.chars() {
            actions.push(key("keyDown", one));
            actions.push(key("keyUp", one));
        }
        actions.extend(held.chars().rev().map(|one| key("keyUp", one)));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": actions });
        self.post("/actions", &json!({ "actions": [keyboard] }))
            .unwrap_or_else(|error| panic!("{keys:?}: {error}"));
    }

    pub fn is_shown(&self, id: &str) -> bool {
        self.find(id).is_some_and(|element| {
            self.get(&format!("/element/{element}/displayed")) == Some(json!(true))
        })
    }

    /// The text of the last element with this id, if there is one.
    pub fn text(&self, id: &str) -> Option<String> {
        let script = "const all = document.querySelectorAll(`[data-testid='${arguments[0]}']`);
            return all.length ? all[all.length - 1].innerText : null;";
        self.run(script, json!([id])).as_str().map(str::to_owned)
    }

    /// An attribute of the last element with this id.
    pub fn attribute(&self, id: &str, name: &str) -> Option<String> {
        let script = "const all = document.querySelectorAll(`[data-testid='${arguments[0]}']`);
            return all.length ? all[all.length - 1].getAttribute(arguments[1]) : null;";
        let value = self.run(script, json!([id, name]));
        value.as_str().map(str::to_owned)
    }

    /// Picks an entry of a drop-down list by its value.
    pub fn choose(&self, id: &str, value: &str) {
        wait(&format!("{id} to offer {value}"), || {
            let script = "const list = document.querySelector(`[data-testid='${arguments[0]}']`);
                if (!list) return false;
                list.value = arguments[1];
                list.dispatchEvent(new Event('change', { bubbles: true }));
                return list.value === arguments[1];";
            (self.run(script, json!([id, value])) == json!(true)).then_some(())
        });
    }

    /// How many elements have this id.
    pub fn count(&self, id: &str) -> u64 {
        let script = "return document.querySelectorAll(`[data-testid='${arguments[0]}']`).length;";
        self.run(script, json!([id])).as_u64().expect("a number")
    }

    /// Runs the body of a JavaScript function in the page.
    pub fn run(&self, script: &str, arguments: Value) -> Value {
        let body = json!({ "script": script, "args": arguments });
        self.post("/execute/sync", &body)
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Gives a field this value, as if it had been typed over the old one.
    pub fn fill(&self, id: &str, value: &str) {
        let script = "const field = document.querySelector(`[data-testid='${arguments[0]}']`);
            field.value = arguments[1];
            field.dispatchEvent(new Event('input', { bubbles: true }));
            field.dispatchEvent(new Event('change', { bubbles: true }));";
        self.run(script, json!([id, value]));
    }

    /// Waits until the page has this size in pixels.
    pub fn resize(&self, width: u32, height: u32) {
        let rect = json!({ "width": width, "height": height });
        let asked = self.post("/window/rect", &rect);
        asked.unwrap_or_else(|error| panic!("the window stays as it is: {error}"));
        wait("the new size", || {
            let size = self.run("return [innerWidth, innerHeight];", json!([]));
            (size == json!([width, height])).then_some(())
        });
    }

    /// Saves what the window shows as a PNG.
    pub fn screenshot(&self, file: &Path) {
        // WebKit's driver waits until something is drawn, which in a quiet window is never.
        let draw = "const dot = document.createElement('i');
            dot.style = 'position: fixed; width: 1px; height: 1px; pointer-events: none';
            dot.setAttribute('aria-hidden', 'true');
            document.body.append(dot);
            let left = 40;
            const timer = setInterval(() => {
                dot.style.background = left % 2 ? 'rgb(0 0 0 / 0.1%)' : 'rgb(0 0 0 / 0.2%)';
                left -= 1;
                if (left === 0) { clearInterval(timer); dot.remove(); }
            }, 50);";
        self.run(draw, json!([]));
        let encoded = string(self.get("/screenshot"));
        let png = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .expect("base64");
        assert!(png.starts_with(b"\x89PNG"), "a screenshot is no PNG");
        std::fs::create_dir_all(file.parent().expect("a folder"))
            .expect("a folder for screenshots");
        std::fs::write(file, png).expect("the screenshot is written");
    }

    fn find(&self, id: &str) -> Option<String> {
        let selector = json!({ "using": "css selector", "value": format!("[data-testid='{id}']") });
        let found = self.post("/element", &selector).ok()?;
        found[ELEMENT].as_str().map(str::to_owned)
    }

    fn get(&self, path: &str) -> Option<Value> {
        self.driver.request("GET", &self.path(path), "").ok()
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.driver.post(&self.path(path), body)
    }

    fn path(&self, path: &str) -> String {
        format!("/session/{}{path}", self.session)
    }
}

impl Drop for Window {
    /// Closes the app's window, and so the app.
    fn drop(&mut self) {
        let _ = self.driver.request("DELETE", &self.path(""), "");
    }
}

impl Driver {
    fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.request("POST", path, &body.to_string())
    }

    /// The `value` of the answer, or what went wrong.
    fn request(&self, method: &str, path: &str, body: &str) -> Result<Value, String> {
        let answer = self
            .exchange(method, path, body)
            .map_err(|error| error.to_string())?;
        let split = answer
            .windows(4)
            .position(|bytes| bytes == b"\r\n\r\n")
            .ok_or("no header")?;
        let (head, body) = (
            String::from_utf8_lossy(&answer[..split]),
            &answer[split + 4..],
        );
        let mut answer: Value =
            serde_json::from_slice(body).map_err(|error| format!("{error} after {head}"))?;
        let value = answer["value"].take();
        if head.split(' ').nth(1) == Some("200") {
            Ok(value)
        } else {
            Err(value.to_string())
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Looks again and again until there is something to see.
pub fn wait<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    wait_or_say(what, look, String::new)
}

/// The same; `instead` says what there was if it never came.
pub fn wait_or_say<T>(
    what: &str,
    look: impl FnMut() -> Option<T>,
    instead: impl Fn() -> String,
) -> T {
    wait_until(Instant::now() + PATIENCE, what, look, instead)
}

/// For what takes longer than anything in a test.
pub fn wait_long<T>(what: &str, longest: Duration, look: impl FnMut() -> Option<T>) -> T {
    wait_until(Instant::now() + longest, what, look, String::new)
}

fn wait_until<T>(
    end: Instant,
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    instead: impl Fn() -> String,
) -> T {
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        if Instant::now() >= end {
            panic!("waited in vain for {what}; {}", instead());
        }
        std::thread::sleep(PAUSE);
    }
}

fn string(value: Option<Value>) -> String {
    value
        .as_ref()
        .and_then(Value::as_str)
        .expect("a text")
        .to_owned()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
