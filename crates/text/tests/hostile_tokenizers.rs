//! Damaged and hostile vocabularies give an error that names the problem.

mod common;

use common::Metadata;
use moestro_text::{TextError, Tokenizer};
use serde_json::{Value, json};

fn fixture() -> Value {
    common::json("tokenizer/tokenizer.json")
}

fn load(value: &Value) -> Result<Tokenizer, TextError> {
    Tokenizer::from_json(&serde_json::to_vec(value).unwrap())
}

/// The error's text, and no panic.
fn error(value: &Value) -> String {
    match load(value) {
        Ok(_) => panic!("accepted"),
        Err(error) => error.to_string(),
    }
}

fn with(path: &str, value: Value) -> Value {
    let mut file = fixture();
    *file.pointer_mut(path).unwrap() = value;
    file
}

#[test]
fn not_a_tokenizer() {
    for bytes in [
        &b""[..],
        b"{}",
        b"[1]",
        b"\xff\xfe",
        b"{\"model\": 3}",
        b"null",
        b"{\"a",
    ] {
        assert!(Tokenizer::from_json(bytes).is_err(), "{bytes:?}");
    }
    let mut cut = common::read("tokenizer/tokenizer.json");
    cut.truncate(cut.len() / 2);
    assert!(Tokenizer::from_json(&cut).is_err());
    let nested = "[".repeat(1 << 20);
    assert!(Tokenizer::from_json(nested.as_bytes()).is_err());
    let zeros = vec![b'0'; 10 << 20];
    assert!(Tokenizer::from_json(&zeros).is_err());
}

#[test]
fn patterns_that_backtrack_are_refused() {
    for pattern in [
        r"(a+)+\1$",
        r"(?=(a+)+b)a",
        r"(?<!x)(a|aa)+$",
        r"(?>a+)",
        r"(",
        r"[z-a]",
        r"\p{NoSuch}",
        r"a{1000}{1000}{1000}",
    ] {
        let text = error(&with(
            "/pre_tokenizer/pretokenizers/0/pattern/Regex",
            json!(pattern),
        ));
        assert!(text.contains("pattern"), "{pattern}: {text}");
    }
    let huge = "(a|b)".repeat(1 << 18);
    error(&with(
        "/pre_tokenizer/pretokenizers/0/pattern/Regex",
        json!(huge),
    ));
    // In a normalizer, too.
    let replace = json!({"type": "Replace", "pattern": {"Regex": r"(a*)*\1b"}, "content": ""});
    error(&with("/normalizer", replace));
    // Nested repetition without look-around is matched in linear time.
    let file = with(
        "/pre_tokenizer/pretokenizers/0/pattern/Regex",
        json!(r"(a+)+$|(a|a)*b"),
    );
    load(&file).unwrap().encode(&"a".repeat(100_000)).unwrap();
}

#[test]
fn wrong_types_and_ids() {
    error(&with("/model/vocab", json!([1, 2])));
    error(&with("/model/vocab", json!({})));
    error(&with("/model/vocab", json!({"a": -1})));
    error(&with("/model/vocab", json!({"a": 4294967296u64})));
    error(&with("/model/merges", json!([["no such", "token"]])));
    error(&with("/model/merges", json!(["onlyone"])));
    error(&with("/model/type", json!("WordPiece")));
    error(&with("/decoder", Value::Null));
    error(&with(
        "/decoder",
        json!({"type": "WordPiece", "prefix": "#", "cleanup": true}),
    ));
    error(&with("/pre_tokenizer", json!({"type": "Nonsense"})));
    let text = error(&with("/added_tokens/3/id", json!(77)));
    assert!(
        text.contains("<|object_ref_start|>") && text.contains("77"),
        "{text}"
    );
    let text = error(&with("/added_tokens/25/id", json!(4294967295u32)));
    assert!(text.contains("</think>"), "{text}");
    let mut shared = fixture();
    shared["model"]["vocab"]["!"] = json!(5);
    let text = error(&shared);
    assert!(text.contains("share the id 5"), "{text}");
    let mut far = fixture();
    far["model"]["vocab"]["!"] = json!(4_000_000_000u32);
    let text = error(&far);
    assert!(text.contains("4000000000"), "{text}");
}

#[test]
fn a_file_cannot_ask_for_padding_or_cuts() {
    let mut file = fixture();
    file["padding"] = json!({
        "strategy": {"Fixed": 1_000_000_000_000u64}, "direction": "Right",
        "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "x"
    });
    file["truncation"] =
        json!({"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0});
    assert_eq!(load(&file).unwrap().encode("Hello world").unwrap().len(), 7);
}

#[test]
fn every_prefix_and_many_changes_of_a_file_are_survived() {
    let bytes = common::read("tokenizer/tokenizer.json");
    let mut random = common::Random(21);
    for _ in 0..150 {
        let mut changed = bytes.clone();
        // The interesting parts are before and after the vocabulary.
        for _ in 0..1 + random.below(4) {
            let place = if random.below(2) == 0 {
                random.below(9000)
            } else {
                bytes.len() - 1 - random.below(9000)
            };
            changed[place] = b" {}[],:\"0123456789-aeu\\"[random.below(23)];
        }
        if let Ok(tokenizer) = Tokenizer::from_json(&changed) {
            let ids = tokenizer
                .encode("Hello <|im_start|> wörld 123 🙂")
                .unwrap_or_default();
            let _ = tokenizer.decode(&ids, true);
        }
    }
}

#[test]
fn texts_of_any_shape_are_encoded() {
    let tokenizer = common::tokenizer();
    for text in [
        " ".repeat(3_000_000),
        "\n".repeat(1_000_000),
        "a".repeat(1_000_000),
        "🙂".repeat(200_000),
        "e\u{301}".repeat(200_000),
        " \u{a0}".repeat(500_000),
    ] {
        let ids = tokenizer.encode(&text).unwrap();
        let shown: String = text.chars().take(3).collect();
        let decoded = tokenizer.decode(&ids, false).unwrap();
        if !text.contains('\u{301}') {
            assert!(decoded == text, "{shown:?} came back changed");
        }
    }
}

#[test]
fn gguf_vocabularies() {
    let refused = |change: fn(&mut moestro_text::GgufVocabulary), expected: &str| {
        let mut parts = Metadata::of_fixture().vocabulary();
        change(&mut parts);
        match Tokenizer::from_gguf(parts) {
            Ok(_) => panic!("accepted instead of {expected}"),
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(expected), "{text}");
            }
        }
    };
    refused(|p| p.model = "llama", "'llama'");
    refused(
        |p| p.pre = Some("future"),
        "'future' is unknown; known are qwen2",
    );
    refused(|p| p.pre = None, "(none given)");
    refused(|p| p.tokens.clear(), "0 tokens");
    refused(
        |p| {
            p.tokens.clear();
            p.token_types.clear();
            p.merges.clear();
        },
        "empty",
    );
    refused(|p| p.token_types.truncate(3), "3 entries");
    refused(|p| p.merges.push("nospace".into()), "'nospace'");
    refused(|p| p.merges.push("no such".into()), "merges");
    refused(|p| p.tokens[7] = p.tokens[8].clone(), "twice, as 7 and 8");
}
