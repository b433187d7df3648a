//! Rules of one dialect, arranged so that what they cost doesn't grow with their number.
//!
//! Invariant: a leaf is asked only about facts that its names or needles let through. Expressions are compiled when the
//! first text asks for it.

mod index;
mod needles;
mod tests_of_values;

pub(crate) use tests_of_values::Expressions;

use crate::byte_patterns::BytePatterns;
use crate::facts::{Arguments, Command};
use crate::language::Dialect;
use crate::names::{glob_matches, word_matches};
use crate::rules::{ANY_LANGUAGE, ArgumentTest, ContentKind, Matcher, Pattern, Rule, Shape, Text, ValueTest};
use index::{NameIndex, WordIndex};
use needles::NeedleIndex;
use rustc_hash::FxHashMap;

/// A leaf's number in its program.
pub(crate) type LeafId = u32;

/// What a rule's matcher is made of, with leaves by number.
#[derive(Debug)]
pub(crate) enum Plan {
    All(Vec<Plan>),
    Any(Vec<Plan>),
    Not(Box<Plan>),
    Leaf(LeafId),
}

/// A rule as it is evaluated.
#[derive(Debug)]
pub(crate) struct PlannedRule {
    /// Its place among the scanner's rules.
    pub(crate) rule: usize,
    pub(crate) plan: Plan,
}

/// What a leaf asks beyond its names.
#[derive(Debug)]
enum Question {
    Nothing,
    Arguments(Vec<ArgumentTest>),
    Value(ValueTest),
    Command(CommandTest),
}

#[derive(Debug)]
struct CommandTest {
    arguments: Vec<ArgumentTest>,
    piped_into: Vec<Text>,
    redirected_to: Vec<Text>,
}

/// A test of a constant.
#[derive(Debug)]
enum ConstantTest {
    Regex(Text),
    Path(Text),
}

/// The rules of one dialect.
#[derive(Debug, Default)]
pub(crate) struct Program {
    pub(crate) rules: Vec<PlannedRule>,
    /// Where each leaf's rule is in `rules`.
    owners: Vec<u32>,
    questions: Vec<Question>,
    calls: NameIndex,
    imports: NameIndex,
    attributes: NameIndex,
    assigned: NameIndex,
    commands: WordIndex,
    in_loops: NameIndex,
    in_endless_loops: NameIndex,
    shapes: FxHashMap<Shape, Vec<LeafId>>,
    syntax_errors: Vec<LeafId>,
    contents: Vec<(ContentKind, LeafId)>,
    constants: Vec<(ConstantTest, LeafId)>,
    needles: NeedleIndex,
    pub(crate) expressions: Expressions,
    pub(crate) byte_patterns: BytePatterns,
}

impl Program {
    pub(crate) fn of(dialect: Dialect, rules: &[Rule]) -> Self {
        let mut program = Self::default();
        for (place, rule) in rules.iter().enumerate() {
            let fits = |language: &Text| {
                language.as_str() == ANY_LANGUAGE || dialect.rule_languages().contains(&language.as_str())
            };
            if rule.languages.iter().any(fits) {
                let plan = program.plan(&rule.matcher);
                program.owners.resize(program.questions.len(), u32::try_from(program.rules.len()).unwrap_or(u32::MAX));
                program.rules.push(PlannedRule { rule: place, plan });
            }
        }
        program
    }

    /// The place in `rules` of the rule that a leaf is of.
    pub(crate) fn owner(&self, leaf: LeafId) -> Option<usize> {
        self.owners.get(leaf as usize).map(|&owner| owner as usize)
    }

    fn plan(&mut self, matcher: &Matcher) -> Plan {
        match matcher {
            Matcher::All(members) => Plan::All(members.iter().map(|member| self.plan(member)).collect()),
            Matcher::Any(members) => Plan::Any(members.iter().map(|member| self.plan(member)).collect()),
            Matcher::Not(member) => Plan::Not(Box::new(self.plan(member))),
            leaf => Plan::Leaf(self.leaf(leaf)),
        }
    }

