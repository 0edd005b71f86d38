//! The Hub's API, played by a server on loopback: search, listing, looking into
//! models by their headers, and fetching a whole one.

mod support;

use std::path::Path;

use moestro_checkpoint::Checkpoint;
use moestro_hub::{
    Hub, PullProgress, Stop, Supported, card, look, pull, removal, scan, variants, verify,
};
use serde_json::json;
use support::hub::{COMMIT, TestHub, block_on, fixture};
use support::{Answer, git_blob, noise, sha256};

#[test]
fn a_search_tells_what_matters_and_drops_unsafe_names() {
    let hub = TestHub::new();
    hub.ready();
    let found = block_on(hub.hub().search(" qwen next ", 10)).unwrap();
    assert_eq!(found.len(), 1);
    let model = &found[0];
    assert_eq!(model.repo.as_str(), "org/model");
    assert_eq!(
        (model.downloads, model.gated, model.gguf),
        (12, false, true)
    );
    assert_eq!(model.model_type.as_deref(), Some("qwen3_next"));
    assert_eq!(model.license.as_deref(), Some("apache-2.0"));
    assert_eq!(model.updated.as_deref(), Some("2026-02-03"));
    let path = &hub.server.requests()[0].path;
    assert!(
        path.contains("search=qwen+next") && path.contains("sort=downloads"),
        "{path}"
    );
}

#[test]
fn a_listing_has_checksums_and_no_unsafe_names() {
    let mut hub = TestHub::new();
    hub.file("config.json", b"{}", false);
    hub.file("Q4/model-Q4_K_M.gguf", b"GGUF", true);
    for bad in [
        "../../etc/passwd",
        "/etc/passwd",
        "a/../../b",
        "a\\b",
        "x\u{0}y",
    ] {
        hub.file(bad, b"bad", false);
    }
    hub.tree
        .push(json!({"type": "directory", "path": "Q4", "oid": "1".repeat(40)}));
    hub.tree
        .push(json!({"type": "file", "path": "odd.gguf", "size": 1, "oid": "../../x"}));
    hub.ready();
    let repository = hub.repository().unwrap();
    assert_eq!(repository.commit.as_str(), COMMIT);
    let paths: Vec<_> = repository.files.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths, ["Q4/model-Q4_K_M.gguf", "config.json"]);
    assert_eq!(repository.files[0].digest, sha256(b"GGUF"));
    assert_eq!(repository.files[1].digest, git_blob(b"{}"));
}

#[test]
fn what_the_api_refuses_is_said_in_words() {
    let code = |code: &str| vec![("x-error-code", code.to_string())];
    for (status, headers, word) in [
        (401, code("GatedRepo"), "accept them at"),
        (401, code("RepoNotFound"), "not found"),
        (404, vec![], "not found"),
        (403, vec![], "refused"),
        (429, vec![("retry-after", "7".to_string())], "wait"),
        (500, vec![], "500"),
    ] {
        let hub = TestHub::new();
        hub.server
            .rule(move |_, _| Answer::Status(status, headers.clone()));
        let message = hub.repository().unwrap_err().to_string();
        assert!(message.contains(word), "{status}: {message}");
    }
    let hub = TestHub::new();
    hub.server
        .put("/api/models/org/model/revision/main", b"<html>".to_vec());
    assert!(
        hub.repository()
            .unwrap_err()
            .to_string()
            .contains("makes no sense")
    );
    let mut environment = hub.environment();
    environment.offline = true;
    let search = block_on(Hub::new(environment).unwrap().search("x", 1));
    assert!(search.unwrap_err().to_string().contains("HF_HUB_OFFLINE"));
}

#[test]
fn headers_alone_show_a_gguf_as_the_whole_file_would() {
    for name in ["qwen3_next-tiny.gguf", "qwen3_moe-types.gguf"] {
        let bytes = fixture(&format!("gguf/{name}"));
        let mut hub = TestHub::new();
        hub.file(name, &bytes, true);
        hub.ready();
        shows_the_same(&hub, &bytes, 1);
    }
}

