//! What a policy does, in words.

use super::render::limit_in_words;
use crucible_core::{
    Before, Decision, Layer, LimitKind, Limits, Policy, UnenforcedLimits, UnseenPosture, Unwatched, Users,
};
use std::collections::BTreeSet;

/// What a policy does, one sentence each, in the order of a program's life.
#[must_use]
pub fn policy_in_words(policy: &Policy) -> Vec<String> {
    let mut lines = before(&policy.before);
    lines.extend(protection(policy));
    if let Some(most) = &policy.limits {
        let free = Limits::maximum();
        let bounded =
            LimitKind::ALL.into_iter().filter(|kind| limit_in_words(most, *kind) != limit_in_words(&free, *kind));
        let bounded: Vec<_> = bounded.map(|kind| limit_in_words(most, kind)).collect();
        if !bounded.is_empty() {
            lines.push(format!("a run may use at most: {}", bounded.join(", ")));
        }
    }
    let kinds: Vec<_> = policy.during.end_on.iter().map(|kind| kind.as_str()).collect();
    if kinds.is_empty() {
        lines.push("nothing that is seen during a run ends it".to_owned());
    } else {
        let unwatched = match policy.during.unwatched {
            Unwatched::Refuse => "a backend that can't watch for that is refused",
            Unwatched::Record => "a backend that can't watch for that is used all the same, and the record says so",
        };
        lines.push(format!("a run is ended at once by: {}; {unwatched}", kinds.join(", ")));
    }
    lines
}

fn joined(items: &BTreeSet<String>) -> String {
    items.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn before(before: &Before) -> Vec<String> {
    let mut lines = Vec::new();
    if !before.needs_findings() {
        lines.push("whatever is found in a program, it runs; the record has the findings".to_owned());
    }
    lines.extend(before.deny.map(|severity| format!("a finding of severity {severity} or above denies the program")));
    lines.extend(before.hold.map(|severity| format!("a finding of severity {severity} or above holds it for review")));
    let mut rules = |rules: &BTreeSet<String>, does: &str| {
        lines.extend((!rules.is_empty()).then(|| format!("findings of {} {does}", joined(rules))));
    };
    rules(&before.deny_rules, "deny it, whatever their severity");
    rules(&before.hold_rules, "hold it, whatever their severity");
    rules(&before.note_rules, "are noted only, whatever their severity");
    let import = match before.on_import() {
        Decision::Deny => "denies it",
        Decision::Hold => "holds it for review",
        Decision::Allow => "is noted",
    };
    lines.extend(before.imports_allowed.as_ref().map(|allowed| {
        let allowed = if allowed.is_empty() { "none".to_owned() } else { joined(allowed) };
        format!("an import of anything but {allowed} {import}")
    }));
    if !before.imports_forbidden.is_empty() {
        lines.push(format!("an import of {} {import}", joined(&before.imports_forbidden)));
    }
    match before.on_unread() {
        Decision::Deny => lines.push("a program that can't be read whole is denied".to_owned()),
        Decision::Hold => lines.push("a program that can't be read whole is held for review".to_owned()),
        Decision::Allow if before.needs_findings() => lines.push("a program that can't be read whole runs".to_owned()),
        Decision::Allow => {}
    }
    for (severity, wall) in &before.least_isolation {
        let wall = wall.as_str().replace('_', " ");
        lines.push(format!("a finding of severity {severity} or above demands the isolation {wall} at least"));
    }
    lines
}

fn protection(policy: &Policy) -> Vec<String> {
    let (required, missing): (Vec<_>, Vec<_>) =
        Layer::of_native_programs().partition(|layer| policy.require.contains(layer));
    let all = required.len() + missing.len();
    let names: Vec<_> = missing.into_iter().map(Layer::as_str).collect();
    let mut lines = vec![match (required.len(), names.len()) {
        (0, _) => "no layer of isolation is required".to_owned(),
        (_, 0) => "every layer of isolation is required".to_owned(),
        (required, _) => format!("{required} of {all} layers are required; not {}", names.join(", ")),
    }];
    if policy.users == Users::Root {
        lines.push(
            "commands are root inside, over users, files and processes of the sandbox's own; a backend without that is refused"
                .to_owned(),
        );
    }
    if policy.require.contains(&Layer::WebAssembly) {
        lines.push("only programs that are WebAssembly run".to_owned());
    }
    lines.push(match policy.unenforced_limits {
        UnenforcedLimits::Refuse => "a machine that can't enforce a limit runs nothing".to_owned(),
        UnenforcedLimits::Record => "a limit that can't be enforced is said in the record".to_owned(),
    });
    lines.push(match policy.unseen_posture {
        UnseenPosture::Refuse => "a sandbox that can't be seen whole from outside gets no program".to_owned(),
        UnseenPosture::Record => "what can't be seen of a sandbox from outside is said in the record".to_owned(),
    });
    if !policy.warm {
        lines.push("nothing is made before the program is there".to_owned());
    } else if policy.fresh {
        lines.push("no sandbox is used for more than one run".to_owned());
    }
    lines
}
