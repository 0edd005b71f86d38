//! What the tests of the real window stand on.

#![allow(dead_code, reason = "each test uses a part")]

pub mod app;
pub mod front_end;
pub mod kept;
pub mod process;
pub mod webdriver;
pub mod x11;
pub mod xvfb;
