//! What the backends that start processes on this machine have in common: a sandbox over the jail's launcher, and the
//! translation of its errors. Which layers stand around it is the backend's business.

mod error;
mod sandbox;
mod started;
mod waiting;

pub(crate) use error::{start_error, translate};
pub(crate) use sandbox::{Again, NativeParts, NativeSandbox, Nests};
pub(crate) use started::Baseline;
pub(crate) use waiting::Waiting;

use crate::runtime::DEFAULT_LANGUAGES;
use crucible_core::{Check, Coverage, Error, ErrorKind, Language, Limits, LiveFeature, Monitoring, Result, Watchable};
use crucible_jail::plan::ProcessLimit;
use std::collections::{BTreeMap, BTreeSet};

/// The table entry for commands that aren't programs of a language: the host's ordinary programs.
pub(crate) fn system_language() -> Result<Language> {
    built_in_language("system")
}

/// An entry of the table that Crucible comes with.
pub(crate) fn built_in_language(name: &str) -> Result<Language> {
    #[derive(serde::Deserialize)]
    struct Table {
        languages: BTreeMap<String, Language>,
    }
    let error = |message: String| Error::new(ErrorKind::Configuration, "read the language table", message);
    let mut table: Table = toml::from_str(DEFAULT_LANGUAGES)
        .map_err(|source| error("the built-in language table can't be read".to_owned()).with_source(source))?;
    table.languages.remove(name).ok_or_else(|| error(format!("the built-in language table has no entry '{name}'")))
}

/// What a self-test says of the languages whose interpreters can't be made ready: that is no fault of the isolation's.
pub(crate) fn told_of_cold(reasons: impl IntoIterator<Item = String>) -> impl Iterator<Item = Check> {
    reasons.into_iter().map(|why| {
        let check = Check::skipped("interpreters stand ready", why);
        check.with_mend(
            "look at the language's `preload` (docs/warm.md); until then its programs start cold, and isolated as ever",
        )
    })
}

/// The limits that hold for each process by itself, wherever it runs.
pub(crate) fn process_limits(limits: &Limits) -> Vec<(ProcessLimit, u64)> {
    vec![
        (ProcessLimit::FileSize, limits.file_size.get()),
        (ProcessLimit::OpenFiles, u64::from(limits.open_files)),
        (ProcessLimit::Stack, limits.stack.get()),
        // Only in case the supervisor, which looks at all processes together, is late.
        (ProcessLimit::CpuSeconds, limits.cpu_time.get().as_secs().saturating_add(2)),
    ]
}

/// What every native sandbox can do while it stays open.
pub(crate) fn live_features() -> BTreeSet<LiveFeature> {
    [LiveFeature::Terminals, LiveFeature::Signals, LiveFeature::CommandTrees, LiveFeature::Files].into()
}

/// Whether the kernel tells of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It does.
    Yes,
    /// It doesn't.
    No,
}

impl From<bool> for Heard {
    fn from(is_heard: bool) -> Self {
        if is_heard { Self::Yes } else { Self::No }
    }
}

/// The monitoring of a backend that sees nothing but what all of a sandbox uses.
pub(crate) fn unwatched(reason: &str) -> Monitoring {
    let coverage = |part| match part {
        Watchable::Resources => {
            Coverage::Sampled { reason: "the kernel counts, and the host looks every 50 ms".to_owned() }
        }
        _ => Coverage::Unavailable { reason: reason.to_owned() },
    };
    Watchable::ALL.into_iter().map(|part| (part, coverage(part))).collect()
}

/// What changes where a sandbox has a way out: the proxy tells of what goes through it, and nobody of what is tried past it.
pub(crate) fn watching_with_a_door(monitoring: &mut Monitoring) {
    let reason = "what goes to the proxy is told; a connection that is tried past it fails unseen".to_owned();
    monitoring.insert(Watchable::Network, Coverage::Sampled { reason });
}

/// How well started programs are watched.
pub(crate) fn watching_processes(heard: Heard) -> Coverage {
    match heard {
        Heard::Yes => Coverage::Events,
        Heard::No => Coverage::Sampled {
            reason: "the kernel tells only a root of the whole machine of processes; the host looks every 50 ms"
                .to_owned(),
        },
    }
}
