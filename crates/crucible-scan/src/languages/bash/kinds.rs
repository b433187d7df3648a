//! The kinds of nodes that the reader of shells tells apart.

use crate::languages::{KindTable, field};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    Command,
    /// `unset`, `export`, `declare`: commands that the grammar knows by themselves.
    Declaration,
    CommandName,
    Word,
    Text,
    TextPiece,
    Raw,
    Ansi,
    Concatenation,
    Substitution,
    Process,
    Expansion,
    Assignment,
    Redirected,
    Redirect,
    Heredoc,
    HeredocBody,
    Herestring,
    Pipeline,
    Function,
    While,
    For,
    CountingFor,
    Branch,
    Skipped,
    Error,
    Other,
}

/// The kinds and fields of the grammar.
pub(in crate::languages) struct Kinds {
    kinds: KindTable<Kind>,
    pub(super) name: u16,
    pub(super) body: u16,
    pub(super) condition: u16,
}

impl Kinds {
    pub(in crate::languages) fn of(grammar: &tree_sitter::Language) -> Self {
        Self {
            kinds: KindTable::of(grammar, Kind::Error, meaning),
            name: field(grammar, "name"),
            body: field(grammar, "body"),
            condition: field(grammar, "condition"),
        }
    }

    pub(super) fn kind(&self, symbol: u16) -> Option<Kind> {
        self.kinds.get(symbol)
    }
}

fn meaning(name: &str) -> Kind {
    match name {
        "program" => Kind::Program,
        "command" => Kind::Command,
        "unset_command" | "declaration_command" => Kind::Declaration,
        "command_name" => Kind::CommandName,
        "word" | "number" | "variable_name" | "special_variable_name" | "extglob_pattern" | "regex" => Kind::Word,
        "string" | "translated_string" => Kind::Text,
        "string_content" | "heredoc_content" => Kind::TextPiece,
        "raw_string" => Kind::Raw,
        "ansi_c_string" => Kind::Ansi,
        "concatenation" => Kind::Concatenation,
        "command_substitution" => Kind::Substitution,
        "process_substitution" => Kind::Process,
        "simple_expansion" | "expansion" => Kind::Expansion,
        "variable_assignment" => Kind::Assignment,
        "redirected_statement" => Kind::Redirected,
        "file_redirect" => Kind::Redirect,
        "heredoc_redirect" => Kind::Heredoc,
        "heredoc_body" => Kind::HeredocBody,
        "herestring_redirect" => Kind::Herestring,
        "pipeline" => Kind::Pipeline,
        "function_definition" => Kind::Function,
        "while_statement" => Kind::While,
        "for_statement" => Kind::For,
        "c_style_for_statement" => Kind::CountingFor,
        // What comes after `&&` and `||` may not be run.
        "if_statement" | "case_statement" | "list" => Kind::Branch,
        "comment" | "heredoc_start" | "heredoc_end" | "file_descriptor" | "test_operator" => Kind::Skipped,
        _ => Kind::Other,
    }
}