    fn leaf(&mut self, matcher: &Matcher) -> LeafId {
        let id = u32::try_from(self.questions.len()).unwrap_or(u32::MAX);
        let mut question = Question::Nothing;
        match matcher {
            Matcher::Call { names, arguments } => {
                self.calls.add(names, id);
                self.keep_arguments(arguments);
                if !arguments.is_empty() {
                    question = Question::Arguments(arguments.clone());
                }
            }
            Matcher::Import { names } => self.imports.add(names, id),
            Matcher::Attribute { names } => self.attributes.add(names, id),
            Matcher::Assign { names, value } => {
                self.assigned.add(names, id);
                if let Some(value) = value {
                    self.expressions.keep_test(value);
                    question = Question::Value(value.clone());
                }
            }
            Matcher::Text { patterns } => {
                for pattern in patterns {
                    self.keep_constant(ConstantTest::Regex(pattern.regex.clone()), &pattern.needles, id);
                    self.expressions.keep(&pattern.regex);
                }
            }
            Matcher::Path { globs } => {
                for glob in globs {
                    let needle = needles::needle_of_glob(glob);
                    self.keep_constant(ConstantTest::Path(glob.clone()), needle.as_slice(), id);
                }
            }
            Matcher::Command { names, arguments, piped_into, redirected_to } => {
                self.commands.add(names, id);
                self.keep_arguments(arguments);
                question = Question::Command(CommandTest {
                    arguments: arguments.clone(),
                    piped_into: piped_into.clone(),
                    redirected_to: redirected_to.clone(),
                });
            }
            Matcher::Structure { shape: Shape::CallInLoop, names } => self.in_loops.add(names, id),
            Matcher::Structure { shape: Shape::CallInEndlessLoop, names } => self.in_endless_loops.add(names, id),
            Matcher::Structure { shape, .. } => self.shapes.entry(*shape).or_default().push(id),
            Matcher::SyntaxError => self.syntax_errors.push(id),
            Matcher::Content { kinds } => self.contents.extend(kinds.iter().map(|kind| (*kind, id))),
            Matcher::Yara { source } => self.byte_patterns.add(source, id),
            Matcher::All(_) | Matcher::Any(_) | Matcher::Not(_) => {}
        }
        self.questions.push(question);
        id
    }

    fn keep_arguments(&mut self, arguments: &[ArgumentTest]) {
        for argument in arguments {
            self.expressions.keep_test(&argument.test);
        }
    }

    fn keep_constant(&mut self, test: ConstantTest, needles: &[Text], id: LeafId) {
        let place = u32::try_from(self.constants.len()).unwrap_or(u32::MAX);
        self.constants.push((test, id));
        self.needles.add(needles, place);
    }

    // What each kind of fact is asked.

    pub(crate) fn call(&self, name: &str, arguments: &Arguments<'_>, mut found: impl FnMut(LeafId)) {
        self.calls.find(name, |leaf| {
            if match self.questions.get(leaf as usize) {
                Some(Question::Arguments(tests)) => self.expressions.arguments_pass(tests, arguments),
                _ => true,
            } {
                found(leaf);
            }
        });
    }

    pub(crate) fn import(&self, name: &str, found: impl FnMut(LeafId)) {
        self.imports.find(name, found);
    }

    pub(crate) fn attribute(&self, name: &str, found: impl FnMut(LeafId)) {
        self.attributes.find(name, found);
    }

    pub(crate) fn assign(&self, name: &str, value: &crate::facts::Value<'_>, mut found: impl FnMut(LeafId)) {
        self.assigned.find(name, |leaf| {
            if match self.questions.get(leaf as usize) {
                Some(Question::Value(test)) => self.expressions.value_passes(test, Some(value)),
                _ => true,
            } {
                found(leaf);
            }
        });
    }

