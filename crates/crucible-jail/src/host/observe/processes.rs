//! Programs that are started, as the kernel's process connector tells it to root: of every process of the machine, of which
//! those of sandboxes are picked out by descent.
//!
//! Invariant: a process counts as a sandbox's only by the kernel's word that a process of the sandbox made it.

use super::files::FileEvents;
use super::record::{Kind, Record, Word};
use super::text::{command_line, shown};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

/// The connector's group and number for processes (`CN_IDX_PROC`, `CN_VAL_PROC`).
const GROUP: u32 = 1;
const NUMBER: u32 = 1;
/// Lengths of `struct nlmsghdr` and `struct cn_msg`.
const NETLINK_HEADER: usize = 16;
const CONNECTOR_HEADER: usize = 20;
/// Where an event's own fields begin, after its kind, processor and time.
const FIELDS: usize = NETLINK_HEADER + CONNECTOR_HEADER + 16;
const LISTEN: u32 = 1;
const EVENT_NONE: u32 = 0;
const EVENT_FORK: u32 = 1;
const EVENT_EXEC: u32 = 2;
/// The most programs of one sandbox whose command line is read; further ones are only counted.
const MOST_READ: u32 = 1000;
/// Events that are dealt with before others get their turn.
const AT_ONCE: usize = 64;

/// Hears of every process of the machine, and of files that those of sandboxes open.
pub(in crate::host) struct ProcessEvents {
    ears: Arc<Ears>,
    tasks: Vec<JoinHandle<()>>,
}

/// Where events come from, and whose they are.
pub(in crate::host) struct Ears {
    processes: AsyncFd<OwnedFd>,
    files: Option<FileEvents>,
    tracked: Mutex<Tracked>,
}

/// A sandbox of which one hears. Dropping it ends that.
pub(in crate::host) struct Registration {
    ears: Arc<Ears>,
    init: i32,
    hears_of_files: bool,
}

/// The processes of all sandboxes.
#[derive(Default)]
struct Tracked {
    processes: BTreeMap<i32, Process>,
    sandboxes: BTreeMap<i32, Sandbox>,
}

/// A process of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    init: i32,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The sandbox's first process. It starts nothing by itself.
    Init,
    /// A command that the supervisor asked for, and that has yet to start its program.
    Command,
    /// Any other.
    Guest,
}

struct Sandbox {
    record: Arc<Record>,
    read: u32,
    /// What a process is that the init makes.
    first: Role,
}

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Fork { parent: i32, child: i32 },
    Exec { process: i32 },
    Listening,
    Other,
}

impl ProcessEvents {
    /// Begins to hear. Needs a running tokio runtime.
    ///
    /// # Errors
    /// The kernel's answer: it tells only a root of the whole machine.
    pub(in crate::host) fn listen() -> Result<Self, Errno> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            Some(netlink::CONNECTOR),
        )?;
        rustix::net::bind(&socket, &SocketAddrNetlink::new(0, 1 << (GROUP - 1)))?;
        // From Linux 6.6 on it tells only of what is asked for; before, it doesn't understand the question.
        let asked = [vec![LISTEN, EVENT_FORK | EVENT_EXEC], vec![LISTEN]].into_iter().any(|question| {
            rustix::net::send(&socket, &request(&question), SendFlags::empty()).is_ok() && is_listening(&socket)
        });
        if !asked {
            return Err(Errno::PERM);
        }
        let processes = crate::sys::watch(socket, Interest::READABLE).map_err(|_| Errno::IO)?;
        let ears = Arc::new(Ears { processes, files: FileEvents::listen().ok(), tracked: Mutex::default() });
        let mut tasks = vec![tokio::spawn(hear_of_processes(Arc::clone(&ears)))];
        if ears.files.is_some() {
            tasks.push(tokio::spawn(hear_of_files(Arc::clone(&ears))));
        }
        Ok(Self { ears, tasks })
    }

    /// Whether opened files are heard of, too.
    pub(in crate::host) fn hears_of_files(&self) -> bool {
        self.ears.files.is_some()
    }

    /// Hears of a sandbox that stands from now on. Nothing but its init may have been started in it. Files are heard of only
    /// where it has mounts of its own.
    pub(in crate::host) fn register(&self, init: i32, record: Arc<Record>, mounts: Mounts) -> Registration {
        let files = self.ears.files.as_ref().filter(|_| mounts == Mounts::Own);
        let hears_of_files = files.is_some_and(|files| files.add(init).is_ok());
        let mut tracked = self.ears.tracked();
        tracked.processes.insert(init, Process { init, role: Role::Init });
        tracked.sandboxes.insert(init, Sandbox { record, read: 0, first: Role::Command });
        drop(tracked);
        Registration { ears: Arc::clone(&self.ears), init, hears_of_files }
    }
}

