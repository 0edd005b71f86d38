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
    moestro_with(hub, arguments, &[])
}

/// With `more` variables, and none of the person's who runs the tests.
fn moestro_with(hub: &TestHub, arguments: &[&str], more: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moestro"));
    command.args(arguments);
    for (name, _) in std::env::vars() {
        let upper = name.to_uppercase();
        if upper.starts_with("HF_") || upper.ends_with("_PROXY") {
            command.env_remove(name);
        }
    }
    let output = command
        .env_remove("DBUS_SESSION_BUS_ADDRESS")
        .env_remove("XDG_RUNTIME_DIR")
        .env("XDG_DATA_HOME", hub.cache.path().join("data"))
        .env("HF_HOME", hub.cache.path().join("home"))
        .env("HF_ENDPOINT", hub.server.endpoint())
        .env("HF_HUB_CACHE", hub.cache.path())
        .envs(more.iter().copied())
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
    assert!(succeeds(&hub, &["models", "verify", "tiny"]).contains("as it should be"));
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

#[test]
fn the_verdict_says_what_it_assumed_and_takes_limits() {
    let hub = hub();
    let judge = |more: &[&str]| {
        let arguments = [&["pull", "org/model", "--dry-run", "--json"], more].concat();
        let plan: Value = serde_json::from_str(&succeeds(&hub, &arguments)).unwrap();
        plan["verdict"].clone()
    };
    let free = judge(&[]);
    assert_eq!(free["placement"]["settings"]["ram_budget"], Value::Null);
    assert!(free["bandwidth"]["memory"].as_f64().unwrap() > 1e8);
    let limited = judge(&["--experts-per-layer", "1", "--context", "256"]);
    assert_eq!(limited["fit"], "with_disk");
    assert_eq!(limited["placement"]["context"], 256);
    let hits = |verdict: &Value| verdict["hit_rate"].as_f64().unwrap();
    assert!(hits(&free) == 1.0 && hits(&limited) < 1.0);
    assert_eq!(judge(&["--ram-budget", "1KB"])["fit"], "no");
    let refused = fails(&hub, &["pull", "org/model", "--context", "256"]);
    assert!(refused.contains("--dry-run"), "{refused}");
}

/// The token of each request, and of none.
fn tokens(hub: &TestHub) -> Vec<Option<String>> {
    let requests = hub.server.requests();
    let mut tokens: Vec<_> = requests
        .iter()
        .map(|request| request.header("authorization").map(str::to_string))
        .collect();
    tokens.dedup();
    tokens
}

#[test]
fn tokens_and_folders_come_from_where_hugging_face_tools_put_them() {
    let hub = hub();
    let home = hub.cache.path().join("home");
    std::fs::create_dir_all(&home).unwrap();
    let search = |more: &[(&str, &str)]| {
        let before = hub.server.requests().len();
        assert!(moestro_with(&hub, &["search", "x"], more).status.success());
        assert_eq!(hub.server.requests().len(), before + 1);
        tokens(&hub).pop().unwrap()
    };
    assert_eq!(search(&[]), None);
    std::fs::write(home.join("token"), "hf_file\n").unwrap();
    assert_eq!(search(&[]).as_deref(), Some("Bearer hf_file"));
    let variable = search(&[("HF_TOKEN", "hf_variable")]);
    assert_eq!(variable.as_deref(), Some("Bearer hf_variable"));

    let elsewhere = hub.cache.path().join("elsewhere");
    let elsewhere = [
        ("HF_HOME", elsewhere.to_str().unwrap()),
        ("HF_HUB_CACHE", ""),
    ];
    let pulled = moestro_with(&hub, &["pull", "org/model"], &elsewhere);
    let path = String::from_utf8(pulled.stdout).unwrap();
    assert!(
        path.contains("/elsewhere/hub/models--org--model/"),
        "{path}"
    );
    let offline = moestro_with(&hub, &["search", "x"], &[("HF_HUB_OFFLINE", "1")]);
    let message = String::from_utf8(offline.stderr).unwrap();
    assert!(message.contains("HF_HUB_OFFLINE"), "{message}");
}

#[test]
fn proxies_are_used_and_gone_around() {
    let hub = hub();
    let proxy = format!("http://me:secret@{}", hub.server.address);
    // Only the proxy could find this server.
    let far = [
        ("HF_ENDPOINT", "http://hub.invalid"),
        ("HTTP_PROXY", &proxy),
    ];
    let pulled = moestro_with(&hub, &["pull", "org/model", "--file", "q8_0"], &far);
    assert!(pulled.status.success(), "{pulled:?}");
    let requests = hub.server.requests();
    assert!(requests.len() > 2);
    for request in &requests {
        assert_eq!(request.proxied.as_deref(), Some("hub.invalid"));
        let credentials = request.header("proxy-authorization");
        assert_eq!(credentials, Some("Basic bWU6c2VjcmV0"));
    }

    let near = [
        ("HTTP_PROXY", "http://127.0.0.1:9"),
        ("NO_PROXY", "127.0.0.1"),
    ];
    let found = moestro_with(&hub, &["search", "x"], &near);
    assert!(found.status.success(), "{found:?}");
    assert!(hub.server.requests().last().unwrap().proxied.is_none());

    let before = hub.server.requests().len();
    let encrypted = [
        ("HF_ENDPOINT", "https://hub.invalid"),
        ("HTTPS_PROXY", &proxy),
    ];
    let refused = moestro_with(&hub, &["search", "x"], &encrypted);
    let asked = &hub.server.requests()[before..];
    assert!(asked.iter().all(|r| r.method == "CONNECT"));
    assert_eq!(asked[0].proxied.as_deref(), Some("hub.invalid:443"));
    let message = String::from_utf8(refused.stderr).unwrap();
    assert!(
        message.contains("proxy") && !message.contains("secret"),
        "{message}"
    );
}

#[test]
fn a_system_without_certificates_is_told_to_install_them() {
    let hub = hub();
    let none = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];
    let found = moestro_with(&hub, &["search", "x"], &none);
    assert!(!found.status.success(), "{found:?}");
    let message = String::from_utf8(found.stderr).unwrap();
    assert!(message.contains("ca-certificates"), "{message}");
}
