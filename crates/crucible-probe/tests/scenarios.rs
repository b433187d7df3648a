//! The scenario files are well-formed, and they and the probes fit together.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod support;

use std::collections::BTreeSet;
use support::suite;
use toml::{Table, Value};

/// Every key of a scenario.
const KEYS: &[&str] = &[
    "id",
    "property",
    "statement",
    "expected",
    "references",
    "backends",
    "probe",
    "canary",
    "control",
    "place",
    "limits",
    "control_limits",
    "needs",
    "users",
];
/// Those that every scenario has.
const REQUIRED: usize = 10;
const EXPECTED: &[&str] = &["denied", "hidden", "inside", "bounded", "clean", "refused"];
const BACKENDS: &[&str] = &["jail", "docker", "gvisor", "wasm", "microvm", "subprocess"];
const LIMITS: &[&str] =
    &["timeout", "cpu_time", "cpus", "memory", "pids", "disk", "inodes", "open_files", "file_size", "output", "stack"];
/// Every kind of canary, with the keys that it has besides `kind`.
const KINDS: &[(&str, &[&str])] = &[
    ("secret_file", &["relative"]),
    ("writable_folder", &[]),
    ("shared_file", &[]),
    ("secret_process", &["what"]),
    ("process", &[]),
    ("tcp", &["address"]),
    ("udp", &["address"]),
    ("served", &["address"]),
    ("unix_abstract", &[]),
    ("unix_path", &[]),
    ("interface", &[]),
    ("sysctl", &[]),
    ("cgroup", &[]),
    ("mount_name", &[]),
    ("host_name", &[]),
    ("supervisor_image", &[]),
    ("setuid_program", &[]),
    ("held", &["what", "inode", "paths"]),
    ("errno", &["denied"]),
    ("counter", &["limit", "size"]),
    ("heartbeat", &["end"]),
    ("residue", &[]),
    ("collected", &[]),
    ("forged", &[]),
    ("unlisted", &["address"]),
    ("started", &[]),
];
/// Kinds that bring a control arm of their own.
const OWN_CONTROL: &[&str] = &["collected", "forged", "unlisted"];

/// Every scenario with the name of its file.
fn scenarios() -> Vec<(String, Table)> {
    let mut scenarios = Vec::new();
    for entry in std::fs::read_dir(suite("scenarios")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let group = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let table: Table = std::fs::read_to_string(&path).unwrap().parse().unwrap();
        assert_eq!(table.keys().collect::<Vec<_>>(), ["scenario"], "{group}");
        for scenario in table["scenario"].as_array().unwrap() {
            scenarios.push((group.clone(), scenario.as_table().unwrap().clone()));
        }
    }
    scenarios
}

fn text<'a>(table: &'a Table, key: &str) -> &'a str {
    table.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn texts(table: &Table, key: &str) -> Vec<String> {
    table[key].as_array().unwrap().iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

/// The names of layers, as the vocabulary has them.
fn layers() -> BTreeSet<String> {
    let source = suite("../crucible-core/src/layer.rs");
    let text = std::fs::read_to_string(source).unwrap();
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Self::")?.split_once("=> \""));
    names.map(|(_, name)| name.trim_end_matches("\",").to_owned()).collect()
}

#[test]
fn every_scenario_has_the_keys_that_are_known() {
    let layers = layers();
    assert!(layers.len() > 20, "{layers:?}");
    for (group, scenario) in scenarios() {
        let id = text(&scenario, "id");
        assert!(id.starts_with(&format!("{group}.")), "{id} isn't in the group {group}");
        for key in scenario.keys() {
            assert!(KEYS.contains(&key.as_str()), "{id}: {key}");
        }
        for key in KEYS.get(..REQUIRED).unwrap() {
            assert!(scenario.contains_key(*key), "{id} lacks {key}");
        }
        assert!((1..=88).contains(&scenario["property"].as_integer().unwrap()), "{id}");
        assert!(EXPECTED.contains(&text(&scenario, "expected")), "{id}");
        assert!(["host", "range"].contains(&text(&scenario, "place")), "{id}");
        let users = scenario.get("users").map(|users| users.as_str().unwrap());
        assert!(matches!(users, None | Some("guest" | "root")), "{id}: {users:?}");
        for backend in texts(&scenario, "backends") {
            assert!(BACKENDS.contains(&backend.as_str()), "{id}: {backend}");
        }
        for layer in texts(&scenario, "control") {
            assert!(layers.contains(&layer), "{id}: {layer}");
        }
        for limits in ["limits", "control_limits"].iter().filter_map(|key| scenario.get(*key)) {
            for limit in limits.as_table().unwrap().keys() {
                assert!(LIMITS.contains(&limit.as_str()), "{id}: {limit}");
            }
        }
        for key in scenario.get("needs").iter().flat_map(|needs| needs.as_table().unwrap().keys()) {
            assert!(["root", "path", "zero", "layer"].contains(&key.as_str()), "{id}: {key}");
        }
    }
}

