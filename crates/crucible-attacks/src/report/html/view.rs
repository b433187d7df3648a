//! What the page shows, worded: the template only puts it between tags.
//!
//! Invariant: every text is [`visible`]; escaping is the template's.

use super::{CONTENT_SECURITY_POLICY, CSS};
use crate::report::matrix::{Matrix, Row, has_ablation};
use crate::report::text::visible;
use crate::report::words;
use askama::Template;
use crucible_core::{ArmResult, PropertyResult, ReportContext, SuiteResult, UserKind, Verdict, overall, rfc3339};

/// The whole page.
#[derive(Template)]
#[template(path = "attack.html")]
pub(super) struct Page {
    csp: &'static str,
    css: &'static str,
    version: String,
    kernel: String,
    user: &'static str,
    policy: String,
    overall: Badge,
    overall_says: String,
    suites: Vec<Suite>,
    groups: Vec<Group>,
    ablation: Option<Ablation>,
}

/// A verdict with its colour, sign and word.
#[derive(Clone, Copy)]
struct Badge {
    class: &'static str,
    sign: &'static str,
    word: &'static str,
}

struct Suite {
    name: String,
    /// How many properties got each verdict.
    counts: Vec<(Badge, usize)>,
    started: String,
    took: String,
    attestation: Option<String>,
}

struct Group {
    name: String,
    rows: Vec<Property>,
}

struct Property {
    /// Where its details are; of numbers, so that nobody's text is in an address.
    anchor: String,
    /// In pieces between which a line may end.
    id: Vec<String>,
    /// What it is about, where all backends' results say the same.
    about: Option<About>,
    /// Whether its details are shown at once.
    open: bool,
    cells: Vec<Badge>,
    details: Vec<Detail>,
}

impl Property {
    /// The verdicts with the names of the backends.
    fn named(&self) -> impl Iterator<Item = (&str, &Badge)> {
        self.details.iter().map(|detail| (detail.backend.as_str(), &detail.verdict))
    }
}

#[derive(Clone, PartialEq, Eq)]
struct About {
    statement: String,
    expected: &'static str,
    references: String,
}

struct Detail {
    backend: String,
    verdict: Badge,
    /// What it is about, where the backends' results say different things.
    about: Option<About>,
    reason: String,
    arms: Vec<Arm>,
}

struct Arm {
    name: &'static str,
    reach: &'static str,
    how: String,
    seen: String,
}

struct Ablation {
    rows: Vec<AblationRow>,
    /// How many rest on one layer.
    resting: usize,
}

struct AblationRow {
    id: Vec<String>,
    backend: String,
    alone: String,
    needed: String,
    unknown: String,
    rests: bool,
}

const NOT_RUN: Badge = Badge { class: "none", sign: "", word: words::NOT_RUN };

const fn badge(verdict: Verdict) -> Badge {
    match verdict {
        Verdict::Held => Badge { class: "held", sign: "✓", word: "held" },
        Verdict::Breached => Badge { class: "breached", sign: "✗", word: "BREACHED" },
        Verdict::Inconclusive => Badge { class: "inconclusive", sign: "?", word: "inconclusive" },
        Verdict::NotApplicable => Badge { class: "none", sign: "–", word: "not applicable" },
    }
}

/// The verdict as it stands next to a number; nothing is coloured for what there is none of.
fn counted(verdict: Verdict, count: usize) -> (Badge, usize) {
    let badge = badge(verdict);
    let class = if count == 0 { NOT_RUN.class } else { badge.class };
    let word = if verdict == Verdict::Breached { "breached" } else { badge.word };
    (Badge { class, word, ..badge }, count)
}

impl Page {
    pub(super) fn new(suites: &[SuiteResult], context: &ReportContext) -> Self {
        let verdict = overall(suites);
        let matrix = Matrix::new(suites);
        let groups = matrix.groups.iter().enumerate().map(|(group_number, group)| Group {
            name: visible(group.name),
            rows: (group.rows.iter().enumerate())
                .map(|(number, row)| property(row, format!("p{group_number}-{number}"), suites))
                .collect(),
        });
        Self {
            csp: CONTENT_SECURITY_POLICY,
            css: CSS,
            version: visible(&context.version),
            kernel: visible(&context.node.kernel),
            user: match context.node.user {
                UserKind::Root => "root",
                UserKind::Ordinary => "an ordinary user",
            },
            policy: visible(&context.policy),
            overall: badge(verdict),
            overall_says: overall_says(suites, verdict),
            suites: suites.iter().map(|suite| suite_view(suite, context)).collect(),
            groups: groups.collect(),
            ablation: has_ablation(suites).then(|| ablation(suites)),
        }
    }
}

