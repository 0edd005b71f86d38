//! The `moestro` command.

fn main() {}
