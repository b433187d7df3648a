//! Facts of one file against the rules: what was hit, and what of that becomes findings.
//!
//! Invariant: every store is bounded, whatever the file is: hits of a leaf, findings of a rule, imports, nested texts.

use crate::facts::{Arguments, Fact, Facts, Nested};
use crate::language::Dialect;
use crate::program::{LeafId, Plan, Program};
use crate::rules::Rule;
use crate::source::Places;
use crucible_core::{Finding, Import};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// The most hits of one leaf that are kept.
const MOST_HITS: usize = 50;

/// The most different modules of one file that are listed.
const MOST_IMPORTS: usize = 2000;

/// The longest that a text of the program's may be in a finding, in characters.
const LONGEST_QUOTE: usize = 80;

/// One place at which a leaf was hit.
#[derive(Clone, Debug)]
struct Hit {
    place: Range<usize>,
    /// What matched, as it may be shown.
    what: String,
    /// The call's first arguments where they are constants.
    arguments: Vec<Option<String>>,
}

#[derive(Debug, Default)]
struct Hits {
    leaves: FxHashMap<LeafId, Vec<Hit>>,
    left_out: u64,
}

/// What was seen of one file.
pub(crate) struct FileFacts<'p> {
    programs: &'p dyn Fn(Dialect) -> &'p Program,
    dialect: Dialect,
    /// The place in the file of the nested text that is read, if one is.
    around: Option<Range<usize>>,
    hits: BTreeMap<Dialect, Hits>,
    imports: FxHashSet<String>,
    listed: Vec<(String, Range<usize>)>,
    /// Texts to look at on their own.
    pub(crate) nested: Vec<Nested>,
    /// Why not all of it was read.
    pub(crate) unread: BTreeSet<String>,
    /// Calls and imports of the text that is read.
    pub(crate) telling: usize,
    nested_bytes: usize,
}

/// The most bytes of nested texts of one file.
const MOST_NESTED_BYTES: usize = 4 << 20;

/// The most nested texts of one file.
const MOST_NESTED: usize = 2000;

impl<'p> FileFacts<'p> {
    pub(crate) fn new(programs: &'p dyn Fn(Dialect) -> &'p Program) -> Self {
        Self {
            programs,
            dialect: Dialect::Bytes,
            around: None,
            hits: BTreeMap::new(),
            imports: FxHashSet::default(),
            listed: Vec::new(),
            nested: Vec::new(),
            unread: BTreeSet::new(),
            telling: 0,
            nested_bytes: 0,
        }
    }

    /// What comes next is in this dialect, at this place of the file or in the file itself.
    pub(crate) fn begin(&mut self, dialect: Dialect, around: Option<Range<usize>>) {
        self.dialect = dialect;
        self.around = around;
        self.telling = 0;
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Whether a nested text is read.
    pub(crate) fn is_nested(&self) -> bool {
        self.around.is_some()
    }

    fn place(&self, place: Range<usize>) -> Range<usize> {
        self.around.clone().unwrap_or(place)
    }

    /// Facts of another dialect than the one that is read.
    pub(crate) fn tell_in(&mut self, dialect: Dialect, place: Range<usize>, fact: &Fact<'_, '_>) {
        let place = self.place(place);
        let program = (self.programs)(dialect);
        // Most facts hit nothing.
        let hits = &mut self.hits;
        let mut hit = |leaf, place: &Range<usize>, what: &str, arguments: Option<&Arguments<'_>>| {
            hits.entry(dialect).or_default().add(leaf, place, what, arguments);
        };
        match *fact {
            Fact::Module { name } | Fact::ImportedName { name } => {
                program.import(name, |leaf| hit(leaf, &place, name, None));
            }
            Fact::Call { name, arguments } => {
                program.call(name, arguments, |leaf| hit(leaf, &place, name, Some(arguments)));
            }
            Fact::Attribute { name } => program.attribute(name, |leaf| hit(leaf, &place, name, None)),
            Fact::Assign { name, value } => program.assign(name, value, |leaf| hit(leaf, &place, name, None)),
            Fact::Constant { bytes } => program.constant(bytes, |leaf, within| {
                let what = String::from_utf8_lossy(&bytes[within.start..within.end.min(within.start + 400)]);
                hit(leaf, &place, &what, None);
            }),
            Fact::Command { command } => program.command(command, |leaf| {
                hit(leaf, &place, &command.name, Some(&command.arguments));
            }),
            Fact::Shape { shape, name } => program.shape(shape, name, |leaf| hit(leaf, &place, name, None)),
            Fact::SyntaxError => program.syntax_error(|leaf| hit(leaf, &place, "", None)),
            Fact::Content { kind } => program.content(kind, |leaf| hit(leaf, &place, kind_name(kind), None)),
        }
    }

