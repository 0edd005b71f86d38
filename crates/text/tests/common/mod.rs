//! The committed tokenizer and cases, made by `tools/reference` with Transformers.
#![allow(dead_code)] // each test binary uses a part

use std::path::PathBuf;

use moestro_text::{GgufVocabulary, Tokenizer};
use serde_json::Value;

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

pub fn read(name: &str) -> Vec<u8> {
    let path = fixtures().join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

pub fn json(name: &str) -> Value {
    serde_json::from_slice(&read(name)).unwrap()
}

pub fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(&read("tokenizer/tokenizer.json")).unwrap()
}

/// What llama.cpp's converter writes for the same tokenizer.
pub struct Metadata {
    pub tokens: Vec<String>,
    pub token_types: Vec<i32>,
    pub merges: Vec<String>,
}

impl Metadata {
    pub fn of_fixture() -> Metadata {
        let file = json("tokenizer/tokenizer.json");
        let vocabulary = file["model"]["vocab"].as_object().unwrap();
        let added = file["added_tokens"].as_array().unwrap();
        let size = vocabulary.len() + added.len();
        let mut tokens: Vec<String> = (0..size).map(|id| format!("[PAD{id}]")).collect();
        let mut token_types = vec![5; size];
        for (token, id) in vocabulary {
            tokens[id.as_u64().unwrap() as usize] = token.clone();
            token_types[id.as_u64().unwrap() as usize] = 1;
        }
        for token in added {
            let id = token["id"].as_u64().unwrap() as usize;
            tokens[id] = token["content"].as_str().unwrap().to_string();
            token_types[id] = if token["special"].as_bool().unwrap() {
                3
            } else {
                4
            };
        }
        let merges = file["model"]["merges"].as_array().unwrap();
        let merges = merges
            .iter()
            .map(|pair| {
                format!(
                    "{} {}",
                    pair[0].as_str().unwrap(),
                    pair[1].as_str().unwrap()
                )
            })
            .collect();
        Metadata {
            tokens,
            token_types,
            merges,
        }
    }

    pub fn vocabulary(self) -> GgufVocabulary<'static> {
        GgufVocabulary {
            model: "gpt2",
            pre: Some("qwen2"),
            tokens: self.tokens,
            token_types: self.token_types,
            merges: self.merges,
        }
    }
}

/// A small generator (Steele, Lea and Flood 2014, SplitMix64): tests repeat.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1u64 << 24) as f32
    }
}
