//! The app with a home, a display and a window of its own, and what a person
//! does in it.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::json;

use super::process::descendant_with_argument;
use super::webdriver::{Window, wait, wait_or_say};
use super::xvfb::Xvfb;
use super::{front_end, x11};

/// WebDriver's name of the Enter key.
const ENTER: &str = "\u{e007}";

/// Notes how long the last answer is whenever the page changes.
const WATCH_ANSWERS: &str = "
    window.answerLengths = [];
    const look = () => {
        const answers = document.querySelectorAll(`[data-testid='message-assistant'] .markdown`);
        const length = answers.length ? answers[answers.length - 1].textContent.length : 0;
        if (length !== window.answerLengths.at(-1)) window.answerLengths.push(length);
    };
    new MutationObserver(look).observe(document.body,
        { subtree: true, childList: true, characterData: true });";

const LAST_ANSWER: &str = "
    const answers = document.querySelectorAll(`[data-testid='message-assistant']`);
    const text = answers.length && answers[answers.length - 1].querySelector('.markdown');
    return text ? text.textContent.trim() : '';";

/// A process that does not outlive the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The first fields are dropped first.
pub struct App {
    pub window: Window,
    display: Xvfb,
    home: Rc<tempfile::TempDir>,
    environment: Vec<(String, PathBuf)>,
}

impl App {
    /// Opens the window with nothing but these settings (JSON) in its home.
    pub fn open(settings: &str) -> Self {
        let home = Rc::new(tempfile::tempdir().unwrap());
        Self::open_at(home, Some(settings), &[])
    }

    /// Closes the window and opens it again, in the same home.
    pub fn reopen(self, more: &[(&str, &Path)]) -> Self {
        let home = self.home.clone();
        drop(self);
        Self::open_at(home, None, more)
    }

