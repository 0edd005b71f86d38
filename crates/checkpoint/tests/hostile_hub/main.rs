//! Hostile and damaged Hugging Face directories: each kind must be refused with an
//! error that names the problem, within bounded memory and time.

#[path = "../support/mod.rs"]
mod support;

mod damage;
mod folder;
mod safetensors;
mod sizes;

use support::*;

/// Writes each case as `name` into a good checkpoint and asserts what is said.
#[track_caller]
fn refuse_as<'a>(name: &str, cases: impl IntoIterator<Item = (&'a str, Vec<u8>, &'a [&'a str])>) {
    for (case, bytes, expected) in cases {
        let hub = Hub::small().file(name, bytes);
        let expected: Vec<&str> = [&[name], expected].concat();
        // The message names the file, which lies in the directory that was opened.
        refused(case, &hub.join("config.json"), &expected);
    }
}

fn weights(entries: &[String], data: usize) -> Vec<u8> {
    safetensors(format!("{{{}}}", entries.join(",")), &vec![0; data])
}
