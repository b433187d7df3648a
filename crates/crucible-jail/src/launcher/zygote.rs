//! A zygote: an interpreter that is initialised once, and is a launcher from then on. Each of its sandboxes is a fork of it,
//! confined as every other one, in which a program needs no interpreter started.
//!
//! Invariants: nothing of a guest's is ever in it. It is root of a user namespace of its own, and somebody without any right
//! outside; it sees what its language's programs see, read-only, and `/proc`. It ends with the launcher that started it.

use super::{Launcher, Step, confine, realm, root, start};
use crate::plan::{Failure, LauncherReply, ZYGOTE_DESCRIPTORS, ZygotePlan};
use crate::sys::{self, Forked};
use rustix::fd::{AsFd, OwnedFd};
#[cfg(feature = "zygote")]
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use std::ffi::CString;
use std::io::Write;

/// The network's is made by the zygote itself: the launcher's own, at that moment, is some sandbox's.
const NAMESPACES: u64 =
    (libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS).unsigned_abs() as u64;

/// What the launcher hands to a fresh zygote.
struct Surroundings<'a> {
    root: OwnedFd,
    guest_root: OwnedFd,
    /// Its socket, its library, and its standard error.
    descriptors: [OwnedFd; 3],
    go: OwnedFd,
    launcher: &'a OwnedFd,
}

impl Launcher {
    pub(super) fn start_zygote(
        &mut self,
        plan: &ZygotePlan,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(LauncherReply, Vec<OwnedFd>), Failure> {
        let descriptors = <[OwnedFd; 3]>::try_from(descriptors);
        let descriptors = descriptors.map_err(|_| Errno::BADF).step("take a zygote's three descriptors")?;
        let (root, guest_root) = (self.copy_root(plan.root)?, self.copy_root(plan.guest_root)?);
        let (go_read, go_write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
        let (forked, pidfd) = sys::clone_into_namespaces(NAMESPACES, None).step("clone into new namespaces")?;
        let (Forked::Parent { pid }, Some(pidfd)) = (forked, pidfd) else {
            drop(go_write);
            let surroundings = Surroundings { root, guest_root, descriptors, go: go_read, launcher: &self.own_process };
            let failure = become_it(plan, surroundings);
            say(&failure);
            sys::exit_now(70)
        };
        self.inits.insert(pid, None);
        start::map_ids(pid, &start::id_lines(&plan.ids))?;
        (&std::fs::File::from(go_write)).write_all(&[1]).step("let the zygote go on")?;
        Ok((LauncherReply::ZygoteStarted { pid }, vec![pidfd]))
    }
}

/// Says what keeps a zygote from being one, where its supervisor reads its last words.
pub(crate) fn say(failure: &Failure) {
    let why = std::io::Error::from_raw_os_error(failure.errno);
    let _written =
        rustix::io::write(rustix::stdio::stderr(), format!("could not {}: {why}\n", failure.step).as_bytes());
}

/// Turns this process into the interpreter. Returns only if that failed.
fn become_it(plan: &ZygotePlan, surroundings: Surroundings<'_>) -> Failure {
    match prepare(surroundings) {
        Err(failure) => failure,
        Ok(()) => {
            let strings = |list: &[String]| -> Option<Vec<CString>> {
                list.iter().map(|text| CString::new(text.as_str()).ok()).collect()
            };
            let (Some(arguments), Some(environment)) = (strings(&plan.argv), strings(&plan.env)) else {
                return Failure { step: "read the interpreter's arguments".to_owned(), errno: libc::EINVAL };
            };
            let errno =
                arguments.first().map_or(Errno::INVAL, |program| sys::execute(program, &arguments, &environment));
            Failure { step: "execute the interpreter".to_owned(), errno: errno.raw_os_error() }
        }
    }
}

fn prepare(surroundings: Surroundings<'_>) -> Result<(), Failure> {
    let Surroundings { root, guest_root, descriptors: [control, library, errors], go, launcher } = surroundings;
    rustix::stdio::dup2_stderr(&errors).step("take standard error")?;
    confine::wait_for_ids(&go)?;
    realm::become_root_of_the_user_namespace()?;
    confine::die_with(launcher)?;
    sys::unshare(libc::CLONE_NEWNET).step("make a network namespace")?;
    rustix::process::setsid().step("make a session")?;
    sys::join_new_session_keyring().step("make a session keyring")?;
    let proc = root::copy_tree("/proc").step("bind /proc")?;
    confine::attach_root(&root)?;
    root::attach(&proc, &confine::inside("/proc").step("open the place for /proc")?).step("attach /proc")?;
    confine::leave_old_root()?;
    rustix::process::chdir(crate::plan::WORK).step("enter the work folder")?;
    // Pipes, as a program's streams are: the interpreter asks what they are when it starts.
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).step("make a pipe")?;
    rustix::stdio::dup2_stdin(&read).step("take standard input")?;
    rustix::stdio::dup2_stdout(&write).step("take standard output")?;
    sys::restore_signals();
    // Out of each other's way first, then to where they are looked for.
    let above = ZYGOTE_DESCRIPTORS.iter().max().map_or(3, |highest| highest + 1);
    let aside = [&control, &library, &guest_root].map(|descriptor| rustix::io::fcntl_dupfd_cloexec(descriptor, above));
    sys::close_on_exec_from(3).step("mark descriptors to be closed")?;
    for (descriptor, number) in aside.into_iter().zip(ZYGOTE_DESCRIPTORS) {
        let descriptor = descriptor.step("move a descriptor")?;
        sys::duplicate_to(descriptor.as_fd(), number).step("place a descriptor")?;
        // The exec closes it.
        std::mem::forget(descriptor);
    }
    // None of them may be closed by its owner's end, since its number may be another one's now; the exec closes all others.
    for descriptor in [root, guest_root, control, library, errors, go, proc, read, write] {
        std::mem::forget(descriptor);
    }
    Ok(())
}

/// Serves the supervisor from within an interpreter that was started by [`Launcher::start_zygote`], until it closes its end.
#[cfg(feature = "zygote")]
pub(crate) fn serve_within(interpreter: super::Interpreter, guest_root: u32) -> Result<u8, Failure> {
    // Where the program's own folders are going to be, and the program that was really this library's loader was.
    const PLACES: &[&str] = &["/tmp"];
    let [control, library, root] = ZYGOTE_DESCRIPTORS.map(sys::take_inherited);
    drop(library);
    let (control, root) = (control.step("find the socket")?, root.step("find the root of its sandboxes")?);
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, Mode::empty()).step("open the null device")?;
    let (mut launcher, signals) = Launcher::new(control)?;
    launcher.mounts = Some(realm::Mounts::make(PLACES)?);
    launcher.adopt_root(guest_root, &root)?;
    drop(root);
    launcher.interpreter = Some(interpreter);
    launcher.networks.make_ahead();
    // As the inits of all sandboxes have them; each program gets its own.
    rustix::stdio::dup2_stdin(&null).step("take standard input")?;
    rustix::stdio::dup2_stdout(&null).step("take standard output")?;
    rustix::stdio::dup2_stderr(&null).step("take standard error")?;
    drop(null);
    let begun = LauncherReply::Begun { time_namespace: true };
    crate::socket::send(&launcher.control, &begun, &[]).map_err(|_| Errno::PIPE).step("tell the supervisor")?;
    Ok(launcher.serve(&signals))
}
