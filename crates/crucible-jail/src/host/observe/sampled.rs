//! Programs that are started, as far as looking from time to time shows them: for users whom the kernel doesn't tell.

use super::processes::program_of;
use super::record::{Kind, Record};
use crate::host::process_tree::descendants;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(50);
/// The most processes of one sandbox that are looked at in its life.
const MOST: usize = 4096;

/// Looks at what lives below a sandbox's init, until it is told to end. Whatever runs at the first look and was started by
/// the init itself is the command that was asked for.
pub(in crate::host) async fn look_from_time_to_time(init: i32, record: Arc<Record>) {
    let mut known: BTreeSet<(i32, String)> = BTreeSet::new();
    let mut commands: BTreeSet<i32> = BTreeSet::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        for (process, parent) in descendants(init) {
            // An orphan comes to the init, too, but was known before.
            let is_new = !known.iter().any(|(number, _)| *number == process);
            if parent == init && is_new {
                commands.insert(process);
            }
            let (name, word) = program_of(process);
            if known.len() >= MOST || !known.insert((process, name.clone())) || commands.contains(&process) {
                continue;
            }
            record.note(Kind::ProgramStarted, &name, word);
        }
    }
}
