//! What is remembered of a model's routing from one run to the next.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Tokens beyond which old ones fade, so that a profile follows its user.
const MOST_TOKENS: u64 = 50_000;
const MOST_LAYERS: usize = 4096;
const MOST_EXPERTS: usize = 1 << 16;

#[derive(Debug, Error)]
pub enum ProfileError {
    #[error("is not a profile: {0}")]
    Json(#[from] serde_json::Error),
    #[error("is a profile of another model or quantization")]
    OtherModel,
    #[error("holds sizes out of range")]
    Sizes,
}

/// How often each expert was used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// What identifies the model and its quantization.
    pub model: String,
    /// Tokens that the uses come from.
    pub tokens: u64,
    pub layers: Vec<LayerProfile>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LayerProfile {
    pub uses: Vec<u32>,
    /// Share of the next layer's experts that its router named early; `None` if
    /// that was not measured.
    #[serde(default)]
    pub look_ahead: Option<f64>,
}

impl Profile {
    pub fn new(model: &str, layers: usize, experts: usize) -> Profile {
        let layer = LayerProfile {
            uses: vec![0; experts],
            look_ahead: None,
        };
        Profile {
            model: model.to_string(),
            tokens: 0,
            layers: vec![layer; layers],
        }
    }

    /// Reads a profile of this very model.
    pub fn parse(
        json: &[u8],
        model: &str,
        layers: usize,
        experts: usize,
    ) -> Result<Profile, ProfileError> {
        let profile: Profile = serde_json::from_slice(json)?;
        if profile.layers.len() > MOST_LAYERS
            || profile.layers.iter().any(|l| l.uses.len() > MOST_EXPERTS)
        {
            return Err(ProfileError::Sizes);
        }
        let same = profile.model == model
            && profile.layers.len() == layers
            && profile.layers.iter().all(|l| l.uses.len() == experts);
        if same {
            Ok(profile)
        } else {
            Err(ProfileError::OtherModel)
        }
    }

    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers and text can be written")
    }

    /// Adds `uses[layer][expert]` over `tokens` tokens.
    pub fn add(&mut self, uses: &[Vec<u32>], tokens: u64) {
        for (layer, more) in self.layers.iter_mut().zip(uses) {
            let pairs = layer.uses.iter_mut().zip(more);
            pairs.for_each(|(sum, more)| *sum = sum.saturating_add(*more));
        }
        self.tokens = self.tokens.saturating_add(tokens);
        while self.tokens > MOST_TOKENS {
            self.tokens /= 2;
            let all = self.layers.iter_mut().flat_map(|l| &mut l.uses);
            all.for_each(|u| *u /= 2);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tokens == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survives_a_file_and_refuses_others() {
        let mut p = Profile::new("m q4", 2, 3);
        p.add(&[vec![1, 2, 3], vec![0, 9, 0]], 3);
        let json = p.to_json();
        assert_eq!(Profile::parse(json.as_bytes(), "m q4", 2, 3).unwrap(), p);
        for (model, layers, experts) in [("m q8", 2, 3), ("m q4", 1, 3), ("m q4", 2, 4)] {
            assert!(Profile::parse(json.as_bytes(), model, layers, experts).is_err());
        }
        for cut in 0..json.len() {
            assert!(Profile::parse(&json.as_bytes()[..cut], "m q4", 2, 3).is_err());
        }
    }

    #[test]
    fn old_uses_fade() {
        let mut p = Profile::new("m", 1, 2);
        p.add(&[vec![40_000, 0]], 40_000);
        (0..5).for_each(|_| p.add(&[vec![0, 20_000]], 20_000));
        assert!(p.layers[0].uses[1] > p.layers[0].uses[0] && p.tokens <= MOST_TOKENS);
    }
}
