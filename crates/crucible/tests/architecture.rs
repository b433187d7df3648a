//! Holds the source tree against its architecture: who may depend on whom, where `unsafe` may be, how files open and what
//! they are called.
//!
//! Invariant: every rule is a function from text to complaints, and each is shown to complain about a made-up violation.
//! It doesn't judge what the compiler and clippy judge already.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Who may depend on whom, without the prefix `crucible-`. Some of these crates are yet to come.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("inside", &[]),
    ("embed", &[]),
    ("jail", &["embed", "inside"]),
    ("agent", &["embed", "inside"]),
    ("probe", &["embed"]),
    ("evidence", &["core"]),
    ("scan", &["core"]),
    ("api", &["core"]),
    ("state", &["core"]),
    ("backends", &["core", "jail", "agent"]),
    ("attacks", &["core", "evidence", "probe"]),
    ("engine", &["core", "scan", "evidence"]),
    ("server", &["core", "api", "engine", "evidence"]),
    ("e2b", &["core", "api", "engine", "server"]),
    ("mcp", &["core", "api", "engine", "server"]),
    (TESTKIT, &["core"]),
];

/// Used by tests alone, and by those of every crate.
const TESTKIT: &str = "testkit";

/// A real store and a real queue, for tests of what works with any. It knows the core alone.
const STATE: &str = "state";

/// The binary, which may depend on all of them but the testkit.
const BINARY: &str = "crucible";

/// The only folders in which `unsafe` may be written, and the one file that loads compiled code, which executes it.
const UNSAFE_FOLDERS: &[&str] = &[
    "crates/crucible-agent/src/sys/",
    "crates/crucible-jail/src/sys/",
    "crates/crucible-probe/src/sys/",
    "crates/crucible-backends/src/wasm/cache.rs",
];

/// Words that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "manager", "managers", "helper", "helpers", "misc"];

fn repository() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().unwrap()
}

