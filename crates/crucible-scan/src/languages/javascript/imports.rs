//! What a JavaScript program takes in, and which names stand for what.

use super::JavaScript;
use crate::facts::{Fact, Value};
use std::borrow::Cow;
use tree_sitter::Node;

impl<'t> JavaScript<'_, 't, '_> {
    /// `import a, {b as c} from "d"`, and TypeScript's `import a = require("b")`.
    pub(super) fn import(&mut self, node: Node<'t>) {
        let Some(module) = self.import_source(node) else { return };
        let mut cursor = node.walk();
        let clauses: Vec<Node<'t>> = node.named_children(&mut cursor).take(16).collect();
        for clause in clauses {
            match clause.kind() {
                "import_require_clause" => {
                    if let Some(name) = clause.named_child(0) {
                        let name = self.identifier(name);
                        self.reading.scopes.bind(name, Value::Name(module.clone(), crate::facts::Origin::Literal));
                    }
                }
                "import_clause" => self.import_clause(clause, &module),
                _ => {}
            }
        }
    }

    fn import_source(&mut self, node: Node<'t>) -> Option<Cow<'t, str>> {
        let direct = node.child_by_field_id(self.kinds.source);
        let source = direct.or_else(|| {
            let mut cursor = node.walk();
            let clause = node.named_children(&mut cursor).find(|child| child.kind() == "import_require_clause");
            clause.and_then(|clause| clause.child_by_field_id(self.kinds.source))
        })?;
        let written = self.reading.source(source);
        let name = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
        Some(self.module(source, Cow::Borrowed(name)))
    }

    #[expect(clippy::ptr_arg, reason = "what is borrowed from the text stays so when it is cloned")]
    fn import_clause(&mut self, clause: Node<'t>, module: &Cow<'t, str>) {
        let mut cursor = clause.walk();
        let parts: Vec<Node<'t>> = clause.named_children(&mut cursor).take(16).collect();
        for part in parts {
            match part.kind() {
                "identifier" => self.bind_import(part, module.clone()),
                "namespace_import" => {
                    if let Some(name) = part.named_child(0) {
                        self.bind_import(name, module.clone());
                    }
                }
                "named_imports" => {
                    let mut inner = part.walk();
                    let names: Vec<Node<'t>> = part.named_children(&mut inner).take(1000).collect();
                    for specifier in names {
                        let Some(name) = specifier.child_by_field_id(self.kinds.name) else { continue };
                        let alias = specifier.child_by_field_name("alias").unwrap_or(name);
                        let written = self.identifier(name);
                        let full = match written.trim_matches(['"', '\'']) {
                            "default" => module.clone(),
                            name => self.reading.joined(module, name),
                        };
                        self.reading.tell(name, Fact::ImportedName { name: &full });
                        self.bind_import(alias, full);
                    }
                }
                _ => {}
            }
        }
    }

    fn bind_import(&mut self, name: Node<'t>, full: Cow<'t, str>) {
        let name = self.identifier(name);
        self.reading.scopes.bind(name, Value::name(full));
    }

    /// `export {a} from "b"`.
    pub(super) fn export(&mut self, node: Node<'t>) {
        if let Some(source) = node.child_by_field_id(self.kinds.source) {
            let written = self.reading.source(source);
            let name = written.get(1..written.len().saturating_sub(1)).unwrap_or_default();
            self.module(source, Cow::Borrowed(name));
        }
    }

    /// A module is taken in; its name as rules know it.
    pub(super) fn module(&mut self, node: Node<'t>, name: Cow<'t, str>) -> Cow<'t, str> {
        let name = match name {
            Cow::Borrowed(name) => Cow::Borrowed(name.strip_prefix("node:").unwrap_or(name)),
            Cow::Owned(name) => Cow::Owned(name.strip_prefix("node:").map(str::to_owned).unwrap_or(name)),
        };
        if name.len() > 256 {
            return Cow::Borrowed("?");
        }
        self.reading.tell(node, Fact::Module { name: &name });
        name
    }

    /// A function is defined.
    pub(super) fn define(&mut self, node: Node<'t>) {
        if node.kind() != "method_definition"
            && let Some(name) = node.child_by_field_id(self.kinds.name)
        {
            let name = self.identifier(name);
            self.reading.scopes.bind(name, Value::Function(node.start_byte()));
        }
    }

