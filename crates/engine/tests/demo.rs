//! The demo model answers as its card says: template, tokens and text equal those
//! of Hugging Face Transformers on the same dequantized weights.

use std::path::Path;

use moestro_engine::protocol::{GenerateRequest, Message, Prompt, SamplingOverrides};
use moestro_engine::{Cancel, Engine, Generation, LoadOptions, Step, hardware};
use serde_json::Value;

#[test]
fn answers_equal_the_references() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/demo");
    let model = folder.join("moestro-demo.gguf");
    assert!(
        std::fs::metadata(&model).unwrap().len() <= 20_000_000,
        "it is kept in the repository"
    );
    let options = LoadOptions {
        threads: Some(2),
        ..LoadOptions::default()
    };
    let mut engine = Engine::load(
        &model,
        &options,
        hardware::probe(),
        &Cancel::new(),
        &mut |_, _, _| {},
    )
    .unwrap();
    assert!(engine.info.layers >= 8 && engine.info.experts_per_layer >= 32);
    assert_eq!(engine.info.architecture, "qwen3_next");

    let reference = std::fs::read(folder.join("reference.json")).unwrap();
    let reference: Value = serde_json::from_slice(&reference).unwrap();
    let ids = |v: &Value| -> Vec<u32> { serde_json::from_value(v.clone()).unwrap() };
    let end = reference["end_token"].as_u64().unwrap() as u32;
    let cases = reference["cases"].as_array().unwrap();
    assert!(cases.len() >= 5);
    // One session for all: what is reused must not change an answer either.
    let mut session = engine.session().unwrap();
    for case in cases {
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let request = GenerateRequest {
            prompt: Prompt::chat(messages),
            sampling: SamplingOverrides {
                temperature: Some(0.0),
                ..SamplingOverrides::default()
            },
            max_tokens: Some(64),
            ..GenerateRequest::default()
        };
        let mut answer = Generation::new(&engine, &mut session, &request).unwrap();
        assert_eq!(
            answer.prompt(),
            ids(&case["prompt_ids"]),
            "{}",
            case["messages"]
        );
        let mut text = String::new();
        loop {
            match answer
                .step(&mut engine, &mut session, &Cancel::new())
                .unwrap()
            {
                Step::Token { text: more, .. } => text += &more,
                Step::Finished { text: more, .. } => {
                    text += &more;
                    break;
                }
                Step::Prefill { .. } => {}
            }
        }
        let generated: Vec<u32> = answer
            .generated()
            .iter()
            .copied()
            .filter(|id| *id != end)
            .collect();
        assert_eq!(generated, ids(&case["greedy_ids"]), "{}", case["messages"]);
        assert_eq!(text, case["text"].as_str().unwrap());
    }
}
