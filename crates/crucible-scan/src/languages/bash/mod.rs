//! From a shell's syntax to facts: which commands are started with which words, what goes into what.
//!
//! Invariant: variables and simple substitutions are followed as far as one look tells; nothing is executed.

mod kinds;
mod output;

pub(super) use kinds::Kinds;

use crate::facts::{Arguments, Command, Data, Fact, Facts, Origin, Value};
use crate::fold::{Escapes, unescaped};
use crate::language::Language;
use crate::reading::Reading;
use crate::walk::{At, Child, Step, Visitor, walk};
use kinds::Kind;
use std::borrow::Cow;
use tree_sitter::{Node, Tree};

/// Shells, and what else runs what comes in.
const RUNNERS: &[(&str, Language)] = &[
    ("sh", Language::Bash),
    ("bash", Language::Bash),
    ("dash", Language::Bash),
    ("zsh", Language::Bash),
    ("ksh", Language::Bash),
    ("ash", Language::Bash),
    ("python", Language::Python),
    ("python2", Language::Python),
    ("python3", Language::Python),
    ("node", Language::JavaScript),
];

/// The keyword under which a command's value carries its redirections.
const REDIRECTED: &str = ">";

/// And under which it carries what comes in.
const INPUT: &str = "<";

struct Bash<'k, 't, 'f> {
    kinds: &'k Kinds,
    reading: Reading<'t, 'f>,
    /// Bodies of functions that are gone through later, with the names of the functions.
    bodies: Vec<(Node<'t>, &'t str)>,
    function: Option<&'t str>,
}

/// Tells what is in a text.
pub(super) fn read(kinds: &Kinds, tree: &Tree, text: &str, facts: &mut dyn Facts) {
    let mut reader = Bash { kinds, reading: Reading::new(text, facts, &[]), bodies: Vec::new(), function: None };
    reader.reading.scopes.bind(Cow::Borrowed("IFS"), Value::text(" ", Origin::Literal));
    let mut cursor = tree.walk();
    walk(&mut cursor, tree.root_node(), Kind::Program, &mut reader);
    let mut next = 0;
    while let Some(&(body, name)) = reader.bodies.get(next) {
        next += 1;
        reader.reading.begin_body();
        reader.function = Some(name);
        walk(&mut cursor, body, Kind::Function, &mut reader);
    }
}

impl<'t> Visitor<'t> for Bash<'_, 't, '_> {
    type Kind = Kind;

    fn kind(&self, symbol: u16) -> Option<Kind> {
        self.kinds.kind(symbol)
    }

    fn gathers(&self, kind: Kind) -> bool {
        matches!(
            kind,
            Kind::Command
                | Kind::Declaration
                | Kind::CommandName
                | Kind::Text
                | Kind::Concatenation
                | Kind::Substitution
                | Kind::Process
                | Kind::Assignment
                | Kind::Redirected
                | Kind::Redirect
                | Kind::Heredoc
                | Kind::HeredocBody
                | Kind::Herestring
                | Kind::Pipeline
        )
    }

    fn missing(&mut self, node: Node<'t>) {
        self.reading.syntax_error(node);
    }

    fn too_deep(&mut self, _: Node<'t>) {
        self.reading.facts.leave_unread("a part of it is nested too deeply");
    }

    fn enter(&mut self, at: &At<'t, Kind>) -> Step {
        match at.kind {
            Kind::Skipped => return Step::Skip,
            Kind::Word | Kind::TextPiece | Kind::Raw | Kind::Ansi => return Step::Leaf,
            // A default inside the braces may hold anything, but is rarely used to hide it.
            Kind::Expansion => return Step::Leaf,
            Kind::Error => {
                self.reading.syntax_error(at.node);
            }
            Kind::Function => {
                let name = at.node.child_by_field_id(self.kinds.name).map(|name| self.reading.source(name));
                let body = at.node.child_by_field_id(self.kinds.body);
                if let (Some(name), Some(body)) = (name, body) {
                    self.bodies.push((body, name));
                    return Step::Skip;
                }
            }
            Kind::While => {
                self.reading.begin_loop();
                let condition = at.node.child_by_field_id(self.kinds.condition);
                let condition = condition.map(|condition| self.reading.source(condition)).unwrap_or_default();
                if is_endless(self.reading.source(at.node).starts_with("until"), condition) {
                    self.reading.loop_is_endless();
                }
            }
            Kind::For => self.reading.begin_loop(),
            Kind::CountingFor => {
                self.reading.begin_loop();
                if at.node.child_by_field_id(self.kinds.condition).is_none() {
                    self.reading.loop_is_endless();
                }
            }
            Kind::Branch => self.reading.begin_condition(),
            _ => {}
        }
        Step::Descend
    }

    fn leave(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let value = self.value(at, children);
        let is_part = matches!(at.parent, Kind::Concatenation | Kind::Text | Kind::HeredocBody);
        let is_text = matches!(
            at.kind,
            Kind::Word
                | Kind::Text
                | Kind::Raw
                | Kind::Ansi
                | Kind::Concatenation
                | Kind::HeredocBody
                | Kind::Substitution
        );
        if is_text && !is_part {
            self.reading.constant(at.node, &value);
        }
        value
    }
}

