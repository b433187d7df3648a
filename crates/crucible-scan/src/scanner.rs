//! The scanner: files in, a report out.
//!
//! Invariant: bounded in time and memory whatever the files are. It reads nothing, starts nothing, and keeps nothing from
//! one scan to the next but what it knows of rules and grammars.

use crate::bytes::{is_text, kind_of};
use crate::facts::{Fact, Facts, Nested, Origin};
use crate::language::{Dialect, Language};
use crate::languages::Grammar;
use crate::matching::FileFacts;
use crate::parsing::parse;
use crate::pickle;
use crate::program::Program;
use crate::rule_set::RuleSet;
use crate::rules::{ContentKind, Shape};
use crate::source::{Places, Source};
use crucible_core::{ScanFile, ScanReport, Scanner, Unread};
use std::sync::OnceLock;
use tree_sitter::Parser;

/// The most findings of one report.
const MOST_FINDINGS: usize = 2000;

/// The most imports of one report.
const MOST_IMPORTS: usize = 10_000;

/// The most bytes that one scan looks at.
const MOST_BYTES: usize = 64 << 20;

/// Texts within texts within texts are followed so far.
const DEEPEST: usize = 5;

/// Looks at programs by a set of rules.
pub struct SourceScanner {
    rules: RuleSet,
    programs: [OnceLock<Program>; Dialect::ALL.len()],
    grammars: [OnceLock<Grammar>; Language::ALL.len()],
}

impl std::fmt::Debug for SourceScanner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SourceScanner").field("digest", &self.rules.digest()).finish_non_exhaustive()
    }
}

impl SourceScanner {
    /// A scanner that goes by these rules. What it costs more than a moment is done when a scan first needs it.
    #[must_use]
    pub fn new(rules: RuleSet) -> Self {
        Self { rules, programs: Default::default(), grammars: Default::default() }
    }

    /// The rules that it goes by.
    #[must_use]
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    fn program(&self, dialect: Dialect) -> &Program {
        self.programs[dialect.index()].get_or_init(|| Program::of(dialect, self.rules.rules()))
    }

    fn grammar(&self, language: Language) -> &Grammar {
        self.grammars[language.index()].get_or_init(|| Grammar::of(language))
    }

    fn scan_file(&self, file: &ScanFile<'_>, report: &mut ScanReport) {
        let programs = |dialect| self.program(dialect);
        let mut facts = FileFacts::new(&programs);
        let source = self.read_file(file, &mut facts);
        self.read_nested(&mut facts);
        let text = source.as_ref().map_or("", |source| &source.text);
        let mut places = Places::of(text);
        let (findings, left_out) = facts.findings(self.rules.rules(), file.name, &mut places);
        report.left_out += left_out;
        let room = MOST_FINDINGS.saturating_sub(report.findings.len());
        report.left_out += findings.len().saturating_sub(room) as u64;
        report.findings.extend(findings.into_iter().take(room));
        let mut places = Places::of(text);
        let imports = facts.imports(file.name, &mut places);
        if imports.len() + report.imports.len() > MOST_IMPORTS {
            facts.leave_unread("more modules are imported than are listed");
        }
        let room = MOST_IMPORTS.saturating_sub(report.imports.len());
        report.imports.extend(imports.into_iter().take(room));
        let unread = facts.unread.iter().map(|reason| Unread { file: file.name.to_owned(), reason: reason.clone() });
        report.unread.extend(unread);
    }

    /// Reads the file itself. What comes back is the text that places are in, if it has one.
    fn read_file<'b>(&self, file: &ScanFile<'b>, facts: &mut FileFacts<'_>) -> Option<Source<'b>> {
        let stated = file.language.and_then(Language::named);
        let named = stated.or_else(|| Language::of_file(file.name));
        let first_line = Language::of_first_line(file.bytes);
        let kind = kind_of(file.bytes);
        if let Some(kind) = kind {
            if named.is_some() {
                facts.leave_unread("it isn't text in the language it was said to be in");
            }
            facts.begin(Dialect::Bytes, None);
            facts.tell(0..0, Fact::Content { kind });
            facts.bytes(file.bytes);
            return None;
        }
        if named.is_none() && self.read_pickle(file.bytes, facts, None) {
            return None;
        }
        let language = named.or(match first_line {
            Some(Ok(language)) => Some(language),
            _ => None,
        });
        if language.is_none() && !is_text(file.bytes) {
            facts.begin(Dialect::Bytes, None);
            facts.bytes(file.bytes);
            return None;
        }
        let source = Source::of(file.bytes);
        match language {
            Some(language) => self.read_text(language, &source, facts),
            None => {
                facts.begin(Dialect::Bytes, None);
                if first_line == Some(Err(())) {
                    facts.tell(0..0, Fact::Content { kind: ContentKind::Script });
                }
                facts.whole_text(&source.text);
                facts.bytes(file.bytes);
            }
        }
        Some(source)
    }

    fn read_text(&self, language: Language, source: &Source<'_>, facts: &mut FileFacts<'_>) {
        facts.begin(language.dialect(), None);
        if source.has_zeros {
            facts.leave_unread("it holds zero bytes, which interpreters treat differently");
        }
        crate::disguise::look(language, &source.text, facts);
        self.parse_and_read(language, &source.text, facts);
    }

