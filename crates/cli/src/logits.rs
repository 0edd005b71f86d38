//! `moestro logits`: raw outputs for comparing with other implementations. Keys
//! and values are kept in float32 here.

use anyhow::{Context, Result};
use candle_core::Tensor;
use moestro_engine::{Cancel, Precision};

use crate::arguments::Logits;

pub fn run(a: &Logits) -> Result<()> {
    let mut engine = a.model.load(Precision::Float32)?;
    let mut chunks: Vec<Tensor> = Vec::new();
    engine.each_logits(&a.tokens, &Cancel::new(), &mut |_, logits| {
        chunks.push(logits.clone());
        Ok(())
    })?;
    let logits = Tensor::cat(&chunks, 0)?;
    logits
        .save_safetensors("logits", &a.output)
        .with_context(|| format!("writing {}", a.output.display()))?;
    println!("wrote {:?} to {}", logits.dims(), a.output.display());
    Ok(())
}