impl<'t> Bash<'_, 't, '_> {
    fn value(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let source = self.reading.source(at.node);
        match at.kind {
            Kind::Word => Value::text(without_backslashes(source), Origin::Literal),
            Kind::TextPiece => Value::text(quoted_piece(source), Origin::Literal),
            Kind::Raw => {
                let inner = source.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')).unwrap_or(source);
                Value::text(inner, Origin::Literal)
            }
            Kind::Ansi => {
                let inner = source.strip_prefix("$'").and_then(|rest| rest.strip_suffix('\'')).unwrap_or(source);
                let origin = if inner.contains('\\') { Origin::Assembled } else { Origin::Literal };
                Value::text(unescaped(inner, Escapes::Text), origin)
            }
            Kind::Text | Kind::Concatenation | Kind::HeredocBody => self.joined(at.node, children),
            Kind::Expansion => self.variable(source),
            Kind::CommandName | Kind::Herestring => take(children.last_mut()),
            Kind::Redirect => match children.iter_mut().find(|child| child.value != Value::None) {
                Some(target) => std::mem::take(&mut target.value),
                None => Value::UNKNOWN,
            },
            Kind::Heredoc => self.heredoc(children),
            Kind::Command => self.command(at, children),
            Kind::Declaration => self.declaration(at, children),
            Kind::Redirected => self.redirected(at, children),
            Kind::Pipeline => self.pipeline(at, children),
            Kind::Substitution => {
                let command = take(children.last_mut());
                match command {
                    Value::Arguments(words) => {
                        let input = words.keyword(INPUT).cloned();
                        self.output(&words.positional, input)
                    }
                    Value::Known(..) => command,
                    other => Value::Unknown(other.origin().max(Origin::Assembled)),
                }
            }
            Kind::Assignment => {
                let name = children.first().map(|child| self.reading.source(child.node)).unwrap_or_default();
                let value = if children.len() > 1 { take(children.last_mut()) } else { Value::UNKNOWN };
                let operator =
                    self.reading.text.as_bytes().get(children.first().map_or(0, |child| child.node.end_byte()));
                self.reading.facts.tell(at.node.byte_range(), Fact::Assign { name, value: &value });
                let value = match (operator, self.reading.scopes.take(name)) {
                    (Some(b'+'), Some(before)) => self.reading.fold.concatenate(before, value),
                    _ => value,
                };
                self.reading.scopes.bind(Cow::Borrowed(name), value);
                Value::None
            }
            Kind::While | Kind::For | Kind::CountingFor => {
                self.reading.end_loop(at.node);
                Value::None
            }
            Kind::Branch => {
                self.reading.end_condition();
                Value::None
            }
            Kind::Process => Value::UNKNOWN,
            _ => Value::None,
        }
    }

    /// Pieces one after the other, with the space between them that no node stands for.
    fn joined(&mut self, node: Node<'t>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        if let [only] = children
            && only.kind == Kind::TextPiece
        {
            return std::mem::take(&mut only.value);
        }
        let mut pieces =
            children.iter_mut().map(|child| std::mem::take(&mut child.value)).filter(|value| *value != Value::None);
        let Some(first) = pieces.next() else {
            // Quotation marks with nothing between them, or a here-document without any expansion.
            let source = self.reading.source(node);
            return Value::text(source.trim_matches('"'), Origin::Literal);
        };
        pieces.fold(first, |left, right| self.reading.fold.concatenate(left, right))
    }

    fn heredoc(&mut self, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        match children.iter_mut().find(|child| child.kind == Kind::HeredocBody) {
            Some(body) => std::mem::take(&mut body.value),
            None => Value::None,
        }
    }

