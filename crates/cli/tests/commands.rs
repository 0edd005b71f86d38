//! The `moestro` command as a person or a script runs it.

use std::path::PathBuf;
use std::process::{Command, Output};

use safetensors::SafeTensors;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures")
        .join(name)
}

fn moestro(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_moestro"))
        .args(arguments)
        .output()
        .expect("it runs")
}

fn succeed(arguments: &[&str]) -> String {
    let output = moestro(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8(output.stdout).expect("answers are whole characters")
}

fn fail(arguments: &[&str]) -> String {
    let output = moestro(arguments);
    assert!(!output.status.success(), "{arguments:?} should fail");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn tiny() -> String {
    fixture("qwen3_next-tiny").display().to_string()
}

fn values(bytes: &[u8], key: &str) -> (Vec<usize>, Vec<f32>) {
    let file = SafeTensors::deserialize(bytes).expect("safetensors");
    let tensor = file.tensor(key).expect(key);
    let numbers = tensor.data().chunks_exact(4);
    let numbers = numbers
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect();
    (tensor.shape().to_vec(), numbers)
}

#[test]
fn generate_streams_and_a_seed_repeats_itself() {
    let base = [
        "generate",
        "--model",
        &tiny(),
        "What is 2+2?",
        "--max-tokens",
        "24",
    ];
    let with = |more: &[&str]| succeed(&[&base[..], more].concat());
    let greedy = with(&["--temperature", "0"]);
    assert!(greedy.len() > 10, "{greedy:?}");
    assert_eq!(
        greedy,
        with(&["--temperature", "0", "--experts-per-layer", "1"])
    );
    assert_eq!(
        with(&["--seed", "7"]),
        with(&["--seed", "7", "--threads", "1"])
    );
    assert_ne!(with(&["--seed", "7"]), with(&["--seed", "8"]));
    assert_ne!(
        greedy,
        with(&["--temperature", "0", "--raw"]),
        "raw skips the template"
    );
    assert_ne!(
        greedy,
        with(&["--temperature", "0", "--system", "Be brief."])
    );

    let stop: String = greedy.chars().skip(5).take(3).collect();
    let stopped = with(&["--temperature", "0", "--stop", &stop]);
    assert!(
        !stopped.contains(&stop) && greedy.starts_with(stopped.trim_end()),
        "{stopped:?}"
    );
}

#[test]
fn logits_writes_what_the_reference_holds() {
    let reference = std::fs::read(fixture("qwen3_next-tiny/reference/short.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&reference).unwrap();
    let integers = |key: &str, width: usize| -> Vec<u64> {
        let data = file.tensor(key).unwrap();
        let numbers = data.data().chunks_exact(width);
        numbers
            .map(|b| b.iter().rev().fold(0, |n, x| n << 8 | u64::from(*x)))
            .collect()
    };
    let ids: Vec<String> = integers("input_ids", 4)
        .iter()
        .map(u64::to_string)
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("logits.safetensors");
    let out_name = out.display().to_string();
    succeed(&[
        "logits",
        "--model",
        &tiny(),
        "--tokens",
        &ids.join(","),
        "--output",
        &out_name,
    ]);

    let (shape, got) = values(&std::fs::read(&out).unwrap(), "logits");
    let (_, wanted) = values(&reference, "logits");
    assert_eq!(shape[0], ids.len());
    for (row, position) in integers("logits_pos", 4).iter().enumerate() {
        for v in 0..shape[1] {
            let difference = got[*position as usize * shape[1] + v] - wanted[row * shape[1] + v];
            assert!(
                difference.abs() < 1e-4,
                "position {position}, token {v}: {difference}"
            );
        }
    }
}

#[test]
fn perplexity_of_a_text_is_finite_and_the_same_in_any_window_that_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.txt");
    std::fs::write(
        &text,
        "The quick brown fox jumps over the lazy dog. ".repeat(8),
    )
    .unwrap();
    let text = text.display().to_string();
    let run = |context: &str| {
        succeed(&[
            "perplexity",
            "--model",
            &tiny(),
            "--file",
            &text,
            "--context",
            context,
        ])
    };
    let figure = |said: &str| said.split(' ').nth(1).and_then(|n| n.parse::<f64>().ok());
    let whole = figure(&run("1024")).expect("a number");
    assert!(whole.is_finite() && whole > 1.0);
    assert_eq!(figure(&run("2048")), Some(whole));
    assert_ne!(figure(&run("16")), Some(whole), "short windows forget");
}

#[test]
fn plan_shows_every_byte_in_a_table_and_in_json() {
    let table = succeed(&["plan", "--model", &tiny(), "--experts-per-layer", "3"]);
    assert!(table.contains("3 of 8 experts per layer"), "{table}");
    assert!(
        table.contains("shared experts") && table.contains("It fits."),
        "{table}"
    );
    let plan = [
        "plan",
        "--model",
        &tiny(),
        "--vram",
        "14GB",
        "--ram",
        "90GB",
        "--json",
    ];
    let json: serde_json::Value = serde_json::from_str(&succeed(&plan)).unwrap();
    let rows = json["rows"].as_array().unwrap();
    assert!(
        rows.iter()
            .any(|r| r["tier"] == "vram" && r["component"] == "attention")
    );
    assert_eq!(json["tiers"][0]["budget"], 14_000_000_000u64);
    let refused = succeed(&["plan", "--model", &tiny(), "--ram", "1KB"]);
    assert!(
        refused.contains("It does not fit.") && refused.contains("at least"),
        "{refused}"
    );
}

#[test]
fn a_profile_shows_the_routing_and_its_recording_can_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let routes = folder.path().join("routes").display().to_string();
    let text = folder.path().join("text.txt");
    std::fs::write(&text, "The quick brown fox jumps over the lazy dog.").unwrap();
    let text = text.display().to_string();
    let model = tiny();
    let profile = |more: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_moestro"))
            .args([
                "profile",
                "--model",
                &model,
                "--samples",
                "2",
                "--max-tokens",
                "16",
            ])
            .args(["--text", &text, "--record", &routes])
            .args(more)
            .env("XDG_DATA_HOME", &data)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let table = profile(&[]);
    for word in ["look-ahead", "static", "lru", "learned", "top 10%"] {
        assert!(table.contains(word), "{table}");
    }
    let json: serde_json::Value = serde_json::from_str(&profile(&["--json"])).unwrap();
    let share = |v: &serde_json::Value| v.as_f64().is_some_and(|v| (0.0..=1.0).contains(&v));
    let layers = json["layers"].as_array().unwrap();
    assert!(
        layers
            .iter()
            .all(|l| share(&l["top_tenth"]) && share(&l["reuse"]))
    );
    assert!(
        layers[1..].iter().all(|l| share(&l["look_ahead"])),
        "{json}"
    );
    for curve in json["curves"].as_array().unwrap() {
        let rates = curve["hit_rates"].as_array().unwrap();
        assert!(rates.iter().all(share));
    }
    let kept: Vec<_> = std::fs::read_dir(folder.path().join("data/moestro/profiles"))
        .unwrap()
        .collect();
    assert_eq!(kept.len(), 1, "one profile per model");

    let plan: serde_json::Value =
        serde_json::from_str(&succeed(&["plan", "--model", &model, "--json"])).unwrap();
    let (least, most) = (
        plan["ram_min"].as_u64().unwrap(),
        plan["ram_max"].as_u64().unwrap(),
    );
    // The program itself takes more while it runs than while it plans.
    let budget = |share: u64| (least + (64 << 20) + (most - least) * share / 4).to_string();
    let run = [
        "replay", "--model", &model, "--tokens", "32", "--settle", "4", "--json",
    ];
    let more = [
        "--routes",
        &routes,
        "--ram",
        &budget(1),
        "--budgets",
        &budget(4),
    ];
    let json: serde_json::Value =
        serde_json::from_str(&succeed(&[&run[..], &more[..]].concat())).unwrap();
    let sizes = json["sizes"].as_array().unwrap();
    assert_eq!(sizes.len(), 2);
    assert!(
        sizes
            .iter()
            .all(|s| s["tokens_per_second"].as_f64().unwrap() > 0.0)
    );
    assert!(sizes[1]["predicted"].as_f64().unwrap() > 0.0);

    std::fs::write(folder.path().join("not-routes"), "x").unwrap();
    let wrong = folder.path().join("not-routes").display().to_string();
    let said = fail(&["replay", "--model", &model, "--routes", &wrong]);
    assert!(
        said.contains("not-routes") || said.contains("moestro profile"),
        "{said}"
    );
}

#[test]
fn a_batch_answers_every_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prompts.txt");
    std::fs::write(&file, "What is 2+2?\n\nSpell cat.\nWhat is 2+3?\n").unwrap();
    let file = file.display().to_string();
    let model = tiny();
    let options = ["--model", &model, "--temperature", "0", "--max-tokens", "8"];
    let answers = succeed(&[&["generate", "--batch", &file][..], &options].concat());
    let answers: Vec<serde_json::Value> = answers
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut lines: Vec<u64> = answers
        .iter()
        .map(|a| a["line"].as_u64().unwrap())
        .collect();
    lines.sort_unstable();
    assert_eq!(lines, [1, 3, 4]);
    let alone = succeed(&[&["generate", "Spell cat."][..], &options].concat());
    let together = answers.iter().find(|a| a["line"] == 3).unwrap();
    assert_eq!(
        together["answer"].as_str().unwrap(),
        alone.trim_end_matches('\n')
    );

    let empty = folder.path().join("empty.txt");
    std::fs::write(&empty, "\n").unwrap();
    let said = fail(&[
        "generate",
        "--batch",
        &empty.display().to_string(),
        "--model",
        &model,
    ]);
    assert!(said.contains("one per line"), "{said}");
}

#[test]
fn mistakes_are_named_with_the_way_out() {
    let said = fail(&["generate", "--model", "/nowhere/x.gguf", "hi"]);
    assert!(said.contains("/nowhere/x.gguf"), "{said}");
    let said = fail(&["generate", "--model", &tiny(), "hi", "--top-p", "2"]);
    assert!(said.contains("top_p"), "{said}");
    let said = fail(&["generate", "--model", &tiny(), "--raw", ""]);
    assert!(said.contains("prompt is empty"), "{said}");
    let said = fail(&[
        "logits",
        "--model",
        &tiny(),
        "--tokens",
        "99999",
        "--output",
        "never-written.safetensors",
    ]);
    assert!(
        said.contains("99999") && said.contains("vocabulary"),
        "{said}"
    );
    let said = fail(&["plan", "--model", &tiny(), "--ram", "a lot"]);
    assert!(said.contains("not a size"), "{said}");
}

#[test]
fn a_synthetic_model_loads_and_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    for like in ["qwen3-next-80b", "qwen3-30b-a3b"] {
        let model = folder
            .path()
            .join(format!("{like}.gguf"))
            .display()
            .to_string();
        let shape = ["--layers", "1", "--experts", "12"];
        succeed(&[&["synthesize", "--like", like][..], &shape, &[&model]].concat());
        let run = [
            "bench",
            "--model",
            &model,
            "--prompt",
            "4",
            "--generate",
            "2",
        ];
        let json = succeed(&[&run[..], &["--repeat", "1", "--format", "json"]].concat());
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let figures = json["figures"].as_array().unwrap();
        assert!(figures.len() > 10);
        assert!(
            figures
                .iter()
                .all(|f| f["value"].as_f64().is_some_and(|v| v > 0.0)),
            "{json}"
        );
    }
    let nowhere = folder
        .path()
        .join("no/such/folder/x.gguf")
        .display()
        .to_string();
    let said = fail(&["synthesize", "--layers", "1", "--experts", "12", &nowhere]);
    assert!(said.contains("no/such/folder"), "{said}");
}

