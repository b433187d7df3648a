//! The kinds of nodes that the reader of Python tells apart.

use crate::languages::{KindTable, field};

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Module,
    Block,
    Identifier,
    Attribute,
    Call,
    ArgumentList,
    KeywordArgument,
    Spread,
    Text,
    TextPiece,
    TextOther,
    Concatenated,
    Interpolation,
    Binary,
    Boolean,
    Conditional,
    Unary,
    Comparison,
    Subscript,
    Slice,
    Number,
    True,
    False,
    Nothing,
    Sequence,
    Dictionary,
    Pair,
    Parenthesized,
    Lambda,
    LambdaParameters,
    Parameters,
    Parameter,
    Comprehension,
    ForIn,
    Assignment,
    Augmented,
    Named,
    Targets,
    As,
    AsTarget,
    Import,
    ImportFrom,
    Function,
    Class,
    While,
    For,
    Branch,
    Return,
    Break,
    Yield,
    Await,
    Statement,
    Global,
    Exec,
    Skipped,
    Error,
    Other,
}

/// The kinds and fields of the grammar.
pub(in crate::languages) struct Kinds {
    kinds: KindTable<Kind>,
    pub(super) left: u16,
    pub(super) right: u16,
    pub(super) name: u16,
    pub(super) value: u16,
    pub(super) body: u16,
    pub(super) operator: u16,
    pub(super) attribute: u16,
}

impl Kinds {
    pub(in crate::languages) fn of(grammar: &tree_sitter::Language) -> Self {
        Self {
            kinds: KindTable::of(grammar, Kind::Error, meaning),
            left: field(grammar, "left"),
            right: field(grammar, "right"),
            name: field(grammar, "name"),
            value: field(grammar, "value"),
            body: field(grammar, "body"),
            operator: field(grammar, "operator"),
            attribute: field(grammar, "attribute"),
        }
    }

    pub(super) fn kind(&self, symbol: u16) -> Option<Kind> {
        self.kinds.get(symbol)
    }
}

fn meaning(name: &str) -> Kind {
    match name {
        "module" => Kind::Module,
        "block" => Kind::Block,
        "identifier" => Kind::Identifier,
        "attribute" => Kind::Attribute,
        "call" => Kind::Call,
        "argument_list" => Kind::ArgumentList,
        "keyword_argument" => Kind::KeywordArgument,
        "list_splat" | "dictionary_splat" => Kind::Spread,
        "string" => Kind::Text,
        "string_content" => Kind::TextPiece,
        "string_start"
        | "string_end"
        | "escape_sequence"
        | "escape_interpolation"
        | "type_conversion"
        | "format_specifier" => Kind::TextOther,
        "concatenated_string" => Kind::Concatenated,
        "interpolation" => Kind::Interpolation,
        "binary_operator" => Kind::Binary,
        "boolean_operator" => Kind::Boolean,
        "conditional_expression" => Kind::Conditional,
        "unary_operator" | "not_operator" => Kind::Unary,
        "comparison_operator" => Kind::Comparison,
        "subscript" => Kind::Subscript,
        "slice" => Kind::Slice,
        "integer" | "float" => Kind::Number,
        "true" => Kind::True,
        "false" => Kind::False,
        "none" => Kind::Nothing,
        "list" | "tuple" | "set" | "expression_list" => Kind::Sequence,
        "dictionary" => Kind::Dictionary,
        "pair" => Kind::Pair,
        "parenthesized_expression" => Kind::Parenthesized,
        "lambda" => Kind::Lambda,
        "lambda_parameters" => Kind::LambdaParameters,
        "parameters" => Kind::Parameters,
        "default_parameter"
        | "typed_parameter"
        | "typed_default_parameter"
        | "list_splat_pattern"
        | "dictionary_splat_pattern" => Kind::Parameter,
        "list_comprehension" | "set_comprehension" | "dictionary_comprehension" | "generator_expression" => {
            Kind::Comprehension
        }
        "for_in_clause" => Kind::ForIn,
        "assignment" => Kind::Assignment,
        "augmented_assignment" => Kind::Augmented,
        "named_expression" => Kind::Named,
        "pattern_list" | "tuple_pattern" | "list_pattern" => Kind::Targets,
        "as_pattern" => Kind::As,
        "as_pattern_target" => Kind::AsTarget,
        "import_statement" => Kind::Import,
        "import_from_statement" | "future_import_statement" => Kind::ImportFrom,
        "function_definition" => Kind::Function,
        "class_definition" => Kind::Class,
        "while_statement" => Kind::While,
        "for_statement" => Kind::For,
        "if_statement" | "try_statement" | "match_statement" => Kind::Branch,
        "return_statement" | "raise_statement" => Kind::Return,
        "break_statement" => Kind::Break,
        "yield" => Kind::Yield,
        "await" => Kind::Await,
        "expression_statement" => Kind::Statement,
        "global_statement" | "nonlocal_statement" => Kind::Global,
        "exec_statement" => Kind::Exec,
        "comment" | "line_continuation" | "pass_statement" | "continue_statement" | "dotted_name" | "case_pattern"
        | "type_parameter" => Kind::Skipped,
        _ => Kind::Other,
    }
}