    /// Tries the patterns for bytes.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let program = (self.programs)(Dialect::Bytes);
        let (around, hits) = (self.around.clone(), self.hits.entry(Dialect::Bytes).or_default());
        let untried = program.byte_patterns.find(bytes, |leaf, place| {
            hits.add(leaf, &around.clone().unwrap_or(place), "", None);
        });
        if let Some(reason) = untried {
            self.leave_unread(reason);
        }
    }

    /// Tries the expressions on a whole file that is in no language.
    pub(crate) fn whole_text(&mut self, text: &str) {
        self.whole_text_from(text, 0);
    }

    /// Tries them on the part of a text that wasn't parsed.
    pub(crate) fn whole_text_from(&mut self, text: &str, start: usize) {
        let program = (self.programs)(self.dialect);
        let around = self.around.clone();
        let hits = self.hits.entry(self.dialect).or_default();
        let rest = text.as_bytes().get(start..).unwrap_or_default();
        program.constant(rest, |leaf, within| {
            let what = String::from_utf8_lossy(&rest[within.start..within.end.min(within.start + 400)]);
            let place = around.clone().unwrap_or(start + within.start..start + within.end);
            hits.add(leaf, &place, &what, None);
        });
    }

    /// The findings, in the order of their places; and how many were left out.
    pub(crate) fn findings(&mut self, rules: &[Rule], file: &str, places: &mut Places<'_>) -> (Vec<Finding>, u64) {
        let mut found: BTreeMap<(usize, usize, usize), (usize, &Hit)> = BTreeMap::new();
        let mut left_out = 0;
        for (dialect, hits) in &self.hits {
            left_out += hits.left_out;
            let program = (self.programs)(*dialect);
            let touched: BTreeSet<usize> = hits.leaves.keys().filter_map(|leaf| program.owner(*leaf)).collect();
            for planned in touched.into_iter().filter_map(|place| program.rules.get(place)) {
                let Some(places) = hits.places(&planned.plan) else { continue };
                for hit in places {
                    found.entry((hit.place.start, hit.place.end, planned.rule)).or_insert((planned.rule, hit));
                }
            }
        }
        let mut counts: FxHashMap<(usize, usize), ()> = FxHashMap::default();
        let mut per_rule: FxHashMap<usize, usize> = FxHashMap::default();
        let mut findings = Vec::new();
        for (rule, hit) in found.into_values() {
            // `x.y` in `x.y()` begins where the call begins; one finding is enough.
            if counts.insert((rule, hit.place.start), ()).is_some() {
                continue;
            }
            let count = per_rule.entry(rule).or_default();
            *count += 1;
            let Some(rule) = rules.get(rule).filter(|_| *count <= MOST_HITS) else {
                left_out += 1;
                continue;
            };
            findings.push(Finding {
                rule: rule.id.to_string(),
                severity: rule.severity,
                group: rule.group.to_string(),
                file: file.to_owned(),
                region: places.region(&hit.place),
                message: rule.message.to_string(),
                does: filled(&rule.does, hit),
                foreshadows: rule.foreshadows.clone(),
            });
        }
        (findings, left_out)
    }

    /// The modules that are taken in, each once.
    pub(crate) fn imports(&mut self, file: &str, places: &mut Places<'_>) -> Vec<Import> {
        self.listed.sort_by_key(|(_, place)| place.start);
        let import = |(module, place): &(String, Range<usize>)| Import {
            module: module.clone(),
            file: file.to_owned(),
            region: places.region(place),
        };
        self.listed.iter().map(import).collect()
    }
}

impl Facts for FileFacts<'_> {
    fn tell(&mut self, place: Range<usize>, fact: Fact<'_, '_>) {
        match &fact {
            Fact::Module { name } => {
                self.telling += 1;
                if !self.imports.contains(*name) {
                    if self.listed.len() < MOST_IMPORTS {
                        self.imports.insert((*name).to_owned());
                        self.listed.push((quoted(name), self.place(place.clone())));
                    } else {
                        self.leave_unread("more modules are imported than are listed");
                    }
                }
            }
            Fact::Call { .. } => self.telling += 1,
            // Words of a shell are of a shell wherever they are.
            Fact::Command { .. } => return self.tell_in(Dialect::Bash, place, &fact),
            Fact::Content { .. } => self.tell_in(Dialect::Bytes, place.clone(), &fact),
            // What is nested may be in another language than was thought.
            Fact::SyntaxError if self.is_nested() => return,
            _ => {}
        }
        self.tell_in(self.dialect, place, &fact);
    }

    fn nest(&mut self, nested: Nested) {
        if self.nested.len() >= MOST_NESTED || self.nested_bytes + nested.bytes.len() > MOST_NESTED_BYTES {
            self.leave_unread("more is encoded in it than is looked at");
            return;
        }
        self.nested_bytes += nested.bytes.len();
        let place = self.place(nested.place);
        self.nested.push(Nested { place, ..nested });
    }

    fn leave_unread(&mut self, reason: &str) {
        if !self.unread.contains(reason) {
            self.unread.insert(reason.to_owned());
        }
    }
}

