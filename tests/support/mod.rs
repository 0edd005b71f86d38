//! What the tests of the real window stand on.

pub mod app;
pub mod process;
pub mod webdriver;
pub mod xvfb;
