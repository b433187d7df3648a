//! The reference pages, generated from the code: each test fails while its page is stale, and rewrites it when
//! `CRUCIBLE_BLESS=1`.

use crate::arguments::grammar;
use crate::exit::{FAILURES, ROWS};
use crucible::config::{Configuration, DEFAULT, HEEDED, VARIABLES};
use crucible_attacks::scenario::Scenario;
use crucible_scan::RuleSet;
use crucible_scan::rules::Rule;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

const NOTICE: &str =
    "<!-- Generated from the code; CRUCIBLE_BLESS=1 cargo test -p crucible reference writes it anew. -->\n";

fn check(name: &str, text: &str) {
    let page: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    if std::env::var_os("CRUCIBLE_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(page.parent().unwrap()).unwrap();
        std::fs::write(&page, text).unwrap();
    }
    let there = std::fs::read_to_string(&page).unwrap_or_default();
    assert!(there == text, "docs/{name} is stale: CRUCIBLE_BLESS=1 cargo test -p crucible reference writes it anew");
}

#[test]
fn the_page_of_exit_codes_is_up_to_date() {
    let mut text = format!("# Exit codes\n\n{NOTICE}\n");
    text.push_str(
        "`crucible run` and `crucible exec`, with and without `--json`, end with the program's own exit code.\n\n",
    );
    text.push_str("| code | meaning |\n|---|---|\n");
    for row in ROWS {
        writeln!(text, "| {} | {} |", row.codes, row.meaning).unwrap();
    }
    text.push_str("\nCrucible's own failures, each with one line on standard error:\n\n| code | kind | meaning |\n|---|---|---|\n");
    text.push_str("| 2 | usage | the command line makes no sense |\n");
    for (kind, code, meaning) in FAILURES {
        writeln!(text, "| {code} | {} | {meaning} |", kind.as_str()).unwrap();
    }
    text.push_str("| 70 | other | a failure of no other kind |\n");
    text.push_str(
        "\nA program may end with any of these codes, too. With `--json` there is an outcome on standard output exactly when \
         the program was run (or denied), an evaluation whose `state` is `held` when it was held, and nothing when Crucible \
         failed; that tells them apart.\n\n`crucible policy explain` ends as a run would: 0 where the program is let in, 76 \
         where it is held, 77 where it is denied.\n",
    );
    check("exit-codes.md", &text);
}

#[test]
fn the_page_of_the_command_line_is_up_to_date() {
    let mut text = format!("# Command line\n\n{NOTICE}\n");
    // A page must not depend on the width of the terminal that wrote it.
    let mut command = grammar().term_width(100);
    command.build();
    page(&mut text, &mut command, "crucible");
    check("cli.md", &text);
}

fn page(text: &mut String, command: &mut clap::Command, path: &str) {
    let help = command.render_long_help().to_string();
    let help: Vec<_> = help.lines().map(str::trim_end).collect();
    writeln!(text, "## {path}\n\n```text\n{}\n```\n", help.join("\n").trim_end()).unwrap();
    for verb in command.get_subcommands_mut().filter(|verb| !verb.is_hide_set()) {
        let path = format!("{path} {}", verb.get_name());
        page(text, verb, &path);
    }
}

#[test]
fn the_page_of_the_attack_suites_properties_is_up_to_date() {
    let scenarios = crucible_attacks::scenario::built_in().unwrap();
    let mut text = format!("# What the attack suite looks at\n\n{NOTICE}\n");
    writeln!(
        text,
        "{} properties. *Property* is the number in the list that the suite was made from; *control arm* says what is left off \
         there, so that the probe has to reach its canary; *needs* is what the control arm can't do without. \
         [attack-suite.md](attack-suite.md) explains all of it.\n",
        scenarios.len()
    )
    .unwrap();
    text.push_str("| id | property | statement | expected | control arm | needs |\n|---|---|---|---|---|---|\n");
    for scenario in &scenarios {
        let property = scenario.property.map(|number| number.to_string()).unwrap_or_default();
        let expected = serde_json::to_value(scenario.expected).unwrap();
        writeln!(
            text,
            "| `{}` | {property} | {} | {} | {} | {} |",
            scenario.id,
            scenario.statement,
            expected.as_str().unwrap(),
            control_arm(scenario),
            needs(scenario),
        )
        .unwrap();
    }
    check("attack-properties.md", &text);
}

