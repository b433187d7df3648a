//! SARIF that others can read: it validates against the standard's own schema, and says what was found.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use crucible_core::{Finding, Region, Severity};
use crucible_scan::RuleSet;
use crucible_scan::report::{Notice, NoticeLevel, Reported, Sarif};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::LazyLock;

static SCHEMA: LazyLock<jsonschema::Validator> = LazyLock::new(|| {
    // The standard's own expression for a language has a bracket too many, which only lenient readers take for itself. No
    // document of ours says in which language it is.
    let text = include_str!("data/sarif-schema-2.1.0.json").replace("[a-zA-Z]{2}]?$", "[a-zA-Z]{2}?$");
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
});

fn complaints(document: &Value) -> Vec<String> {
    SCHEMA.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

fn finding(rule: &str, severity: Severity, message: &str) -> Finding {
    Finding {
        rule: rule.to_owned(),
        severity,
        group: "process".to_owned(),
        file: "a b.py".to_owned(),
        region: Region { line: 3, column: 5, end_line: 3, end_column: 9 },
        message: message.to_owned(),
        does: "runs a shell command with os.system".to_owned(),
        foreshadows: Default::default(),
    }
}

fn document(findings: &[Finding], notices: &[Notice]) -> Value {
    let rules = RuleSet::built_in();
    let results: Vec<_> =
        findings.iter().map(|finding| Reported { finding, uri: "a%20b.py", fingerprint: "00ff" }).collect();
    serde_json::to_value(Sarif { rules: &rules, results: &results, notices }).unwrap()
}

#[test]
fn a_document_validates_and_says_what_was_found() {
    let rules = RuleSet::built_in();
    let rule = &rules.rules()[0];
    let notices = [
        Notice { level: NoticeLevel::Error, uri: Some("gone.py".to_owned()), message: "can't be read".to_owned() },
        Notice { level: NoticeLevel::Note, uri: None, message: "3 links".to_owned() },
    ];
    let findings =
        [finding(&rule.id, Severity::Critical, "runs \u{1b}[2J a shell"), finding("no.such.rule", Severity::Info, "x")];
    let document = document(&findings, &notices);
    assert_eq!(complaints(&document), [""; 0]);
    let run = &document["runs"][0];
    assert_eq!(run["columnKind"], "unicodeCodePoints");
    assert_eq!(run["invocations"][0]["executionSuccessful"], false);
    assert_eq!(run["tool"]["driver"]["rules"].as_array().unwrap().len(), rules.rules().len());
    let result = &run["results"][0];
    assert_eq!((&result["level"], &result["ruleIndex"]), (&json!("error"), &json!(0)));
    assert_eq!(result["message"]["text"], "runs \u{1b}[2J a shell");
    assert_eq!(
        result["locations"][0]["physicalLocation"],
        json!({
            "artifactLocation": {"uri": "a%20b.py"},
            "region": {"startLine": 3, "startColumn": 5, "endLine": 3, "endColumn": 9}
        })
    );
    assert_eq!(result["partialFingerprints"], json!({"crucibleLine/v1": "00ff"}));
    assert_eq!(run["results"][1].get("ruleIndex"), None);
    assert_eq!(run["results"][1]["level"], "note");
}

#[test]
fn every_rule_is_described_with_its_references_as_tags() {
    let rules = RuleSet::built_in();
    let document = document(&[], &[]);
    assert_eq!(complaints(&document), [""; 0]);
    for (rule, described) in
        rules.rules().iter().zip(document["runs"][0]["tool"]["driver"]["rules"].as_array().unwrap())
    {
        assert_eq!(described["id"], rule.id.as_str());
        assert!(described["help"]["text"].as_str().unwrap().starts_with(rule.why.as_str()), "{described}");
        assert!(described.get("helpUri").is_none());
        let tags = described["properties"]["tags"].as_array().unwrap();
        for reference in rule.references.names() {
            assert!(tags.iter().any(|tag| *tag == reference.as_str()), "{reference} is no tag of {described}");
        }
    }
}

#[test]
fn the_schema_is_no_rubber_stamp() {
    let good = document(&[finding("a", Severity::Low, "x")], &[]);
    for (pointer, wrong) in [
        ("/version", json!("2.0.0")),
        ("/runs/0/results/0/level", json!("critical")),
        ("/runs/0/results/0/locations/0/physicalLocation/region/startLine", json!(0)),
        ("/runs/0/results/0/locations/0/physicalLocation/artifactLocation/uri", json!("a b\u{7}")),
        ("/runs/0/columnKind", json!("bytes")),
        ("/runs/0/tool/driver/name", Value::Null),
    ] {
        let mut document = good.clone();
        *document.pointer_mut(pointer).unwrap() = wrong;
        assert_ne!(complaints(&document), [""; 0], "{pointer}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_path_message_or_name_makes_a_document_that_does_not_validate(
        path in prop::collection::vec(any::<u8>(), 0..40),
        message in any::<String>(),
        rule in any::<String>(),
    ) {
        let rules = RuleSet::empty();
        let finding = finding(&rule, Severity::Medium, &message);
        let uri = crucible_scan::report::uri_reference(&path);
        let results = [Reported { finding: &finding, uri: &uri, fingerprint: "0" }];
        let notices = [Notice { level: NoticeLevel::Warning, uri: Some(uri.clone()), message }];
        let document = serde_json::to_value(Sarif { rules: &rules, results: &results, notices: &notices }).unwrap();
        prop_assert_eq!(complaints(&document), Vec::<String>::new());
    }
}