fn overall_says(suites: &[SuiteResult], verdict: Verdict) -> String {
    let count = |verdict| suites.iter().map(|suite| suite.count(verdict)).sum::<usize>();
    let all: usize = suites.iter().map(|suite| suite.properties.len()).sum();
    match verdict {
        Verdict::Breached => format!("{} of {all} verdicts are breaches.", count(Verdict::Breached)),
        Verdict::Held => format!("Every applicable property is held: {} of {all} verdicts.", count(Verdict::Held)),
        Verdict::Inconclusive | Verdict::NotApplicable if count(Verdict::Inconclusive) > 0 => {
            format!("{} of {all} verdicts prove nothing.", count(Verdict::Inconclusive))
        }
        Verdict::Inconclusive | Verdict::NotApplicable => "Nothing was tested of at least one backend.".to_owned(),
    }
}

fn suite_view(suite: &SuiteResult, context: &ReportContext) -> Suite {
    Suite {
        name: visible(&suite.backend),
        counts: [Verdict::Held, Verdict::Breached, Verdict::Inconclusive, Verdict::NotApplicable]
            .map(|verdict| counted(verdict, suite.count(verdict)))
            .into(),
        started: rfc3339(suite.started),
        took: words::took(suite.took),
        attestation: context.attestations.get(&suite.backend).map(|id| visible(id)),
    }
}

/// An id in pieces, each ending with a sign that parts words.
fn pieces(id: &str) -> Vec<String> {
    visible(id).split_inclusive(['.', '_', '/', '-']).map(str::to_owned).collect()
}

fn about(property: &PropertyResult) -> About {
    About {
        statement: visible(&property.statement),
        expected: words::expected(property.expected),
        references: property.references.iter().map(|reference| visible(reference)).collect::<Vec<_>>().join(", "),
    }
}

fn property(row: &Row<'_>, anchor: String, suites: &[SuiteResult]) -> Property {
    let told = || row.cells.iter().zip(suites).filter_map(|(cell, suite)| Some(((*cell)?, suite)));
    let mut abouts = told().map(|(property, _)| about(property));
    let shared = abouts.next().filter(|first| abouts.all(|about| about == *first));
    Property {
        anchor,
        id: pieces(row.id),
        open: told().any(|(property, _)| matches!(property.verdict, Verdict::Breached | Verdict::Inconclusive)),
        cells: row.cells.iter().map(|cell| cell.map_or(NOT_RUN, |property| badge(property.verdict))).collect(),
        details: told()
            .map(|(property, suite)| detail(property, suite, shared.is_none().then(|| about(property))))
            .collect(),
        about: shared,
    }
}

fn detail(property: &PropertyResult, suite: &SuiteResult, about: Option<About>) -> Detail {
    let arm = |name, arm: Option<&ArmResult>, off: &str| match arm {
        Some(arm) => Arm {
            name,
            reach: words::reach(arm.reach),
            how: format!("in {}{off}", words::took(arm.took)),
            seen: visible(&arm.seen),
        },
        None => Arm { name, reach: words::NOT_RUN, how: String::new(), seen: String::new() },
    };
    let control = property.control.as_ref();
    let off = control.map(|control| format!(", {}", words::without(&control.without))).unwrap_or_default();
    let arms = vec![
        arm("Protected arm", property.protected.as_ref(), ""),
        arm("Control arm", control.map(|control| &control.result), &off),
    ];
    Detail {
        backend: visible(&suite.backend),
        verdict: badge(property.verdict),
        about,
        reason: visible(&property.reason),
        arms: if property.verdict == Verdict::NotApplicable { Vec::new() } else { arms },
    }
}

fn ablation(suites: &[SuiteResult]) -> Ablation {
    let row = |property: &PropertyResult, suite: &SuiteResult| {
        let held_by = property.held_by.as_ref()?;
        let layers = |layers: &[_]| if layers.is_empty() { "none".to_owned() } else { words::layers(layers) };
        Some(AblationRow {
            id: pieces(&property.id),
            backend: visible(&suite.backend),
            alone: layers(&held_by.alone),
            needed: layers(&held_by.needed),
            unknown: layers(&held_by.unknown),
            rests: property.verdict == Verdict::Held && !held_by.needed.is_empty(),
        })
    };
    let all = suites.iter().flat_map(|suite| suite.properties.iter().filter_map(move |property| row(property, suite)));
    let rows: Vec<AblationRow> = all.collect();
    Ablation { resting: rows.iter().filter(|row| row.rests).count(), rows }
}
