//! Files that are made to be hard: huge, deep, broken, odd.
//!
//! Invariant: each takes a bounded time and a bounded report; what wasn't read is said.

#![expect(clippy::panic, reason = "helpers of tests fail as tests do")]

use crucible_core::{ScanFile, ScanReport, Scanner};
use crucible_scan::rules::RuleText;
use crucible_scan::{RuleSet, SourceScanner};
use proptest::prelude::*;
use std::time::Duration;

/// Processor time; generous, since tests are built without optimisation. The promise is a second.
const PATIENCE: Duration = Duration::from_secs(20);

/// The processor time that this thread has had.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

const RULES: &str = "
- id: any.test.calls
  severity: low
  group: test
  message: m
  does: '{0} {1} {module} {name}'
  why: w
  languages: [any]
  match:
    any:
      - { call: '**' }
      - { call: '*' }
      - { attribute: '**.**' }
      - { text: '[a-z]+' }
      - { path: '/**' }
      - { command: '*' }
      - { import: '**' }
      - { assign: '**' }
      - { syntax_error: true }
      - { structure: endless_loop }
      - { structure: decoded_source }
      - { content: [elf, pickle, archive, script] }
";

fn scanner() -> SourceScanner {
    let rules = RuleSet::empty().with_texts(&[RuleText { name: "test.yaml", text: RULES }]);
    SourceScanner::new(rules.unwrap_or_else(|error| panic!("{error}")))
}

fn scan(language: Option<&str>, bytes: &[u8]) -> ScanReport {
    let begun = processor_time();
    let report = scanner().scan(&[ScanFile { name: "hostile", language, bytes }]);
    let taken = processor_time() - begun;
    assert!(taken < PATIENCE, "{language:?} took {taken:?}");
    assert!(report.findings.len() <= 2000);
    assert!(report.imports.len() <= 10_000);
    assert!(report.unread.len() <= 20);
    for finding in &report.findings {
        assert!(finding.does.chars().count() < 500);
        assert!(!finding.does.chars().any(char::is_control), "{:?}", finding.does);
        assert!(finding.region.line >= 1 && finding.region.column >= 1);
        assert!((finding.region.line, finding.region.column) <= (finding.region.end_line, finding.region.end_column));
    }
    report
}

const LANGUAGES: [&str; 5] = ["python", "javascript", "typescript", "tsx", "bash"];

fn in_every_language(text: &str) {
    for language in LANGUAGES {
        scan(Some(language), text.as_bytes());
    }
    scan(None, text.as_bytes());
}

#[test]
fn ten_megabytes_in_one_line_are_no_burden() {
    let text = format!("x = '{}'", "a".repeat(10 << 20));
    let report = scan(Some("python"), text.as_bytes());
    assert!(!report.unread.is_empty());
    scan(Some("javascript"), "x = 1; ".repeat(1_500_000).as_bytes());
    scan(None, "a".repeat(10 << 20).as_bytes());
}

#[test]
fn deep_nesting_is_no_burden() {
    for piece in [
        "(", "[", "{", "((", "f(", "-", "not ", "!", "$(", "<", "a.", "`${", "f'{", "if x:\n", "lambda:", "<a>", "`",
        "\"$(",
    ] {
        in_every_language(&piece.repeat(60_000 / piece.len()));
    }
    in_every_language(&format!("{}1{}", "(".repeat(20_000), ")".repeat(20_000)));
    in_every_language(&format!("x{}", "[0]".repeat(20_000)));
    in_every_language(&format!("x{}", "()".repeat(20_000)));
    in_every_language(&format!("x{}", ".y".repeat(20_000)));
    in_every_language(&(0..2000).map(|depth| format!("{}if x:\n", " ".repeat(depth))).collect::<String>());
}

#[test]
fn a_million_imports_are_listed_as_far_as_is_useful() {
    let text: String = (0..1_000_000).map(|number| format!("import m{number}\n")).collect();
    let report = scan(Some("python"), text.as_bytes());
    assert!(report.imports.len() >= 1000);
    assert!(!report.unread.is_empty());
}

#[test]
fn constants_that_grow_are_bounded() {
    let doubling: String =
        std::iter::once("x = 'aaaaaaaa'\n".to_owned()).chain((0..64).map(|_| "x = x + x\n".to_owned())).collect();
    scan(Some("python"), doubling.as_bytes());
    scan(Some("javascript"), doubling.as_bytes());
    scan(Some("python"), b"x = 'a'\n");
    scan(Some("python"), format!("x = ''\n{}", "x += 'abc'\nf(x)\n".repeat(30_000)).as_bytes());
    scan(
        Some("python"),
        b"x = 'ab' * 9999999999 * 9999999\ny = 'a'.join('b' * 99999)\nz = 'a'.replace('', 'b' * 99999)",
    );
    scan(Some("python"), format!("x = [{}]\n{}", "'a', ".repeat(4000), "y = x + x\nx = y\n".repeat(2000)).as_bytes());
    scan(Some("bash"), format!("x=aaaaaaaa\n{}", "x=$x$x\n".repeat(64)).as_bytes());
    scan(Some("python"), format!("exec({:?})", "exec(".repeat(5000)).as_bytes());
    let mut nested = "f()".to_owned();
    for _ in 0..10 {
        nested = format!("exec({nested:?})");
    }
    let report = scan(Some("python"), nested.as_bytes());
    assert!(report.unread.iter().any(|unread| unread.reason.contains("encoded within")), "{:?}", report.unread);
}

