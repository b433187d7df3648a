//! Limits, by what the host counted.

use super::{Scene, Sight};
use crate::process::HeldProcess;
use crucible_core::{ExitStatus, LimitKind};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

/// What a sandbox's own upkeep may take beyond the guest's limit.
const UPKEEP: u64 = 8 << 20;
/// The period over which the kernel shares processors out, in milliseconds.
const PERIOD: u128 = 100;

pub(super) async fn look(limit: LimitKind, scene: &Scene<'_>) -> Sight {
    let counters = match scene.place.counters().await {
        Ok(counters) => counters,
        Err(_) => return Sight::Unknown("the host's counters can't be read".to_owned()),
    };
    let limits = scene.limits;
    let refused = |limit| counters.refused.contains(&limit);
    match limit {
        LimitKind::Memory => {
            // What is written to files is memory, too.
            let most = limits.memory.get() + limits.disk.get() + UPKEEP;
            match counters.memory_peak_bytes.or_else(|| resident(scene.held)) {
                Some(peak) if peak > most => Sight::Reached(over("bytes of memory", peak, most)),
                Some(peak) if counters.out_of_memory_kills > 0 => {
                    Sight::Stopped(format!("it was killed at {peak} bytes of memory"))
                }
                Some(peak) => Sight::Nothing(within("bytes of memory", peak, most)),
                None => Sight::Unknown("the host can't count memory".to_owned()),
            }
        }
        LimitKind::Pids => match counters.processes_peak.or_else(|| count(scene.held)) {
            Some(peak) if peak > u64::from(limits.pids) => Sight::Reached(over("processes", peak, limits.pids.into())),
            Some(peak) if refused(limit) => Sight::Stopped(format!("it was refused more than {peak} processes")),
            Some(peak) => near("processes", peak, limits.pids.into()),
            None => Sight::Unknown("the host can't count processes".to_owned()),
        },
        LimitKind::Disk | LimitKind::Inodes | LimitKind::FileSize => files(limit, scene, refused(limit)),
        LimitKind::OpenFiles => match scene.held.first().and_then(HeldProcess::descriptors) {
            Some(open) => {
                let (open, most) = (u64::try_from(open.len()).unwrap_or(u64::MAX), u64::from(limits.open_files));
                if open > most {
                    Sight::Reached(over("descriptors", open, most))
                } else {
                    near("descriptors", open, most)
                }
            }
            None => Sight::Unknown("its descriptors can't be seen".to_owned()),
        },
        LimitKind::Stack => match (scene.held.iter().filter_map(HeldProcess::stack_bytes).max(), scene.ended) {
            (Some(bytes), _) if bytes > limits.stack.get() => {
                Sight::Reached(over("bytes of stack", bytes, limits.stack.get()))
            }
            (Some(bytes), _) => near("bytes of stack", bytes, limits.stack.get()),

            (None, _) => Sight::Unknown("its stack can't be seen".to_owned()),
        },
        LimitKind::Cpus => {
            let (used, wall) = (counters.cpu.as_millis(), scene.running.as_millis());
            let allowed = wall * u128::from(limits.cpus.get()) / 1000;
            let seen = format!("{used} ms of processor time in {wall} ms");
            // Of the first period a whole share may be used at once.
            if used > allowed + allowed / 4 + PERIOD {
                Sight::Reached(seen)
            } else if used > allowed / 4 {
                Sight::Stopped(seen)
            } else {
                Sight::Unknown(format!("{seen}, which shows nothing"))
            }
        }
        // The engine's, and judged by its outcome.
        LimitKind::CpuTime | LimitKind::Output | LimitKind::Timeout => {
            Sight::Unknown("nobody here holds this limit".to_owned())
        }
    }
}

/// The most memory that the probe's processes had, where nothing counts it for the whole sandbox.
fn resident(held: &[HeldProcess]) -> Option<u64> {
    let sizes: Vec<u64> = held.iter().filter_map(HeldProcess::resident_bytes).collect();
    (!sizes.is_empty()).then(|| sizes.iter().sum())
}

/// How many processes the probe has, where nothing counts them.
fn count(held: &[HeldProcess]) -> Option<u64> {
    u64::try_from(held.len()).ok().filter(|count| *count > 0)
}

/// By what the probe has open, with a name or without, and by what has its nonce in the name.
fn files(limit: LimitKind, scene: &Scene<'_>, refused: bool) -> Sight {
    if scene.held.is_empty() {
        let why = match scene.ended {
            Some(ExitStatus::Signaled(signal)) => format!("it died of signal {signal}"),
            _ => "its process wasn't found".to_owned(),
        };
        return if refused { Sight::Stopped(why) } else { Sight::Unknown(why) };
    }
    let limits = scene.limits;
    let (Some(sizes), Some(named)) = (open_files(scene.held), named(scene)) else {
        return Sight::Unknown("its files can't be seen".to_owned());
    };
    let (what, used, most) = match limit {
        LimitKind::Disk => ("bytes on disk", sizes.iter().sum(), limits.disk.get()),
        LimitKind::Inodes => ("files", named, limits.inodes),
        _ => ("bytes in one file", sizes.into_iter().max().unwrap_or(0), limits.file_size.get()),
    };
    if used > most {
        Sight::Reached(over(what, used, most))
    } else if refused || (limit == LimitKind::FileSize && used == most) {
        Sight::Stopped(format!("it was refused more than {used} {what}"))
    } else {
        near(what, used, most)
    }
}

/// The sizes of the regular files that are open for writing, each once.
fn open_files(held: &[HeldProcess]) -> Option<Vec<u64>> {
    let mut sizes = BTreeMap::new();
    for process in held {
        for (number, _) in process.descriptors()? {
            if let Ok(seen) = std::fs::metadata(process.folder().join(format!("fd/{number}")))
                && seen.is_file()
                && process.writes(number)
            {
                sizes.insert((seen.dev(), seen.ino()), seen.len());
            }
        }
    }
    Some(sizes.into_values().collect())
}

/// How many files have the probe's nonce at the beginning of their names.
fn named(scene: &Scene<'_>) -> Option<u64> {
    let process = scene.held.first()?;
    std::fs::read_dir(process.root()).ok()?;
    let count = |folder: &str| {
        let entries = std::fs::read_dir(process.root().join(folder)).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(scene.nonce.as_bytes())).count()
    };
    u64::try_from(["work", "tmp", "dev/shm"].into_iter().map(count).sum::<usize>()).ok()
}

fn over(what: &str, used: u64, most: u64) -> String {
    format!("{used} {what} under a limit of {most}")
}

/// What stayed below a limit. It shows something only if it came near: else something other than the limit stopped it.
fn near(what: &str, used: u64, most: u64) -> Sight {
    if used < most / 2 {
        Sight::Unknown(format!("{}, which is far from the limit", within(what, used, most)))
    } else {
        Sight::Nothing(within(what, used, most))
    }
}

fn within(what: &str, used: u64, most: u64) -> String {
    format!("{used} {what} of {most}")
}
