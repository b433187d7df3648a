//! What holds of every report of the scanner. Its tests go by this, too, over the targets' seeds.

use crucible_core::{Region, ScanFile, ScanReport, Scanner};

/// The languages that the first byte of an input chooses among; `None` leaves it to the scanner.
pub const LANGUAGES: [Option<&str>; 6] =
    [None, Some("python"), Some("javascript"), Some("typescript"), Some("tsx"), Some("bash")];

/// The languages by the letters that stand for them in seeds: `-`, `p`, `j`, `t`, `x`, `b`. Any other byte counts.
const LETTERS: &[u8; LANGUAGES.len()] = b"-pjtxb";

/// Takes an input apart into a language and a program.
pub fn language_and_source(input: &[u8]) -> Option<(Option<&'static str>, &[u8])> {
    let (first, source) = input.split_first()?;
    let place = LETTERS.iter().position(|letter| letter == first).unwrap_or(usize::from(*first) % LANGUAGES.len());
    Some((LANGUAGES[place], source))
}

/// Scans a file twice, and holds the report against everything that has to be so.
pub fn check(scanner: &impl Scanner, language: Option<&str>, bytes: &[u8]) {
    check_texts(&check_places(scanner, language, bytes));
}

/// As [`check`], but for the texts, where a person's own rules say them.
pub fn check_places(scanner: &impl Scanner, language: Option<&str>, bytes: &[u8]) -> ScanReport {
    let file = ScanFile { name: "fuzzed", language, bytes };
    let report = scanner.scan(&[file]);
    check_bounds(&report);
    check_regions(&report, bytes);
    let again = scanner.scan(&[file]);
    // How far a text is read that is hard to parse is a matter of time.
    let is_timed = |report: &ScanReport| report.unread.iter().any(|unread| unread.reason.contains("pars"));
    if !is_timed(&report) && !is_timed(&again) {
        assert_eq!(report, again, "a second scan of the same says something else");
    }
    report
}

fn check_bounds(report: &ScanReport) {
    assert!(report.findings.len() <= 2000, "{} findings", report.findings.len());
    assert!(report.imports.len() <= 10_000, "{} imports", report.imports.len());
    assert!(report.unread.len() <= 20, "{} reasons", report.unread.len());
}

/// Every region lies in the file, and they come in the order in which they begin.
fn check_regions(report: &ScanReport, bytes: &[u8]) {
    let widths = widths(bytes);
    let lies_within = |region: &Region| {
        let is_there = |line: u64, column: u64| {
            let line = line.checked_sub(1).and_then(|line| usize::try_from(line).ok());
            let width = line.and_then(|line| widths.get(line));
            column >= 1 && width.is_some_and(|width| column <= width + 1)
        };
        let (start, end) = ((region.line, region.column), (region.end_line, region.end_column));
        is_there(start.0, start.1) && is_there(end.0, end.1) && start <= end
    };
    let found: Vec<Region> = report.findings.iter().map(|finding| finding.region).collect();
    let imported: Vec<Region> = report.imports.iter().map(|import| import.region).collect();
    for regions in [found, imported] {
        if let Some(outside) = regions.iter().find(|region| !lies_within(region)) {
            panic!("{outside:?} isn't in the file");
        }
        assert!(regions.is_sorted_by_key(|region| (region.line, region.column)), "not in order: {regions:?}");
    }
}

/// The characters of each line, as a person counts them.
fn widths(bytes: &[u8]) -> Vec<u64> {
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    // A carriage return ends a line, too, but one before a line feed is the last character of its line.
    let text = text.replace("\r\n", "\u{e000}\n").replace('\r', "\n");
    text.split('\n').map(|line| line.chars().count() as u64).collect()
}

/// Nothing in a report leads a terminal or an eye astray, and everything is short.
fn check_texts(report: &ScanReport) {
    let findings = report.findings.iter().flat_map(|finding| [&finding.message, &finding.does]);
    let imports = report.imports.iter().map(|import| &import.module);
    let reasons = report.unread.iter().map(|unread| &unread.reason);
    for text in findings.chain(imports).chain(reasons) {
        let is_odd = |letter: char| letter.is_control() || ('\u{202a}'..='\u{202e}').contains(&letter);
        assert!(!text.contains(is_odd), "{text:?}");
        assert!(text.chars().count() <= 1000, "{} characters", text.chars().count());
    }
}
