//! What a Python program takes in, and which names that gives it.

use super::{MOST_STARS, Python};
use crate::facts::{Fact, Value};
use std::borrow::Cow;
use tree_sitter::Node;

impl<'t> Python<'_, 't, '_> {
    pub(super) fn import(&mut self, node: Node<'t>) {
        match node.kind() {
            "import_statement" => self.import_modules(node),
            "future_import_statement" => {}
            _ => self.import_names(node),
        }
    }

    fn import_modules(&mut self, node: Node<'t>) {
        let mut cursor = node.walk();
        for part in node.named_children(&mut cursor) {
            let (name, alias) = self.named(part);
            if name.is_empty() {
                continue;
            }
            self.reading.tell(part, Fact::Module { name: &name });
            match alias {
                Some(alias) => self.bind_module(alias, canonical_module(name)),
                None => {
                    let top = match &name {
                        Cow::Borrowed(name) => Cow::Borrowed(name.split('.').next().unwrap_or(name)),
                        Cow::Owned(name) => Cow::Owned(name.split('.').next().unwrap_or(name).to_owned()),
                    };
                    let module = canonical_module(top.clone());
                    self.bind_module(top, module);
                }
            }
        }
    }

    fn import_names(&mut self, node: Node<'t>) {
        let Some(module) = node.child_by_field_name("module_name") else { return };
        let name = self.dotted(module);
        self.reading.tell(module, Fact::Module { name: &name });
        let canonical = canonical_module(name);
        let mut cursor = node.walk();
        for part in node.named_children(&mut cursor).filter(|part| *part != module) {
            if part.kind() == "wildcard_import" {
                if let Cow::Borrowed(module) = canonical
                    && self.stars.len() < MOST_STARS
                {
                    self.stars.push(module);
                }
                continue;
            }
            let (name, alias) = self.named(part);
            if name.is_empty() {
                continue;
            }
            let full = if canonical.ends_with('.') {
                Cow::Owned(format!("{canonical}{name}"))
            } else {
                self.reading.joined(&canonical, &name)
            };
            self.reading.tell(part, Fact::ImportedName { name: &full });
            self.bind_module(alias.unwrap_or(name), full);
        }
    }

    fn bind_module(&mut self, name: Cow<'t, str>, module: Cow<'t, str>) {
        self.reading.scopes.bind(name, Value::name(module));
    }

    /// The name, and the alias if there is one.
    fn named(&mut self, node: Node<'t>) -> (Cow<'t, str>, Option<Cow<'t, str>>) {
        match node.kind() {
            "aliased_import" => {
                let name = node.child_by_field_name("name").map(|name| self.dotted(name)).unwrap_or_default();
                let alias = node.child_by_field_name("alias").map(|alias| self.identifier(alias));
                (name, alias)
            }
            "dotted_name" | "identifier" => (self.dotted(node), None),
            _ => (Cow::Borrowed(""), None),
        }
    }

    /// A module's name, without the space that may be in it.
    fn dotted(&mut self, node: Node<'t>) -> Cow<'t, str> {
        let name = self.identifier(node);
        if name.len() > 256 {
            return Cow::Borrowed("?");
        }
        if name.contains(|letter: char| letter.is_whitespace() || letter == '\\') {
            return Cow::Owned(name.chars().filter(|letter| !letter.is_whitespace() && *letter != '\\').collect());
        }
        name
    }

    /// A module whose name is told by a constant: `__import__("os")`.
    pub(super) fn import_by_name(&mut self, node: Node<'t>, name: &str) -> Cow<'t, str> {
        let name: String = name.chars().filter(|letter| !letter.is_control()).take(256).collect();
        self.reading.tell(node, Fact::Module { name: &name });
        canonical_module(Cow::Owned(name))
    }
}

/// The name under which rules know a module.
pub(super) fn canonical_module(name: Cow<'_, str>) -> Cow<'_, str> {
    match &*name {
        "posix" | "nt" => Cow::Borrowed("os"),
        "__builtin__" | "__builtins__" => Cow::Borrowed("builtins"),
        "_pickle" | "cPickle" => Cow::Borrowed("pickle"),
        "_socket" => Cow::Borrowed("socket"),
        "_thread" | "thread" => Cow::Borrowed("_thread"),
        "subprocess32" => Cow::Borrowed("subprocess"),
        _ => name,
    }
}
