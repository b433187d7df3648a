//! What `crucible review` tells people and programs.

use crate::output;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crucible_api::v1;
use crucible_core::{EvaluationId, HeldList, HeldRecord, HeldState, HeldSummary, Limits, Program, Review, rfc3339};
use crucible_evidence::policy_hash;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Characters of a program that are shown; all are in the JSON.
const MOST_SHOWN: usize = 64 << 10;
/// Characters of a reason in a table.
const LONGEST_REASON: usize = 100;

#[derive(Serialize)]
pub(super) struct Listed {
    evaluations: Vec<ListedEvaluation>,
    unreadable: Vec<String>,
}

#[derive(Serialize)]
struct ListedEvaluation {
    id: String,
    state: &'static str,
    at: String,
    policy: String,
    program: String,
    findings: u64,
    admission: v1::Admission,
}

impl From<&HeldList> for Listed {
    fn from(list: &HeldList) -> Self {
        let listed = |summary: &HeldSummary| ListedEvaluation {
            id: summary.id.to_string(),
            state: summary.state.as_str(),
            at: rfc3339(summary.at),
            policy: summary.policy.clone(),
            program: summary.program.clone(),
            findings: summary.findings,
            admission: (&summary.admission).into(),
        };
        Self { evaluations: list.held.iter().map(listed).collect(), unreadable: list.unreadable.clone() }
    }
}

#[derive(Serialize)]
pub(super) struct Decided {
    id: String,
    state: &'static str,
    review: v1::Review,
}

impl Decided {
    pub(super) fn of(id: EvaluationId, state: HeldState, review: &Review) -> Self {
        Self { id: id.to_string(), state: state.as_str(), review: review.into() }
    }
}

/// All of one, with what is to be run.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    id: String,
    state: &'static str,
    at: String,
    policy: &'a str,
    policy_hash: String,
    backend: &'a str,
    program: ShownProgram<'a>,
    files: Vec<ShownFile<'a>>,
    collect: Vec<&'a str>,
    env: &'a std::collections::BTreeMap<String, String>,
    limits: Limits,
    label: Option<&'a str>,
    admission: v1::Admission,
    findings: Vec<v1::Finding>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ShownProgram<'a> {
    Source { language: &'a str, code: String, code_base64: Option<String>, args: &'a [String] },
    Command { argv: &'a [String] },
}

#[derive(Serialize)]
struct ShownFile<'a> {
    path: &'a str,
    size: u64,
    executable: bool,
    content_base64: String,
}

impl<'a> From<&'a HeldRecord> for Shown<'a> {
    fn from(record: &'a HeldRecord) -> Self {
        let HeldRecord { held, state } = record;
        let spec = &held.spec;
        let program = match &spec.program {
            Program::Source { language, code, args } => ShownProgram::Source {
                language,
                code: String::from_utf8_lossy(code).into_owned(),
                code_base64: std::str::from_utf8(code).is_err().then(|| STANDARD.encode(code)),
                args,
            },
            Program::Command { argv } => ShownProgram::Command { argv },
        };
        let file = |file: &'a crucible_core::InputFile| ShownFile {
            path: file.path.as_str(),
            size: u64::try_from(file.content.len()).unwrap_or(u64::MAX),
            executable: file.executable,
            content_base64: STANDARD.encode(&file.content),
        };
        Self {
            id: spec.id.to_string(),
            state: state.as_str(),
            at: rfc3339(held.at),
            policy: &spec.policy.name,
            policy_hash: policy_hash(&spec.policy),
            backend: &spec.backend,
            program,
            files: spec.files.iter().map(file).collect(),
            collect: spec.collect.iter().map(crucible_core::GuestPath::as_str).collect(),
            env: &spec.env,
            limits: spec.policy.limits_for(&spec.limits),
            label: spec.label.as_ref().map(crucible_core::Label::as_str),
            admission: (&held.admission).into(),
            findings: held.findings.iter().map(v1::Finding::from).collect(),
        }
    }
}

/// A text of a program's in one line.
fn line(text: &str) -> String {
    output::neutral(text).replace('\n', "\u{fffd}")
}

