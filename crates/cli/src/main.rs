//! The `moestro` command: everything the engine can do, without a window.

mod arguments;
mod benchmark;
mod cache;
mod demo;
mod generate;
mod hub;
mod logits;
mod manual;
mod models;
mod perplexity;
mod plan;
mod profile;
mod pull;
mod replay;
mod search;
mod serve;
mod size;
mod streams;
mod synthesize;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Verb};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.verb {
        Verb::Generate(a) => generate::run(&a),
        Verb::Logits(a) => logits::run(&a),
        Verb::Perplexity(a) => perplexity::run(&a),
        Verb::Plan(a) => plan::run(&a),
        Verb::Benchmark(a) => benchmark::run(&a),
        Verb::Serve(a) => serve::run(&a),
        Verb::Pull(a) => pull::run(&a),
        Verb::Models(a) => models::run(&a),
        Verb::Search(a) => search::run(&a),
        Verb::Cache(a) => cache::run(&a),
        Verb::Profile(a) => profile::run(&a),
        Verb::Replay(a) => replay::run(&a),
        Verb::Synthesize(a) => synthesize::run(&a),
        Verb::Completions(a) => manual::completions(&a),
        Verb::Manual(a) => manual::pages(&a),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("moestro: {error:#}");
            ExitCode::FAILURE
        }
    }
}
