//! What a policy decides about a program before it runs: the clauses, and what each means.
//!
//! Invariant: a clause can only make a decision stricter and a wall stronger. What isn't said fails closed: where anything
//! decides by findings, a program that couldn't be read whole is held.

use crate::admission::Decision;
use crate::capabilities::Isolation;
use crate::scan::Severity;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What is decided about a program before it runs, by what the scanner found in it. Where several clauses apply, the
/// strictest decides; only [`Before::note_rules`] takes a rule out of the others' reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Before {
    /// A finding from this severity on denies; `None` for never.
    pub deny: Option<Severity>,
    /// A finding from this severity on holds for review; `None` for never.
    pub hold: Option<Severity>,
    /// Rules whose findings deny: ids, or the beginning of some with a `*`.
    pub deny_rules: BTreeSet<String>,
    /// Rules whose findings hold.
    pub hold_rules: BTreeSet<String>,
    /// Rules whose findings are noted only, whatever their severity.
    pub note_rules: BTreeSet<String>,
    /// The only modules that may be imported, each with those below it; `None` for any.
    pub imports_allowed: Option<BTreeSet<String>>,
    /// Modules that may not be imported, each with those below it.
    pub imports_forbidden: BTreeSet<String>,
    /// What an import leads to that may not be; `None` for [`Decision::Deny`].
    pub imports: Option<Decision>,
    /// What a program leads to that the scanner couldn't read whole. `None` holds it where anything else here denies or holds.
    pub unread: Option<Decision>,
    /// The weakest wall that is enough, by a finding's severity: each holds for the severities above it, too. What couldn't
    /// be read is behind the strongest of them, unless `unread` allows it in so many words.
    pub least_isolation: BTreeMap<Severity, Isolation>,
}

impl Before {
    /// Whether a pattern of the `*_rules` means a rule, or everything that another pattern means.
    #[must_use]
    pub fn covers_rule(pattern: &str, rule: &str) -> bool {
        pattern.strip_suffix('*').map_or(pattern == rule, |beginning| rule.starts_with(beginning))
    }

    /// Whether a module is, or is above, another one: `os` covers `os.path`, and `fs` covers `node:fs/promises`.
    #[must_use]
    pub fn covers_module(module: &str, other: &str) -> bool {
        let plain = |name| str::strip_prefix(name, "node:").unwrap_or(name);
        let rest = plain(other).strip_prefix(plain(module));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '/']))
    }

    /// Whether a finding or an import can lead to a program not being run.
    #[must_use]
    pub fn decides(&self) -> bool {
        self.deny.is_some()
            || self.hold.is_some()
            || !self.deny_rules.is_empty()
            || !self.hold_rules.is_empty()
            || self.imports_allowed.is_some()
            || !self.imports_forbidden.is_empty()
    }

    /// Whether a wall depends on what is found.
    #[must_use]
    pub fn demands_walls(&self) -> bool {
        self.least_isolation.values().any(|wall| *wall > Isolation::None)
    }

    /// Whether anything depends on what is found, so that nothing may run without a scanner.
    #[must_use]
    pub fn needs_findings(&self) -> bool {
        self.decides() || self.demands_walls() || self.on_unread() > Decision::Allow
    }

    /// What an import leads to that may not be.
    #[must_use]
    pub fn on_import(&self) -> Decision {
        self.imports.unwrap_or(Decision::Deny)
    }

    /// What a program leads to that couldn't be read whole.
    #[must_use]
    pub fn on_unread(&self) -> Decision {
        self.unread.unwrap_or(if self.decides() { Decision::Hold } else { Decision::Allow })
    }

    /// The weakest wall that is enough for a finding of this severity.
    #[must_use]
    pub fn wall_for(&self, severity: Severity) -> Isolation {
        self.least_isolation.range(..=severity).map(|(_, wall)| *wall).max().unwrap_or(Isolation::None)
    }

    /// The same demands in the one form of all that demand the same: without clauses that another one makes idle.
    #[must_use]
    pub fn normal(&self) -> Self {
        let hold = self.hold.filter(|hold| self.deny.is_none_or(|deny| *hold < deny));
        let note_rules = least(&self.note_rules, Self::covers_rule, &[]);
        let deny_rules = least(&self.deny_rules, Self::covers_rule, &[&note_rules]);
        let hold_rules = least(&self.hold_rules, Self::covers_rule, &[&note_rules, &deny_rules]);
        let imports_forbidden = least(&self.imports_forbidden, Self::covers_module, &[]);
        let allowed = self.imports_allowed.as_ref();
        let imports_allowed = allowed.map(|allowed| least(allowed, Self::covers_module, &[&imports_forbidden]));
        let imports = (imports_allowed.is_some() || !imports_forbidden.is_empty()).then(|| self.on_import());
        let mut least_isolation = BTreeMap::new();
        let mut strongest = Isolation::None;
        for (severity, wall) in &self.least_isolation {
            if *wall > strongest {
                strongest = *wall;
                least_isolation.insert(*severity, *wall);
            }
        }
        let mut normal = Self {
            deny: self.deny,
            hold,
            deny_rules,
            hold_rules,
            note_rules,
            imports_allowed,
            imports_forbidden,
            imports,
            unread: self.unread,
            least_isolation,
        };
        // Where nothing depends on what is found, saying that what is unread may run says nothing.
        let said = self.unread == Some(Decision::Allow) && (normal.decides() || normal.demands_walls());
        normal.unread = (said || normal.on_unread() > Decision::Allow).then(|| normal.on_unread());
        normal
    }
}