impl Hits {
    fn add(&mut self, leaf: LeafId, place: &Range<usize>, what: &str, arguments: Option<&Arguments<'_>>) {
        let hits = self.leaves.entry(leaf).or_default();
        if hits.len() >= MOST_HITS {
            self.left_out += 1;
            return;
        }
        if hits.last().is_some_and(|last| last.place == *place) {
            return;
        }
        let constants = arguments.map(|arguments| {
            arguments.positional.iter().take(4).map(|argument| argument.as_text().map(quoted)).collect()
        });
        hits.push(Hit { place: place.clone(), what: quoted(what), arguments: constants.unwrap_or_default() });
    }

    /// Where a plan is met; `None` if it isn't.
    fn places(&self, plan: &Plan) -> Option<Vec<&Hit>> {
        match plan {
            Plan::Leaf(leaf) => self.leaves.get(leaf).map(|hits| hits.iter().collect()),
            Plan::Any(members) => {
                let places: Vec<Vec<&Hit>> = members.iter().filter_map(|member| self.places(member)).collect();
                (!places.is_empty()).then(|| places.concat())
            }
            Plan::All(members) => {
                let mut first = None;
                for member in members {
                    let places = self.places(member)?;
                    if first.is_none() && !matches!(member, Plan::Not(_)) {
                        first = Some(places);
                    }
                }
                Some(first.unwrap_or_default())
            }
            Plan::Not(member) => match self.places(member) {
                Some(places) if !places.is_empty() => None,
                _ => Some(Vec::new()),
            },
        }
    }
}

/// A text of the program's as it may be shown: bounded, and without anything that a terminal would obey.
pub(crate) fn quoted(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(LONGEST_QUOTE)
        .map(|letter| if is_obeyed(letter) { char::REPLACEMENT_CHARACTER } else { letter })
        .collect();
    if text.chars().nth(LONGEST_QUOTE).is_some() {
        shown.push('…');
    }
    shown
}

/// Whether a terminal or a reader's eye is led astray by a character.
fn is_obeyed(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

fn filled(template: &str, hit: &Hit) -> String {
    if !template.contains('{') {
        return template.to_owned();
    }
    let (module, name) = hit.what.rsplit_once('.').unwrap_or((&hit.what, &hit.what));
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((field, after)) = after.split_once('}') else {
            text.push('{');
            rest = after;
            break;
        };
        rest = after;
        match (field, field.parse::<usize>()) {
            ("module", _) => text.push_str(module),
            ("name", _) => text.push_str(name),
            (_, Ok(0)) => text.push_str(&hit.what),
            (_, Ok(place)) => {
                let argument = hit.arguments.get(place - 1).and_then(Option::as_deref);
                text.push_str(argument.unwrap_or("…"));
            }
            (other, Err(_)) => {
                text.push('{');
                text.push_str(other);
                text.push('}');
            }
        }
    }
    text.push_str(rest);
    text
}

fn kind_name(kind: crate::rules::ContentKind) -> &'static str {
    use crate::rules::ContentKind;
    match kind {
        ContentKind::Elf => "elf",
        ContentKind::Pe => "pe",
        ContentKind::MachO => "mach_o",
        ContentKind::Wasm => "wasm",
        ContentKind::PythonBytecode => "python_bytecode",
        ContentKind::JavaClass => "java_class",
        ContentKind::Pickle => "pickle",
        ContentKind::Archive => "archive",
        ContentKind::Compressed => "compressed",
        ContentKind::Script => "script",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_is_short_and_harmless() {
        assert_eq!(quoted("a\u{1b}[31m\u{202e}b"), "a\u{fffd}[31m\u{fffd}b");
        assert_eq!(quoted(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
    }

    #[test]
    fn placeholders_stand_for_what_matched() {
        let hit = Hit { place: 0..1, what: "os.path.join".into(), arguments: vec![Some("/etc".into()), None] };
        assert_eq!(
            filled("uses {name} of {module}: {0} {1} {2} {3} {x} {", &hit),
            "uses join of os.path: os.path.join /etc … … {x} {"
        );
    }
}