/// Whose mounts a sandbox's files are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum Mounts {
    /// Its own.
    Own,
    /// The host's.
    Host,
}

/// How a command's process gets its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::host) enum ProgramsCome {
    /// It executes it.
    Executed,
    /// It is a fork of an interpreter: whatever it executes is its guest's doing.
    Unexecuted,
}

impl Registration {
    /// Whether opened files are heard of.
    pub(in crate::host) const fn hears_of_files(&self) -> bool {
        self.hears_of_files
    }

    /// Says how what the init makes from now on gets its program.
    pub(in crate::host) fn programs_come(&self, how: ProgramsCome) {
        if let Some(sandbox) = self.ears.tracked().sandboxes.get_mut(&self.init) {
            sandbox.first = match how {
                ProgramsCome::Executed => Role::Command,
                ProgramsCome::Unexecuted => Role::Guest,
            };
        }
    }

    /// By which whatever has happened until now can be heard of at once.
    pub(in crate::host) fn ears(&self) -> Arc<Ears> {
        Arc::clone(&self.ears)
    }
}

impl Drop for ProcessEvents {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut tracked = self.ears.tracked();
        tracked.sandboxes.remove(&self.init);
        tracked.processes.retain(|_, process| process.init != self.init);
    }
}

/// Whether there was more than was taken at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    None,
    Some,
    /// Nothing will come any more.
    Broken,
}

impl Ears {
    fn tracked(&self) -> MutexGuard<'_, Tracked> {
        self.tracked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears of all that has happened until now, however far the tasks have come.
    pub(super) fn listen_up(&self) {
        const MOST: usize = 1000;
        let _processes = (0..MOST).find(|_| self.take_processes() != Rest::Some);
        let _files = (0..MOST).find(|_| self.take_files() != Rest::Some);
    }

    /// Takes some of what the kernel tells of processes. In order, whoever takes it.
    fn take_processes(&self) -> Rest {
        let mut buffer = [0; 256];
        let mut tracked = self.tracked();
        for _ in 0..AT_ONCE {
            match rustix::net::recv(self.processes.get_ref(), &mut buffer, RecvFlags::empty()) {
                Ok((read, _)) => tracked.take(parse(buffer.get(..read).unwrap_or_default())),
                Err(Errno::AGAIN) => return Rest::None,
                Err(Errno::INTR) => {}
                // So much happened that the kernel dropped some.
                Err(Errno::NOBUFS) => tracked.miss(),
                Err(_) => return Rest::Broken,
            }
        }
        Rest::Some
    }

    /// Takes some of what the kernel tells of files.
    fn take_files(&self) -> Rest {
        let Some(files) = &self.files else { return Rest::None };
        let tracked = self.tracked();
        match files.take(|process| tracked.record_of(process)) {
            Err(Errno::AGAIN) => Rest::None,
            Err(Errno::BADF) => Rest::Broken,
            // An older kernel's word for a file that can't be opened any more; its event is lost.
            Ok(()) | Err(_) => Rest::Some,
        }
    }
}

/// A message to the connector.
fn request(question: &[u32]) -> Vec<u8> {
    const MESSAGE_DONE: u16 = 3;
    let payload: Vec<u8> = question.iter().flat_map(|number| number.to_ne_bytes()).collect();
    let length = NETLINK_HEADER + CONNECTOR_HEADER + payload.len();
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or(0).to_ne_bytes());
    message.extend(MESSAGE_DONE.to_ne_bytes());
    // Flags, sequence and sender of the header; then the connector's address, sequence and acknowledgement.
    message.extend([0; 10]);
    message.extend([GROUP, NUMBER, 0, 0].into_iter().flat_map(u32::to_ne_bytes));
    message.extend(u16::try_from(payload.len()).unwrap_or(0).to_ne_bytes());
    message.extend([0; 2]);
    message.extend(payload);
    message
}