#[test]
fn headers_alone_show_a_split_gguf() {
    let mut hub = TestHub::new();
    let mut all = Vec::new();
    for part in 1..=3 {
        let name = format!("qwen3_next-tiny-split-{part:05}-of-00003.gguf");
        let bytes = fixture(&format!("gguf/{name}"));
        hub.file(&name, &bytes, true);
        all.extend(bytes);
    }
    hub.ready();
    shows_the_same(&hub, &all, 3);
}

#[test]
fn headers_alone_show_safetensors() {
    let mut hub = TestHub::new();
    let mut all = Vec::new();
    let parts = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ];
    for name in parts {
        let bytes = fixture(&format!("qwen3_next-realdims/{name}"));
        hub.file(name, &bytes, true);
        all.extend(bytes);
    }
    for name in [
        "config.json",
        "model.safetensors.index.json",
        "tokenizer.json",
    ] {
        hub.file(
            name,
            &fixture(&format!("qwen3_next-realdims/{name}")),
            false,
        );
    }
    hub.ready();
    shows_the_same(&hub, &all, 2);
}

/// Looks, compares with the weights' real size, and fetches; the tensors are the
/// same both times.
fn shows_the_same(hub: &TestHub, weights: &[u8], files: usize) {
    let repository = hub.repository().unwrap();
    let variants = variants(&repository, &Supported::default());
    let selection = variants[0].selection(&repository);
    let stand_in = block_on(look(&hub.fetcher(), &selection, &Stop::default())).unwrap();
    let seen = Checkpoint::open(stand_in.path()).unwrap();
    assert_eq!(
        seen.files().map(|(_, bytes)| bytes).sum::<u64>(),
        weights.len() as u64
    );
    assert_eq!(seen.files().count(), files);
    let (progress, stop) = (PullProgress::new(&selection), Stop::default());
    let path = block_on(pull(&hub.fetcher(), &selection, &progress, &stop)).unwrap();
    let fetched = Checkpoint::open(&path).unwrap();
    let described = |c: &Checkpoint| format!("{:?}", c.tensors());
    assert_eq!(described(&seen), described(&fetched));
    assert_eq!(progress.read().present, selection.bytes());
    // What is here is looked at without a single request.
    let before = hub.server.requests().len();
    let again = block_on(look(&hub.fetcher(), &selection, &Stop::default())).unwrap();
    let again = Checkpoint::open(again.path()).unwrap();
    assert_eq!(described(&again), described(&fetched));
    assert_eq!(hub.server.requests().len(), before);
}

#[test]
fn a_look_takes_little_of_a_large_file() {
    let mut hub = TestHub::new();
    let header = br#"{"a":{"dtype":"F32","shape":[2097152],"data_offsets":[0,8388608]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes.extend(noise(8 << 20, 3));
    hub.file("model.safetensors", &bytes, true);
    hub.file("config.json", b"{}", false);
    hub.ready();
    let repository = hub.repository().unwrap();
    let selection = variants(&repository, &Supported::default())[0].selection(&repository);
    let before = hub.server.sent();
    let stand_in = block_on(look(&hub.fetcher(), &selection, &Stop::default())).unwrap();
    assert!(hub.server.sent() - before < 1000);
    let weights = stand_in.folder().join("model.safetensors");
    assert_eq!(
        std::fs::metadata(weights).unwrap().len(),
        bytes.len() as u64
    );
}

#[test]
fn hostile_headers_are_refused_in_words() {
    for bytes in [
        [u64::MAX.to_le_bytes().as_slice(), b"{}"].concat(),
        b"<html>not found</html>".repeat(100),
        b"GGUF\x03\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x7f".to_vec(),
        vec![0; 100_000],
    ] {
        for name in ["model.gguf", "model.safetensors"] {
            let mut hub = TestHub::new();
            hub.file(name, &bytes, true);
            hub.file("config.json", b"{}", false);
            hub.ready();
            let repository = hub.repository().unwrap();
            let selection = variants(&repository, &Supported::default())[0].selection(&repository);
            match block_on(look(&hub.fetcher(), &selection, &Stop::default())) {
                Ok(stand_in) => assert!(Checkpoint::open(stand_in.path()).is_err()),
                Err(error) => assert!(error.to_string().contains(name), "{error}"),
            }
        }
    }
}

