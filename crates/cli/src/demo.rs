//! Where the demo model lies: installed beside the program, or in the source tree
//! that the program was built from.

use std::path::PathBuf;

const IN_TREE: &str = "models/demo/moestro-demo.gguf";
/// Below the prefix that holds `bin`; packages put the application's files there.
const INSTALLED: [&str; 2] = ["lib/Moestro/models/demo", "share/moestro/models/demo"];

pub fn find() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let installed = program.ancestors().nth(2).into_iter().flat_map(|prefix| {
        INSTALLED
            .iter()
            .map(|folder| prefix.join(folder).join("moestro-demo.gguf"))
    });
    let in_tree = program.ancestors().map(|folder| folder.join(IN_TREE));
    installed.chain(in_tree).find(|path| path.is_file())
}
