//! The system calls that no safe crate wraps. The only place of this crate with `unsafe` code: each block is one call,
//! with the reason why it is sound. Every function is safe to call, and fails with the kernel's errno.
#![expect(unsafe_code, reason = "raw system calls; see the invariant in ARCHITECTURE.md")]

mod invalid;
mod ipc;
mod kernel;
mod process;

pub(crate) use invalid::{Call, call};
pub(crate) use ipc::{add_key, find_key, leave_queues, leave_shared_memory, look_for_shared_memory, remove_queues};
pub(crate) use kernel::{
    fanotify_init, inotify_init, io_uring_setup, open_terminal, personality, set_interface_mtu, type_into_terminal,
    userfaultfd,
};
pub(crate) use process::{
    Forked, clone_into, clone3_into, execute_descriptor, exit_now, fork, process_number_by_other_architecture,
    queue_signal, read_memory, seize, send_signal_by_descriptor, set_deadline, set_real_time, thread_signal, unshare,
};

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
