//! Limits, by what the host counted.

use super::{Scene, Sight};
use crucible_core::{ExitStatus, FileKind, GuestPath, LimitKind};
use std::time::Duration;

/// What a sandbox's own upkeep may take beyond the guest's limit.
const UPKEEP: u64 = 8 << 20;
/// Over how long the share of the processors is measured.
const SHARE_OVER: Duration = Duration::from_millis(400);

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
            match counters.memory_peak_bytes {
                Some(peak) if peak > most => Sight::Reached(over("bytes of memory", peak, most)),
                Some(peak) if counters.out_of_memory_kills > 0 => {
                    Sight::Stopped(format!("it was killed at {peak} bytes of memory"))
                }
                Some(peak) => Sight::Nothing(within("bytes of memory", peak, most)),
                None => Sight::Unknown("the host doesn't count memory".to_owned()),
            }
        }
        LimitKind::Pids => match counters.processes_peak {
            Some(peak) if peak > u64::from(limits.pids) => Sight::Reached(over("processes", peak, limits.pids.into())),
            Some(peak) if refused(limit) => Sight::Stopped(format!("it was refused more than {peak} processes")),
            Some(peak) => Sight::Nothing(within("processes", peak, limits.pids.into())),
            None => Sight::Unknown("the host doesn't count processes".to_owned()),
        },
        LimitKind::Disk | LimitKind::Inodes | LimitKind::FileSize => files(limit, scene, refused(limit)).await,
        LimitKind::OpenFiles => match scene.held.and_then(|process| process.descriptors()) {
            Some(open) => {
                let (open, most) = (u64::try_from(open.len()).unwrap_or(u64::MAX), u64::from(limits.open_files));
                if open > most {
                    Sight::Reached(over("descriptors", open, most))
                } else {
                    Sight::Nothing(within("descriptors", open, most))
                }
            }
            None => Sight::Unknown("its descriptors can't be seen".to_owned()),
        },
        LimitKind::Stack => match (scene.held.and_then(|process| process.stack_bytes()), scene.ended) {
            (Some(bytes), _) if bytes > limits.stack.get() => {
                Sight::Reached(over("bytes of stack", bytes, limits.stack.get()))
            }
            (Some(bytes), _) => Sight::Nothing(within("bytes of stack", bytes, limits.stack.get())),
            (None, Some(ExitStatus::Signaled(signal))) => Sight::Stopped(format!("it died of signal {signal}")),
            (None, _) => Sight::Unknown("its stack can't be seen".to_owned()),
        },
        LimitKind::Cpus => {
            tokio::time::sleep(SHARE_OVER).await;
            let Ok(later) = scene.place.counters().await else {
                return Sight::Unknown("the host's counters can't be read".to_owned());
            };
            let used = later.cpu.saturating_sub(counters.cpu).as_millis();
            let allowed = SHARE_OVER.as_millis() * u128::from(limits.cpus.get()) / 1000;
            // A period of a tenth of a second may have begun before and end after.
            if used > allowed + allowed / 2 {
                Sight::Reached(format!("{used} ms of processor time in {} ms", SHARE_OVER.as_millis()))
            } else if used > allowed / 4 {
                Sight::Stopped(format!("{used} ms of processor time in {} ms", SHARE_OVER.as_millis()))
            } else {
                Sight::Unknown("it used no processor time".to_owned())
            }
        }
        LimitKind::CpuTime if counters.cpu > limits.cpu_time.get() => {
            Sight::Reached(format!("{} ms of processor time were used", counters.cpu.as_millis()))
        }
        LimitKind::Output if scene.output.len() > limits.output.as_usize() => {
            Sight::Reached(format!("{} bytes were written", scene.output.len()))
        }
        LimitKind::Timeout if scene.ended.is_none() => Sight::Reached("it still runs".to_owned()),
        LimitKind::CpuTime | LimitKind::Output | LimitKind::Timeout => {
            Sight::Nothing("it stayed below the limit".to_owned())
        }
    }
}

async fn files(limit: LimitKind, scene: &Scene<'_>, refused: bool) -> Sight {
    let Ok(listed) = scene.place.list_files(&GuestPath::work()).await else {
        return Sight::Unknown("its files can't be listed".to_owned());
    };
    let sizes = || listed.iter().filter(|entry| entry.kind == FileKind::File).map(|entry| entry.size);
    let limits = scene.limits;
    let (what, used, most) = match limit {
        LimitKind::Disk => ("bytes on disk", sizes().sum(), limits.disk.get()),
        LimitKind::Inodes => ("files", u64::try_from(listed.len()).unwrap_or(u64::MAX), limits.inodes),
        _ => ("bytes in one file", probe_excluded(&listed), limits.file_size.get()),
    };
    if used > most {
        Sight::Reached(over(what, used, most))
    } else if refused || (limit == LimitKind::FileSize && used == most) {
        Sight::Stopped(format!("it was refused more than {used} {what}"))
    } else {
        Sight::Nothing(within(what, used, most))
    }
}

/// The size of the largest file that the probe made: the probe itself was put there by the host.
fn probe_excluded(listed: &[crucible_core::FileEntry]) -> u64 {
    let made = listed.iter().filter(|entry| entry.kind == FileKind::File && !entry.name.starts_with(b"probe"));
    made.map(|entry| entry.size).max().unwrap_or(0)
}

fn over(what: &str, used: u64, most: u64) -> String {
    format!("{used} {what} under a limit of {most}")
}

fn within(what: &str, used: u64, most: u64) -> String {
    format!("{used} {what} of {most}")
}
