//! Tokens one after the other, whatever the model makes of them.

use anyhow::Result;
use candle_core::Tensor;
use moestro_engine::{Cancel, Engine, Logits, Session};

/// A timeline that is begun anew when the context is full.
pub struct Decode {
    session: Session,
    token: u32,
}

impl Decode {
    pub fn new(engine: &Engine) -> Result<Decode> {
        Ok(Decode {
            session: engine.session()?,
            token: 1,
        })
    }

    pub fn tokens(&mut self, engine: &mut Engine, count: usize) -> Result<()> {
        for _ in 0..count {
            self.token(engine)?;
        }
        Ok(())
    }

    /// The logits of the next token, `[1, vocabulary]`.
    pub fn token(&mut self, engine: &mut Engine) -> Result<Tensor> {
        if self.session.len() + 1 >= engine.placement().context {
            self.session = engine.session()?;
        }
        let never = Cancel::new();
        let logits = engine.forward(&mut self.session, &[self.token], Logits::Last, &never)?;
        self.token = (self.token + 17) % engine.info.vocabulary as u32;
        Ok(logits)
    }
}