/// Packed weights of real row lengths take about as much memory as in their files.
#[test]
fn packed_weights_are_as_large_in_memory_as_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    for packing in ["bf16", "bnb-nf4", "fp8", "gptq-int4"] {
        let model = folder.path().join(packing);
        let name = model.display().to_string();
        let shape = ["--layers", "1", "--experts", "12", "--vocabulary", "512"];
        let kind = ["--format", "safetensors", "--packing", packing];
        succeed(&[&["synthesize"][..], &kind, &shape, &[&name]].concat());
        let ask = ["generate", "the", "--raw", "--max-tokens", "2", "--model"];
        succeed(&[&ask[..], &[&name]].concat());

        let shards = std::fs::read_dir(&model)
            .unwrap()
            .map(|e| e.unwrap().path());
        let shards = shards.filter(|p| p.extension().is_some_and(|e| e == "safetensors"));
        let stored: u64 = shards.map(|p| p.metadata().unwrap().len()).sum();
        let plan = succeed(&["plan", "--model", &name, "--json"]);
        let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
        let others = ["session_state", "activations", "program", "read_buffers"];
        let rows = plan["rows"].as_array().unwrap().iter();
        let weights = rows.filter(|row| !others.iter().any(|other| row["component"] == *other));
        let kept: u64 = weights.map(|row| row["bytes"].as_u64().unwrap()).sum();
        let share = kept as f64 / stored as f64;
        println!("{packing}: {kept} of {stored} bytes, {share:.3}");
        assert!((0.9..1.1).contains(&share), "{packing}: {share}");
    }
}