    fn variable(&mut self, source: &'t str) -> Value<'t> {
        let name = source.trim_start_matches('$').trim_start_matches('{').trim_end_matches('}');
        let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match self.reading.scopes.look_up(name).filter(|_| is_plain) {
            Some(value) => self.reading.fold.copy(value),
            None => Value::UNKNOWN,
        }
    }

    /// A command's words: its name, its arguments, and by keyword what is redirected.
    fn command(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let mut words = Arguments::default();
        for child in children.iter_mut() {
            let value = std::mem::take(&mut child.value);
            match child.kind {
                Kind::Assignment => {}
                Kind::Redirect => words.keywords.push((REDIRECTED.into(), value)),
                Kind::Herestring | Kind::Heredoc => words.keywords.push((INPUT.into(), value)),
                Kind::CommandName => split_words(value, &mut words.positional),
                _ if words.positional.len() < 1000 => words.positional.push(value),
                _ => {}
            }
        }
        if !matches!(at.parent, Kind::Pipeline | Kind::Redirected) {
            self.finished(at.node, &words, &[]);
        }
        Value::Arguments(Box::new(words))
    }

    /// `unset NAME`, `export -p`: the grammar has no node for the command's own name.
    fn declaration(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let name = self.reading.source(at.node).split_whitespace().next().unwrap_or_default();
        let mut words = Arguments::default();
        words.positional.push(Value::text(name, Origin::Literal));
        let values = children.iter_mut().map(|child| std::mem::take(&mut child.value));
        words.positional.extend(values.filter(|value| *value != Value::None).take(1000));
        if !matches!(at.parent, Kind::Pipeline | Kind::Redirected) {
            self.finished(at.node, &words, &[]);
        }
        Value::Arguments(Box::new(words))
    }

    fn redirected(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let Some((body, redirects)) = children.split_first_mut() else { return Value::None };
        let mut words = match std::mem::take(&mut body.value) {
            Value::Arguments(words) => words,
            other => {
                // A group or a loop: what is redirected is as much of a command without a name.
                if other == Value::None {
                    Box::default()
                } else {
                    return other;
                }
            }
        };
        for redirect in redirects {
            let value = std::mem::take(&mut redirect.value);
            match redirect.kind {
                Kind::Redirect => words.keywords.push((REDIRECTED.into(), value)),
                Kind::Herestring | Kind::Heredoc if value != Value::None => words.keywords.push((INPUT.into(), value)),
                _ => {}
            }
        }
        // A pipeline has told of its commands already, but of none that is redirected as a whole.
        if at.parent != Kind::Pipeline {
            self.finished(body.node, &words, &[]);
        }
        Value::Arguments(words)
    }

    fn pipeline(&mut self, at: &At<'t, Kind>, children: &mut [Child<'t, Kind>]) -> Value<'t> {
        let mut commands: Vec<(Node<'t>, Arguments<'t>)> = Vec::new();
        for child in children.iter_mut().take(100) {
            match std::mem::take(&mut child.value) {
                Value::Arguments(words) => commands.push((child.node, *words)),
                Value::None if child.kind == Kind::Skipped => {}
                _ => commands.push((child.node, Arguments::default())),
            }
        }
        let names: Vec<String> = commands.iter().map(|(_, words)| program(words).to_owned()).collect();
        let mut input: Option<Value<'t>> = None;
        for (place, (node, words)) in commands.iter().enumerate() {
            // The last one may be redirected with the whole, and is told then.
            let is_last = place + 1 == commands.len();
            if !(is_last && at.parent == Kind::Redirected) {
                self.finished(*node, words, names.get(place + 1..).unwrap_or_default());
            }
            if let Some(value) = &input {
                self.runs_input(*node, words, value);
            }
            let given = input.take().or_else(|| words.keyword(INPUT).cloned());
            input = Some(self.output(&words.positional, given));
        }
        match (at.parent, input) {
            (Kind::Redirected, _) => commands.pop().map_or(Value::None, |(_, words)| Value::Arguments(Box::new(words))),
            (_, Some(output)) => output,
            _ => Value::UNKNOWN,
        }
    }

    /// A command with all that belongs to it.
    fn finished(&mut self, node: Node<'t>, words: &Arguments<'t>, piped_into: &[String]) {
        let name = program(words).to_owned();
        if let Some(input) = words.keyword(INPUT) {
            self.runs_input(node, words, input);
        }
        match name.as_str() {
            "exit" | "return" | "exec" => self.reading.leaves_function(),
            "break" => self.reading.leaves_loop(),
            "source" | "." => {
                if let Some(file) = words.positional.get(1).and_then(Value::as_text) {
                    self.reading.facts.tell(node.byte_range(), Fact::Module { name: file });
                }
            }
            _ => {}
        }
        if self.function == Some(name.as_str()) {
            self.reading.calls_itself(node, &name);
        }
        self.reading.called(node, &name);
        let is_target = |keyword: &Cow<'t, str>| keyword == REDIRECTED;
        let redirects = words.keywords.iter().filter(|(keyword, _)| is_target(keyword));
        let targets = redirects.filter_map(|(_, target)| target.as_text().map(|target| Cow::Owned(target.to_owned())));
        let mut redirected_to: Vec<Cow<'t, str>> = targets.collect();
        if redirected_to.len() < words.keywords.iter().filter(|(keyword, _)| is_target(keyword)).count() {
            // A target that isn't known still shows its beginning: /dev/tcp/$HOST.
            let source = self.reading.source(node);
            let after = self.reading.text.get(node.end_byte()..).unwrap_or_default();
            let line = after.lines().next().unwrap_or_default();
            let written = source.split(['>', '<']).skip(1).chain(line.split(['>', '<']).skip(1));
            let written =
                written.filter_map(|target| target.trim_start_matches(['&', '"', ' ']).split_whitespace().next());
            redirected_to.extend(written.take(16).map(|target| Cow::Owned(target.trim_matches('"').to_owned())));
        }
        let mut positional: Vec<Value<'t>> =
            words.positional.iter().skip(1).map(|word| self.reading.fold.copy(word)).collect();
        if name == "eval" && positional.len() > 1 {
            let space = Value::text(" ", Origin::Literal);
            positional = vec![self.reading.fold.join(&space, &Value::list(positional))];
        }
        let command = Command {
            name: Cow::Owned(name),
            arguments: Arguments { positional, keywords: Vec::new() },
            piped_into: piped_into.to_vec(),
            redirected_to,
        };
        self.reading.command(node.byte_range(), &command);
    }

    /// Text that comes into a command that runs it.
    fn runs_input(&mut self, node: Node<'t>, words: &Arguments<'t>, input: &Value<'t>) {
        let name = program(words);
        let runner = RUNNERS.iter().find(|(runner, _)| *runner == name);
        if let (Some((_, language)), Value::Known(Data::Text(_) | Data::Bytes(_), _)) = (runner, input) {
            self.reading.runs(node.byte_range(), input, *language);
        }
    }
}