/// Those of a set that nothing else in it covers, nor anything in `others`.
fn least(
    set: &BTreeSet<String>,
    covers: impl Fn(&str, &str) -> bool,
    others: &[&BTreeSet<String>],
) -> BTreeSet<String> {
    let by_another = |item: &String| set.iter().any(|other| other != item && covers(other, item));
    let elsewhere = |item: &String| others.iter().any(|other| other.iter().any(|other| covers(other, item)));
    set.iter().filter(|item| !by_another(item) && !elsewhere(item)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|&item| item.to_owned()).collect()
    }

    #[test]
    fn a_pattern_means_a_rule_or_the_beginning_of_some() {
        assert!(Before::covers_rule("net.socket", "net.socket") && !Before::covers_rule("net.socket", "net.sockets"));
        assert!(Before::covers_rule("net.*", "net.socket") && Before::covers_rule("*", "net.*"));
        assert!(!Before::covers_rule("net.*", "network") && !Before::covers_rule("net.socket", "net.*"));
    }

    #[test]
    fn a_module_covers_those_below_it_and_no_other() {
        assert!(Before::covers_module("os", "os") && Before::covers_module("os", "os.path"));
        assert!(Before::covers_module("fs", "node:fs/promises") && Before::covers_module("node:fs", "fs"));
        assert!(!Before::covers_module("os", "osquery") && !Before::covers_module("os.path", "os"));
    }

    #[test]
    fn what_could_not_be_read_is_held_as_soon_as_anything_decides() {
        assert_eq!(Before::default().on_unread(), Decision::Allow);
        let decides = Before { deny: Some(Severity::Critical), ..Before::default() };
        assert_eq!(decides.on_unread(), Decision::Hold);
        assert_eq!(Before { unread: Some(Decision::Allow), ..decides }.on_unread(), Decision::Allow);
    }

    #[test]
    fn nothing_needs_findings_by_default_and_each_clause_does() {
        assert!(!Before::default().needs_findings());
        let noted = Before { note_rules: set(&["x"]), ..Before::default() };
        assert!(!noted.needs_findings());
        let wall = |wall| Before { least_isolation: [(Severity::High, wall)].into(), ..Before::default() };
        assert!(wall(Isolation::OwnKernel).needs_findings() && !wall(Isolation::None).needs_findings());
        for before in [
            Before { deny: Some(Severity::Info), ..Before::default() },
            Before { hold: Some(Severity::Info), ..Before::default() },
            Before { deny_rules: set(&["x"]), ..Before::default() },
            Before { hold_rules: set(&["x"]), ..Before::default() },
            Before { imports_allowed: Some(set(&[])), ..Before::default() },
            Before { imports_forbidden: set(&["x"]), ..Before::default() },
            Before { unread: Some(Decision::Deny), ..Before::default() },
        ] {
            assert!(before.needs_findings(), "{before:?}");
        }
    }

    #[test]
    fn a_wall_holds_for_the_severities_above_it() {
        let before = Before { least_isolation: [(Severity::High, Isolation::OwnKernel)].into(), ..Before::default() };
        assert_eq!(before.wall_for(Severity::Medium), Isolation::None);
        assert_eq!(before.wall_for(Severity::Critical), Isolation::OwnKernel);
    }

    #[test]
    fn idle_clauses_make_no_difference() {
        let full = Before {
            deny: Some(Severity::High),
            hold: Some(Severity::Critical),
            deny_rules: set(&["a.*", "a.b", "n"]),
            hold_rules: set(&["a.c", "d"]),
            note_rules: set(&["n"]),
            imports_allowed: Some(set(&["os", "os.path", "socket.x"])),
            imports_forbidden: set(&["socket"]),
            imports: None,
            unread: None,
            least_isolation: [
                (Severity::Low, Isolation::None),
                (Severity::High, Isolation::OwnKernel),
                (Severity::Critical, Isolation::SharedKernel),
            ]
            .into(),
        };
        let plain = Before {
            deny: Some(Severity::High),
            hold: None,
            deny_rules: set(&["a.*"]),
            hold_rules: set(&["d"]),
            note_rules: set(&["n"]),
            imports_allowed: Some(set(&["os"])),
            imports_forbidden: set(&["socket"]),
            imports: Some(Decision::Deny),
            unread: Some(Decision::Hold),
            least_isolation: [(Severity::High, Isolation::OwnKernel)].into(),
        };
        assert_eq!((full.normal(), plain.normal()), (plain.clone(), plain));
        assert_eq!(Before::default().normal(), Before::default());
        let said = Before { unread: Some(Decision::Allow), ..Before::default() };
        assert_eq!(said.normal(), Before::default());
    }
}
