//! Checked reading of configuration values: present, of the right kind, and
//! small enough that no product of two of them can overflow.

use moestro_checkpoint::{Checkpoint, GgufMetadata};
use serde_json::Value;

use crate::blueprint::{FeedForward, MoeShape};
use crate::error::{Result, config_error};

/// Largest dimension accepted; the largest known model uses about 2^18.
const LARGEST: u64 = 1 << 24;

/// Values of a config.json object.
pub struct Fields<'a>(pub &'a Value);

impl Fields<'_> {
    fn get(&self, key: &str) -> Option<&Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    /// A dimension of at least 1.
    pub fn size(&self, key: &str) -> Result<usize> {
        let value = self
            .get(key)
            .ok_or_else(|| config_error(key, "is missing from config.json"))?;
        bounded(
            key,
            value
                .as_u64()
                .ok_or_else(|| config_error(key, "is not a whole number"))?,
        )
    }

    /// `num_hidden_layers`, small enough to build a list of.
    pub fn layers(&self) -> Result<usize> {
        let layers = self.size("num_hidden_layers")?;
        if layers > super::MOST_LAYERS {
            let most = super::MOST_LAYERS;
            return Err(config_error(
                "num_hidden_layers",
                format!("is {layers}, at most {most}"),
            ));
        }
        Ok(layers)
    }

    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.get(key).is_some() {
            self.size(key)
        } else {
            Ok(default)
        }
    }

    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => finite(
                key,
                v.as_f64()
                    .ok_or_else(|| config_error(key, "is not a number"))?,
            ),
        }
    }

    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.get(key) {
            None => Ok(default),
            Some(v) => v
                .as_bool()
                .ok_or_else(|| config_error(key, "is neither true nor false")),
        }
    }

    /// A list of whole numbers; empty if absent.
    pub fn sizes(&self, key: &str) -> Result<Vec<usize>> {
        let Some(value) = self.get(key) else {
            return Ok(Vec::new());
        };
        let items = value
            .as_array()
            .ok_or_else(|| config_error(key, "is not a list"))?;
        items
            .iter()
            .map(|v| {
                v.as_u64()
                    .filter(|n| *n <= LARGEST)
                    .map(|n| n as usize)
                    .ok_or_else(|| config_error(key, "holds something that is not a layer number"))
            })
            .collect()
    }

    /// A list of strings, if present.
    pub fn strings(&self, key: &str) -> Result<Option<Vec<&str>>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let items = value
            .as_array()
            .ok_or_else(|| config_error(key, "is not a list"))?;
        items
            .iter()
            .map(|v| {
                v.as_str()
                    .ok_or_else(|| config_error(key, "holds something but names"))
            })
            .collect::<Result<Vec<_>>>()
            .map(Some)
    }

    /// The feed-forward block of a layer: experts, unless the configuration makes
    /// this layer dense.
    pub fn feed_forward(&self, layer: usize, experts: &MoeShape) -> Result<FeedForward> {
        let sparse_step = self.size_or("decoder_sparse_step", 1)?;
        let dense = self.sizes("mlp_only_layers")?.contains(&layer)
            || !(layer + 1).is_multiple_of(sparse_step);
        Ok(if dense {
            FeedForward::Dense {
                intermediate: self.size("intermediate_size")?,
            }
        } else {
            FeedForward::Experts(experts.clone())
        })
    }

    /// The value must be absent or equal to `only`: anything else changes the
    /// computation in a way the layers do not know.
    pub fn refuse_unless(&self, key: &str, only: &Value) -> Result<()> {
        match self.get(key) {
            Some(v) if v != only => Err(config_error(
                key,
                format!("is {v}, and only {only} is supported for this architecture"),
            )),
            _ => Ok(()),
        }
    }

    /// Base and rotated share, from the old top-level keys or from
    /// `rope_parameters` (Transformers 5). Scaled variants are refused.
    pub fn rope(&self, default_factor: f64) -> Result<(f64, f64)> {
        let parameters = self.get("rope_parameters");
        let nested = Fields(parameters.unwrap_or(&Value::Null));
        for (owner, key) in [(&nested, "rope_parameters"), (self, "rope_scaling")] {
            let scaling = if key == "rope_scaling" {
                self.get(key)
            } else {
                Some(owner.0)
            };
            let kind = scaling
                .and_then(|s| s.get("rope_type").or_else(|| s.get("type")))
                .and_then(Value::as_str);
            if let Some(kind) = kind
                && kind != "default"
            {
                return Err(config_error(
                    key,
                    format!("asks for `{kind}` position scaling, which is not supported yet"),
                ));
            }
        }
        let theta = nested.number_or("rope_theta", self.number_or("rope_theta", 10_000.0)?)?;
        let factor = nested.number_or(
            "partial_rotary_factor",
            self.number_or("partial_rotary_factor", default_factor)?,
        )?;
        if theta <= 1.0 || !(0.0..=1.0).contains(&factor) {
            return Err(config_error(
                "rope_theta",
                "or partial_rotary_factor is out of range",
            ));
        }
        Ok((theta, factor))
    }
}

/// Values of a GGUF file under `<architecture>.`.
pub struct GgufFields<'a> {
    pub meta: &'a GgufMetadata,
    pub prefix: &'static str,
}

impl GgufFields<'_> {
    fn key(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    pub fn size(&self, name: &str) -> Result<usize> {
        let key = self.key(name);
        let value = self
            .meta
            .u64(&key)?
            .ok_or_else(|| self.meta.missing(&key))?;
        bounded(&key, value)
    }

    /// `default` if the key is absent or 0, which GGUF writes for "not used".
    pub fn size_or(&self, name: &str, default: usize) -> Result<usize> {
        match self.meta.u64(&self.key(name))? {
            None | Some(0) => Ok(default),
            Some(_) => self.size(name),
        }
    }

    pub fn number(&self, name: &str) -> Result<f64> {
        let key = self.key(name);
        let value = self
            .meta
            .f32(&key)?
            .ok_or_else(|| self.meta.missing(&key))?;
        finite(&key, f64::from(value))
    }

    /// The feed-forward block of a layer: dense if the file holds a dense one.
    pub fn feed_forward(
        &self,
        file: &Checkpoint,
        layer: usize,
        experts: &MoeShape,
    ) -> Result<FeedForward> {
        let dense = file
            .tensor(&format!("blk.{layer}.ffn_gate.weight"))
            .is_some();
        Ok(if dense {
            FeedForward::Dense {
                intermediate: self.size("feed_forward_length")?,
            }
        } else {
            FeedForward::Experts(experts.clone())
        })
    }

    pub fn refuse_scaled_rope(&self) -> Result<()> {
        let key = self.key("rope.scaling.type");
        match self.meta.string(&key)? {
            Some(kind) if kind != "none" => Err(config_error(
                key,
                format!("asks for `{kind}` position scaling, which is not supported yet"),
            )),
            _ => Ok(()),
        }
    }
}

fn bounded(key: &str, value: u64) -> Result<usize> {
    if value == 0 || value > LARGEST {
        return Err(config_error(
            key,
            format!("is {value}, expected 1 to {LARGEST}"),
        ));
    }
    Ok(value as usize)
}

fn finite(key: &str, value: f64) -> Result<f64> {
    if value.is_finite() {
        Ok(value)
    } else {
        Err(config_error(key, "is not a finite number"))
    }
}
