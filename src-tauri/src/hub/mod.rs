//! The window's side of the Hub: finding, judging and fetching models, and the
//! library of those that are here.

pub mod desk;
pub mod downloads;
pub mod find;
pub mod library;