/// All that are kept, one line each.
pub(super) fn table(held: &[HeldSummary]) -> String {
    if held.is_empty() {
        return "no program is held\n".to_owned();
    }
    let mut text = String::new();
    for summary in held {
        let why = match &summary.review {
            Some(review) => format!("{}: {}", line(&review.by), line(&review.reason)),
            None => summary.admission.reasons.first().map(|reason| line(&reason.message)).unwrap_or_default(),
        };
        let mut why: String = why.chars().take(LONGEST_REASON + 1).collect();
        if why.chars().count() > LONGEST_REASON {
            why = why.chars().take(LONGEST_REASON - 1).chain(['…']).collect();
        }
        let HeldSummary { id, at, policy, program, state, .. } = summary;
        // Writing to a String can't fail.
        let _ = writeln!(text, "{id}  {state:8}  {}  {}  {}  {why}", rfc3339(*at), line(policy), line(program));
    }
    text
}

/// One with its reasons, its findings and its source.
pub(super) fn in_words(record: &HeldRecord) -> String {
    let HeldRecord { held, state } = record;
    let spec = &held.spec;
    // Writing to a String can't fail.
    let mut text = String::new();
    let _ = writeln!(text, "{}  {state}", spec.id);
    let _ = writeln!(text, "held       {} by policy '{}'", rfc3339(held.at), line(&spec.policy.name));
    if let Some(review) = &spec.review {
        let _ = writeln!(
            text,
            "{:10} {} by {}: {}",
            HeldState::from(review.decision),
            rfc3339(review.at),
            line(&review.by),
            line(&review.reason)
        );
    }
    let _ = writeln!(text, "backend    {}", line(&spec.backend));
    for reason in &held.admission.reasons {
        let _ = writeln!(text, "{:10} {}: {}", reason.decision, reason.clause, line(&reason.message));
    }
    for file in &spec.files {
        let executable = if file.executable { ", executable" } else { "" };
        let _ = writeln!(text, "file       {} ({} bytes{executable})", line(file.path.as_str()), file.content.len());
    }
    for (name, value) in &spec.env {
        let _ = writeln!(text, "variable   {}={}", line(name), line(value));
    }
    if !held.findings.is_empty() {
        let _ = writeln!(text, "\nfindings:");
    }
    for finding in &held.findings {
        let _ = writeln!(text, "  {}", line(&crucible_engine::finding_in_words(finding)));
    }
    match &spec.program {
        Program::Command { argv } => {
            let words: Vec<_> = argv.iter().map(|word| format!("{word:?}")).collect();
            let _ = writeln!(text, "\ncommand: {}", output::neutral(&words.join(" ")));
        }
        Program::Source { language, code, args } => {
            let _ = writeln!(
                text,
                "\n{}{}:",
                line(language),
                args.iter().map(|argument| format!(" {argument:?}")).collect::<String>()
            );
            let marked: BTreeSet<u64> = held
                .findings
                .iter()
                .filter(|finding| is_in_program(spec, finding))
                .map(|finding| finding.region.line)
                .collect();
            source(&mut text, &String::from_utf8_lossy(code), &marked);
        }
    }
    text
}

/// Whether a finding is in the program itself and not in one of its files.
fn is_in_program(spec: &crucible_core::EvaluationSpec, finding: &crucible_core::Finding) -> bool {
    let is_file = |file: &crucible_core::InputFile| {
        [Some(file.path.as_str()), file.path.within_work()].contains(&Some(finding.file.as_str()))
    };
    !spec.files.iter().any(is_file)
}

/// A program's source with line numbers; lines with findings are marked.
fn source(text: &mut String, code: &str, marked: &BTreeSet<u64>) {
    let mut left = MOST_SHOWN;
    for (number, row) in (1_u64..).zip(code.lines()) {
        let length = row.chars().count();
        if length > left {
            let _ = writeln!(text, "  … the rest is in --json");
            return;
        }
        left -= length;
        let mark = if marked.contains(&number) { '>' } else { ' ' };
        let _ = writeln!(text, "{mark} {number:4}  {}", line(row));
    }
}
