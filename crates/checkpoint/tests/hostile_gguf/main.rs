//! Hostile and damaged GGUF files: each kind must be refused with an error that
//! names the problem, within bounded memory and time.

#[path = "../support/mod.rs"]
mod support;

mod damage;
mod header;
mod sizes;
mod tensors;
mod values;

use support::*;

/// Writes each case to a file and asserts what the refusal says.
#[track_caller]
fn refuse_all<'a>(cases: impl IntoIterator<Item = (&'a str, Vec<u8>, &'a [&'a str])>) {
    let hub = Hub::empty();
    let path = hub.join("hostile.gguf");
    for (case, bytes, expected) in cases {
        write(&path, bytes);
        refused(case, &path, expected);
    }
}
