//! The access token in a real keyring, GNOME's, on a session bus of its own; and
//! what happens where there is none, or where one does not answer.
//!
//! Needs the packages dbus and gnome-keyring.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use moestro_hub::{Environment, Held, Keyring, TokenPlace};
use support::hub::block_on;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A bus to which nobody has to answer.
fn bus() -> (Running, String) {
    let mut bus = Command::new("dbus-daemon")
        .args(["--session", "--nofork", "--print-address=1"])
        // A prompt on somebody's screen would be no part of the test.
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY")
        .stdout(Stdio::piped())
        .spawn()
        .expect("dbus-daemon is missing: install the package dbus");
    let mut address = String::new();
    let output = bus.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut address).unwrap();
    (Running(bus), address.trim().into())
}

/// GNOME's keyring with its files in `home`. With a password it is unlocked.
fn keyring(bus: &str, home: &Path, password: Option<&str>) -> Running {
    let mut keyring = Command::new("gnome-keyring-daemon");
    keyring.args(["--foreground", "--components=secrets"]);
    keyring.args(password.map(|_| "--unlock"));
    let mut keyring = keyring
        .env("DBUS_SESSION_BUS_ADDRESS", bus)
        .env("HOME", home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_RUNTIME_DIR", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("gnome-keyring-daemon is missing: install the package gnome-keyring");
    let mut input = keyring.stdin.take().unwrap();
    input.write_all(password.unwrap_or("").as_bytes()).unwrap();
    drop(input);
    // It says where its files are once it has its name on the bus.
    let mut line = String::new();
    let output = keyring.stdout.take().unwrap();
    BufReader::new(output).read_line(&mut line).unwrap();
    Running(keyring)
}

fn environment(home: &Path, bus: &str) -> Environment {
    let bus = [("DBUS_SESSION_BUS_ADDRESS", bus)];
    let mut environment = support::environment("http://127.0.0.1:9", home, &bus);
    block_on(environment.ask_keyring());
    environment
}

#[test]
fn a_token_is_kept_in_the_keyring_and_found_again() {
    let home = tempfile::tempdir().unwrap();
    let (_bus, address) = bus();
    let unlocked = keyring(&address, home.path(), Some("password"));
    let mut first = environment(home.path(), &address);
    assert_eq!(first.token.place(), &TokenPlace::Nowhere);
    for token in ["hf_old", "  hf_new\n"] {
        block_on(first.save_token(token)).unwrap();
        assert_eq!(first.token.place(), &TokenPlace::Keyring);
    }
    assert!(!home.path().join("token").exists());
    let found = environment(home.path(), &address);
    assert_eq!(found.token.text(), Some("hf_new"));

    // A file that another tool wrote does not replace it, and a variable does.
    std::fs::write(home.path().join("token"), "hf_file").unwrap();
    let found = environment(home.path(), &address);
    assert_eq!(found.token.text(), Some("hf_new"));
    let variables = [
        ("DBUS_SESSION_BUS_ADDRESS", address.as_str()),
        ("HF_TOKEN", "hf_variable"),
    ];
    let mut named = support::environment("http://127.0.0.1:9", home.path(), &variables);
    block_on(named.ask_keyring());
    assert_eq!(named.token.text(), Some("hf_variable"));

    // Locked, it is not asked for.
    drop(unlocked);
    let locked = keyring(&address, home.path(), None);
    std::fs::remove_file(home.path().join("token")).unwrap();
    let shut = environment(home.path(), &address);
    assert_eq!(shut.token.place(), &TokenPlace::LockedKeyring);
    assert_eq!(shut.token.text(), None);

    drop(locked);
    let _unlocked = keyring(&address, home.path(), Some("password"));
    let mut last = environment(home.path(), &address);
    assert_eq!(last.token.text(), Some("hf_new"));
    block_on(last.forget_token()).unwrap();
    assert_eq!(last.token.place(), &TokenPlace::Nowhere);
    let found = environment(home.path(), &address);
    assert_eq!(found.token.text(), None);
}

#[test]
fn without_a_keyring_the_token_is_in_a_file_for_this_user_only() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("token");
    let mut first = support::environment("http://127.0.0.1:9", home.path(), &[]);
    block_on(first.save_token("hf_secret")).unwrap();
    assert_eq!(
        first.token.place(),
        &TokenPlace::File { path: path.clone() }
    );
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut next = environment(home.path(), "unix:path=/nowhere/bus");
    assert_eq!(next.token.text(), Some("hf_secret"));
    let refused = block_on(next.save_token("two words")).unwrap_err();
    assert!(refused.to_string().contains("one word"), "{refused}");
    block_on(next.forget_token()).unwrap();
    assert!(!path.exists() && next.token.text().is_none());
}

#[test]
fn a_bus_that_never_answers_is_given_up() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("bus");
    let _silent = UnixListener::bind(&path).unwrap();
    let silent = Keyring::at(Some(format!("unix:path={}", path.display())));
    assert_eq!(block_on(silent.read()), Held::NoKeyring);
}
