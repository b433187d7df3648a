//! The kinds of nodes that the reader of JavaScript and TypeScript tells apart.

use crate::languages::{KindTable, field};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Program,
    Block,
    Identifier,
    Property,
    Import,
    ImportKeyword,
    Export,
    Member,
    Subscript,
    Call,
    New,
    Arguments,
    Text,
    Template,
    TemplatePiece,
    TemplateEscape,
    TemplateValue,
    Binary,
    Unary,
    Ternary,
    Number,
    True,
    False,
    Nothing,
    Array,
    Object,
    Pair,
    Shorthand,
    Function,
    Arrow,
    Parameters,
    Declarator,
    Assignment,
    Augmented,
    Through,
    Sequence,
    Spread,
    Pattern,
    Class,
    For,
    ForIn,
    While,
    Branch,
    Return,
    Break,
    Yield,
    Statement,
    Computed,
    Regex,
    Skipped,
    Error,
    Other,
}

/// The kinds and fields of the grammar.
pub(in crate::languages) struct Kinds {
    kinds: KindTable<Kind>,
    pub(super) left: u16,
    pub(super) name: u16,
    pub(super) value: u16,
    pub(super) body: u16,
    pub(super) operator: u16,
    pub(super) property: u16,
    pub(super) parameter: u16,
    pub(super) parameters: u16,
    pub(super) condition: u16,
    pub(super) source: u16,
}

impl Kinds {
    pub(in crate::languages) fn of(grammar: &tree_sitter::Language) -> Self {
        Self {
            kinds: KindTable::of(grammar, Kind::Error, meaning),
            left: field(grammar, "left"),
            name: field(grammar, "name"),
            value: field(grammar, "value"),
            body: field(grammar, "body"),
            operator: field(grammar, "operator"),
            property: field(grammar, "property"),
            parameter: field(grammar, "parameter"),
            parameters: field(grammar, "parameters"),
            condition: field(grammar, "condition"),
            source: field(grammar, "source"),
        }
    }

    pub(super) fn kind(&self, symbol: u16) -> Option<Kind> {
        self.kinds.get(symbol)
    }
}

fn meaning(name: &str) -> Kind {
    match name {
        "program" => Kind::Program,
        "statement_block" | "class_static_block" => Kind::Block,
        "identifier" => Kind::Identifier,
        "property_identifier" | "private_property_identifier" | "statement_identifier" => Kind::Property,
        "import_statement" => Kind::Import,
        "import" => Kind::ImportKeyword,
        "export_statement" => Kind::Export,
        "member_expression" => Kind::Member,
        "subscript_expression" => Kind::Subscript,
        "call_expression" => Kind::Call,
        "new_expression" => Kind::New,
        "arguments" => Kind::Arguments,
        "string" => Kind::Text,
        "template_string" => Kind::Template,
        "string_fragment" => Kind::TemplatePiece,
        "escape_sequence" => Kind::TemplateEscape,
        "template_substitution" => Kind::TemplateValue,
        "binary_expression" => Kind::Binary,
        "unary_expression" | "update_expression" => Kind::Unary,
        "ternary_expression" => Kind::Ternary,
        "number" => Kind::Number,
        "true" => Kind::True,
        "false" => Kind::False,
        "null" | "undefined" => Kind::Nothing,
        "array" => Kind::Array,
        "object" => Kind::Object,
        "pair" => Kind::Pair,
        "shorthand_property_identifier" => Kind::Shorthand,
        "function_declaration"
        | "function_expression"
        | "generator_function"
        | "generator_function_declaration"
        | "method_definition"
        | "function" => Kind::Function,
        "arrow_function" => Kind::Arrow,
        "formal_parameters" => Kind::Parameters,
        "variable_declarator" => Kind::Declarator,
        "assignment_expression" => Kind::Assignment,
        "augmented_assignment_expression" => Kind::Augmented,
        "parenthesized_expression"
        | "await_expression"
        | "as_expression"
        | "satisfies_expression"
        | "non_null_expression" => Kind::Through,
        "sequence_expression" => Kind::Sequence,
        "spread_element" => Kind::Spread,
        "object_pattern" | "array_pattern" | "rest_pattern" | "shorthand_property_identifier_pattern" => Kind::Pattern,
        "class_declaration" | "class" => Kind::Class,
        "for_statement" => Kind::For,
        "for_in_statement" => Kind::ForIn,
        "while_statement" | "do_statement" => Kind::While,
        "if_statement" | "switch_statement" | "try_statement" => Kind::Branch,
        "return_statement" | "throw_statement" => Kind::Return,
        "break_statement" => Kind::Break,
        "yield_expression" => Kind::Yield,
        "expression_statement" => Kind::Statement,
        "computed_property_name" => Kind::Computed,
        "regex" => Kind::Regex,
        "comment"
        | "html_comment"
        | "hash_bang_line"
        | "empty_statement"
        | "optional_chain"
        | "type_annotation"
        | "type_arguments"
        | "type_parameters"
        | "interface_declaration"
        | "type_alias_declaration"
        | "ambient_declaration"
        | "implements_clause"
        | "accessibility_modifier"
        | "jsx_text" => Kind::Skipped,
        _ => Kind::Other,
    }
}