    pub(crate) fn command(&self, command: &Command<'_>, mut found: impl FnMut(LeafId)) {
        self.commands.find(&command.name, |leaf| {
            let Some(Question::Command(test)) = self.questions.get(leaf as usize) else { return };
            let is_named = |names: &[Text], word: &str| names.iter().any(|name| word_matches(name, word));
            let pipes = test.piped_into.is_empty()
                || command.piped_into.iter().any(|program| is_named(&test.piped_into, program));
            let redirects = test.redirected_to.is_empty()
                || command
                    .redirected_to
                    .iter()
                    .any(|target| test.redirected_to.iter().any(|glob| glob_matches(glob, target.as_bytes())));
            if pipes && redirects && self.expressions.arguments_pass(&test.arguments, &command.arguments) {
                found(leaf);
            }
        });
    }

    pub(crate) fn shape(&self, shape: Shape, name: &str, mut found: impl FnMut(LeafId)) {
        match shape {
            Shape::CallInLoop => self.in_loops.find(name, found),
            Shape::CallInEndlessLoop => self.in_endless_loops.find(name, found),
            _ => self.shapes.get(&shape).into_iter().flatten().for_each(|&leaf| found(leaf)),
        }
    }

    pub(crate) fn syntax_error(&self, found: impl FnMut(LeafId)) {
        self.syntax_errors.iter().copied().for_each(found);
    }

    pub(crate) fn content(&self, kind: ContentKind, mut found: impl FnMut(LeafId)) {
        self.contents.iter().filter(|(wanted, _)| *wanted == kind).for_each(|(_, leaf)| found(*leaf));
    }

    /// Leaves whose expression or glob matches a constant, with the first place of the match in it.
    pub(crate) fn constant(&self, bytes: &[u8], mut found: impl FnMut(LeafId, std::ops::Range<usize>)) {
        let is_path = looks_like_path(bytes);
        self.needles.find(bytes, |place| {
            let Some((test, leaf)) = self.constants.get(place as usize) else { return };
            match test {
                ConstantTest::Regex(regex) => {
                    if let Some(place) = self.expressions.place(regex, bytes) {
                        found(*leaf, place);
                    }
                }
                ConstantTest::Path(glob) if is_path && glob_matches(glob, bytes) => found(*leaf, 0..bytes.len()),
                ConstantTest::Path(_) => {}
            }
        });
    }
}

/// Whether a constant could be the path of a file.
fn looks_like_path(bytes: &[u8]) -> bool {
    let has_part = bytes.contains(&b'/') || bytes.starts_with(b"~") || bytes.starts_with(b".") || bytes.len() < 64;
    has_part && !bytes.is_empty() && bytes.len() <= 4096 && !bytes.iter().any(u8::is_ascii_control)
}

/// A regular expression as it is compiled.
fn regex(pattern: &str) -> Option<regex::bytes::Regex> {
    let mut builder = regex::bytes::RegexBuilder::new(pattern);
    builder.unicode(false).size_limit(1 << 20).dfa_size_limit(1 << 20).build().ok()
}

/// Whether an expression can be used at all: one that parses may still be too large.
pub(crate) fn is_usable(pattern: &Pattern) -> bool {
    regex(&pattern.regex).is_some()
}

/// Every expression of a matcher.
pub(crate) fn patterns_of(matcher: &Matcher) -> Vec<&Pattern> {
    fn of_test<'m>(test: &'m ValueTest, found: &mut Vec<&'m Pattern>) {
        match test {
            ValueTest::Text(patterns) => found.extend(patterns),
            ValueTest::All(tests) | ValueTest::Any(tests) => tests.iter().for_each(|test| of_test(test, found)),
            ValueTest::Not(test) => of_test(test, found),
            _ => {}
        }
    }
    let (mut open, mut found) = (vec![matcher], Vec::new());
    while let Some(matcher) = open.pop() {
        match matcher {
            Matcher::All(members) | Matcher::Any(members) => open.extend(members),
            Matcher::Not(member) => open.push(member),
            Matcher::Text { patterns } => found.extend(patterns),
            Matcher::Call { arguments, .. } | Matcher::Command { arguments, .. } => {
                arguments.iter().for_each(|argument| of_test(&argument.test, &mut found));
            }
            Matcher::Assign { value: Some(value), .. } => of_test(value, &mut found),
            _ => {}
        }
    }
    found
}
