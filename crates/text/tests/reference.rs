//! The same tokens, texts and prompts as Transformers, exactly.

mod common;

use common::{Metadata, json, tokenizer};
use moestro_text::{ChatTemplate, Message, SpecialTokens, TemplateOptions, Tokenizer};
use serde_json::Value;

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| id.as_u64().unwrap() as u32)
        .collect()
}

fn check_cases(tokenizer: &Tokenizer) {
    let cases = json("tokenizer_cases.json");
    let encode = cases["encode"].as_array().unwrap();
    assert!(encode.len() >= 15);
    for case in encode {
        let text = case["text"].as_str().unwrap();
        let expected = ids(&case["ids"]);
        assert_eq!(tokenizer.encode(text).unwrap(), expected, "{text:?}");
        assert_eq!(
            tokenizer.decode(&expected, false).unwrap(),
            case["decoded"],
            "{text:?}"
        );
        let shown = tokenizer.decode(&expected, true).unwrap();
        assert_eq!(shown, case["decoded_skip_special"], "{text:?}");
    }
}

fn check_chats(tokenizer: &Tokenizer) {
    let config = json("tokenizer/tokenizer_config.json");
    let special = SpecialTokens {
        bos: config["bos_token"].as_str().map(String::from),
        eos: config["eos_token"].as_str().map(String::from),
        pad: config["pad_token"].as_str().map(String::from),
    };
    let template = ChatTemplate::new(config["chat_template"].as_str().unwrap(), special).unwrap();
    let cases = json("tokenizer_cases.json");
    let chats = cases["chat"].as_array().unwrap();
    assert!(chats.len() >= 7);
    for case in chats {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let options = TemplateOptions {
            add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap(),
            tools: case.get("tools").cloned(),
            enable_thinking: case.get("enable_thinking").and_then(Value::as_bool),
            ..TemplateOptions::default()
        };
        let text = template.render(&messages, &options).unwrap();
        assert_eq!(text, case["expected"].as_str().unwrap());
        assert_eq!(
            tokenizer.encode(&text).unwrap(),
            ids(&case["ids"]),
            "{text}"
        );
    }
}

#[test]
fn tokenizer_json_matches() {
    check_cases(&tokenizer());
    check_chats(&tokenizer());
}

#[test]
fn the_tokenizer_rebuilt_from_gguf_matches() {
    let rebuilt = Tokenizer::from_gguf(Metadata::of_fixture().vocabulary()).unwrap();
    check_cases(&rebuilt);
    check_chats(&rebuilt);
    let read = tokenizer();
    assert_eq!(rebuilt.vocab_size(), read.vocab_size());
    for id in 0..read.vocab_size() as u32 {
        assert_eq!(rebuilt.piece(id), read.piece(id), "{id}");
        assert_eq!(rebuilt.is_special(id), read.is_special(id), "{id}");
    }
}

#[test]
fn decoding_is_what_the_tokenizers_crate_decodes() {
    let own = tokenizer();
    let theirs =
        tokenizers::Tokenizer::from_bytes(common::read("tokenizer/tokenizer.json")).unwrap();
    let mut random = common::Random(1);
    for _ in 0..300 {
        let count = random.below(40);
        let ids: Vec<u32> = (0..count)
            .map(|_| random.below(own.vocab_size() + 20) as u32)
            .collect();
        for skip in [false, true] {
            let expected = theirs.decode(&ids, skip).unwrap();
            assert_eq!(own.decode(&ids, skip).unwrap(), expected, "{ids:?}");
        }
    }
}

#[test]
fn tokens_by_name_and_id() {
    let tokenizer = tokenizer();
    let end = tokenizer.token_id("<|im_end|>").unwrap();
    assert!(tokenizer.is_special(end));
    assert_eq!(tokenizer.piece(end).as_deref(), Some("<|im_end|>"));
    let think = tokenizer.token_id("<think>").unwrap();
    assert!(!tokenizer.is_special(think));
    assert_eq!(tokenizer.token_id("no such token"), None);
    assert_eq!(tokenizer.piece(u32::MAX), None);
    assert!(!tokenizer.is_special(u32::MAX));
    assert_eq!(tokenizer.vocab_size(), 2016);
}

#[test]
fn the_fallback_template_is_chatml() {
    let messages = [
        Message::new("system", "Be brief."),
        Message::new("user", "Hi\n"),
    ];
    let options = TemplateOptions {
        add_generation_prompt: true,
        ..Default::default()
    };
    assert_eq!(
        ChatTemplate::chatml().render(&messages, &options).unwrap(),
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi\n<|im_end|>\n\
         <|im_start|>assistant\n"
    );
}