fn take<'t>(child: Option<&mut Child<'t, Kind>>) -> Value<'t> {
    child.map_or(Value::UNKNOWN, |child| std::mem::take(&mut child.value))
}

/// The name of the program that words start, without its folder.
fn program<'w>(words: &'w Arguments<'_>) -> &'w str {
    let name = words.positional.first().and_then(Value::as_text).unwrap_or_default();
    name.rsplit('/').next().unwrap_or(name)
}

/// A name that was put together may hold the words after it, too: `cat$IFS/etc/passwd`.
fn split_words<'t>(value: Value<'t>, words: &mut Vec<Value<'t>>) {
    match &value {
        Value::Known(Data::Text(text), origin) if *origin != Origin::Literal && text.trim().contains(' ') => {
            words.extend(text.split_whitespace().take(100).map(|word| Value::text(word.to_owned(), *origin)));
        }
        _ => words.push(value),
    }
}

fn without_backslashes(word: &str) -> Cow<'_, str> {
    if !word.contains('\\') {
        return Cow::Borrowed(word);
    }
    let mut plain = String::with_capacity(word.len());
    let mut letters = word.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.extend(letters.next().filter(|next| *next != '\n')),
            other => plain.push(other),
        }
    }
    Cow::Owned(plain)
}

/// A piece between double quotation marks: only some letters need a backslash.
fn quoted_piece(piece: &str) -> Cow<'_, str> {
    if !piece.contains('\\') {
        return Cow::Borrowed(piece);
    }
    Cow::Owned(
        piece.replace("\\\n", "").replace("\\\"", "\"").replace("\\$", "$").replace("\\`", "`").replace("\\\\", "\\"),
    )
}

/// Whether a loop's condition never ends it.
fn is_endless(is_until: bool, condition: &str) -> bool {
    let plain: String = condition.chars().filter(|letter| !matches!(letter, ' ' | ';' | '\n')).take(32).collect();
    if is_until {
        matches!(plain.as_str(), "false" | "[]" | "((0))" | "![1]")
    } else {
        matches!(
            plain.as_str(),
            "true" | ":" | "[1]" | "[true]" | "((1))" | "[[1]]" | "[[true]]" | "!false" | "/bin/true"
        )
    }
}
