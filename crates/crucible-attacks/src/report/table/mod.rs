//! The matrix for a terminal: readable without colour, at most 100 columns wide.
//!
//! Invariant: no line is wider than [`TABLE_WIDTH`], whatever the results say, and no id or name is cut: what is too long goes
//! on in a further line that is indented. Styles are always in the text; whoever prints it takes them out where they aren't
//! wanted.

mod grid;
#[cfg(test)]
mod tests;

use super::matrix::{Matrix, has_ablation, resting, unknown};
use super::text::{visible, width};
use super::words;
use anstyle::{AnsiColor, Style};
use crucible_core::{ArmResult, Layer, PropertyResult, ReportContext, SuiteResult, UserKind, Verdict};
use grid::{Cell, GAP, INDENT, push_item, push_labelled, push_row, push_text};

/// The widest that a line gets, in columns.
pub const TABLE_WIDTH: usize = 100;

/// The widest that the column of the ids gets where that leaves no room for others.
const LONGEST_ID: usize = 44;
/// A verdict's column: as wide as «inconclusive».
const VERDICT: usize = 12;
/// The widest that a backend's column gets for its name.
const LONGEST_NAME: usize = 20;
/// What labels hang before: as wide as «protected» and a gap.
const LABEL: usize = 11;

const PLAIN: Style = Style::new();
const HEADING: Style = Style::new().bold();

/// Which arms the table shows of every property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arms {
    /// The verdict alone; both arms only of what isn't held.
    Protected,
    /// For every property how the probe fared as it is protected, and in its control arm.
    Both,
}

/// Everything that was found, as text with styles.
#[must_use]
pub fn table(suites: &[SuiteResult], context: &ReportContext, arms: Arms) -> String {
    let mut out = String::new();
    heading(&mut out, context);
    let particulars = arms == Arms::Both || has_ablation(suites);
    if suites.len() > 1 || !particulars {
        matrix(&mut out, suites);
    }
    if particulars {
        for suite in suites {
            one_backend(&mut out, suite, arms);
        }
    }
    summary(&mut out, suites, context);
    if has_ablation(suites) {
        single_layers(&mut out, suites);
    }
    for verdict in [Verdict::Breached, Verdict::Inconclusive, Verdict::NotApplicable] {
        findings(&mut out, suites, verdict);
    }
    out
}

fn heading(out: &mut String, context: &ReportContext) {
    let user = match context.node.user {
        UserKind::Root => "root",
        UserKind::Ordinary => "an ordinary user",
    };
    let (version, kernel, policy) =
        (visible(&context.version), visible(&context.node.kernel), visible(&context.policy));
    push_text(out, HEADING, &format!("crucible {version} on kernel {kernel} as {user}, policy {policy}"), TABLE_WIDTH);
}

const fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Held => AnsiColor::Green.on_default(),
        Verdict::Breached => AnsiColor::Red.on_default().bold(),
        Verdict::Inconclusive => AnsiColor::Yellow.on_default(),
        Verdict::NotApplicable => PLAIN,
    }
}

/// The width of the column of ids: as wide as the longest, but no wider than leaves room for the others.
fn id_column<'a>(ids: impl Iterator<Item = &'a str>, others: usize) -> usize {
    let room = TABLE_WIDTH.saturating_sub(others).max(LONGEST_ID);
    ids.map(|id| width(&visible(id)) + INDENT).max().unwrap_or_default().clamp(VERDICT, room)
}

/// One row for each property, one column for each backend; where they don't fit, several tables.
fn matrix(out: &mut String, suites: &[SuiteResult]) {
    let matrix = Matrix::new(suites);
    let names: Vec<String> = suites.iter().map(|suite| visible(&suite.backend)).collect();
    let columns: Vec<usize> = names.iter().map(|name| width(name).clamp(VERDICT, LONGEST_NAME)).collect();
    let all = columns.iter().map(|column| column + GAP).sum();
    let id = id_column(matrix.rows().map(|row| row.id), all);
    let mut from = 0;
    while from < columns.len() {
        let mut room = TABLE_WIDTH - id;
        let fitting = columns[from..].iter().take_while(|column| {
            let fits = room >= *column + GAP;
            room = room.saturating_sub(*column + GAP);
            fits
        });
        let to = from + fitting.count().max(1);
        part(out, &matrix, &names, &columns, id, from..to);
        from = to;
    }
}

/// The columns of some backends.
fn part(
    out: &mut String,
    matrix: &Matrix<'_>,
    names: &[String],
    columns: &[usize],
    id: usize,
    shown: std::ops::Range<usize>,
) {
    out.push('\n');
    let mut head = vec![Cell::new("", PLAIN, id)];
    head.extend(shown.clone().map(|place| Cell::new(&names[place], HEADING, columns[place])));
    push_row(out, &head);
    for group in &matrix.groups {
        push_text(out, HEADING, &format!("{} ({})", visible(group.name), group.rows.len()), TABLE_WIDTH);
        for row in &group.rows {
            let mut cells = vec![Cell::indented(&visible(row.id), id)];
            cells.extend(shown.clone().map(|place| match row.cells[place] {
                Some(property) => verdict_cell(property.verdict, columns[place]),
                None => Cell::new(words::NOT_RUN, PLAIN, columns[place]),
            }));
            push_row(out, &cells);
        }
    }
}

fn verdict_cell(verdict: Verdict, column: usize) -> Cell {
    Cell::new(words::verdict(verdict), style(verdict), column)
}

