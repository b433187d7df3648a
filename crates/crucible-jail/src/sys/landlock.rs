//! Landlock's three system calls. There is no wrapper for them in the C library.

use super::check;
use rustix::io::Errno;
#[cfg(feature = "launcher")]
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

/// The version of Landlock's interface that this kernel has, 0 for none.
#[cfg(feature = "host")]
pub(crate) fn landlock_abi() -> u32 {
    const VERSION: libc::c_ulong = 1; // LANDLOCK_CREATE_RULESET_VERSION
    // SAFETY: with the version flag the kernel reads no memory: the pointer is null and the size 0, as documented.
    let abi: Result<libc::c_long, Errno> =
        check(unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, VERSION) });
    abi.ok().and_then(|abi| u32::try_from(abi).ok()).unwrap_or(0)
}

/// `struct landlock_ruleset_attr` up to ABI 6. An older kernel accepts it as long as the fields that it lacks are 0.
#[cfg(feature = "launcher")]
#[repr(C)]
struct RulesetAttributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`, which the kernel defines as packed.
#[cfg(feature = "launcher")]
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: i32,
}

/// Makes a ruleset that refuses the given accesses unless a rule allows them.
#[cfg(feature = "launcher")]
pub(crate) fn create_ruleset(filesystem: u64, network: u64, scoped: u64) -> Result<OwnedFd, Errno> {
    let attributes = RulesetAttributes { handled_access_fs: filesystem, handled_access_net: network, scoped };
    // SAFETY: the pointer and the size describe a live, initialised structure that the kernel only reads.
    let descriptor = check(unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &raw const attributes, size_of::<RulesetAttributes>(), 0_u32)
    })?;
    let descriptor = i32::try_from(descriptor).map_err(|_| Errno::BADF)?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Allows accesses to everything beneath an open file or folder.
#[cfg(feature = "launcher")]
pub(crate) fn landlock_allow_beneath(ruleset: impl AsFd, path: impl AsFd, access: u64) -> Result<(), Errno> {
    const PATH_BENEATH: libc::c_int = 1; // LANDLOCK_RULE_PATH_BENEATH
    let rule = PathBeneath { allowed_access: access, parent_fd: path.as_fd().as_raw_fd() };
    let ruleset = ruleset.as_fd().as_raw_fd();
    // SAFETY: both descriptors are open for the length of the call, and the kernel only reads the live structure.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, &raw const rule, 0_u32) })
        .map(drop)
}

/// `struct landlock_net_port_attr`.
#[cfg(feature = "launcher")]
#[repr(C)]
struct NetPort {
    allowed_access: u64,
    port: u64,
}

/// Allows accesses to a TCP port.
#[cfg(feature = "launcher")]
pub(crate) fn landlock_allow_port(ruleset: impl AsFd, port: u16, access: u64) -> Result<(), Errno> {
    const NET_PORT: libc::c_int = 2; // LANDLOCK_RULE_NET_PORT
    let rule = NetPort { allowed_access: access, port: port.into() };
    let ruleset = ruleset.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open for the length of the call, and the kernel only reads the live structure.
    check(unsafe { libc::syscall(libc::SYS_landlock_add_rule, ruleset, NET_PORT, &raw const rule, 0_u32) }).map(drop)
}

/// Puts the calling thread under the ruleset for good.
#[cfg(feature = "launcher")]
pub(crate) fn landlock_restrict_self(ruleset: impl AsFd) -> Result<(), Errno> {
    // SAFETY: takes a descriptor that is open for the length of the call, and no pointer.
    check(unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_fd().as_raw_fd(), 0_u32) }).map(drop)
}
