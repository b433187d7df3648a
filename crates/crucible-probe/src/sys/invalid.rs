//! System calls with invalid arguments: only the kernel's answer matters.
//!
//! Arguments are numbers of 16 bits, signed. Taken as a pointer, such a number never lies in this program's memory, which
//! is linked to start above that.

use super::check;
use libc::c_long;
use rustix::io::Errno;

/// A call that may be made with invalid arguments. None of these forks, ends, unmaps or replaces anything whatever small
/// numbers it gets; that is what makes [`call`] safe, and what has to be looked at before one is added.
#[derive(Clone, Copy)]
#[repr(i64)]
pub(crate) enum Call {
    AddKey = libc::SYS_add_key,
    Adjtimex = libc::SYS_adjtimex,
    Bpf = libc::SYS_bpf,
    ClockAdjtime = libc::SYS_clock_adjtime,
    ClockSettime = libc::SYS_clock_settime,
    DeleteModule = libc::SYS_delete_module,
    FinitModule = libc::SYS_finit_module,
    Fsconfig = libc::SYS_fsconfig,
    InitModule = libc::SYS_init_module,
    Ioperm = libc::SYS_ioperm,
    Iopl = libc::SYS_iopl,
    KexecLoad = libc::SYS_kexec_load,
    Keyctl = libc::SYS_keyctl,
    ModifyLdt = libc::SYS_modify_ldt,
    Mount = libc::SYS_mount,
    MountSetattr = libc::SYS_mount_setattr,
    NameToHandleAt = libc::SYS_name_to_handle_at,
    OpenByHandleAt = libc::SYS_open_by_handle_at,
    OpenTree = libc::SYS_open_tree,
    PerfEventOpen = libc::SYS_perf_event_open,
    PidfdGetfd = libc::SYS_pidfd_getfd,
    ProcessVmReadv = libc::SYS_process_vm_readv,
    ProcessVmWritev = libc::SYS_process_vm_writev,
    Ptrace = libc::SYS_ptrace,
    Quotactl = libc::SYS_quotactl,
    RequestKey = libc::SYS_request_key,
    Setns = libc::SYS_setns,
    Settimeofday = libc::SYS_settimeofday,
    Swapon = libc::SYS_swapon,
    Syslog = libc::SYS_syslog,
    Umount = libc::SYS_umount2,
}

/// Makes the call.
pub(crate) fn call(call: Call, arguments: [i16; 6]) -> Result<(), Errno> {
    let [first, second, third, fourth, fifth, sixth] = arguments.map(c_long::from);
    // SAFETY: no argument can point into this program's memory (see the module), and none of the calls that can be named
    // changes the memory or the flow of this program by numbers alone (see Call).
    check(unsafe { libc::syscall(call as c_long, first, second, third, fourth, fifth, sixth) }).map(drop)
}