/// Every property of one backend, with its arms and with the layers that hold it.
fn one_backend(out: &mut String, suite: &SuiteResult, arms: Arms) {
    let suites = std::slice::from_ref(suite);
    let matrix = Matrix::new(suites);
    let id = id_column(matrix.rows().map(|row| row.id), TABLE_WIDTH);
    let rest = TABLE_WIDTH - id - VERDICT - 2 * GAP;
    let particulars = match (arms, has_ablation(suites)) {
        (Arms::Both, true) => "canary in each arm; held by",
        (Arms::Both, false) => "canary in each arm",
        (Arms::Protected, _) => "held by each of these alone",
    };
    out.push('\n');
    push_row(
        out,
        &[
            Cell::new(&visible(&suite.backend), HEADING, id),
            Cell::new("verdict", HEADING, VERDICT),
            Cell::new(particulars, HEADING, rest),
        ],
    );
    for group in &matrix.groups {
        push_text(out, HEADING, &format!("{} ({})", visible(group.name), group.rows.len()), TABLE_WIDTH);
        for property in group.rows.iter().filter_map(|row| row.cells[0]) {
            let cells = [
                Cell::indented(&visible(&property.id), id),
                verdict_cell(property.verdict, VERDICT),
                particulars_of(property, arms, rest),
            ];
            push_row(out, &cells);
        }
    }
}

fn particulars_of(property: &PropertyResult, arms: Arms, column: usize) -> Cell {
    let alone = property.held_by.as_ref().map(|held_by| match held_by.alone.as_slice() {
        [] => "no single layer".to_owned(),
        layers => words::layers(layers),
    });
    if arms == Arms::Protected {
        return Cell::new(&alone.unwrap_or_default(), PLAIN, column);
    }
    let reach = |arm: Option<&ArmResult>| arm.map_or(words::NOT_RUN, |arm| words::reach(arm.reach)).to_owned();
    let control = property.control.as_ref();
    let off = control.map(|control| format!(" {}", words::without(&control.without))).unwrap_or_default();
    let mut paragraphs = vec![
        ("protected", reach(property.protected.as_ref())),
        ("control", format!("{}{off}", reach(control.map(|control| &control.result)))),
    ];
    paragraphs.extend(alone.map(|alone| ("alone", alone)));
    Cell::labelled(&paragraphs, LABEL, column)
}

fn summary(out: &mut String, suites: &[SuiteResult], context: &ReportContext) {
    out.push('\n');
    if suites.is_empty() {
        out.push_str("no backend was attacked, which proves nothing\n");
    }
    for suite in suites {
        let counts = if suite.properties.is_empty() {
            "no property was tested, which proves nothing".to_owned()
        } else {
            let count = |verdict| suite.count(verdict);
            format!(
                "{} held, {} breached, {} inconclusive, {} not applicable",
                count(Verdict::Held),
                count(Verdict::Breached),
                count(Verdict::Inconclusive),
                count(Verdict::NotApplicable)
            )
        };
        let attestation = match context.attestations.get(&suite.backend) {
            Some(id) => format!("attestation {}", visible(id)),
            None => "not attested".to_owned(),
        };
        let line = format!("{}: {counts}; {}; {attestation}", visible(&suite.backend), words::took(suite.took));
        push_text(out, PLAIN, &line, TABLE_WIDTH);
    }
}

/// What rests on one layer, and where that couldn't be found out.
fn single_layers(out: &mut String, suites: &[SuiteResult]) {
    for suite in suites.iter().filter(|suite| has_ablation(std::slice::from_ref(suite))) {
        let backend = visible(&suite.backend);
        let mut list = |heading: String, properties: &[(&PropertyResult, &[Layer])]| {
            out.push('\n');
            push_text(out, HEADING, &heading, TABLE_WIDTH);
            for (property, layers) in properties {
                push_item(out, &format!("{}: {}", visible(&property.id), words::layers(layers)), TABLE_WIDTH);
            }
        };
        let resting: Vec<_> = resting(suite).collect();
        let unknown: Vec<_> = unknown(suite).collect();
        if resting.is_empty() {
            list(format!("no held property is known to rest on one layer on {backend}"), &[]);
        } else {
            let count = resting.len();
            list(format!("rest on one layer on {backend} ({count}): breached without any of those named"), &resting);
        }
        if !unknown.is_empty() {
            let count = unknown.len();
            list(format!("may rest on one of these layers on {backend} ({count}): not found out"), &unknown);
        }
    }
}

/// The statement, the reason and both arms of everything with this verdict.
fn findings(out: &mut String, suites: &[SuiteResult], verdict: Verdict) {
    for suite in suites {
        for property in suite.properties.iter().filter(|property| property.verdict == verdict) {
            let word = if verdict == Verdict::NotApplicable { "not applicable" } else { words::verdict(verdict) };
            out.push('\n');
            let line = format!("{word}: {} on {}", visible(&property.id), visible(&suite.backend));
            push_text(out, style(verdict), &line, TABLE_WIDTH);
            let mut line = |label, text: &str| push_labelled(out, label, LABEL, text, TABLE_WIDTH);
            line("statement", &visible(&property.statement));
            line("reason", &visible(&property.reason));
            if verdict == Verdict::NotApplicable {
                continue;
            }
            let arm = |arm: &ArmResult, off: &str| {
                format!("{} in {}{off}: {}", words::reach(arm.reach), words::took(arm.took), visible(&arm.seen))
            };
            let protected = property.protected.as_ref().map(|result| arm(result, ""));
            let control = property.control.as_ref();
            let control =
                control.map(|control| arm(&control.result, &format!(" {}", words::without(&control.without))));
            line("protected", protected.as_deref().unwrap_or(words::NOT_RUN));
            line("control", control.as_deref().unwrap_or(words::NOT_RUN));
        }
    }
}
