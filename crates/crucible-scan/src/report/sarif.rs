//! Findings as SARIF 2.1.0, the OASIS standard's format for the results of static analysis.
//!
//! Invariant: the document validates against the standard's schema, which a test holds it to; a result's place is in
//! characters, and every text is as it came, so whoever shows it neutralises it. The crate `serde-sarif` has types for the
//! whole of the standard, made at build time by three generators of code; the tenth of it that is written here is these few
//! structures, and the schema's test is a stricter judge of them than the types would be.

use crate::RuleSet;
use crate::rules::Rule;
use crucible_core::{Finding, Severity};
use serde::{Serialize, Serializer};

/// Where the standard says that its schema is.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The name of the one fingerprint that results have, with its version.
const FINGERPRINT: &str = "crucibleLine/v1";

/// A finding with what SARIF wants beside it.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// The URI reference of its file, as [`super::uri_reference`] makes it.
    pub uri: &'a str,
    /// Its fingerprint, as [`super::fingerprints`] makes it.
    pub fingerprint: &'a str,
}

/// How bad it is that something wasn't looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NoticeLevel {
    /// It was left out on purpose.
    Note,
    /// It wasn't looked at whole.
    Warning,
    /// It couldn't be read.
    Error,
}

/// Something that wasn't looked at, or not whole.
#[derive(Clone, Debug)]
pub struct Notice {
    /// How bad that is.
    pub level: NoticeLevel,
    /// The URI reference of the file, where it is one file.
    pub uri: Option<String>,
    /// What was the matter.
    pub message: String,
}

/// What a document is made of. It is serialised as a SARIF log with one run.
#[derive(Clone, Copy, Debug)]
pub struct Sarif<'a> {
    /// The rules in force.
    pub rules: &'a RuleSet,
    /// The findings.
    pub results: &'a [Reported<'a>],
    /// What wasn't looked at.
    pub notices: &'a [Notice],
}

impl Serialize for Sarif<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Log::of(self).serialize(serializer)
    }
}

#[derive(Serialize)]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    invocations: [Invocation<'a>; 1],
    column_kind: &'static str,
    results: Vec<Outcome<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'static str,
    version: &'static str,
    semantic_version: &'static str,
    rules: Vec<Descriptor<'a>>,
    properties: DriverProperties<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DriverProperties<'a> {
    rules_digest: &'a str,
}

#[derive(Serialize)]
struct Message<'a> {
    text: &'a str,
}

#[derive(Serialize)]
struct Help {
    text: String,
    markdown: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    id: &'a str,
    short_description: Message<'a>,
    full_description: Message<'a>,
    help: Help,
    default_configuration: Configuration,
    properties: RuleProperties<'a>,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct RuleProperties<'a> {
    tags: Vec<String>,
    #[serde(rename = "security-severity")]
    security_severity: &'static str,
    severity: Severity,
    group: &'a str,
    languages: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome<'a> {
    rule_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule_index: Option<usize>,
    level: &'static str,
    message: Message<'a>,
    locations: [Location<'a>; 1],
    partial_fingerprints: Fingerprints<'a>,
    properties: ResultProperties<'a>,
}

#[derive(Serialize)]
struct ResultProperties<'a> {
    severity: Severity,
    group: &'a str,
    does: &'a str,
}

struct Fingerprints<'a>(&'a str);

impl Serialize for Fingerprints<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(FINGERPRINT, self.0)])
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Location<'a> {
    physical_location: PhysicalLocation<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PhysicalLocation<'a> {
    artifact_location: ArtifactLocation<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<Region>,
}

#[derive(Serialize)]
struct ArtifactLocation<'a> {
    uri: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u64,
    start_column: u64,
    end_line: u64,
    end_column: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Invocation<'a> {
    execution_successful: bool,
    tool_execution_notifications: Vec<Notification<'a>>,
}