    /// Whether the text is in the language, as far as it was read.
    fn parse_and_read(&self, language: Language, text: &str, facts: &mut FileFacts<'_>) -> bool {
        let grammar = self.grammar(language);
        let mut parser = Parser::new();
        if parser.set_language(&grammar.language).is_err() {
            facts.leave_unread("the grammar of its language can't be used");
            return false;
        }
        let Some(parsed) = parse(&mut parser, language, text) else {
            facts.leave_unread("it takes too much work to parse");
            return false;
        };
        let read = text.get(..parsed.length).unwrap_or_default();
        grammar.read(&parsed.tree, read, facts);
        if parsed.length < text.len() {
            facts.leave_unread("only its beginning was parsed: it is too large, or takes too much work");
            // What isn't parsed is still looked at as text.
            facts.whole_text_from(text, parsed.length);
        }
        !parsed.tree.root_node().has_error()
    }

    /// Reads what is inside: source that is run, encoded blobs.
    fn read_nested(&self, facts: &mut FileFacts<'_>) {
        for depth in 0..=DEEPEST {
            let nested = std::mem::take(&mut facts.nested);
            if nested.is_empty() {
                return;
            }
            if depth == DEEPEST {
                facts.leave_unread("more is encoded within what is encoded than is looked at");
                return;
            }
            let outer = facts.dialect();
            for nested in nested {
                self.read_one(outer, nested, facts);
            }
        }
    }

    fn read_one(&self, outer: Dialect, nested: Nested, facts: &mut FileFacts<'_>) {
        let Nested { bytes, language, origin, place } = nested;
        if let Some(kind) = kind_of(&bytes) {
            facts.begin(Dialect::Bytes, Some(place.clone()));
            facts.tell(place, Fact::Content { kind });
            facts.bytes(&bytes);
            return;
        }
        if language.is_none() && self.read_pickle(&bytes, facts, Some(place.clone())) {
            return;
        }
        let text = match std::str::from_utf8(&bytes) {
            Ok(text) => text,
            Err(_) => {
                if bytes.len() >= 32 {
                    facts.begin(Dialect::Bytes, Some(place));
                    facts.bytes(&bytes);
                }
                return;
            }
        };
        let candidates = match (language, Language::of_first_line(&bytes)) {
            (Some(language), _) => vec![language],
            (None, Some(Ok(language))) => vec![language],
            (None, _) if looks_like_source(text) => guesses(outer),
            (None, _) => Vec::new(),
        };
        for candidate in candidates {
            // Whether it parses is asked before it is read, where that is a guess.
            if language.is_none() && !self.is_in(candidate, text) {
                continue;
            }
            facts.begin(candidate.dialect(), Some(place.clone()));
            self.parse_and_read(candidate, text, facts);
            let tells = facts.telling > 0;
            facts.begin(outer, Some(place.clone()));
            if tells && origin == Origin::Decoded {
                facts.tell(place.clone(), Fact::Shape { shape: Shape::DecodedSource, name: "" });
            }
            if tells && language.is_some() && candidate != Language::Bash {
                facts.tell(place.clone(), Fact::Shape { shape: Shape::NestedSource, name: "" });
            }
            return;
        }
    }

    fn is_in(&self, language: Language, text: &str) -> bool {
        let mut parser = Parser::new();
        if parser.set_language(&self.grammar(language).language).is_err() {
            return false;
        }
        parse(&mut parser, language, text).is_some_and(|parsed| !parsed.tree.root_node().has_error())
    }

    fn read_pickle(&self, bytes: &[u8], facts: &mut FileFacts<'_>, place: Option<std::ops::Range<usize>>) -> bool {
        if !pickle::looks_like_one(bytes) {
            return false;
        }
        facts.begin(Dialect::Pickle, place.clone());
        facts.tell(place.unwrap_or(0..0), Fact::Content { kind: ContentKind::Pickle });
        pickle::read(bytes, facts);
        facts.bytes(bytes);
        true
    }
}

/// Whether a text could be source at all: most constants aren't.
fn looks_like_source(text: &str) -> bool {
    text.len() >= 8 && (text.contains('(') || text.contains("import "))
}

/// The languages to try, the likeliest first.
fn guesses(outer: Dialect) -> Vec<Language> {
    match outer {
        Dialect::JavaScript | Dialect::TypeScript => vec![Language::JavaScript, Language::Python],
        _ => vec![Language::Python, Language::JavaScript],
    }
}

impl Scanner for SourceScanner {
    fn scan(&self, files: &[ScanFile<'_>]) -> ScanReport {
        let mut report = ScanReport::default();
        let mut left = MOST_BYTES;
        for file in files {
            match left.checked_sub(file.bytes.len()) {
                Some(rest) => {
                    left = rest;
                    self.scan_file(file, &mut report);
                }
                None => report
                    .unread
                    .push(Unread { file: file.name.to_owned(), reason: "all files together are too large".to_owned() }),
            }
        }
        report
    }

    fn rules_digest(&self) -> &str {
        self.rules.digest()
    }
}
