//! Finds and ends the processes of a leaky sandbox, by a variable that all of them inherit.

use crucible_core::SandboxId;
use rustix::process::{Pid, Signal, kill_process};

/// The variable by which a process is known.
pub(super) const MARK: &str = "CRUCIBLE_LEAKY";

/// The living processes of a sandbox.
pub(super) fn of(sandbox: SandboxId) -> Vec<Pid> {
    let mark = format!("{MARK}={sandbox}");
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|number| {
            let environment = std::fs::read(format!("/proc/{number}/environ")).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
        })
        .filter_map(Pid::from_raw)
        .collect()
}

/// Ends the processes of a sandbox, and those that they start meanwhile.
pub(super) fn end(sandbox: SandboxId) {
    loop {
        let living = of(sandbox);
        if living.is_empty() {
            return;
        }
        for process in living {
            // One that has gone by itself meanwhile is just as well.
            let _ = kill_process(process, Signal::KILL);
        }
        std::thread::yield_now();
    }
}
