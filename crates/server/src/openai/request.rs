//! Fields that requests have in common, checked and turned into the engine's.

use std::collections::BTreeMap;

use moestro_engine::protocol::{GenerateRequest, Prompt, SamplingOverrides};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::ApiError;
use crate::limits::{CHOICES, STOP_BYTES, STOPS, VARIABLE_BYTES, VARIABLES};

/// How to choose tokens and when to stop.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Common {
    pub model: Option<String>,
    #[serde(flatten)]
    pub sampling: SamplingOverrides,
    /// Not among the above, because it may be negative.
    pub seed: Option<i64>,
    pub n: Option<u32>,
    pub stop: Stops,
    pub logit_bias: Option<BTreeMap<String, f32>>,
    pub max_tokens: MostTokens,
    pub max_completion_tokens: MostTokens,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub user: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StreamOptions {
    pub include_usage: Option<bool>,
}

/// How long an answer may be. Some clients write "as long as it gets" as -1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct MostTokens(pub Option<u64>);

impl<'de> Deserialize<'de> for MostTokens {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        match (value.as_u64(), value.as_i64()) {
            (Some(n), _) => Ok(MostTokens(Some(n))),
            (None, Some(-1)) => Ok(MostTokens(Some(u64::MAX))),
            _ if value.is_null() => Ok(MostTokens(None)),
            _ => Err(serde::de::Error::custom(
                "the most tokens must be a whole number, or -1 for as many as it takes",
            )),
        }
    }
}

/// One text, several or none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(untagged)]
pub enum Stops {
    #[default]
    None,
    One(String),
    Many(Vec<String>),
}

impl Stops {
    pub fn list(&self) -> Vec<String> {
        match self {
            Stops::None => Vec::new(),
            Stops::One(stop) => vec![stop.clone()],
            Stops::Many(stops) => stops.clone(),
        }
    }
}

impl Common {
    pub fn streams(&self) -> bool {
        self.stream.unwrap_or(false)
    }

    pub fn wants_usage(&self) -> bool {
        let options = self.stream_options.as_ref();
        options.and_then(|o| o.include_usage).unwrap_or(false)
    }

    /// How many answers.
    pub fn choices(&self) -> Result<usize, ApiError> {
        match self.n.unwrap_or(1) as usize {
            n @ 1..=CHOICES => Ok(n),
            n => Err(ApiError::field(
                "n",
                format!("n is {n}, but must be from 1 to {CHOICES}"),
            )),
        }
    }

    /// The engine's request, `choice` answers after the first seed.
    pub fn request(&self, prompt: Prompt, choice: usize) -> Result<GenerateRequest, ApiError> {
        let stop = self.stop.list();
        if stop.len() > STOPS || stop.iter().any(|s| s.len() > STOP_BYTES) {
            return Err(ApiError::field(
                "stop",
                format!("at most {STOPS} stop texts of {STOP_BYTES} bytes are accepted"),
            ));
        }
        let max = self.max_completion_tokens.0.or(self.max_tokens.0);
        let seed = self.seed.map(|s| (s as u64).wrapping_add(choice as u64));
        Ok(GenerateRequest {
            prompt,
            sampling: SamplingOverrides {
                seed,
                ..self.sampling.clone()
            },
            max_tokens: max.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            stop,
            logit_bias: self.bias()?,
            client: self.user.iter().flat_map(|u| u.chars().take(64)).collect(),
            ..GenerateRequest::default()
        })
    }

    fn bias(&self) -> Result<BTreeMap<u32, f32>, ApiError> {
        let Some(bias) = &self.logit_bias else {
            return Ok(BTreeMap::new());
        };
        let entry = |(token, value): (&String, &f32)| match token.parse() {
            Ok(id) => Ok((id, *value)),
            Err(_) => Err(ApiError::field(
                "logit_bias",
                "logit_bias maps token ids, written as numbers, to values from -100 to 100",
            )),
        };
        bias.iter().map(entry).collect()
    }
}

/// Variables for the chat template, of bounded number and size. `effort` says whether to
/// think, unless they do.
pub fn template_variables(
    given: Option<Map<String, Value>>,
    effort: Option<&str>,
) -> Result<Map<String, Value>, ApiError> {
    let mut variables = given.unwrap_or_default();
    let bytes = |v: &Map<String, Value>| Value::Object(v.clone()).to_string().len();
    if variables.len() > VARIABLES || bytes(&variables) > VARIABLE_BYTES {
        return Err(ApiError::field(
            "chat_template_kwargs",
            format!(
                "at most {VARIABLES} variables of {VARIABLE_BYTES} bytes together are accepted"
            ),
        ));
    }
    if let Some(effort) = effort {
        let thinks = !matches!(effort, "none" | "minimal");
        variables
            .entry("enable_thinking")
            .or_insert(Value::Bool(thinks));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_end_of_an_answer_is_written_in_several_ways() {
        let read = |v: Value| serde_json::from_value::<MostTokens>(v).map(|most| most.0);
        assert_eq!(read(json!(7)).unwrap(), Some(7));
        assert_eq!(read(json!(-1)).unwrap(), Some(u64::MAX));
        assert_eq!(read(json!(null)).unwrap(), None);
        for wrong in [json!(-2), json!(1.5), json!("7"), json!([7])] {
            assert!(read(wrong.clone()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn effort_says_whether_to_think_unless_the_template_is_told() {
        let thinks = |effort: Option<&str>, given: Value| {
            let given = given.as_object().cloned();
            template_variables(given, effort)
                .unwrap()
                .remove("enable_thinking")
        };
        assert_eq!(thinks(None, json!(null)), None);
        assert_eq!(thinks(Some("none"), json!(null)), Some(json!(false)));
        assert_eq!(thinks(Some("high"), json!({})), Some(json!(true)));
        let told = json!({ "enable_thinking": false });
        assert_eq!(thinks(Some("high"), told), Some(json!(false)));
    }
}
