//! What can be asked of this machine without trying anything out.

use super::launcher::SpareIds;
use crate::plan::RANGE_PROGRAM;
use rustix::rand::GetRandomFlags;

/// Whether this kernel can tell a supervisor of system calls that a filter refuses.
#[must_use]
pub fn can_report_calls() -> bool {
    crate::sys::can_report()
}

/// The kernel's release, such as `6.1.0-18-amd64`.
#[must_use]
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// Whether a user namespace can have a bound on the processes of all of its users together: since Linux 5.14.
#[must_use]
pub fn counts_processes_by_namespace() -> bool {
    is_at_least(&kernel_release(), (5, 14))
}

fn is_at_least(release: &str, wanted: (u32, u32)) -> bool {
    let mut numbers = release.split(|char: char| !char.is_ascii_digit()).map(str::parse::<u32>);
    matches!((numbers.next(), numbers.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= wanted)
}

/// Landlock's interface version; 0 where the kernel has none or it is switched off.
#[must_use]
pub fn landlock_abi() -> u32 {
    crate::sys::landlock_abi()
}

/// The effective user id.
#[must_use]
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The ids that the user namespace of this process maps: first inside and how many.
#[must_use]
pub fn mapped_ids() -> Vec<(u32, u32)> {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        Some((fields.next()?.parse().ok()?, fields.nth(1)?.parse().ok()?))
    };
    map.lines().filter_map(line).collect()
}

/// Whether this process is in a range, which the attack suite made for itself: in a user namespace of its own, with the
/// suite's program where ranges have it. A probe may have changed the range's host name.
#[must_use]
pub fn is_in_range() -> bool {
    let is_everything = |(first, count): &(u32, u32)| *first == 0 && *count == u32::MAX;
    std::path::Path::new(RANGE_PROGRAM).exists() && !mapped_ids().iter().any(is_everything)
}

/// Whether root here is an ordinary user outside of the user namespace that this process is in.
#[must_use]
pub fn root_is_somebody_else_outside() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().any(|line| {
        let mut fields = line.split_ascii_whitespace();
        fields.next() == Some("0") && fields.next().is_some_and(|outside| outside != "0")
    })
}

/// A random number below `bound`, which is not 0.
///
/// # Errors
/// The kernel's answer where it has no random numbers.
pub fn random_below(bound: u32) -> std::io::Result<u32> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, GetRandomFlags::empty())?;
    // The remainder of 64 random bits is as good as even.
    Ok(u32::try_from(u64::from_le_bytes(bytes) % u64::from(bound.max(1))).unwrap_or(0))
}

/// The spare ids of this user, if `/etc/subuid` and `/etc/subgid` give at least 2 and the helpers that map them exist.
#[must_use]
pub fn spare_ids() -> Option<SpareIds> {
    let user = effective_user();
    let names = user_names(user);
    let find = |file: &str| -> Option<(u32, u32)> {
        let table = std::fs::read_to_string(file).ok()?;
        table.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, first, count) =
                (fields.next()?, fields.next()?.parse().ok()?, fields.next()?.trim().parse().ok()?);
            (names.iter().any(|known| known == name) && count >= 2).then_some((first, count))
        })
    };
    let helper = |name: &str| {
        ["/usr/bin", "/bin", "/usr/local/bin"].iter().any(|folder| std::path::Path::new(folder).join(name).exists())
    };
    if !helper("newuidmap") || !helper("newgidmap") {
        return None;
    }
    Some((find("/etc/subuid")?, find("/etc/subgid")?))
}

/// What a user may be called in `/etc/subuid`: the name or the number.
fn user_names(user: u32) -> Vec<String> {
    let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, _, id) = (fields.next()?, fields.next()?, fields.next()?);
        (id == user.to_string()).then(|| name.to_owned())
    });
    name.into_iter().chain([user.to_string()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_compared_by_number_and_what_is_none_is_too_old() {
        for (release, new_enough) in [
            ("5.14.0-427.el9.x86_64", true),
            ("5.15-rc1", true),
            ("6.1.0-18-amd64", true),
            ("10.2", true),
            ("5.4.0", false),
            ("5.9.16", false),
            ("4.4.0", false),
            ("6", false),
            ("", false),
            ("x.y", false),
        ] {
            assert_eq!(is_at_least(release, (5, 14)), new_enough, "{release}");
        }
        assert!(!kernel_release().is_empty());
    }
}
