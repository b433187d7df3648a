//! The table of contents: every probe's name with what it tries. The program knows exactly these.

/// A probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it tries, for people.
    pub description: &'static str,
}

const fn name(name: &'static str, description: &'static str) -> Name {
    Name { name, description }
}

/// Every probe there is.
#[rustfmt::skip]
pub const NAMES: &[Name] = &[
    // What can be seen of a process that tries nothing.
    name("hold", "tries nothing, with several threads, for the host to look at"),
    // Files
    name("mount", "mounts a tmpfs on a folder of its own, by the old calls and by the new"),
    name("remount", "makes the root folder's mount writable"),
    name("chroot", "changes its root folder to one of its own"),
    name("device-node", "makes the nodes of the null device and of a whiteout, and opens them"),
    name("set-id", "becomes a program that is setuid to the canary's user"),
    name("file-handle", "asks for files by handle instead of by path, with invalid arguments"),
    // Processes
    name("signal", "signals the canary's process in five ways"),
    name("trace", "traces the canary's process, without stopping it"),
    name("trace-parent", "traces the process that started it, without stopping it"),
    name("read-memory", "reads the stack of the canary's process"),
    name("take-descriptor", "takes descriptor 9 of the canary's process, and reads from it"),
    name("overwrite-runtime", "writes the first byte of the runtime's program over itself, by way of /proc"),
    name("real-time", "asks for real-time priority, a deadline and a better niceness"),
    // Network
    name("raw-socket", "opens raw and packet sockets, and sends nothing"),
    name("rare-socket", "opens netlink and multipath sockets, and sends nothing"),
    name("interface", "changes the size of packets of the canary's interface, by ioctl and by netlink"),
    // The kernel
    name("io-uring", "makes an io_uring"),
    name("bpf", "calls bpf with invalid arguments"),
    name("perf-events", "calls perf_event_open with invalid arguments"),
    name("keys", "calls add_key, request_key and keyctl with invalid arguments"),
    name("user-namespace", "makes a user namespace by clone, clone3 and unshare"),
    name("network-namespace", "makes a network namespace, within a user namespace if need be"),
    name("userfaultfd", "makes a userfaultfd"),
    name("load-module", "calls init_module, finit_module and delete_module with invalid arguments"),
    name("load-kernel", "calls kexec_load with invalid arguments"),
    name("terminal-input", "types a character into a terminal of its own"),
    name("set-namespace", "calls setns with invalid arguments"),
    name("clock-calls", "calls those that set clocks with invalid arguments"),
    name("mount-calls", "calls those that mount with invalid arguments"),
    name("quota", "calls quotactl with invalid arguments"),
    name("swap", "calls swapon with invalid arguments"),
    name("hardware", "calls iopl, ioperm and modify_ldt with invalid arguments"),
    name("peek-calls", "calls those that look into processes with invalid arguments"),
    name("kernel-log", "asks for the kernel's log, with invalid arguments"),
    name("personality", "switches off the randomisation of addresses for itself"),
    name("other-architecture", "makes a 32-bit system call that asks for its own process number"),
    name("watch-files", "makes an inotify and a fanotify descriptor"),
    // Privileges
    name("regain-user", "becomes root by setuid and the like"),
    name("regain-capabilities", "asks for every capability"),
    name("memory-program", "becomes a program that lies in memory only"),
    name("core-limit", "raises its limit on core files"),
    // Resources
    name("burn-processor", "keeps four threads busy for a bounded time"),
    name("stack", "uses more stack than allowed, in a process of its own"),
    // What is left behind
    name("leave-mount", "leaves a mount with the canary's name, or looks for one"),
    name("leave-ipc", "leaves System V and POSIX IPC objects with the canary's name, or looks for them"),
    name("leave-key", "leaves a key with the canary's name in every keyring for a minute, or looks for one"),
    name("leave-host-name", "sets host and domain name to the canary's, or looks at them"),
];
