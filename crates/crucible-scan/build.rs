//! Turns the rules in `rules/` into the compact form that is embedded, so that no program start reads YAML.
//!
//! A rule that is wrong fails the build, with its file and line.

#![expect(clippy::panic, reason = "a build script has no other way to say what is wrong")]

#[allow(dead_code, unused_imports, unreachable_pub, reason = "the crate uses more of it than the build")]
#[path = "src/rules/mod.rs"]
mod rules;

use rules::{Rule, RuleText, parse_rules};
use std::path::{Path, PathBuf};

fn main() {
    let folder = Path::new("rules");
    println!("cargo::rerun-if-changed=rules");
    println!("cargo::rerun-if-changed=src/rules");
    println!("cargo::rerun-if-changed=build.rs");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap_or_else(|error| panic!("{}: {error}", folder.display())).path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path.display().to_string(), text)
        })
        .collect();
    let texts: Vec<RuleText<'_>> = texts.iter().map(|(name, text)| RuleText { name, text }).collect();
    let rules: Vec<Rule> = parse_rules(&texts).unwrap_or_else(|error| panic!("{error}"));
    let blob = postcard::to_allocvec(&rules).unwrap_or_else(|error| panic!("rules: {error}"));
    let out = std::env::var_os("OUT_DIR").unwrap_or_else(|| panic!("no OUT_DIR"));
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(Path::new(&out).join(name), bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    };
    write("rules.postcard", &blob);
    write("rules.blake3", blake3::hash(&blob).to_hex().as_bytes());
}
