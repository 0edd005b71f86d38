//! What the tests of the real window stand on.

#![allow(dead_code, reason = "each test uses a part")]

pub mod app;
pub mod process;
pub mod webdriver;
pub mod xvfb;
