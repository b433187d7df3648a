//! Lines of a table: cells that are wrapped and never cut, and paragraphs that hang below their labels.
//!
//! Invariant: what is written is one line after the other, none wider than its cells and indents add up to, without spaces at
//! its end. Styles are put around whole pieces, after everything was measured.

use crate::report::text::{width, wrap};
use anstyle::Style;
use std::iter::repeat_n;

/// Between two columns.
pub(super) const GAP: usize = 2;
/// Before what belongs to the line above.
pub(super) const INDENT: usize = 2;

/// One cell: its lines, each at most as wide as its column.
pub(super) struct Cell {
    lines: Vec<String>,
    style: Style,
    column: usize,
}

impl Cell {
    /// A cell with this text, wrapped.
    pub(super) fn new(text: &str, style: Style, column: usize) -> Self {
        Self { lines: wrap(text, column), style, column }
    }

    /// A cell whose text is indented by two columns, and its further lines by four: they can't be taken for a row.
    pub(super) fn indented(text: &str, column: usize) -> Self {
        // Wrapped even where it fits: that also leaves no run of spaces in it, behind which a verdict could be faked.
        let mut lines = wrap(text, column.saturating_sub(INDENT));
        if lines.len() > 1 {
            lines = wrap(text, column.saturating_sub(2 * INDENT));
        }
        let indents = std::iter::once("  ").chain(std::iter::repeat("    "));
        let lines = lines.iter().zip(indents).map(|(line, indent)| format!("{indent}{line}")).collect();
        Self { lines, style: Style::new(), column }
    }

    /// A cell of paragraphs that hang below their labels, which take `hang` columns.
    pub(super) fn labelled(paragraphs: &[(&str, String)], hang: usize, column: usize) -> Self {
        let lines = paragraphs.iter().flat_map(|(label, text)| hanging(label, text, hang, column)).collect();
        Self { lines, style: Style::new(), column }
    }
}

/// The lines of a text next to a label of ours, which is at most as wide as `hang`.
fn hanging(label: &str, text: &str, hang: usize, column: usize) -> Vec<String> {
    let labels = std::iter::once(label).chain(std::iter::repeat(""));
    let lines = wrap(text, column.saturating_sub(hang));
    lines.iter().zip(labels).map(|(line, label)| format!("{}{line}", padded(label, hang))).collect()
}

fn padded(text: &str, at_least: usize) -> String {
    let mut padded = text.to_owned();
    padded.extend(repeat_n(' ', at_least.saturating_sub(width(text))));
    padded
}

/// Writes a row: as many lines as its longest cell has.
pub(super) fn push_row(out: &mut String, cells: &[Cell]) {
    for number in 0..cells.iter().map(|cell| cell.lines.len()).max().unwrap_or(0) {
        let (mut start, mut written) = (0, 0);
        for cell in cells {
            if let Some(line) = cell.lines.get(number).map(|line| line.trim_end()).filter(|line| !line.is_empty()) {
                out.extend(repeat_n(' ', start - written));
                out.push_str(&format!("{}{line}{:#}", cell.style, cell.style));
                written = start + width(line);
            }
            start += cell.column + GAP;
        }
        out.push('\n');
    }
}

/// Writes a text next to a label, the whole indented.
pub(super) fn push_labelled(out: &mut String, label: &str, hang: usize, text: &str, at_most: usize) {
    for line in hanging(label, text, hang, at_most - INDENT) {
        out.extend(repeat_n(' ', INDENT));
        out.push_str(line.trim_end());
        out.push('\n');
    }
}

/// Writes a text whose further lines are indented.
pub(super) fn push_text(out: &mut String, style: Style, text: &str, at_most: usize) {
    let indents = std::iter::once("").chain(std::iter::repeat("  "));
    for (line, indent) in wrap(text, at_most - INDENT).iter().zip(indents) {
        out.push_str(&format!("{indent}{style}{line}{style:#}\n"));
    }
}

/// Writes an item of a list, indented, and its further lines more so.
pub(super) fn push_item(out: &mut String, text: &str, at_most: usize) {
    push_row(out, &[Cell::indented(text, at_most)]);
}
