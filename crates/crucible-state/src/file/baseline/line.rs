//! One run as one line of JSON.
//!
//! Numbers are whole: times in microseconds. What a later version adds is passed over; a line of another version, or with a
//! name that this one doesn't know, can't be read.

use crucible_core::{BehaviorKind, Error, ErrorKind, ExitKind, Label, Profile, Result, Severity, Tally};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

const VERSION: u32 = 1;
/// Bytes of the longest line.
const LONGEST: usize = 2048;
/// Bytes of the longest name of a backend.
const LONGEST_BACKEND: usize = 64;

#[derive(Deserialize, Serialize)]
struct Line {
    v: u32,
    label: String,
    /// Since 1970.
    at_ms: u64,
    backend: String,
    ended: ExitKind,
    wall_us: u64,
    cpu_us: u64,
    memory_peak_bytes: Option<u64>,
    processes_peak: Option<u64>,
    output_bytes: u64,
    behavior: BTreeMap<BehaviorKind, Tally>,
    findings: BTreeMap<Severity, u64>,
}

/// Writes a line, without its end.
///
/// # Errors
/// `InvalidInput` for what no line can hold.
pub(super) fn write(label: &Label, profile: &Profile) -> Result<String> {
    let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let since = profile.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let line = Line {
        v: VERSION,
        label: label.as_str().to_owned(),
        at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
        backend: profile.backend.clone(),
        ended: profile.ended,
        wall_us: microseconds(profile.wall),
        cpu_us: microseconds(profile.cpu),
        memory_peak_bytes: profile.memory_peak_bytes,
        processes_peak: profile.processes_peak,
        output_bytes: profile.output_bytes,
        behavior: profile.behavior.clone(),
        findings: profile.findings.clone(),
    };
    let text = serde_json::to_string(&line).ok();
    let text = text.filter(|text| text.len() <= LONGEST && profile.backend.len() <= LONGEST_BACKEND);
    text.ok_or_else(|| Error::new(ErrorKind::InvalidInput, "remember a run", "the run's profile is too long to keep"))
}

/// Reads a line of that label; `None` for anything else.
pub(super) fn read(text: &[u8], label: &Label) -> Option<Profile> {
    if text.len() > LONGEST {
        return None;
    }
    let line: Line = serde_json::from_slice(text).ok()?;
    if line.v != VERSION || line.label != label.as_str() || line.backend.len() > LONGEST_BACKEND {
        return None;
    }
    Some(Profile {
        at: SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(line.at_ms))?,
        backend: line.backend,
        ended: line.ended,
        wall: Duration::from_micros(line.wall_us),
        cpu: Duration::from_micros(line.cpu_us),
        memory_peak_bytes: line.memory_peak_bytes,
        processes_peak: line.processes_peak,
        output_bytes: line.output_bytes,
        behavior: line.behavior,
        findings: line.findings,
    })
}

/// The label that a line says it is of.
pub(super) fn label(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Labelled {
        label: String,
    }
    let text = Some(text).filter(|text| text.len() <= LONGEST)?;
    serde_json::from_slice(text).ok().map(|Labelled { label }| label)
}
