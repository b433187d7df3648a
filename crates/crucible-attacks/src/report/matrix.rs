//! Properties against backends: the results of several backends, put side by side.
//!
//! Invariant: every result of every backend is in exactly one cell. A suite that tells one id twice gets two rows, so that no
//! verdict hides another. It words nothing and counts only rows.

use crucible_core::{HeldBy, Layer, PropertyResult, SuiteResult, Verdict};
use std::collections::HashMap;

/// All groups, in the order in which they come first.
pub(super) struct Matrix<'a> {
    pub(super) groups: Vec<Group<'a>>,
}

/// The properties of one group, in the suites' order.
pub(super) struct Group<'a> {
    pub(super) name: &'a str,
    pub(super) rows: Vec<Row<'a>>,
}

/// One property.
pub(super) struct Row<'a> {
    pub(super) id: &'a str,
    /// One for each suite, in their order; none where that suite doesn't tell of the property.
    pub(super) cells: Vec<Option<&'a PropertyResult>>,
}

impl<'a> Matrix<'a> {
    pub(super) fn new(suites: &'a [SuiteResult]) -> Self {
        let mut groups: Vec<Group<'a>> = Vec::new();
        let mut group_places: HashMap<&str, usize> = HashMap::new();
        // An id is looked for with how often the same suite has told it before.
        let mut row_places: HashMap<(&str, usize), (usize, usize)> = HashMap::new();
        for (column, suite) in suites.iter().enumerate() {
            let mut told: HashMap<&str, usize> = HashMap::new();
            for property in &suite.properties {
                let before = told.entry(&property.id).or_default();
                let (group, row) = *row_places.entry((&property.id, *before)).or_insert_with(|| {
                    let group = *group_places.entry(&property.group).or_insert_with(|| {
                        groups.push(Group { name: &property.group, rows: Vec::new() });
                        groups.len() - 1
                    });
                    groups[group].rows.push(Row { id: &property.id, cells: vec![None; suites.len()] });
                    (group, groups[group].rows.len() - 1)
                });
                *before += 1;
                groups[group].rows[row].cells[column] = Some(property);
            }
        }
        Self { groups }
    }

    /// Every row, group by group.
    pub(super) fn rows(&self) -> impl Iterator<Item = &Row<'a>> {
        self.groups.iter().flat_map(|group| &group.rows)
    }
}

/// Whether it was asked which layers hold the properties.
pub(super) fn has_ablation(suites: &[SuiteResult]) -> bool {
    suites.iter().flat_map(|suite| &suite.properties).any(|property| property.held_by.is_some())
}

/// The held properties of a suite that rest on single layers: without any one of these they were breached.
pub(super) fn resting(suite: &SuiteResult) -> impl Iterator<Item = (&PropertyResult, &[Layer])> {
    held(suite)
        .map(|(property, held_by)| (property, held_by.needed.as_slice()))
        .filter(|(_, layers)| !layers.is_empty())
}

/// The held properties of a suite for which it couldn't be found out whether they rest on these layers.
pub(super) fn unknown(suite: &SuiteResult) -> impl Iterator<Item = (&PropertyResult, &[Layer])> {
    held(suite)
        .map(|(property, held_by)| (property, held_by.unknown.as_slice()))
        .filter(|(_, layers)| !layers.is_empty())
}

fn held(suite: &SuiteResult) -> impl Iterator<Item = (&PropertyResult, &HeldBy)> {
    let held = suite.properties.iter().filter(|property| property.verdict == Verdict::Held);
    held.filter_map(|property| Some((property, property.held_by.as_ref()?)))
}