/// Every file of the source tree, named from its top. What is built, and what is hidden, is left out.
fn files() -> Vec<String> {
    let root = repository();
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !name.starts_with('.') && name != "target" && name != "node_modules" {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path().strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<(String, String)> {
    let names = files().into_iter().filter(|name| name.ends_with(".rs"));
    let read = |name: String| {
        let text = std::fs::read_to_string(repository().join(&name)).unwrap();
        (name, text)
    };
    names.map(read).collect()
}

/// What `cargo metadata` says of the crates of this workspace.
fn metadata() -> Value {
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The name of one of our own crates as the table has it.
fn own(name: &str) -> Option<&str> {
    match name {
        BINARY => Some(BINARY),
        _ => name.strip_prefix("crucible-"),
    }
}

fn may_depend(name: &str, dependency: &str, kind: &str) -> bool {
    match dependency {
        TESTKIT => kind == "dev",
        STATE if kind == "dev" => true,
        _ if name == BINARY => true,
        _ => MAY_DEPEND_ON.iter().any(|(known, allowed)| *known == name && allowed.contains(&dependency)),
    }
}

/// Complaints about the dependencies among our own crates.
fn dependency_complaints(metadata: &Value) -> Vec<String> {
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let full_name = package["name"].as_str().unwrap();
        let Some(name) =
            own(full_name).filter(|name| *name == BINARY || MAY_DEPEND_ON.iter().any(|(known, _)| known == name))
        else {
            complaints.push(format!("{full_name} is not in the table"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let kind = dependency["kind"].as_str().unwrap_or("normal");
            if let Some(other) = own(dependency["name"].as_str().unwrap())
                && !may_depend(name, other, kind)
            {
                complaints.push(format!("{name} may not depend on {other} ({kind})"));
            }
        }
    }
    complaints
}

/// The words of a program, without its comments and texts.
fn words(source: &str) -> Vec<String> {
    let characters: Vec<char> = source.chars().collect();
    let at = |index: usize| characters.get(index).copied().unwrap_or('\0');
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    let (mut words, mut index) = (Vec::new(), 0);
    while index < characters.len() {
        match (at(index), at(index + 1)) {
            ('/', '/') => {
                while index < characters.len() && at(index) != '\n' {
                    index += 1;
                }
            }
            ('/', '*') => {
                let mut depth = 0_usize;
                loop {
                    match (at(index), at(index + 1)) {
                        ('/', '*') => (depth, index) = (depth + 1, index + 2),
                        ('*', '/') => (depth, index) = (depth - 1, index + 2),
                        _ => index += 1,
                    }
                    if depth == 0 || index >= characters.len() {
                        break;
                    }
                }
            }
            ('"', _) => index = end_of_text(&characters, index),
            // A character, and not the name of a lifetime.
            ('\'', '\\') => {
                index += 3;
                while index < characters.len() && at(index) != '\'' {
                    index += 1;
                }
                index += 1;
            }
            ('\'', _) if at(index + 2) == '\'' => index += 3,
            (first, _) if is_word(first) => {
                let start = index;
                while is_word(at(index)) {
                    index += 1;
                }
                let word: String = characters[start..index].iter().collect();
                let hashes = (index..).take_while(|&place| at(place) == '#').count();
                if matches!(word.as_str(), "r" | "br" | "cr") && at(index + hashes) == '"' {
                    index = end_of_raw_text(&characters, index + hashes + 1, hashes);
                } else {
                    words.push(word);
                }
            }
            _ => index += 1,
        }
    }
    words
}

/// The place after the text that begins with the quotation mark at `start`.
fn end_of_text(characters: &[char], start: usize) -> usize {
    let mut index = start + 1;
    while index < characters.len() && characters[index] != '"' {
        index += if characters[index] == '\\' { 2 } else { 1 };
    }
    index + 1
}

/// The place after a raw text whose first character is at `start`.
fn end_of_raw_text(characters: &[char], start: usize, hashes: usize) -> usize {
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let found = (start..characters.len()).find(|&index| characters[index..].starts_with(&end));
    found.map_or(characters.len(), |index| index + end.len())
}

/// Complaints about `unsafe`, and about exceptions from the lint that forbids it.
fn unsafe_complaints(path: &str, source: &str) -> Vec<String> {
    if UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        return Vec::new();
    }
    let found: BTreeSet<String> =
        words(source).into_iter().filter(|word| word == "unsafe" || word == "unsafe_code").collect();
    found.into_iter().map(|word| format!("{path}: {word}")).collect()
}

/// A complaint about a file that doesn't say what it is for.
fn opening_complaint(path: &str, source: &str) -> Option<String> {
    let first = source.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//!").is_some_and(|text| !text.trim().is_empty());
    (!says_something).then(|| format!("{path} doesn't open with //!"))
}

/// A complaint about a file or folder whose name says nothing.
fn name_complaint(path: &str) -> Option<String> {
    let found = path
        .split(|character: char| !character.is_ascii_alphanumeric())
        .find(|word| EMPTY_NAMES.contains(&word.to_ascii_lowercase().as_str()));
    found.map(|word| format!("{path}: '{word}' says nothing"))
}

/// Complaints about a crate that the workspace's lints don't hold for.
fn lint_complaints(path: &str, manifest: &str) -> Vec<String> {
    let manifest: toml::Table = manifest.parse().unwrap();
    let inherits = |table: &toml::Table| {
        let lints = table.get("lints").and_then(|lints| lints.get("workspace"));
        lints.and_then(toml::Value::as_bool) == Some(true)
    };
    let denies = |table: &toml::Table| {
        let rust = table.get("workspace").and_then(|workspace| workspace.get("lints")?.get("rust"));
        let level = rust.and_then(|rust| rust.get("unsafe_code")).and_then(toml::Value::as_str);
        matches!(level, Some("deny" | "forbid"))
    };
    let holds = if manifest.contains_key("workspace") { denies(&manifest) } else { inherits(&manifest) };
    if holds { Vec::new() } else { vec![format!("{path}: unsafe_code isn't denied")] }
}

/// The table of dependencies as a document has it, if it has one: crates on the left, what they depend on on the right.
fn documented(document: &str) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let mut lines = document.lines().skip_while(|line| !line.starts_with("| crate | depends on |"));
    lines.next()?;
    let names = |cell: &str| -> BTreeSet<String> {
        match cell {
            "no other crate of ours" => BTreeSet::new(),
            _ => cell.split(',').map(|name| name.trim().replace(" (dev only)", "")).collect(),
        }
    };
    let mut table = BTreeMap::new();
    for line in lines.take_while(|line| line.starts_with('|')).skip(1) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        for name in names(cells[0]) {
            table.insert(name, names(cells[1]));
        }
    }
    Some(table)
}

/// The table above in the same form.
fn table() -> BTreeMap<String, BTreeSet<String>> {
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let mut table: BTreeMap<_, _> =
        MAY_DEPEND_ON.iter().map(|&(name, allowed)| (name.to_owned(), owned(allowed))).collect();
    table.insert(BINARY.to_owned(), owned(&["all of them"]));
    table
}

fn expect_none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn crates_depend_only_on_whom_they_may() {
    let metadata = metadata();
    let seen = metadata["packages"].as_array().unwrap().len();
    let there = std::fs::read_dir(repository().join("crates")).unwrap().count();
    assert_eq!(seen, there, "cargo metadata doesn't tell of every crate");
    expect_none(dependency_complaints(&metadata));
}

#[test]
fn the_documented_table_is_the_one_that_holds() {
    let document = std::fs::read_to_string(repository().join("ARCHITECTURE.md")).unwrap_or_default();
    if let Some(documented) = documented(&document) {
        assert_eq!(documented, table());
    }
}

#[test]
fn unsafe_is_only_where_system_calls_are() {
    let sources = sources();
    expect_none(sources.iter().flat_map(|(path, text)| unsafe_complaints(path, text)).collect());
    // A rule that finds nothing even where something is would pass, too.
    let exempt = |path: &str| UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(folder));
    let known = sources.iter().filter(|(path, _)| exempt(path)).flat_map(|(_, text)| words(text));
    assert!(known.into_iter().any(|word| word == "unsafe"));
}

