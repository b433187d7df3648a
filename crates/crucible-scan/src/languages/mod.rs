//! One folder or file for each language: from a syntax tree to facts.
//!
//! Invariant: a reader goes through a tree without recursion and tells what it finds; it knows no rule.

mod bash;
mod javascript;
mod python;

use crate::facts::Facts;
use crate::language::Language;
use tree_sitter::Tree;

/// A grammar and what is made of its trees.
pub(crate) struct Grammar {
    pub(crate) language: tree_sitter::Language,
    reader: Reader,
}

enum Reader {
    Python(python::Kinds),
    JavaScript(javascript::Kinds),
    Bash(bash::Kinds),
}

impl Grammar {
    pub(crate) fn of(language: Language) -> Self {
        let grammar: tree_sitter::Language = match language {
            Language::Python => tree_sitter_python::LANGUAGE.into(),
            Language::JavaScript => tree_sitter_javascript::LANGUAGE.into(),
            Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT.into(),
            Language::Tsx => tree_sitter_typescript::LANGUAGE_TSX.into(),
            Language::Bash => tree_sitter_bash::LANGUAGE.into(),
        };
        let reader = match language {
            Language::Python => Reader::Python(python::Kinds::of(&grammar)),
            Language::JavaScript | Language::TypeScript | Language::Tsx => {
                Reader::JavaScript(javascript::Kinds::of(&grammar))
            }
            Language::Bash => Reader::Bash(bash::Kinds::of(&grammar)),
        };
        Self { language: grammar, reader }
    }

    /// Tells what is in a text.
    pub(crate) fn read(&self, tree: &Tree, text: &str, facts: &mut dyn Facts) {
        match &self.reader {
            Reader::Python(kinds) => python::read(kinds, tree, text, facts),
            Reader::JavaScript(kinds) => javascript::read(kinds, tree, text, facts),
            Reader::Bash(kinds) => bash::read(kinds, tree, text, facts),
        }
    }
}

/// What the grammar's numbers of kinds mean. Kinds without names, such as punctuation, mean nothing.
struct KindTable<K> {
    meanings: Vec<Option<K>>,
    error: K,
}

impl<K: Copy> KindTable<K> {
    fn of(grammar: &tree_sitter::Language, error: K, meaning: impl Fn(&str) -> K) -> Self {
        let meaning = |symbol: usize| {
            let symbol = u16::try_from(symbol).ok()?;
            let name = grammar.node_kind_for_id(symbol).filter(|_| grammar.node_kind_is_named(symbol))?;
            Some(meaning(name))
        };
        Self { meanings: (0..grammar.node_kind_count()).map(meaning).collect(), error }
    }

    /// What a number means. What can't be parsed has the highest there is.
    fn get(&self, symbol: u16) -> Option<K> {
        if symbol == u16::MAX { Some(self.error) } else { self.meanings.get(usize::from(symbol)).copied().flatten() }
    }
}

/// The number of a field.
fn field(grammar: &tree_sitter::Language, name: &str) -> u16 {
    grammar.field_id_for_name(name).map_or(u16::MAX, std::num::NonZero::get)
}
