//! Rules as data: what is looked for, what it means, and the samples that prove it.
//!
//! Invariant: a [`Rule`] has passed every check of [`format`], so whoever matches needs none. Nothing here looks at a
//! program. The build script compiles this module too, to turn the built-in rules into a compact form, so it knows
//! nothing of the rest of the crate.

mod check;
mod format;
mod literals;
mod raw;
mod text;

pub use format::{RuleError, RuleText, parse_rules};
pub use text::Text;

use crucible_core::{BehaviorKind, Severity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The names of languages that rules can be about, beside [`ANY_LANGUAGE`]. `pickle` is what a pickle does when it is
/// loaded.
pub const LANGUAGES: [&str; 5] = ["python", "javascript", "typescript", "bash", "pickle"];

/// Stands for every language, and for bytes that are in none.
pub const ANY_LANGUAGE: &str = "any";

/// What is looked for, and what it means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Rule {
    /// LANGUAGE.GROUP.NAME; unique.
    pub id: Text,
    /// How bad it would be.
    pub severity: Severity,
    /// The middle part of the id.
    pub group: Text,
    /// What it means, for a reviewer. One line.
    pub message: Text,
    /// What the program looks like it does, after «it». May hold placeholders.
    pub does: Text,
    /// Why it is looked for.
    pub why: Text,
    /// Where the weakness or technique is described.
    pub references: References,
    /// The languages it is about; [`ANY_LANGUAGE`] alone for all.
    pub languages: Vec<Text>,
    /// What the host would see at run time.
    pub foreshadows: BTreeSet<BehaviorKind>,
    /// What is looked for.
    pub matcher: Matcher,
    /// Samples that must match, and that must not.
    pub tests: Tests,
}

/// Where a weakness or technique is described.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct References {
    /// Numbers of the Common Weakness Enumeration.
    pub cwe: Vec<u32>,
    /// Technique ids of MITRE ATT&CK: `T1059.004`.
    pub attack: Vec<Text>,
    /// Anything else that is worth reading, by name.
    pub more: Vec<Text>,
}

impl References {
    /// All of them by the names that people look them up by: `CWE-78`, `T1059.004`.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let cwe = self.cwe.iter().map(|number| format!("CWE-{number}"));
        cwe.chain(self.attack.iter().chain(&self.more).map(ToString::to_string)).collect()
    }
}

/// Samples of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Tests {
    /// The rule finds something in each of these.
    pub matching: Vec<Sample>,
    /// And nothing in any of these.
    pub not_matching: Vec<Sample>,
}

/// A made-up file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Sample {
    /// Its language; `None` where only its bytes tell what it is.
    pub language: Option<Text>,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What is looked for. Each leaf gives places; see FORMAT.md for what they mean together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub enum Matcher {
    /// The places of the first member, if every member has one.
    All(Vec<Matcher>),
    /// The places of every member.
    Any(Vec<Matcher>),
    /// True where the member has no place; gives none itself.
    Not(Box<Matcher>),
    /// A call.
    Call {
        /// Canonical names with wildcards.
        names: Vec<Text>,
        /// What its arguments have to be, all of them.
        arguments: Vec<ArgumentTest>,
    },
    /// A module, or a name out of one, taken in.
    Import {
        /// Canonical names with wildcards.
        names: Vec<Text>,
    },
    /// A name or attribute that is used, called or not.
    Attribute {
        /// Canonical names with wildcards.
        names: Vec<Text>,
    },
    /// A constant that a regular expression matches.
    Text {
        /// The expressions.
        patterns: Vec<Pattern>,
    },
    /// A constant that looks like a path and that a glob matches.
    Path {
        /// The globs.
        globs: Vec<Text>,
    },
    /// Something is assigned.
    Assign {
        /// Canonical names of what is assigned to, with wildcards.
        names: Vec<Text>,
        /// What is assigned.
        value: Option<ValueTest>,
    },
    /// A command of a shell.
    Command {
        /// Names without folder, with wildcards.
        names: Vec<Text>,
        /// What its arguments have to be, all of them.
        arguments: Vec<ArgumentTest>,
        /// Commands, one of which comes anywhere after it in the same pipeline.
        piped_into: Vec<Text>,
        /// Globs, one of which matches a redirection's target.
        redirected_to: Vec<Text>,
    },
    /// A shape of the program.
    Structure {
        /// Which.
        shape: Shape,
        /// Canonical names of calls, for the shapes that are about one.
        names: Vec<Text>,
    },
    /// The program isn't in its language.
    SyntaxError,
    /// What a file or a decoded blob is, by its content.
    Content {
        /// The kinds, one of which it is.
        kinds: Vec<ContentKind>,
    },
    /// Bytes of a file that no language covers, or of a decoded blob.
    Yara {
        /// One rule in YARA's language.
        source: Text,
    },
}

