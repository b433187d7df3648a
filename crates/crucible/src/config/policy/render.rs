//! A policy as a file that says all of it.
//!
//! Invariant: what is written reads back as the same policy.

use crucible_core::{LimitKind, Limits, Policy, UnenforcedLimits, UnseenPosture, Unwatched};
use std::collections::BTreeSet;
use std::fmt::{self, Display, Write};

/// The whole of a policy as TOML.
#[must_use]
pub fn policy_to_text(policy: &Policy) -> String {
    let mut text = String::new();
    // Writing to a String can't fail.
    let _ = write(policy, &mut text);
    text
}

fn write(policy: &Policy, out: &mut String) -> fmt::Result {
    let Policy {
        name,
        require,
        network,
        unenforced_limits,
        unseen_posture,
        before,
        limits,
        during,
        warm,
        fresh,
        users,
    } = policy;
    writeln!(out, "name = {}", quoted(name))?;
    list(out, "require", require.iter().map(|layer| layer.as_str()))?;
    writeln!(out, "network = \"{network}\"")?;
    let unenforced = match unenforced_limits {
        UnenforcedLimits::Refuse => "refuse",
        UnenforcedLimits::Record => "record",
    };
    writeln!(out, "unenforced_limits = \"{unenforced}\"")?;
    let unseen = match unseen_posture {
        UnseenPosture::Refuse => "refuse",
        UnseenPosture::Record => "record",
    };
    writeln!(out, "unseen_posture = \"{unseen}\"")?;
    writeln!(out, "warm = {warm}\nfresh = {fresh}")?;
    writeln!(out, "users = \"{}\"", users.as_str())?;

    writeln!(out, "\n[before]")?;
    let threshold = |severity: Option<crucible_core::Severity>| severity.map_or("never", |severity| severity.as_str());
    writeln!(out, "deny = \"{}\"\nhold = \"{}\"", threshold(before.deny), threshold(before.hold))?;
    list(out, "deny_rules", &before.deny_rules)?;
    list(out, "hold_rules", &before.hold_rules)?;
    list(out, "note_rules", &before.note_rules)?;
    match &before.imports_allowed {
        Some(allowed) => list(out, "imports_allowed", allowed)?,
        None => writeln!(out, "# imports_allowed: any")?,
    }
    list(out, "imports_forbidden", &before.imports_forbidden)?;
    if let Some(imports) = before.imports {
        writeln!(out, "imports = \"{imports}\"")?;
    }
    match before.unread {
        Some(unread) => writeln!(out, "unread = \"{unread}\"")?,
        None => writeln!(out, "# unread: {}", before.on_unread())?,
    }
    if !before.least_isolation.is_empty() {
        writeln!(out, "\n[before.least_isolation]")?;
        for (severity, wall) in &before.least_isolation {
            writeln!(out, "{severity} = \"{}\"", wall.as_str())?;
        }
    }

    match limits {
        Some(limits) => {
            writeln!(out, "\n[limits]")?;
            for kind in LimitKind::ALL {
                writeln!(out, "{kind} = {}", limit(limits, kind))?;
            }
        }
        None => writeln!(out, "\n# [limits]: what the configuration allows")?,
    }

    writeln!(out, "\n[during]")?;
    list(out, "end_on", during.end_on.iter().map(|kind| kind.as_str()))?;
    let unwatched = match during.unwatched {
        Unwatched::Refuse => "refuse",
        Unwatched::Record => "record",
    };
    writeln!(out, "unwatched = \"{unwatched}\"")
}

fn list(out: &mut String, key: &str, items: impl IntoIterator<Item = impl AsRef<str>>) -> fmt::Result {
    let items: BTreeSet<_> = items.into_iter().map(|item| quoted(item.as_ref())).collect();
    if items.len() < 4 {
        return writeln!(out, "{key} = [{}]", items.into_iter().collect::<Vec<_>>().join(", "));
    }
    writeln!(out, "{key} = [")?;
    for item in items {
        writeln!(out, "    {item},")?;
    }
    writeln!(out, "]")
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// One limit as TOML has it.
fn limit(limits: &Limits, kind: LimitKind) -> String {
    let with_unit = |value: &dyn Display| format!("\"{value}\"");
    match kind {
        LimitKind::Timeout => with_unit(&limits.timeout),
        LimitKind::CpuTime => with_unit(&limits.cpu_time),
        LimitKind::Cpus => with_unit(&limits.cpus),
        LimitKind::Memory => with_unit(&limits.memory),
        LimitKind::Pids => limits.pids.to_string(),
        LimitKind::Disk => with_unit(&limits.disk),
        LimitKind::Inodes => limits.inodes.to_string(),
        LimitKind::OpenFiles => limits.open_files.to_string(),
        LimitKind::FileSize => with_unit(&limits.file_size),
        LimitKind::Output => with_unit(&limits.output),
        LimitKind::Stack => with_unit(&limits.stack),
    }
}

/// One limit in words: `memory 64MiB`.
pub(super) fn limit_in_words(limits: &Limits, kind: LimitKind) -> String {
    format!("{kind} {}", limit(limits, kind).trim_matches('"'))
}
