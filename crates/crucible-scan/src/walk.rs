//! Going through a syntax tree, children before their parent, without recursion.
//!
//! Invariant: memory grows with the depth and the children of one branch, both bounded; a tree of any shape is gone
//! through once.

use crate::facts::Value;
use tree_sitter::{Node, TreeCursor};

/// Branches deeper than this are skipped.
pub(crate) const DEEPEST: usize = 4000;

/// The most children of one node that are kept.
const MOST_CHILDREN: usize = 10_000;

/// A node, where it stands.
#[derive(Clone, Copy)]
pub(crate) struct At<'t, K> {
    pub(crate) node: Node<'t>,
    pub(crate) kind: K,
    /// The name of its place in its parent, as the grammar numbers it; 0 for none.
    pub(crate) field: u16,
    /// What its parent is.
    pub(crate) parent: K,
    /// The parent, where it is gone through, too.
    pub(crate) around: Option<Node<'t>>,
}

/// A child that was gone through.
pub(crate) struct Child<'t, K> {
    pub(crate) node: Node<'t>,
    pub(crate) kind: K,
    pub(crate) field: u16,
    pub(crate) value: Value<'t>,
}

/// How to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Into the children.
    Descend,
    /// Past it: it has no value.
    Skip,
    /// Not into it, but it may have a value.
    Leaf,
}

/// What a language makes of its nodes.
pub(crate) trait Visitor<'t> {
    /// The kinds of nodes that it tells apart.
    type Kind: Copy;

    /// What the grammar's number of a kind means. `None` for what has no meaning of its own, which is passed over.
    fn kind(&self, symbol: u16) -> Option<Self::Kind>;

    /// Before a node's children.
    fn enter(&mut self, at: &At<'t, Self::Kind>) -> Step;

    /// After a node's children.
    fn leave(&mut self, at: &At<'t, Self::Kind>, children: &mut [Child<'t, Self::Kind>]) -> Value<'t>;

    /// Whether a node's children's values are of use to it.
    fn gathers(&self, kind: Self::Kind) -> bool;

    /// Something is missing here that the language wants.
    fn missing(&mut self, node: Node<'t>);

    /// A branch was too deep.
    fn too_deep(&mut self, node: Node<'t>);
}

struct Frame<'t, K> {
    at: At<'t, K>,
    base: usize,
}

/// Goes through what is below and at `node`.
pub(crate) fn walk<'t, V: Visitor<'t>>(cursor: &mut TreeCursor<'t>, node: Node<'t>, root: V::Kind, visitor: &mut V) {
    cursor.reset(node);
    // Only where something is wrong is it worth asking each node.
    let has_errors = node.has_error();
    let mut frames: Vec<Frame<'t, V::Kind>> = Vec::new();
    let mut values: Vec<Child<'t, V::Kind>> = Vec::new();
    loop {
        let node = cursor.node();
        if has_errors && node.is_missing() {
            visitor.missing(node);
        }
        if let Some(kind) = visitor.kind(node.kind_id()) {
            let parent = frames.last().map_or(root, |frame| frame.at.kind);
            let field = cursor.field_id().map_or(0, std::num::NonZero::get);
            let around = frames.last().map(|frame| frame.at.node);
            let at = At { node, kind, field, parent, around };
            let mut step = visitor.enter(&at);
            if step == Step::Descend {
                if frames.len() >= DEEPEST {
                    visitor.too_deep(node);
                    step = Step::Skip;
                } else if cursor.goto_first_child() {
                    frames.push(Frame { at, base: values.len() });
                    continue;
                }
            }
            let value = if step == Step::Skip { Value::None } else { visitor.leave(&at, &mut []) };
            keep(visitor, frames.last(), &mut values, Child { node, kind, field, value });
        }
        loop {
            if frames.is_empty() {
                return;
            }
            if cursor.goto_next_sibling() {
                break;
            }
            cursor.goto_parent();
            let Some(Frame { at, base }) = frames.pop() else { return };
            let value = visitor.leave(&at, &mut values[base..]);
            values.truncate(base);
            let child = Child { node: at.node, kind: at.kind, field: at.field, value };
            keep(visitor, frames.last(), &mut values, child);
        }
    }
}

fn keep<'t, V: Visitor<'t>>(
    visitor: &V,
    frame: Option<&Frame<'t, V::Kind>>,
    values: &mut Vec<Child<'t, V::Kind>>,
    child: Child<'t, V::Kind>,
) {
    if frame.is_some_and(|frame| visitor.gathers(frame.at.kind) && values.len() - frame.base < MOST_CHILDREN) {
        values.push(child);
    }
}
