//! Embeds the scenario files and the Python probes, whichever there are.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut code = String::new();
    for (name, folder, ending) in [("SCENARIOS", "scenarios", "toml"), ("PROBES", "probes", "py")] {
        println!("cargo::rerun-if-changed={folder}");
        let lines = list(Path::new(folder), ending)?;
        let _written =
            writeln!(code, "/// Name and text of each.\npub(crate) const {name}: &[(&str, &str)] = &[{lines}];");
    }
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("embedded.rs"), code)
}

fn list(folder: &Path, ending: &str) -> io::Result<String> {
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == ending));
    files.sort();
    let line = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default();
        // By the folder of whatever compiles it: a target folder may serve more than one checkout.
        format!("({:?}, include_str!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/\", {path:?}))),", name.to_string_lossy())
    };
    Ok(files.iter().map(line).collect())
}
