//! The system calls that no safe crate wraps. The only place of this crate with `unsafe` code: each block is one call,
//! with the reason why it is sound. Every function is safe to call, and fails with the kernel's errno.
#![expect(unsafe_code, reason = "raw system calls; see the invariant in ARCHITECTURE.md")]

#[cfg(feature = "zygote")]
mod erase;
#[cfg(feature = "host")]
mod files;
mod landlock;
#[cfg(feature = "launcher")]
mod launcher;
#[cfg(feature = "zygote")]
mod python;
#[cfg(feature = "host")]
mod reports;
#[cfg(feature = "host")]
mod watch;

#[cfg(feature = "zygote")]
pub(crate) use erase::erase_stack;
#[cfg(feature = "host")]
pub(crate) use files::{Opened, next_opened, open_file_events, tell_of_mount};
#[cfg(feature = "host")]
pub(crate) use landlock::landlock_abi;
#[cfg(feature = "launcher")]
pub(crate) use landlock::{create_ruleset, landlock_allow_beneath, landlock_allow_port, landlock_restrict_self};
#[cfg(feature = "launcher")]
pub(crate) use launcher::{
    Forked, block_signals_into_descriptor, bring_up_loopback, clone_into_namespaces, close_on_exec_from, close_range,
    duplicate_to, execute, exit_now, fork, ignore_broken_pipes, join_new_session_keyring, load_seccomp_filter,
    load_seccomp_filter_with_listener, map_mount_ids, restore_signals, set_mount_attributes,
    signal_everything_in_this_pid_namespace, signal_group, take_inherited, unshare,
};
#[cfg(feature = "host")]
pub(crate) use reports::{Report, can_report, read_memory, receive_report, refuse, still_waits};
#[cfg(feature = "host")]
pub(crate) use watch::watch;

use rustix::io::Errno;

/// Turns the C convention (-1 and errno) into a result.
fn check(returned: libc::c_long) -> Result<libc::c_long, Errno> {
    if returned == -1 {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO);
        Err(Errno::from_raw_os_error(errno))
    } else {
        Ok(returned)
    }
}
