//! `moestro perplexity`: the exponential of the mean negative log-likelihood of a
//! text's tokens, each window of the context starting afresh.

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use moestro_engine::{Cancel, Precision};

use crate::arguments::Perplexity;

/// Window when the model's context is longer.
const USUAL_WINDOW: usize = 2048;

pub fn run(a: &Perplexity) -> Result<()> {
    let text = std::fs::read_to_string(&a.file)
        .with_context(|| format!("reading {}", a.file.display()))?;
    let mut engine = a.model.load(Precision::default())?;
    let tokens = engine.text.tokenizer.encode(&text)?;
    if tokens.len() < 2 {
        bail!(
            "{}: the text has {} tokens; at least 2 are needed",
            a.file.display(),
            tokens.len()
        );
    }
    let window = a
        .model
        .context
        .unwrap_or(USUAL_WINDOW.min(engine.placement().context))
        .max(2);
    let mut negative_log_likelihood = 0.0;
    let mut predicted = 0usize;
    for part in tokens.chunks(window).filter(|p| p.len() > 1) {
        engine.each_logits(part, &Cancel::new(), &mut |first, logits| {
            let targets = &part[(first + 1).min(part.len())..];
            negative_log_likelihood += cost(logits, targets)?;
            Ok(())
        })?;
        predicted += part.len() - 1;
        let so_far = (negative_log_likelihood / predicted as f64).exp();
        eprintln!("{predicted} of about {} tokens: {so_far:.4}", tokens.len());
    }
    let mean = negative_log_likelihood / predicted as f64;
    println!(
        "perplexity {:.4} over {predicted} tokens, windows of {window}",
        mean.exp()
    );
    Ok(())
}

/// Negative log-likelihood of each row's target; a last row without target is
/// not counted.
fn cost(logits: &Tensor, targets: &[u32]) -> moestro_engine::Result<f64> {
    let mut sum = 0.0;
    for (i, target) in targets.iter().take(logits.dim(0)?).enumerate() {
        let row = logits.get(i)?.to_vec1::<f32>()?;
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|l| f64::from(l - most).exp()).sum();
        sum += total.ln() - f64::from(row[*target as usize] - most);
    }
    Ok(sum)
}
