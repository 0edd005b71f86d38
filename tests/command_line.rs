//! The desktop binary without a window.

use std::process::{Command, Output};

fn run(arguments: &[&str], display: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moestro-desktop"));
    command
        .args(arguments)
        .env_remove("DISPLAY")
        .env_remove("WAYLAND_DISPLAY");
    if let Some(display) = display {
        command.env("DISPLAY", display);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_tells_its_version() {
    let output = run(&["--version"], None);
    assert!(output.status.success());
    let expected = concat!("moestro-desktop ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(text(&output.stdout), expected);
}

#[test]
fn an_unknown_argument_is_named() {
    let output = run(&["--frobnicate"], None);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(
        message.contains("--frobnicate") && message.contains("usage:"),
        "{message}"
    );
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let output = run(&["/nowhere/model.gguf"], None);
    assert_eq!(output.status.code(), Some(2));
    let message = text(&output.stderr);
    assert!(message.contains("/nowhere/model.gguf"), "{message}");
}

#[test]
fn without_a_display_it_says_so_and_does_not_panic() {
    // No display at all, and one that nobody serves.
    for display in [None, Some(":64999")] {
        let output = run(&[], display);
        assert_eq!(output.status.code(), Some(1), "display {display:?}");
        let message = text(&output.stderr);
        assert!(message.contains("needs a graphical display"), "{message}");
        assert!(!message.contains("panicked"), "{message}");
    }
}