    /// Nothing is known of a function's parameters.
    pub(super) fn bind_parameters(&mut self, function: Node<'t>) {
        if let Some(parameter) = function.child_by_field_id(self.kinds.parameter) {
            self.bind_target(parameter, Value::UNKNOWN);
        }
        if let Some(parameters) = function.child_by_field_id(self.kinds.parameters) {
            let mut cursor = parameters.walk();
            let targets: Vec<Node<'t>> = parameters.named_children(&mut cursor).take(1000).collect();
            for target in targets {
                // TypeScript puts a pattern around the name.
                let target = target.child_by_field_name("pattern").unwrap_or(target);
                self.bind_target(target, Value::UNKNOWN);
            }
        }
    }

    /// Writes a value to a name, or its parts to several.
    pub(super) fn bind_target(&mut self, target: Node<'t>, value: Value<'t>) {
        match target.kind() {
            "identifier" | "shorthand_property_identifier_pattern" => {
                let name = self.identifier(target);
                self.reading.scopes.bind(name, value);
            }
            "assignment_pattern" | "object_assignment_pattern" => {
                if let Some(name) = target.child_by_field_id(self.kinds.left)
                    && matches!(name.kind(), "identifier" | "shorthand_property_identifier_pattern")
                {
                    let name = self.identifier(name);
                    self.reading.scopes.bind(name, value);
                }
            }
            "object_pattern" => self.bind_members(target, &value),
            "array_pattern" => {
                let mut cursor = target.walk();
                let targets: Vec<Node<'t>> = target.named_children(&mut cursor).take(256).collect();
                for (place, target) in targets.into_iter().enumerate() {
                    let item = match &value {
                        Value::List(items) => items.get(place).map(|item| self.reading.fold.copy(item)),
                        _ => None,
                    };
                    if target.kind() == "identifier" {
                        let name = self.identifier(target);
                        self.reading.scopes.bind(name, item.unwrap_or(Value::UNKNOWN));
                    }
                }
            }
            "rest_pattern" => {
                if let Some(name) = target.named_child(0).filter(|name| name.kind() == "identifier") {
                    let name = self.identifier(name);
                    self.reading.scopes.bind(name, Value::UNKNOWN);
                }
            }
            _ => {}
        }
    }

    /// `{a, b: c} = value`.
    fn bind_members(&mut self, pattern: Node<'t>, value: &Value<'t>) {
        let mut cursor = pattern.walk();
        let members: Vec<Node<'t>> = pattern.named_children(&mut cursor).take(256).collect();
        for member in members {
            let (key, target) = match member.kind() {
                "pair_pattern" => (member.child_by_field_name("key"), member.child_by_field_id(self.kinds.value)),
                "object_assignment_pattern" => {
                    let name = member.child_by_field_id(self.kinds.left);
                    (name, name)
                }
                _ => (Some(member), Some(member)),
            };
            let (Some(key), Some(mut target)) = (key, target) else { continue };
            if target.kind() == "assignment_pattern" {
                target = target.child_by_field_id(self.kinds.left).unwrap_or(target);
            }
            let name = self.identifier(key);
            let name = match name {
                Cow::Borrowed(name) => Cow::Borrowed(name.trim_matches(['"', '\''])),
                owned => owned,
            };
            let known = !matches!(value, Value::Unknown(_) | Value::None);
            let object = self.reading.fold.copy(value);
            let part = if known { self.member(key, object, name) } else { Value::UNKNOWN };
            if matches!(target.kind(), "identifier" | "shorthand_property_identifier_pattern") {
                let name = self.identifier(target);
                self.reading.scopes.bind(name, part);
            } else if target.kind() == "object_pattern"
                && let Value::Name(..) = part
            {
                self.bind_inner(target, &part);
            }
        }
    }

    /// One level deeper, for `{promises: {readFile}}`; no further.
    fn bind_inner(&mut self, pattern: Node<'t>, value: &Value<'t>) {
        let mut cursor = pattern.walk();
        let members: Vec<Node<'t>> = pattern.named_children(&mut cursor).take(64).collect();
        for member in members.into_iter().filter(|member| member.kind() == "shorthand_property_identifier_pattern") {
            let name = self.identifier(member);
            let part = self.member(member, value.clone(), name.clone());
            self.reading.scopes.bind(name, part);
        }
    }
}