#[test]
fn the_lint_against_unsafe_holds_for_every_crate() {
    // What a fuzz target is made of is written by a macro of its library's.
    let manifests = files().into_iter().filter(|path| path.ends_with("Cargo.toml") && path != "fuzz/Cargo.toml");
    let complaints = manifests.flat_map(|path| {
        let text = std::fs::read_to_string(repository().join(&path)).unwrap();
        lint_complaints(&path, &text)
    });
    expect_none(complaints.collect());
}

#[test]
fn every_file_says_what_it_is_for() {
    let sources = sources();
    assert!(sources.len() > 50, "only {} files were found", sources.len());
    expect_none(sources.iter().filter_map(|(path, text)| opening_complaint(path, text)).collect());
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    expect_none(files().iter().filter_map(|path| name_complaint(path)).collect());
}

mod on_made_up_violations {
    use super::*;

    fn package(name: &str, dependencies: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<Value> =
            dependencies.iter().map(|(name, kind)| serde_json::json!({"name": name, "kind": kind})).collect();
        serde_json::json!({"name": name, "dependencies": dependencies})
    }

    #[test]
    fn a_forbidden_dependency_is_told_and_an_allowed_one_is_not() {
        let packages = [
            package("crucible-core", &[("serde", None), ("crucible-jail", None), ("crucible-testkit", Some("dev"))]),
            package("crucible-engine", &[("crucible-core", None), ("crucible-backends", Some("build"))]),
            package("crucible-testkit", &[("crucible-core", None), ("crucible-engine", Some("dev"))]),
            package("crucible", &[("crucible-jail", None), ("crucible-testkit", None)]),
            package("crucible-more", &[]),
            package("xtask", &[]),
        ];
        assert_eq!(
            dependency_complaints(&serde_json::json!({"packages": packages})),
            [
                "core may not depend on jail (normal)",
                "engine may not depend on backends (build)",
                "testkit may not depend on engine (dev)",
                "crucible may not depend on testkit (normal)",
                "crucible-more is not in the table",
                "xtask is not in the table",
            ]
        );
    }