/// Whether the kernel has confirmed that it tells. It does so before the request returns, among what it tells already.
fn is_listening(socket: &OwnedFd) -> bool {
    let mut buffer = [0; 256];
    for _ in 0..AT_ONCE {
        match rustix::net::recv(socket, &mut buffer, RecvFlags::empty()) {
            Ok((read, _)) => match parse(buffer.get(..read).unwrap_or_default()) {
                Event::Listening => return true,
                // It is told of others already.
                Event::Fork { .. } | Event::Exec { .. } => return true,
                Event::Other => {}
            },
            Err(Errno::INTR) => {}
            Err(_) => return false,
        }
    }
    false
}

fn parse(message: &[u8]) -> Event {
    let number = |at: usize| message.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).map(u32::from_ne_bytes);
    let field = |index: usize| number(FIELDS + index * 4).and_then(|number| i32::try_from(number).ok());
    let is_ours = number(NETLINK_HEADER) == Some(GROUP) && number(NETLINK_HEADER + 4) == Some(NUMBER);
    match number(NETLINK_HEADER + CONNECTOR_HEADER).filter(|_| is_ours) {
        // Thread and process of the parent, then of the child. The child of a new thread is the process itself.
        Some(EVENT_FORK) => match (field(1), field(3)) {
            (Some(parent), Some(child)) if parent != child => Event::Fork { parent, child },
            _ => Event::Other,
        },
        Some(EVENT_EXEC) => field(1).map_or(Event::Other, |process| Event::Exec { process }),
        // Its only field is an error.
        Some(EVENT_NONE) if field(0) == Some(0) => Event::Listening,
        _ => Event::Other,
    }
}

/// Takes what the kernel tells of processes for as long as it does.
async fn hear_of_processes(ears: Arc<Ears>) {
    while let Ok(mut ready) = ears.processes.readable().await {
        match ears.take_processes() {
            Rest::None => ready.clear_ready(),
            Rest::Some => {}
            Rest::Broken => return,
        }
        drop(ready);
        tokio::task::yield_now().await;
    }
}

/// Takes what the kernel tells of files for as long as it does.
async fn hear_of_files(ears: Arc<Ears>) {
    while let Some(Ok(mut ready)) = async { Some(ears.files.as_ref()?.readable().await) }.await {
        // What a process is whose file it is must be known first.
        let _heard_first = ears.take_processes();
        match ears.take_files() {
            Rest::None => ready.clear_ready(),
            Rest::Some => {}
            Rest::Broken => return,
        }
        drop(ready);
        tokio::task::yield_now().await;
    }
}

impl Tracked {
    fn take(&mut self, event: Event) {
        match event {
            Event::Fork { parent, child } => match self.processes.get(&parent).copied() {
                Some(Process { init, role }) => {
                    let first = self.sandboxes.get(&init).map_or(Role::Guest, |sandbox| sandbox.first);
                    let role = if role == Role::Init { first } else { Role::Guest };
                    self.processes.insert(child, Process { init, role });
                }
                // A number that a process of a sandbox had before.
                None => drop(self.processes.remove(&child)),
            },
            Event::Exec { process } => self.started(process),
            Event::Listening | Event::Other => {}
        }
    }

    fn started(&mut self, process: i32) {
        let Some(Process { init, role }) = self.processes.get_mut(&process) else { return };
        match role {
            Role::Init => {}
            // What was asked for is no news.
            Role::Command => *role = Role::Guest,
            Role::Guest => {
                let Some(sandbox) = self.sandboxes.get_mut(init) else { return };
                if sandbox.read >= MOST_READ {
                    sandbox.record.note_flood(Kind::ProgramStarted);
                    return;
                }
                sandbox.read += 1;
                let (name, word) = program_of(process);
                sandbox.record.note(Kind::ProgramStarted, &name, word);
            }
        }
    }

    /// What is seen of the sandbox that a process is in. What an init does, it does for the supervisor.
    fn record_of(&self, process: i32) -> Option<Arc<Record>> {
        let Process { init, role } = self.processes.get(&process)?;
        let sandbox = self.sandboxes.get(init).filter(|_| *role != Role::Init)?;
        Some(Arc::clone(&sandbox.record))
    }

