//! The engine: loads a Mixture-of-Experts model, keeps its experts where they are
//! fast, and turns commands into events.

pub mod protocol;
