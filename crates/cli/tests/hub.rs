//! `moestro search`, `pull` and `models` against a Hub on loopback.

#[path = "../../hub/tests/support/mod.rs"]
mod support;

use std::process::{Command, Output};

use serde_json::Value;
use support::hub::{TestHub, fixture};

fn hub() -> TestHub {
    let mut hub = TestHub::new();
    hub.file(
        "tiny-Q4_K_M.gguf",
        &fixture("gguf/qwen3_next-tiny.gguf"),
        true,
    );
    hub.file(
        "tiny-Q8_0.gguf",
        &fixture("gguf/qwen3_next-types.gguf"),
        true,
    );
    hub.ready();
    hub
}

fn moestro(hub: &TestHub, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moestro"));
    let output = command
        .args(arguments)
        .env("HF_ENDPOINT", hub.server.endpoint())
        .env("HF_HUB_CACHE", hub.cache.path())
        .env_remove("HF_TOKEN")
        .output();
    output.unwrap()
}

fn succeeds(hub: &TestHub, arguments: &[&str]) -> String {
    let output = moestro(hub, arguments);
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn fails(hub: &TestHub, arguments: &[&str]) -> String {
    let output = moestro(hub, arguments);
    assert!(!output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn from_the_search_to_a_model_that_loads_and_back() {
    let hub = hub();
    assert!(succeeds(&hub, &["search"]).contains("Qwen3-Next 80B-A3B Instruct"));
    let found = succeeds(&hub, &["search", "qwen", "next"]);
    assert!(
        found.contains("org/model") && found.contains("apache-2.0"),
        "{found}"
    );

    let plan = succeeds(&hub, &["pull", "org/model", "--dry-run", "--json"]);
    let plan: Value = serde_json::from_str(&plan).unwrap();
    assert_eq!(plan["variant"], "Q4_K_M", "the usual choice");
    assert_eq!(plan["verdict"]["fit"], "memory");
    assert!(plan["verdict"]["tokens_per_second"].as_f64().unwrap() > 0.0);
    let text = succeeds(&hub, &["pull", "org/model", "--dry-run", "--file", "q8_0"]);
    assert!(text.contains("Estimate: about"), "{text}");

    let lines = succeeds(&hub, &["pull", "org/model", "--json"]);
    let last: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    let path = last["path"].as_str().unwrap();
    let loaded = succeeds(&hub, &["plan", "--model", path, "--json"]);
    let loaded: Value = serde_json::from_str(&loaded).unwrap();
    assert_eq!(loaded["rows"], plan["verdict"]["placement"]["rows"]);

    let listed = succeeds(&hub, &["models", "--json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&listed).unwrap()[0]["path"],
        path
    );
    assert!(succeeds(&hub, &["models", "verify", "tiny"]).contains("as they should be"));
    assert!(fails(&hub, &["models", "remove", "tiny"]).contains("--yes"));
    assert!(succeeds(&hub, &["models", "remove", "tiny", "--yes"]).contains("deleted"));
    assert!(succeeds(&hub, &["models"]).contains("no models"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let hub = hub();
    assert!(fails(&hub, &["pull", "org/none"]).contains("not found"));
    assert!(fails(&hub, &["pull", "../../etc"]).contains("owner/name"));
    let several = fails(&hub, &["pull", "org/model", "--file", "*.gguf"]);
    assert!(
        several.contains("Q4_K_M") && several.contains("Q8_0"),
        "{several}"
    );
    assert!(fails(&hub, &["pull", "org/model", "--file", "Q2_K"]).contains("nothing in org/model"));
    assert!(fails(&hub, &["models", "verify", "nothing"]).contains("models list"));
}