    fn miss(&self) {
        for sandbox in self.sandboxes.values() {
            sandbox.record.note_flood(Kind::ProgramStarted);
        }
    }
}

/// What a process runs: its command line, which lies in its own memory; else the program's file.
pub(super) fn program_of(process: i32) -> (String, Word) {
    let mut line = Vec::new();
    let read =
        std::fs::File::open(format!("/proc/{process}/cmdline")).map(|file| file.take(4096).read_to_end(&mut line));
    if matches!(read, Ok(Ok(1..))) {
        return (command_line(&line), Word::Guest);
    }
    match std::fs::read_link(format!("/proc/{process}/exe")) {
        Ok(path) => (shown(path.as_os_str().as_bytes()), Word::Kernel),
        Err(_) => ("a program that has ended already".to_owned(), Word::Kernel),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::observe::record::Observer;
    use proptest::prelude::*;

    fn message(kind: u32, fields: &[i32]) -> Vec<u8> {
        let mut message = request(&[]);
        message.extend(kind.to_ne_bytes());
        message.extend([0; 12]);
        message.extend(fields.iter().flat_map(|field| field.to_ne_bytes()));
        message
    }

    #[test]
    fn events_are_read_as_the_kernel_writes_them() {
        assert_eq!(parse(&message(EVENT_FORK, &[10, 10, 11, 11])), Event::Fork { parent: 10, child: 11 });
        assert_eq!(parse(&message(EVENT_FORK, &[10, 10, 12, 10])), Event::Other, "a thread");
        assert_eq!(parse(&message(EVENT_EXEC, &[12, 11])), Event::Exec { process: 11 });
        assert_eq!(parse(&message(EVENT_NONE, &[0])), Event::Listening);
        assert_eq!(parse(&message(EVENT_NONE, &[1])), Event::Other);
        assert_eq!(parse(&message(EVENT_EXEC, &[12])), Event::Other);
    }

    #[test]
    fn only_programs_that_descend_from_a_sandbox_are_its_own_and_its_command_is_no_news() {
        let (record, mut tracked) = (Arc::<Record>::default(), Tracked::default());
        let init = 1 << 29;
        tracked.processes.insert(init, Process { init, role: Role::Init });
        tracked.sandboxes.insert(init, Sandbox { record: Arc::clone(&record), read: 0, first: Role::Command });
        let seen =
            || Observer::new(Arc::clone(&record), None).seen().iter().map(|sighting| sighting.count).sum::<u64>();
        tracked.take(Event::Fork { parent: init, child: init + 1 });
        tracked.take(Event::Exec { process: init + 1 });
        assert_eq!(seen(), 0);
        tracked.take(Event::Exec { process: init + 1 });
        assert_eq!(seen(), 1);
        tracked.take(Event::Fork { parent: init + 1, child: init + 2 });
        tracked.take(Event::Exec { process: init + 2 });
        assert_eq!(seen(), 2);
        tracked.take(Event::Fork { parent: 1, child: init + 3 });
        tracked.take(Event::Exec { process: init + 3 });
        // The number of a process that ended was given to somebody else's.
        tracked.take(Event::Fork { parent: 1, child: init + 2 });
        tracked.take(Event::Exec { process: init + 2 });
        assert_eq!(seen(), 2);
    }

    #[test]
    fn a_guest_that_starts_programs_without_end_is_counted() {
        let (record, mut tracked) = (Arc::<Record>::default(), Tracked::default());
        let init = 1 << 29;
        tracked.processes.insert(init, Process { init, role: Role::Guest });
        tracked.sandboxes.insert(init, Sandbox { record: Arc::clone(&record), read: 0, first: Role::Command });
        for _ in 0..MOST_READ + 10 {
            tracked.take(Event::Exec { process: init });
        }
        let seen = Observer::new(record, None).seen();
        let flood = seen.iter().find(|sighting| sighting.kind == Kind::Flooded).unwrap();
        assert_eq!((flood.name.as_str(), flood.count), ("programs started", 10));
    }

    proptest! {
        #[test]
        fn no_message_makes_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _event = parse(&bytes);
        }
    }
}