#[test]
fn a_fetched_model_is_listed_verified_and_removed() {
    let mut hub = TestHub::new();
    for (name, seed) in [("model-Q4_K_M.gguf", 1), ("model-Q8_0.gguf", 2)] {
        hub.file(name, &noise(3_000_000, seed), true);
    }
    hub.file("README.md", b"---\nlicense: mit\n---\n# Hello\n", false);
    hub.ready();
    let repository = hub.repository().unwrap();
    let fetcher = hub.fetcher();
    assert_eq!(block_on(card(&fetcher, &repository)).unwrap(), "# Hello");
    let mut paths = Vec::new();
    for variant in variants(&repository, &Supported::default()) {
        let selection = variant.selection(&repository);
        assert_eq!(selection.present(&fetcher.cache), 0);
        let progress = PullProgress::new(&selection);
        paths.push(block_on(pull(&fetcher, &selection, &progress, &Stop::default())).unwrap());
        assert_eq!(selection.present(&fetcher.cache), 3_000_000);
    }
    let models = scan(&fetcher.cache, &[hub.cache.path().into()]);
    let names: Vec<_> = models.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["org/model: model-Q4_K_M", "org/model: model-Q8_0"]);
    assert!(models.iter().all(|m| m.bytes == 3_000_000 && !m.incomplete));

    let check = |path: &Path| verify(path, &Default::default(), &Stop::default()).unwrap();
    assert_eq!(
        (check(&paths[0]).good, check(&paths[0]).damaged.len()),
        (1, 0)
    );
    let blob = std::fs::canonicalize(&paths[0]).unwrap();
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[1_234_567] ^= 4;
    std::fs::write(&blob, bytes).unwrap();
    assert_eq!(check(&paths[0]).damaged, [paths[0].clone()]);

    let doomed = removal(&fetcher.cache, &paths[0]).unwrap();
    assert!(
        doomed.bytes >= 3_000_000 && doomed.bytes < 3_100_000,
        "{}",
        doomed.bytes
    );
    doomed.carry_out(&fetcher.cache).unwrap();
    assert!(!blob.exists() && !paths[0].exists() && paths[1].exists());
    assert_eq!(scan(&fetcher.cache, &[]).len(), 1);
    let elsewhere = hub.cache.path().join("mine.gguf");
    std::fs::write(&elsewhere, "x").unwrap();
    let refused = removal(&fetcher.cache, &elsewhere).unwrap_err().to_string();
    assert!(refused.contains("not in the model cache") && elsewhere.exists());
}

#[test]
fn other_apps_folders_are_looked_through() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, bytes: usize| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![0; bytes]).unwrap();
    };
    write("publisher/model/big-Q8_0-00001-of-00002.gguf", 10);
    write("publisher/model/big-Q8_0-00002-of-00002.gguf", 20);
    write("publisher/model/half-00001-of-00002.gguf", 1);
    write("publisher/model/mmproj-F16.gguf", 1);
    write("hf/config.json", 1);
    write("hf/model.safetensors", 5);
    write(".hidden/x.gguf", 1);
    std::os::unix::fs::symlink(folder.path(), folder.path().join("circle")).unwrap();
    let cache = moestro_hub::Cache::new(folder.path().join("no-cache"));
    let found = scan(&cache, &[folder.path().into()]);
    let seen: Vec<_> = found
        .iter()
        .map(|m| (m.name.as_str(), m.bytes, m.incomplete))
        .collect();
    assert_eq!(
        seen,
        [("big-Q8_0", 30, false), ("half", 1, true), ("hf", 5, false)]
    );
}