#[test]
fn every_canary_is_of_a_kind_that_is_described() {
    let described = std::fs::read_to_string(suite("scenarios").join("KINDS.md")).unwrap();
    for (kind, _) in KINDS {
        assert!(described.contains(&format!("**`{kind}`**")), "{kind} isn't described");
    }
    let mut used = BTreeSet::new();
    for (_, scenario) in scenarios() {
        let (id, canary) = (text(&scenario, "id"), scenario["canary"].as_table().unwrap());
        let kind = text(canary, "kind").to_owned();
        let (_, keys) = KINDS.iter().find(|(known, _)| *known == kind).unwrap();
        for key in canary.keys().filter(|key| *key != "kind") {
            assert!(keys.contains(&key.as_str()), "{id}: {key}");
        }
        let what = text(canary, "what");
        assert!(
            what.is_empty() || described.contains(&format!("`\"{what}\"")) || described.contains(what),
            "{id}: {what}"
        );
        used.insert(kind);
    }
    let known: BTreeSet<String> = KINDS.iter().map(|(kind, _)| (*kind).to_owned()).collect();
    assert_eq!(used, known, "kinds that nobody uses, or knows");
}

#[test]
fn every_scenario_has_a_control_arm() {
    for (_, scenario) in scenarios() {
        let by_layers = !texts(&scenario, "control").is_empty();
        let by_kind = OWN_CONTROL.contains(&text(scenario["canary"].as_table().unwrap(), "kind"));
        let ways = [by_layers, by_kind, scenario.contains_key("control_limits")];
        assert!(ways.contains(&true), "{}", text(&scenario, "id"));
    }
}

#[test]
fn every_probe_that_is_named_exists_and_every_probe_is_used() {
    let mut existing: BTreeSet<String> = crucible_probe::NAMES.iter().map(|probe| probe.name.to_owned()).collect();
    existing.extend(
        std::fs::read_dir(suite("probes")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()),
    );
    let mut used = BTreeSet::new();
    for (_, scenario) in scenarios() {
        let probe = scenario["probe"].as_table().unwrap();
        assert_eq!(probe.len(), 1, "{}", text(&scenario, "id"));
        used.extend([text(probe, "python"), text(probe, "native")].iter().map(|name| (*name).to_owned()));
        assert_eq!(text(probe, "python").is_empty(), !text(probe, "python").ends_with(".py"));
    }
    used.remove("");
    assert_eq!(used, existing);
}

#[test]
fn ids_are_unique_and_statements_are_sentences() {
    let (mut ids, mut statements) = (BTreeSet::new(), BTreeSet::new());
    for (_, scenario) in scenarios() {
        let (id, statement) = (text(&scenario, "id").to_owned(), text(&scenario, "statement").to_owned());
        let is_id = |character: char| character.is_ascii_lowercase() || character == '_' || character == '.';
        assert!(id.chars().all(|character| is_id(character) || character.is_ascii_digit()), "{id}");
        assert!(statement.chars().next().unwrap().is_uppercase(), "{id}: {statement}");
        assert!(!statement.ends_with('.') && statement.split(' ').count() >= 4 && statement.len() <= 100, "{id}");
        assert!(ids.insert(id.clone()), "{id} is there twice");
        assert!(statements.insert(statement), "{id} says what another one says");
        let references = texts(&scenario, "references");
        assert!(!references.is_empty(), "{id}");
        for reference in references {
            assert!(reference.starts_with("CWE-") || reference.starts_with("CVE-"), "{id}: {reference}");
        }
    }
}

#[test]
fn every_property_that_a_backend_alone_can_show_has_a_scenario() {
    let shown: BTreeSet<i64> =
        scenarios().iter().map(|(_, scenario)| scenario["property"].as_integer().unwrap()).collect();
    // 46 needs one that links modules: KINDS.md says so.
    let wanted = (1..=70).chain([75, 79, 83, 84, 85]).filter(|number| *number != 46);
    let missing: Vec<i64> = wanted.filter(|number| !shown.contains(number)).collect();
    assert!(missing.is_empty(), "{missing:?}");
}