#[derive(Serialize)]
struct Notification<'a> {
    level: NoticeLevel,
    message: Message<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    locations: Option<[Location<'a>; 1]>,
}

impl<'a> Log<'a> {
    fn of(sarif: &Sarif<'a>) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let driver = Driver {
            name: "crucible",
            version,
            semantic_version: version,
            rules: sarif.rules.rules().iter().map(Descriptor::of).collect(),
            properties: DriverProperties { rules_digest: sarif.rules.digest() },
        };
        let invocation = Invocation {
            execution_successful: sarif.notices.iter().all(|notice| notice.level != NoticeLevel::Error),
            tool_execution_notifications: sarif.notices.iter().map(Notification::of).collect(),
        };
        let run = Run {
            tool: Tool { driver },
            invocations: [invocation],
            column_kind: "unicodeCodePoints",
            results: sarif.results.iter().map(|reported| Outcome::of(reported, sarif.rules)).collect(),
        };
        Self { schema: SCHEMA, version: "2.1.0", runs: [run] }
    }
}

impl<'a> Descriptor<'a> {
    fn of(rule: &'a Rule) -> Self {
        let references = rule.references.names();
        let (why, see) = (rule.why.as_str(), references.join(", "));
        let more = |before: &str, text: &str| {
            if text.is_empty() { String::new() } else { format!("{before}{text}") }
        };
        let help = Help {
            text: format!("{why}{}", more("\n\nSee ", &see)),
            markdown: format!("{}{}", escaped(why), more("\n\nSee ", &escaped(&see))),
        };
        let tags = ["security".to_owned(), rule.group.to_string()].into_iter().chain(references).collect();
        Self {
            id: &rule.id,
            short_description: Message { text: &rule.message },
            full_description: Message { text: why },
            help,
            default_configuration: Configuration { level: level(rule.severity) },
            properties: RuleProperties {
                tags,
                security_severity: security_severity(rule.severity),
                severity: rule.severity,
                group: &rule.group,
                languages: rule.languages.iter().map(|language| language.as_str()).collect(),
            },
        }
    }
}

impl<'a> Outcome<'a> {
    fn of(reported: &Reported<'a>, rules: &RuleSet) -> Self {
        let finding = reported.finding;
        let region = finding.region;
        let location = PhysicalLocation {
            artifact_location: ArtifactLocation { uri: reported.uri },
            region: Some(Region {
                start_line: region.line,
                start_column: region.column,
                end_line: region.end_line,
                end_column: region.end_column,
            }),
        };
        Self {
            rule_id: &finding.rule,
            rule_index: rules.rules().binary_search_by(|rule| rule.id.as_str().cmp(&finding.rule)).ok(),
            level: level(finding.severity),
            message: Message { text: &finding.message },
            locations: [Location { physical_location: location }],
            partial_fingerprints: Fingerprints(reported.fingerprint),
            properties: ResultProperties { severity: finding.severity, group: &finding.group, does: &finding.does },
        }
    }
}

impl<'a> Notification<'a> {
    fn of(notice: &'a Notice) -> Self {
        let locations = notice.uri.as_deref().map(|uri| {
            let artifact_location = ArtifactLocation { uri };
            [Location { physical_location: PhysicalLocation { artifact_location, region: None } }]
        });
        Self { level: notice.level, message: Message { text: &notice.message }, locations }
    }
}

/// SARIF has three levels.
const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info | Severity::Low => "note",
        Severity::Medium => "warning",
        Severity::High | Severity::Critical => "error",
    }
}

/// On the scale of CVSS, in the middle of the band that has the severity's name there.
const fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "0.1",
        Severity::Low => "2.0",
        Severity::Medium => "5.5",
        Severity::High => "8.0",
        Severity::Critical => "9.5",
    }
}

/// A plain text in Markdown.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_punctuation() && !matches!(c, '.' | ',' | '\'' | '-' | ':' | ';' | '/') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
