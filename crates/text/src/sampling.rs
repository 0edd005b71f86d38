//! How the next token is chosen: the numbers a user can turn.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Result, TextError};

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
#[serde(default)]
pub struct Sampling {
    /// 0 always takes the likeliest token.
    pub temperature: f32,
    /// Keep this many of the likeliest tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the likeliest tokens that together have this probability; 1 keeps all.
    pub top_p: f32,
    /// Keep tokens at least this likely relative to the likeliest; 0 keeps all.
    pub min_p: f32,
    /// Divides the logits of tokens already in the text; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted once for a token already in the text; 0 is off.
    pub presence_penalty: f32,
    /// Subtracted for each time a token is in the text; 0 is off.
    pub frequency_penalty: f32,
    /// The same seed gives the same answer; `None` takes a new one each time.
    pub seed: Option<u64>,
}

impl Default for Sampling {
    /// The values Qwen recommends for its instruct models.
    fn default() -> Sampling {
        Sampling {
            temperature: 0.7,
            top_k: 20,
            top_p: 0.8,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            seed: None,
        }
    }
}

struct Field {
    name: &'static str,
    range: &'static str,
    accepts: fn(f32) -> bool,
}

const TEMPERATURE: Field = Field {
    name: "temperature",
    range: "from 0 to 10",
    accepts: |v| (0.0..=10.0).contains(&v),
};
const TOP_P: Field = Field {
    name: "top_p",
    range: "above 0, at most 1",
    accepts: |v| v > 0.0 && v <= 1.0,
};
const MIN_P: Field = Field {
    name: "min_p",
    range: "from 0 to 1",
    accepts: |v| (0.0..=1.0).contains(&v),
};
const REPETITION: Field = Field {
    name: "repetition_penalty",
    range: "above 0, at most 10",
    accepts: |v| v > 0.0 && v <= 10.0,
};
const PRESENCE: Field = Field {
    name: "presence_penalty",
    range: "from -2 to 2",
    accepts: |v| (-2.0..=2.0).contains(&v),
};
const FREQUENCY: Field = Field {
    name: "frequency_penalty",
    range: "from -2 to 2",
    accepts: |v| (-2.0..=2.0).contains(&v),
};

impl Sampling {
    /// Reads a model's `generation_config.json`. What is missing or out of range
    /// keeps its default; `do_sample: false` means temperature 0.
    pub fn from_generation_config(config: &Value) -> Sampling {
        let number = |field: Field, default: f32| {
            config
                .get(field.name)
                .and_then(Value::as_f64)
                .map(|v| v as f32)
                .filter(|v| (field.accepts)(*v))
                .unwrap_or(default)
        };
        let default = Sampling::default();
        let temperature = match config.get("do_sample").and_then(Value::as_bool) {
            Some(false) => 0.0,
            _ => number(TEMPERATURE, default.temperature),
        };
        let top_k = config.get("top_k").and_then(Value::as_u64);
        Sampling {
            temperature,
            top_k: top_k
                .and_then(|k| u32::try_from(k).ok())
                .unwrap_or(default.top_k),
            top_p: number(TOP_P, default.top_p),
            min_p: number(MIN_P, default.min_p),
            repetition_penalty: number(REPETITION, default.repetition_penalty),
            presence_penalty: number(PRESENCE, default.presence_penalty),
            frequency_penalty: number(FREQUENCY, default.frequency_penalty),
            seed: None,
        }
    }

    /// Errors: the first value out of range, by name.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            (TEMPERATURE, self.temperature),
            (TOP_P, self.top_p),
            (MIN_P, self.min_p),
            (REPETITION, self.repetition_penalty),
            (PRESENCE, self.presence_penalty),
            (FREQUENCY, self.frequency_penalty),
        ];
        match fields
            .into_iter()
            .find(|(field, value)| !(field.accepts)(*value))
        {
            None => Ok(()),
            Some((field, value)) => Err(TextError::Sampling {
                field: field.name,
                value: value.to_string(),
                range: field.range,
            }),
        }
    }
}
