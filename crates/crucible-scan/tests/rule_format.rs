//! What is said of rules that are wrong: the file, the line, the rule, and what.

use crucible_scan::RuleSet;
use crucible_scan::rules::{RuleText, parse_rules};
use proptest::prelude::*;

const GOOD: &str = "- id: python.process.a
  severity: low
  group: process
  message: m
  does: d
  why: w
  match: { call: os.system }
";

fn complaint(text: &str) -> String {
    let rules = RuleSet::empty().with_texts(&[RuleText { name: "mine.yaml", text }]);
    rules.err().map(|error| error.to_string()).unwrap_or_default()
}

#[test]
fn a_rule_that_is_right_is_taken() {
    assert_eq!(complaint(GOOD), "");
    assert_eq!(complaint("[]"), "");
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    for (from, to, expected) in [
        ("severity: low", "severity: bad", "mine.yaml:2: rule python.process.a: "),
        ("severity: low", "severety: low", "severety"),
        ("group: process", "group: network", "the id says that the group is 'process'"),
        ("id: python.process.a", "id: python.a", "mine.yaml:1: rule python.a: an id is LANGUAGE.GROUP.NAME"),
        ("id: python.process.a", "id: cobol.process.a", "'cobol' is no language of rules"),
        ("id: python.process.a", "id: python.process.A", "small letters"),
        ("message: m", "message: ''", "'message' has to be one line"),
        ("does: d", "does: \"a\\nb\"", "'does' has to be one line"),
        ("why: w", "why: ' '", "'why' is empty"),
        ("why: w", "why: w\n  references: { attack: [X1] }", "'X1' is no technique's id"),
        ("why: w", "why: w\n  languages: [bash]", "'languages' doesn't fit the id"),
        ("why: w", "why: w\n  foreshadows: [rain]", "rain"),
        ("call: os.system", "call: []", "an empty list"),
        ("call: os.system", "call: 'os system'", "white space"),
        ("call: os.system", "call: 'os.a**'", "** has to be a part of its own"),
        ("call: os.system", "call: os.system, import: os", "here is call and import"),
        ("{ call: os.system }", "{}", "here is none"),
        ("call: os.system", "call: os.system, value: 1", "'value' doesn't go with 'call'"),
        ("call: os.system", "not: { call: os.system }", "it can't match anything"),
        ("call: os.system", "text: '('", "no regular expression"),
        ("call: os.system", "text: '(a{1000}){1000}'", "too large an expression"),
        ("call: os.system", "syntax_error: false", "can only be true"),
        ("call: os.system", "structure: call_in_loop", "'of' names the calls"),
        ("call: os.system", "structure: endless_loop, of: f", "'of' names the calls"),
        ("call: os.system", "call: f, arguments: { 0: {} }", "without anything in it"),
        ("call: os.system", "call: f, arguments: { 0: { at_least: a } }", "take a number"),
        #[cfg(feature = "yara")]
        ("call: os.system", "yara: 'rule x {'", "error"),
    ] {
        let complaint = complaint(&GOOD.replace(from, to));
        assert!(complaint.contains(expected), "{to}: {complaint}");
        assert!(complaint.contains(": rule "), "{to}: {complaint}");
        assert!(complaint.starts_with("mine.yaml:") && !complaint.starts_with("mine.yaml:0"), "{to}: {complaint}");
    }
}

#[test]
fn an_id_is_there_once_but_replaces_an_older_one() {
    let twice = complaint(&format!("{GOOD}{GOOD}"));
    assert_eq!(twice, "mine.yaml:8: rule python.process.a: there is another rule of this id in mine.yaml, line 1");
    let set = |text| RuleSet::empty().with_texts(&[RuleText { name: "a", text }]).unwrap();
    let first = set(GOOD);
    let other = GOOD.replace("severity: low", "severity: high");
    let second = first.clone().with_texts(&[RuleText { name: "b", text: &other }]).unwrap();
    assert_eq!(second.rules().len(), 1);
    assert_ne!(first.digest(), second.digest());
    assert_eq!(second.digest(), set(&other).digest());
    assert_eq!(RuleSet::built_in().digest(), RuleSet::built_in().with_texts(&[]).unwrap().digest());
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "[-a-z:{}\\[\\]'\"#|>&*! \n0-9]{0,200}") {
        let _ = parse_rules(&[RuleText { name: "x", text: &text }]);
        let _ = parse_rules(&[RuleText { name: "x", text: &GOOD.replace("os.system", &text) }]);
    }
}
