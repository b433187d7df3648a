//! Limits from settings, and their bounds, with the place that set a wrong one.

use super::source::Origin;
use super::values::{Values, wrong};
use crucible_core::{LimitKind, Limits, Result};

/// Reads the limits below `prefix`, over `base` where one isn't set.
///
/// # Errors
/// As [`Values::parse_optional`]: a missing unit, a number too large.
pub(crate) fn read(values: &Values, prefix: &str, base: Limits) -> Result<Limits> {
    let mut limits = base;
    for kind in LimitKind::ALL {
        let key = format!("{prefix}.{kind}");
        if values.get(&key).is_some() {
            set(values, &key, kind, &mut limits)?;
        }
    }
    Ok(limits)
}

fn set(values: &Values, key: &str, kind: LimitKind, limits: &mut Limits) -> Result<()> {
    match kind {
        LimitKind::Timeout => limits.timeout = values.parse(key)?,
        LimitKind::CpuTime => limits.cpu_time = values.parse(key)?,
        LimitKind::Cpus => limits.cpus = values.parse(key)?,
        LimitKind::Memory => limits.memory = values.parse(key)?,
        LimitKind::Pids => limits.pids = values.parse_number(key)?,
        LimitKind::Disk => limits.disk = values.parse(key)?,
        LimitKind::Inodes => limits.inodes = values.parse_number(key)?,
        LimitKind::OpenFiles => limits.open_files = values.parse_number(key)?,
        LimitKind::FileSize => limits.file_size = values.parse(key)?,
        LimitKind::Output => limits.output = values.parse(key)?,
        LimitKind::Stack => limits.stack = values.parse(key)?,
    }
    Ok(())
}

/// Checks limits and maximum against each other and the least that makes sense.
///
/// # Errors
/// The mistake of whoever set the value that is out of range, naming the place.
pub(crate) fn check(values: &Values, limits: &Limits, maximum: &Limits) -> Result<()> {
    // What is above the maximum can't be said of the maximum itself, so this finds what is below the minimum.
    if let Err(error) = maximum.validate(maximum) {
        return Err(blame(values, "maximum", maximum, error));
    }
    limits.validate(maximum).map_err(|error| blame(values, "limits", maximum, error))
}

/// Adds the place that set the offending limit: the one which, set alone, is refused in the same words.
fn blame(values: &Values, section: &str, maximum: &Limits, error: crucible_core::Error) -> crucible_core::Error {
    let offender = LimitKind::ALL.into_iter().find_map(|kind| {
        let key = format!("{section}.{kind}");
        let mut alone = Limits::minimum();
        set(values, &key, kind, &mut alone).ok()?;
        let same = alone.validate(maximum).err()?.to_string() == error.to_string();
        same.then_some((kind, key))
    });
    let Some((kind, key)) = offender else { return error };
    let Some(located) = values.get(&key) else { return error };
    let bound = values.get(&format!("maximum.{kind}")).map(|located| &located.origin);
    let blamed = wrong(&key, &located.origin, error.to_string());
    match bound {
        Some(origin @ (Origin::File { .. } | Origin::Environment { .. })) if section == "limits" => {
            blamed.with_hint(format!("the maximum is set by {origin}"))
        }
        _ => blamed,
    }
}
