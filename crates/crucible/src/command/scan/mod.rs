//! `crucible scan`: looks at programs without running them, and says what they look like they do.
//!
//! Invariant: a file that can't be read, or isn't looked at whole, is said; nothing is left out in silence. The scanner finds,
//! this prints.

mod excerpt;
mod looking;
mod sources;
mod text;

pub(super) use text::{one_line, style};

use crate::arguments::{ScanArguments, ScanFormat};
use crate::exit::Exit;
use crate::output;
use crucible::compose;
use crucible::config::{Configuration, Environment, Overrides};
use crucible_api::v1;
use crucible_core::{Error, Result, Severity, Unread};
use crucible_scan::RuleSet;
use crucible_scan::report::{Notice, NoticeLevel, Reported, Sarif, uri_reference};
use crucible_scan::rules::LANGUAGES;
use looking::{Excerpts, Looked, Request};
use sources::{Failure, Skipped, Sources};

/// The most findings of all files together that are kept, and the most imports.
const MOST: usize = 100_000;

/// The most of one kind of remark that goes to standard error.
const MOST_REMARKS: usize = 20;

/// What all files together told.
struct Findings {
    rules: RuleSet,
    files: Vec<Looked>,
    skipped: Vec<Skipped>,
    failures: Vec<Failure>,
    left_out: u64,
    milder: u64,
    /// The worst of all findings, of those that aren't shown, too.
    worst: Option<Severity>,
}

/// Looks at everything that the arguments name.
///
/// # Errors
/// As [`compose::rules`]; `NotFound` for an unknown language; `Io` where the result can't be written. A file that can't be
/// read is told, and decides only what the command ends with.
pub(crate) fn scan(arguments: &ScanArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &Overrides::default())?;
    let language = arguments.language.as_deref().map(|name| language(&configuration, name)).transpose()?;
    let rules = compose::rules(&configuration, &arguments.rules)?;
    let scanner = compose::scanner_by(rules.clone());
    let Sources { found, skipped, failures } = Sources::of(&arguments.paths);
    let request = Request {
        scanner: scanner.as_ref(),
        language: language.as_deref(),
        least: arguments.severity.unwrap_or(Severity::Info),
        excerpts: if arguments.format == ScanFormat::Text { Excerpts::Cut } else { Excerpts::None },
    };
    let mut findings = Findings { rules, files: Vec::new(), skipped, failures, left_out: 0, milder: 0, worst: None };
    let (mut kept, mut imports) = (0, 0);
    looking::look(&request, found, |looked| match looked {
        Ok(looked) => findings.add(looked, &mut kept, &mut imports),
        Err(failure) => findings.failures.push(failure),
    });
    tell_failures(&findings.failures);
    let shown = match arguments.format {
        ScanFormat::Text => {
            tell_skipped(&findings.skipped);
            output::data(&text::report(&findings, arguments.detail()))?
        }
        ScanFormat::Json => output::json(&document(&findings))?,
        ScanFormat::Sarif => sarif(&findings)?,
    };
    Ok(if shown == Exit::Success { findings.exit(arguments.fail_on) } else { shown })
}

/// A language as the scanner knows it: one of the language table, or another one that there are rules for.
fn language(configuration: &Configuration, name: &str) -> Result<String> {
    // A pickle is told by its bytes; nobody writes one.
    let has_rules = LANGUAGES.iter().find(|known| **known != "pickle" && known.eq_ignore_ascii_case(name));
    match configuration.languages().find(name) {
        Ok((name, _)) => Ok(name),
        Err(error) => has_rules.map(|known| (*known).to_owned()).ok_or(error),
    }
}

impl Findings {
    fn add(&mut self, mut looked: Looked, kept: &mut usize, imports: &mut usize) {
        self.worst = self.worst.max(looked.worst);
        self.milder += looked.milder;
        self.left_out += looked.report.left_out;
        let room = MOST - *kept;
        if looked.report.findings.len() > room {
            self.left_out += (looked.report.findings.len() - room) as u64;
            looked.report.findings.truncate(room);
        }
        *kept += looked.report.findings.len();
        let room = MOST - *imports;
        if looked.report.imports.len() > room {
            looked.report.imports.truncate(room);
            let reason = format!("imports beyond the first {MOST} of all files aren't listed");
            looked.report.unread.push(Unread { file: looked.name.clone(), reason });
        }
        *imports += looked.report.imports.len();
        self.files.push(looked);
    }