    #[test]
    fn unsafe_is_found_in_code_and_not_in_what_is_said_about_it() {
        let quiet = [
            "// unsafe\n/* unsafe /* unsafe */ unsafe */ fn f() {}",
            r###"const A: &str = "unsafe \" unsafe"; const B: &str = r#"unsafe " unsafe"#; const C: &[u8] = br"unsafe";"###,
            "fn f<'unsafe_lifetime>(a: char) -> bool { a == '\"' || a == '\\'' || a == '\\u{41}' } // unsafe",
            "struct Unsafe; let unsafe_backends = 1;",
        ];
        for source in quiet {
            assert_eq!(unsafe_complaints("crates/crucible/src/lib.rs", source), [""; 0], "{source}");
        }
        let loud = [
            "fn f() { unsafe { g() } }",
            "/* */ unsafe impl Send for A {}",
            "const A: &str = \"x\"; unsafe extern \"C\" {}",
            "let quote = '\"'; unsafe { g() } // \"",
            "let quote = b'\\''; unsafe { g() } // '",
            "const A: &str = r\"\\\"; unsafe { g() } // \"",
        ];
        for source in loud {
            let complaints = unsafe_complaints("crates/crucible/src/lib.rs", source);
            assert_eq!(complaints, ["crates/crucible/src/lib.rs: unsafe"], "{source}");
            assert_eq!(unsafe_complaints("crates/crucible-jail/src/sys/mod.rs", source), [""; 0]);
        }
        let exception = "#![expect(unsafe_code, reason = \"\")]";
        let path = "crates/crucible-jail/src/host/mod.rs";
        assert_eq!(unsafe_complaints(path, exception), [format!("{path}: unsafe_code")]);
    }

    #[test]
    fn a_crate_without_the_lints_is_told() {
        assert_eq!(lint_complaints("a", "[package]\nname = 'a'").len(), 1);
        assert_eq!(lint_complaints("a", "[workspace.lints.rust]\nunsafe_code = 'warn'").len(), 1);
        assert_eq!(lint_complaints("a", "[package]\nname = 'a'\n[lints]\nworkspace = true"), [""; 0]);
        assert_eq!(lint_complaints("a", "[workspace.lints.rust]\nunsafe_code = 'deny'"), [""; 0]);
    }

    #[test]
    fn a_file_that_says_nothing_is_told() {
        for source in ["", "use std::fs;", "// Ordinary.", "//!", "\n//! Too late."] {
            assert!(opening_complaint("a.rs", source).is_some(), "{source:?}");
        }
        assert_eq!(opening_complaint("a.rs", "//! What it is for."), None);
    }

    #[test]
    fn an_empty_name_is_told() {
        for path in ["crates/a/src/utils.rs", "a/Common/mod.rs", "task_manager.rs", "tests/helper", "x/test-helpers.rs"]
        {
            assert!(name_complaint(path).is_some(), "{path}");
        }
        for path in ["crates/a/src/commonwealth.rs", "utility.rs", "src/managed.rs"] {
            assert_eq!(name_complaint(path), None);
        }
    }

    #[test]
    fn a_documented_table_that_differs_is_seen() {
        let head = "text\n\n| crate | depends on |\n|---|---|\n";
        let read =
            documented(&format!("{head}| core, jail | no other crate of ours |\n| backends | core, jail |\n\nmore |"));
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<BTreeSet<_>>();
        let expected = [("core", names(&[])), ("jail", names(&[])), ("backends", names(&["core", "jail"]))];
        assert_eq!(read, Some(expected.map(|(name, names)| (name.to_owned(), names)).into()));
        assert_ne!(read, Some(table()));
        assert_eq!(documented("no table"), None);
    }
}