    /// Opens the window in `home`, with `more` environment variables.
    pub fn open_at(
        home: Rc<tempfile::TempDir>,
        settings: Option<&str>,
        more: &[(&str, &Path)],
    ) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_moestro-desktop"));
        Self::open_program(program, home, settings, more)
    }

    /// The same with another program than the one built for the tests.
    pub fn open_program(
        program: &Path,
        home: Rc<tempfile::TempDir>,
        settings: Option<&str>,
        more: &[(&str, &Path)],
    ) -> Self {
        let folder = |name: &str| {
            let path = home.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let environment = [
            ("HOME", folder("")),
            ("XDG_CONFIG_HOME", folder("config")),
            ("XDG_DATA_HOME", folder("data")),
            ("XDG_CACHE_HOME", folder("cache")),
            ("XDG_RUNTIME_DIR", folder("run")),
        ];
        if let Some(settings) = settings {
            let file = folder("config/app.moestro.desktop").join("settings.json");
            std::fs::write(file, settings).unwrap();
        }
        let own = environment
            .iter()
            .map(|(name, path)| (*name, path.as_path()));
        let environment: Vec<_> = own.chain(more.iter().copied()).collect();
        front_end::check_it_is_built();
        let display = Xvfb::start();
        let window = Window::open(program, &environment, &display.display);
        let owned = environment.iter();
        let owned = owned.map(|(name, path)| (name.to_string(), path.to_path_buf()));
        let app = App {
            window,
            display,
            environment: owned.collect(),
            home,
        };
        let shown = || Some(app.text()).filter(|text| !text.is_empty());
        front_end::check_it_is_shown(&wait("the page to show something", shown));
        app
    }

    /// All that the window says.
    pub fn text(&self) -> String {
        let text = self
            .window
            .run("return document.body?.innerText;", json!([]));
        text.as_str().unwrap_or_default().trim().to_owned()
    }

    /// Starts the application once more, as from the menu or by a double-click on a
    /// model, and waits for that process to end.
    pub fn start_again(&self, model: Option<&Path>) {
        let mut again = std::process::Command::new(env!("CARGO_BIN_EXE_moestro-desktop"));
        again.args(model);
        let variables = self.environment.iter().map(|(name, path)| (name, path));
        let again = again.envs(variables).env("DISPLAY", &self.display.display);
        let again = again.env_remove("WAYLAND_DISPLAY").spawn().unwrap();
        let mut again = Ended(again);
        let ended = wait("the second start to end", || again.0.try_wait().unwrap());
        assert!(ended.success(), "{ended}");
    }

    /// Clicks the cross of the window.
    pub fn close(&self) {
        x11::close_window(&self.display.display);
    }

    /// Can a person see the window?
    pub fn is_visible(&self) -> bool {
        self.visible_windows() == 1
    }

    /// The window, and dialogs of the desktop over it.
    pub fn visible_windows(&self) -> usize {
        x11::visible_windows(&self.display.display)
    }

    /// Presses Enter in a dialog of the desktop.
    pub fn press_enter_on_top(&self) {
        x11::press_enter_on_top(&self.display.display);
    }

    pub fn go_to(&self, page: &str) {
        self.window.click(&format!("nav-{page}"));
    }

    /// Presses Ctrl and a key where the keyboard is.
    pub fn control(&self, key: &str) {
        self.window.press("\u{e009}", key);
    }

    /// Types where the keyboard is.
    pub fn keys(&self, keys: &str) {
        self.window.press("", keys);
    }

    pub fn wait_for(&self, id: &str) {
        wait(id, || (self.window.count(id) == 1).then_some(()));
    }

    pub fn wait_until_gone(&self, id: &str) {
        wait(&format!("no {id}"), || {
            (self.window.count(id) == 0).then_some(())
        });
    }

    pub fn wait_for_model(&self) {
        let ready = || {
            let hint = self.window.attribute("prompt", "placeholder")?;
            hint.starts_with("Ask").then_some(())
        };
        let instead = || format!("the window says: {}", self.text());
        wait_or_say("a model to be ready", ready, instead);
    }

    /// Scrolls a page that is longer than the window to its end.
    pub fn scroll_to_end(&self) -> bool {
        let script = "const page = document.querySelector('.page');
            if (!page || page.scrollHeight <= page.clientHeight) return false;
            page.scrollTop = page.scrollHeight;
            return true;";
        self.window.run(script, json!([])) == json!(true)
    }

    /// Scrolls the page until this part of it is in the middle.
    pub fn scroll_to(&self, id: &str) {
        let script = "document.querySelector(`[data-testid=${arguments[0]}]`)
            .scrollIntoView({ block: 'center' });";
        self.window.run(script, json!([id]));
    }

    /// Sends a question from the chat page.
    pub fn ask(&self, question: &str) {
        let answers = self.window.count("message-assistant");
        self.window.type_into("prompt", question);
        self.window.type_into("prompt", ENTER);
        wait("the question to be sent", || {
            (self.window.count("message-assistant") > answers).then_some(())
        });
    }

    /// Asks and waits for the whole answer.
    pub fn answer_to(&self, question: &str) -> String {
        self.ask(question);
        self.wait_for_state("done");
        self.answer()
    }

    pub fn new_chat(&self) {
        self.window.click("new-chat");
        wait("an empty chat", || {
            (self.window.count("message-assistant") == 0).then_some(())
        });
    }

    /// The text of the last answer, as far as it is written.
    pub fn answer(&self) -> String {
        self.window
            .run(LAST_ANSWER, json!([]))
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// How the last answer stands: waiting, reading, writing, done, stopped, ...
    pub fn state(&self) -> String {
        self.window
            .attribute("message-assistant", "data-state")
            .unwrap_or_default()
    }

    pub fn wait_for_state(&self, state: &str) {
        wait(&format!("an answer that is {state}"), || {
            (self.state() == state).then_some(())
        });
    }

    /// From now on, every change of an answer's length is noted.
    pub fn watch_answers(&self) {
        self.window.run(WATCH_ANSWERS, json!([]));
    }

    /// The lengths noted so far.
    pub fn answer_lengths(&self) -> Vec<u64> {
        serde_json::from_value(self.window.run("return window.answerLengths;", json!([]))).unwrap()
    }

    /// Experts in memory and slots for them, all layers together, as the Memory page says.
    pub fn resident_experts(&self) -> (u64, u64) {
        wait("the number of resident experts", || {
            let text = self.window.text("experts-resident")?.replace(',', "");
            let mut numbers = text.split_whitespace().filter_map(|word| word.parse().ok());
            Some((numbers.next()?, numbers.next()?))
        })
    }

    pub fn engine_pid(&self) -> u32 {
        let driver = self.window.driver_pid();
        wait("the engine process", || {
            descendant_with_argument(driver, "engine")
        })
    }

    /// Saves what the window shows in `target/screenshots`.
    pub fn screenshot(&self, name: &str) {
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        self.window.screenshot(&folder.join(format!("{name}.png")));
    }
}