    fn unread(&self) -> impl Iterator<Item = &Unread> {
        self.files.iter().flat_map(|looked| &looked.report.unread)
    }

    /// What was left out may be of any severity. A file that couldn't be read outweighs no finding.
    fn exit(&self, fail_on: Option<Severity>) -> Exit {
        let is_bad = |least| self.worst.is_some_and(|worst| worst >= least) || self.left_out > 0;
        if fail_on.is_some_and(is_bad) {
            return Exit::Found;
        }
        self.failures.first().map_or(Exit::Success, |failure| Exit::Failed(failure.error.kind()))
    }
}

fn tell_failures(failures: &[Failure]) {
    for failure in failures.iter().take(MOST_REMARKS) {
        output::error(&failure.error);
    }
    if let Some(more @ 1..) = failures.len().checked_sub(MOST_REMARKS) {
        output::failure(&format!("{more} more files couldn't be read"), None::<&str>);
    }
}

fn tell_skipped(skipped: &[Skipped]) {
    for Skipped { name, reason } in skipped.iter().take(MOST_REMARKS) {
        output::warning(&format!("'{}' is not looked at: {reason}", text::one_line(name)));
    }
    if let Some(more @ 1..) = skipped.len().checked_sub(MOST_REMARKS) {
        output::warning(&format!("{more} more were not looked at; --format json lists them"));
    }
}

fn document(findings: &Findings) -> v1::ScanReport {
    let reports = || findings.files.iter().map(|looked| &looked.report);
    let skipped = findings
        .skipped
        .iter()
        .map(|Skipped { name, reason }| v1::Unread { file: name.clone(), reason: (*reason).to_owned() });
    v1::ScanReport {
        version: v1::ScanReport::VERSION,
        crucible: env!("CARGO_PKG_VERSION").to_owned(),
        rules: v1::RulesInForce { count: findings.rules.rules().len(), digest: findings.rules.digest().to_owned() },
        files: findings
            .files
            .iter()
            .map(|looked| v1::ScannedFile { file: looked.name.clone(), bytes: looked.bytes })
            .collect(),
        findings: reports().flat_map(|report| &report.findings).map(v1::Finding::from).collect(),
        imports: reports().flat_map(|report| &report.imports).map(v1::Import::from).collect(),
        unread: findings.unread().map(v1::Unread::from).chain(skipped).collect(),
        failures: findings
            .failures
            .iter()
            .map(|failure| v1::Unread { file: failure.name.clone(), reason: reason(&failure.error) })
            .collect(),
        left_out: findings.left_out,
        milder: findings.milder,
    }
}

fn reason(error: &Error) -> String {
    output::chain(error)
}

fn sarif(findings: &Findings) -> Result<Exit> {
    let mut results = Vec::new();
    let mut notices = Vec::new();
    for failure in &findings.failures {
        let message = reason(&failure.error);
        notices.push(Notice { level: NoticeLevel::Error, uri: Some(failure.uri.clone()), message });
    }
    for looked in &findings.files {
        for (finding, fingerprint) in looked.report.findings.iter().zip(&looked.fingerprints) {
            results.push(Reported { finding, uri: &looked.uri, fingerprint });
        }
        for unread in &looked.report.unread {
            let message = format!("not looked at whole: {}", unread.reason);
            notices.push(Notice { level: NoticeLevel::Warning, uri: Some(looked.uri.clone()), message });
        }
    }
    for skipped in &findings.skipped {
        let message = format!("not looked at: {}", skipped.reason);
        let uri = Some(uri_reference(skipped.name.as_bytes()));
        notices.push(Notice { level: NoticeLevel::Note, uri, message });
    }
    if findings.left_out > 0 {
        let message = format!("{} findings are left out, since there are too many", findings.left_out);
        notices.push(Notice { level: NoticeLevel::Warning, uri: None, message });
    }
    output::json(&Sarif { rules: &findings.rules, results: &results, notices: &notices })
}
