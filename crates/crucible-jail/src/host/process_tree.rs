//! What `/proc` tells about what a sandbox uses: for machines without cgroups.

use rustix::param::clock_ticks_per_second;
use std::time::Duration;

/// What the processes below an init use together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TreeUsage {
    /// Processor time of the living, and of the dead that were waited for.
    pub cpu: Duration,
    /// Living processes without the init.
    pub processes: u64,
}

/// Everything that lives below an init, each with its parent.
#[must_use]
pub fn descendants(init: i32) -> Vec<(i32, i32)> {
    let mut found = vec![(init, 0)];
    let mut next = 0;
    while let Some((pid, _)) = found.get(next).copied() {
        next += 1;
        found.extend(children(pid).into_iter().map(|child| (child, pid)));
    }
    found.split_off(1)
}

/// The living children of every thread of a process.
fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let listed = threads.map(|thread| std::fs::read_to_string(thread.path().join("children")).unwrap_or_default());
    listed
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Bytes that an init and everything below it have read and written by system calls, the dead included that were waited for;
/// `None` where this user may not know, and where it would take long to find out.
#[must_use]
pub fn tree_transfers(init: i32) -> Option<(u64, u64)> {
    const MOST: usize = 32;
    let below = descendants(init);
    if below.len() > MOST {
        return None;
    }
    let mut sum = transfers(init)?;
    // Those that end meanwhile count with their parent next time.
    for (read, written) in below.into_iter().filter_map(|(process, _)| transfers(process)) {
        sum = (sum.0.saturating_add(read), sum.1.saturating_add(written));
    }
    Some(sum)
}

/// The same of one process, and of the dead that it has waited for.
#[must_use]
pub fn transfers(process: i32) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(format!("/proc/{process}/io")).ok()?;
    let number = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
    Some((number("rchar:")?, number("wchar:")?))
}

/// Adds up what `/proc` says of an init and everything below it. What ends meanwhile is left out, and so is what the dead
/// used whom nobody waited for: this is a sample, not an account.
#[must_use]
pub fn tree_usage(init: i32) -> TreeUsage {
    let (mut ticks, mut processes) = (0_u64, 0_u64);
    let mut queue = vec![init];
    while let Some(pid) = queue.pop() {
        // A guest chooses its name, which need not be UTF-8.
        if let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) {
            let stat = String::from_utf8_lossy(&stat);
            // The name is in brackets and may hold anything, brackets and spaces too. After it come state and numbers:
            // utime, stime, cutime and cstime are the 12th to 15th of them.
            let numbers = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
            let fields = numbers.split_ascii_whitespace().skip(11).take(4);
            ticks += fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
            processes += u64::from(pid != init);
        }
        queue.extend(children(pid));
    }
    let per_second = clock_ticks_per_second().max(1);
    TreeUsage { cpu: Duration::from_micros(ticks.saturating_mul(1_000_000) / per_second), processes }
}
