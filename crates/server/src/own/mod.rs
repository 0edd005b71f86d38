//! Endpoints of Moestro's own: answers with figures, and the memory they come from.

pub mod generate;
pub mod memory;
pub mod stream;