/// A regular expression and what helps to say quickly that it doesn't match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct Pattern {
    /// The expression.
    pub regex: Text,
    /// Lower-case texts, one of which is in the lower-cased text of every match. Empty where none is known.
    pub needles: Vec<Text>,
}

/// A shape of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A named call inside any loop.
    CallInLoop,
    /// A named call inside a loop that nothing ends.
    CallInEndlessLoop,
    /// A loop that nothing ends.
    EndlessLoop,
    /// A function that calls itself whatever happens.
    EndlessRecursion,
    /// A constant that decodes into source text.
    DecodedSource,
    /// Source text given to a function that runs it, and scanned as such.
    NestedSource,
    /// Invisible or direction-changing characters.
    HiddenCharacters,
    /// A name in letters that only look different: `ｅｘｅｃ`.
    DisguisedName,
    /// An encoding declaration that hides what the text says.
    DisguisedEncoding,
    /// A comparison of a class's own that says equal whatever it is asked.
    AlwaysEqual,
}

/// What a file is, by its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContentKind {
    /// A native program or library for Linux.
    Elf,
    /// A native program for Windows.
    Pe,
    /// A native program for macOS.
    MachO,
    /// A WebAssembly module.
    Wasm,
    /// Compiled Python.
    PythonBytecode,
    /// A Java class.
    JavaClass,
    /// A pickle.
    Pickle,
    /// Several files in one: zip, tar, 7z, rar.
    Archive,
    /// One compressed stream: gzip, bzip2, xz, zstd.
    Compressed,
    /// Text that names its own interpreter, of a language that isn't read here.
    Script,
}

/// What an argument has to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub struct ArgumentTest {
    /// Which argument: the first of these that is there.
    pub names: Vec<ArgumentName>,
    /// What it has to be.
    pub test: ValueTest,
}

/// Names an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub enum ArgumentName {
    /// By position, from 0.
    Position(u32),
    /// By keyword, or the key of an object that is an argument.
    Keyword(Text),
    /// Any argument at all: one is enough.
    Any,
}

/// What a value has to be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub enum ValueTest {
    /// This constant.
    Equals(Literal),
    /// A constant text that one of these matches.
    Text(Vec<Pattern>),
    /// A constant text that one of these globs matches.
    Glob(Vec<Text>),
    /// Something with one of these canonical names.
    Name(Vec<Text>),
    /// In one of these states.
    Is(Vec<ValueState>),
    /// A number that is no less.
    AtLeast(f64),
    /// A number that is no more.
    AtMost(f64),
    /// All of these.
    All(Vec<ValueTest>),
    /// One of these.
    Any(Vec<ValueTest>),
    /// Not this; an argument that isn't there isn't anything.
    Not(Box<ValueTest>),
}

/// A constant in a rule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'static"))]
pub enum Literal {
    /// `None`, `null`.
    Nothing,
    /// A truth value.
    Bool(bool),
    /// A number.
    Number(f64),
    /// A text.
    Text(Text),
}

/// What is known of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueState {
    /// Its value is known, however it came about.
    Constant,
    /// It is written down as it is.
    Literal,
    /// It is put together out of pieces, known or not.
    Assembled,
    /// It comes out of an encoding: base64, hexadecimal, compressed.
    Decoded,
    /// Its value is not known.
    Unknown,
    /// It is there.
    Present,
    /// It isn't there.
    Absent,
}
