//! Which name stands for what, scope by scope.
//!
//! Invariant: a name means what was last written to it before the place that is looked at; bodies of functions are looked
//! at after the code around them. That is what usually happens, not what must: an advice needs no more.

use crate::facts::Value;
use rustc_hash::FxHashMap;
use std::borrow::Cow;

/// The most names that are kept for one file; beyond it a name means nothing known.
const MOST_NAMES: usize = 100_000;

/// Scopes deeper than this see the program's names and their own.
const DEEPEST: usize = 64;

/// A scope's number.
pub(crate) type ScopeId = usize;

#[derive(Default)]
struct Scope<'t> {
    /// Where a name is looked for next.
    outer: Option<ScopeId>,
    /// The scope that it was opened from.
    around: ScopeId,
    depth: usize,
    names: FxHashMap<Cow<'t, str>, Value<'t>>,
    /// Names of this scope that are the program's.
    shared: Vec<Cow<'t, str>>,
}

/// The scopes of one file. The first is the program's.
pub(crate) struct Scopes<'t> {
    scopes: Vec<Scope<'t>>,
    current: ScopeId,
    count: usize,
}

impl Default for Scopes<'_> {
    fn default() -> Self {
        Self { scopes: vec![Scope::default()], current: 0, count: 0 }
    }
}

impl<'t> Scopes<'t> {
    pub(crate) fn current(&self) -> ScopeId {
        self.current
    }

    /// Opens a scope inside another one and goes into it.
    pub(crate) fn open(&mut self, outer: ScopeId) -> ScopeId {
        let depth = self.scopes.get(outer).map_or(0, |scope| scope.depth) + 1;
        let seen = if depth > DEEPEST { 0 } else { outer };
        self.scopes.push(Scope { outer: Some(seen), around: outer, depth, ..Scope::default() });
        self.current = self.scopes.len() - 1;
        self.current
    }

    /// Goes back into the scope that the current one was opened from.
    pub(crate) fn close(&mut self) {
        self.current = self.scopes.get(self.current).map_or(0, |scope| scope.around);
    }

    /// Goes into a scope.
    pub(crate) fn enter(&mut self, scope: ScopeId) {
        self.current = scope;
    }

    /// Writes to a name of the current scope.
    pub(crate) fn bind(&mut self, name: Cow<'t, str>, value: Value<'t>) {
        let Some(scope) = self.scopes.get(self.current) else { return };
        let target = if scope.shared.contains(&name) { 0 } else { self.current };
        self.bind_in(target, name, value);
    }

    pub(crate) fn bind_in(&mut self, target: ScopeId, name: Cow<'t, str>, value: Value<'t>) {
        let Some(scope) = self.scopes.get_mut(target) else { return };
        if let Some(old) = scope.names.get_mut(&name) {
            *old = value;
        } else if self.count < MOST_NAMES {
            self.count += 1;
            scope.names.insert(name, value);
        }
    }

    /// The innermost scope from the current one out that has this name.
    pub(crate) fn owner(&self, name: &str) -> Option<ScopeId> {
        let mut next = Some(self.current);
        while let Some(id) = next {
            let scope = self.scopes.get(id)?;
            if scope.names.contains_key(name) {
                return Some(id);
            }
            next = scope.outer;
        }
        None
    }

    /// Says that writing to a name of the current scope is writing to the program's.
    pub(crate) fn share(&mut self, name: Cow<'t, str>) {
        if let Some(scope) = self.scopes.get_mut(self.current)
            && scope.shared.len() < 64
        {
            scope.shared.push(name);
        }
    }

    /// What a name means, from the current scope out.
    pub(crate) fn look_up(&self, name: &str) -> Option<&Value<'t>> {
        let mut next = Some(self.current);
        while let Some(id) = next {
            let scope = self.scopes.get(id)?;
            if let Some(value) = scope.names.get(name) {
                return Some(value);
            }
            next = scope.outer;
        }
        None
    }

    /// Takes what a name means in the current scope, leaving nothing known.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value<'t>> {
        let owner = self.owner(name)?;
        let value = self.scopes.get_mut(owner)?.names.get_mut(name)?;
        Some(std::mem::replace(value, Value::UNKNOWN))
    }
}