#[test]
fn a_bomb_of_compressed_text_is_not_unpacked_whole() {
    let bomb = miniz_oxide::deflate::compress_to_vec_zlib(&vec![b'a'; 50 << 20], 9);
    let escaped: String = bomb.iter().map(|byte| format!("\\x{byte:02x}")).collect();
    scan(Some("python"), format!("import zlib\nexec(zlib.decompress(b'{escaped}'))").as_bytes());
}

#[test]
fn odd_bytes_are_read_all_the_same() {
    let found = |bytes: &[u8]| {
        let report = scan(Some("python"), bytes);
        let call = report.findings.iter().find(|finding| finding.does.starts_with("os.system"));
        call.map(|finding| (finding.region.line, finding.region.column))
    };
    assert_eq!(found(b"import os\nos.system('x')"), Some((2, 1)));
    assert_eq!(found(b"\xef\xbb\xbfimport os\nos.system('x')"), Some((2, 1)));
    assert_eq!(found(b"import os\ros.system('x')"), Some((2, 1)));
    assert_eq!(found(b"import os\r\nos.system('x')"), Some((2, 1)));
    assert_eq!(found(b"import os\nx = '\xff\xfe'; os.system('x')"), Some((2, 11)));
    assert_eq!(found("import os\nx = 'é€𝄞'; os.system('x')".as_bytes()), Some((2, 12)));
    assert_eq!(found(b"import os\n\0os.system('x')"), Some((2, 2)));
    assert_eq!(found(b"import os\n\n\n  \\\n\nos.system('x')").map(|(line, _)| line), Some(6));
}

#[test]
fn what_is_no_text_is_told_by_its_content() {
    let kind = |bytes: &[u8]| scan(None, bytes).findings.first().map(|finding| finding.does.clone());
    assert_eq!(kind(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0").as_deref(), Some("elf … elf elf"));
    assert_eq!(kind(b"PK\x03\x04\0\0").as_deref(), Some("archive … archive archive"));
    assert_eq!(kind(b"#!/usr/bin/perl\nprint 1;").as_deref(), Some("script … script script"));
    let report = scan(Some("python"), b"\x7fELF\x02\x01\x01\0");
    assert_eq!(report.unread.len(), 1);
}

#[test]
fn a_scan_of_nothing_says_nothing() {
    assert_eq!(scanner().scan(&[]), ScanReport::default());
    in_every_language("");
    in_every_language("\n\n");
    in_every_language("\0");
}

fn hostile_source() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "import os",
        "os.system(",
        "exec(",
        "'",
        "\"",
        "\"\"\"",
        "f'{",
        "}'",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\\",
        "\\x4",
        "\\u{",
        "%s",
        "{0}",
        " % ",
        "+",
        "*9999",
        "[::-1]",
        "[9:-9:0]",
        ".join(",
        ".format(",
        "lambda x:",
        "\n",
        "\n    ",
        "def f():",
        "class A:",
        "while True:",
        "for x in",
        "base64.b64decode('",
        "bytes.fromhex('",
        "chr(",
        "-1",
        "0x",
        "1e999",
        "é",
        "\u{202e}",
        "x",
        "=",
        "+=",
        ",",
        "require('",
        "`${",
        "=>",
        "function(",
        "$(",
        "${",
        "| sh",
        "<<EOF",
        "> /dev/tcp/x",
        "$'\\",
        "import *",
        "from . import",
        "__import__('",
        "getattr(",
        "vars(",
        "zlib.decompress(b'",
        ":",
        ";",
        "#",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_source_makes_it_panic(text in hostile_source(), language in prop::sample::select(LANGUAGES.to_vec())) {
        scan(Some(language), text.as_bytes());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), language in prop::option::of(prop::sample::select(LANGUAGES.to_vec()))) {
        scan(language, &bytes);
    }

    #[test]
    fn no_pickle_makes_it_panic(bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(b'('), Just(b'R'), Just(b'.'), Just(b't'), Just(b'\n'), Just(b'c'), Just(0x93), Just(0x8c)], 0..200)) {
        let mut pickle = vec![0x80, 4];
        pickle.extend(&bytes);
        scan(None, &pickle);
        scan(None, &bytes);
    }
}
