//! What is wrong with a policy as a whole: clauses that contradict each other, and clauses that do nothing. Pure.

use crate::config::source::Origin;
use crate::config::values::Values;
use crucible_core::{Before, Error, ErrorKind, Isolation, Layer, Policy, Users, nearest};
use std::collections::BTreeSet;
use std::fmt;

/// Something about a policy, with the place that says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// File and line, where they are known.
    pub place: String,
    /// The key: `before.deny_rules`.
    pub key: &'static str,
    /// What it is, in words.
    pub message: String,
    /// The mend, where one is known.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.place.is_empty() { String::new() } else { format!("{}: ", self.place) };
        write!(f, "{place}{}: {}", self.key, self.message)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        let error = Self::new(ErrorKind::Configuration, "check the policy", problem.to_string());
        problem.hint.into_iter().fold(error, Self::with_hint)
    }
}

/// Collects problems with their places.
struct Found<'a> {
    values: &'a Values,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn add(&mut self, key: &'static str, message: String, hint: Option<String>) {
        let place = self.values.get(key).map(|located| &located.origin).map(Origin::to_string).unwrap_or_default();
        self.problems.push(Problem { place, key, message, hint });
    }
}

/// Contradictions, and what does nothing.
pub(super) fn contradictions(policy: &Policy, values: &Values) -> (Vec<Problem>, Vec<Problem>) {
    let mut mistakes = mistakes(&policy.before, values);
    mistakes.extend(root_without_capabilities(policy, values));
    (mistakes, idle(policy, values))
}

/// The pairs of one item of `items` and one of `others` that covers it.
fn covered<'a>(
    items: &'a BTreeSet<String>,
    others: &'a BTreeSet<String>,
    covers: impl Fn(&str, &str) -> bool,
) -> Vec<(&'a str, &'a str)> {
    let by =
        |item: &'a String| others.iter().find(|other| covers(other, item)).map(|other| (item.as_str(), other.as_str()));
    items.iter().filter_map(by).collect()
}

fn root_without_capabilities(policy: &Policy, values: &Values) -> Vec<Problem> {
    let mut found = Found { values, problems: Vec::new() };
    if policy.users == Users::Root && policy.require.contains(&Layer::Capabilities) {
        let message =
            "root inside has some capabilities, and the layer 'capabilities' is that there are none".to_owned();
        found.add("users", message, Some("begin it with extends = \"inspect\"".to_owned()));
    }
    found.problems
}

fn mistakes(before: &Before, values: &Values) -> Vec<Problem> {
    let mut found = Found { values, problems: Vec::new() };
    let lists =
        [("before.deny_rules", &before.deny_rules, "denies"), ("before.hold_rules", &before.hold_rules, "holds")];
    for (key, rules, does) in lists {
        for (rule, by) in covered(rules, &before.note_rules, Before::covers_rule) {
            let message = format!("'{rule}' {does}, but before.note_rules has '{by}', which only notes it");
            found.add(key, message, Some("take it out of one of the two".to_owned()));
        }
    }
    let allowed = before.imports_allowed.iter();
    for (module, by) in allowed.flat_map(|allowed| covered(allowed, &before.imports_forbidden, Before::covers_module)) {
        let message = format!("'{module}' is allowed, but before.imports_forbidden has '{by}'");
        found.add("before.imports_allowed", message, Some("take it out of one of the two".to_owned()));
    }
    found.problems
}

fn idle(policy: &Policy, values: &Values) -> Vec<Problem> {
    let before = &policy.before;
    let mut found = Found { values, problems: Vec::new() };
    if let (Some(deny), Some(hold)) = (before.deny, before.hold)
        && hold >= deny
    {
        found.add("before.hold", format!("nothing is held from {hold} on: it is denied from {deny} on"), None);
    }
    for (rule, by) in covered(&before.hold_rules, &before.deny_rules, Before::covers_rule) {
        found.add("before.hold_rules", format!("'{rule}' is never held: before.deny_rules has '{by}'"), None);
    }
    if before.imports.is_some() && before.imports_allowed.is_none() && before.imports_forbidden.is_empty() {
        let hint = Some("say imports_allowed or imports_forbidden".to_owned());
        found.add("before.imports", "no import is allowed or forbidden by name".to_owned(), hint);
    }
    let mut strongest = Isolation::None;
    for (severity, wall) in &before.least_isolation {
        if *wall <= strongest {
            let message = format!("{severity} demands no more than the severities below it");
            found.add(wall_key(*severity), message, None);
        }
        strongest = strongest.max(*wall);
    }
    if policy.during.end_on.is_empty()
        && values.get("during.unwatched").is_some()
        && values.get("during.end_on").is_none()
    {
        found.add("during.unwatched", "nothing that is seen ends a run".to_owned(), None);
    }
    found.problems
}

const fn wall_key(severity: crucible_core::Severity) -> &'static str {
    use crucible_core::Severity;
    match severity {
        Severity::Info => "before.least_isolation.info",
        Severity::Low => "before.least_isolation.low",
        Severity::Medium => "before.least_isolation.medium",
        Severity::High => "before.least_isolation.high",
        Severity::Critical => "before.least_isolation.critical",
    }
}

/// What the clauses name that is none of the rules there are.
pub(super) fn unknown_rules<'a>(
    policy: &Policy,
    values: &Values,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Vec<Problem> {
    let before = &policy.before;
    let mut found = Found { values, problems: Vec::new() };
    let lists = [
        ("before.deny_rules", &before.deny_rules),
        ("before.hold_rules", &before.hold_rules),
        ("before.note_rules", &before.note_rules),
    ];
    for (key, patterns) in lists {
        for pattern in patterns {
            if known.clone().into_iter().any(|rule| Before::covers_rule(pattern, rule)) {
                continue;
            }
            let hint = nearest(pattern, known.clone()).map(|rule| format!("did you mean '{rule}'?"));
            let hint = hint.or_else(|| Some("`crucible rules list` shows them".to_owned()));
            found.add(key, format!("there is no rule '{pattern}'"), hint);
        }
    }
    found.problems
}