fn control_arm(scenario: &Scenario) -> String {
    let layers = scenario.control.iter().map(|layer| format!("`{layer}`"));
    let limits = scenario.control_limits.iter().map(|(name, value)| format!("{name} of {value}"));
    let all: Vec<_> = layers.chain(limits).collect();
    if all.is_empty() { "a reader, an end or a list of its own kind".to_owned() } else { all.join(", ") }
}

fn needs(scenario: &Scenario) -> String {
    let needs = &scenario.needs;
    let root = needs.root.then(|| "root".to_owned());
    let path = needs.path.as_ref().map(|path| format!("`{path}`"));
    let zero = needs.zero.as_ref().map(|path| format!("0 in `{path}`"));
    let users = scenario.users.map(|users| format!("a policy with `users = \"{}\"`", users.as_str()));
    root.into_iter().chain(path).chain(zero).chain(users).collect::<Vec<_>>().join(", ")
}

#[test]
fn the_page_of_the_scanners_rules_is_up_to_date() {
    let rules = RuleSet::built_in();
    let mut groups: BTreeMap<&str, Vec<&Rule>> = BTreeMap::new();
    for rule in rules.rules() {
        groups.entry(&rule.group).or_default().push(rule);
    }
    let mut text = format!("# Rules of the scanner\n\n{NOTICE}\n");
    writeln!(
        text,
        "{} rules in {} groups. `crucible rules explain ID` says why one of them looks for what it does, and shows its samples; \
         [scanning.md](scanning.md) tells how scanning works and how to write rules.\n",
        rules.rules().len(),
        groups.len()
    )
    .unwrap();
    for (group, rules) in groups {
        writeln!(text, "## {group}\n\n| id | severity | message | references |\n|---|---|---|---|").unwrap();
        for rule in rules {
            let message = rule.message.replace('|', "\\|");
            let references = rule.references.names().join(", ").replace('|', "\\|");
            writeln!(text, "| `{}` | {} | {message} | {references} |", rule.id, rule.severity).unwrap();
        }
        text.push('\n');
    }
    check("rules.md", &format!("{}\n", text.trim_end()));
}

#[test]
fn the_page_of_the_configuration_is_up_to_date() {
    let mut text = format!("# Configuration\n\n{NOTICE}\n");
    text.push_str(
        "`crucible config show` prints every value in force and where it came from.\n\n## The default file\n\n",
    );
    writeln!(text, "```toml\n{}```\n", DEFAULT).unwrap();
    text.push_str(
        "## Environment variables\n\nA variable that begins with `CRUCIBLE_` and isn't listed here is an error.\n\n",
    );
    text.push_str("| variable | setting | what it is |\n|---|---|---|\n");
    for variable in VARIABLES {
        let setting = variable.setting.map(|key| format!("`{key}`")).unwrap_or_default();
        writeln!(text, "| `{}` | {setting} | {} |", variable.name, variable.purpose).unwrap();
    }
    text.push_str("\nHeeded besides:\n\n| variable | what it is |\n|---|---|\n");
    for variable in HEEDED {
        writeln!(text, "| `{}` | {} |", variable.name, variable.purpose).unwrap();
    }
    text.push_str("\n## Languages\n\n");
    text.push_str(
        "An entry of your own, `[languages.NAME]`, adds one or changes a built-in one key by key. The built-in ones, \
        with what each key means, are in `crates/crucible-backends/src/runtime/languages.toml`:\n\n",
    );
    text.push_str("| name | title | other names | file endings | interpreters |\n|---|---|---|---|---|\n");
    for (name, language) in Configuration::built_in().unwrap().languages().iter() {
        let [aliases, endings, interpreters] =
            [&language.aliases, &language.endings, &language.interpreters].map(|list| list.join(", "));
        writeln!(text, "| `{name}` | {} | {aliases} | {endings} | {interpreters} |", language.title).unwrap();
    }
    check("configuration.md", &text);
}
