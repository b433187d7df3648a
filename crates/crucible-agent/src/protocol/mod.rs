//! What supervisor and agent say to each other: two preambles, then frames, over one pair of byte streams.
//!
//! Invariants: a frame is as long as its prefix says and never longer than [`MOST_FROM_AGENT`] or [`MOST_TO_AGENT`], which is
//! decided before a byte of it is stored. No side sends more of a stream than the other has granted, so that one command's
//! flood holds up nobody else and fills no memory. Numbers of commands, connections and transfers are the supervisor's, and
//! used once.
//!
//! A connection that a guest makes to the agent's socket is like a command without a process and without standard error: what
//! the guest sends is its output, what it gets is its input.
//!
//! Nothing here reads or writes: see [`frame`] for bytes in, messages out.

pub mod frame;
pub mod preamble;

pub use crucible_inside::users::{BECOME_USER, FIND_USER};
use serde::{Deserialize, Serialize};
use std::net::SocketAddrV4;

/// The longest frame that an agent may send.
pub const MOST_FROM_AGENT: usize = 256 << 10;
/// The longest frame that a supervisor may send: the arguments and the environment of a command may be long.
pub const MOST_TO_AGENT: usize = 4 << 20;
/// How many bytes of each standard stream may be on their way or waiting to be taken.
pub const WINDOW: u32 = 256 << 10;
/// The most bytes of a stream or file in one frame.
pub const PIECE: usize = 128 << 10;
/// The most connections at one time, and as many more that wait in the guest's kernel to be taken.
pub const MOST_CONNECTIONS: u32 = 64;
/// What the agent's program is called with as a command that writes the files of folders to its standard output. They follow.
pub const SAVE: &str = "save";
/// And as one that makes them anew from its standard input.
pub const RESTORE: &str = "restore";
/// The most entries that a folder is listed with.
pub const MOST_ENTRIES: usize = 100_000;

/// A limit of a process and of all that it starts, each by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessLimit {
    /// Bytes of a file.
    FileSize,
    /// Open descriptors.
    OpenFiles,
    /// Bytes of the main thread's stack.
    Stack,
    /// Bytes of a core file.
    Core,
    /// Seconds of processor time.
    CpuSeconds,
    /// Processes of the user.
    Processes,
    /// Bytes of writable memory.
    Data,
    /// Bytes that can't be swapped out.
    LockedMemory,
}

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// Whom commands run as, and files are reached as. The agent needs the privilege to change to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub user: u32,
    /// The group. There are no others.
    pub group: u32,
}

/// One instruction of classic BPF.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// How many instructions to pass over if a test holds.
    pub jump_true: u8,
    /// How many if it doesn't.
    pub jump_false: u8,
    /// What it does it with.
    pub constant: u32,
}

/// A folder on the file system in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpaceFolder {
    /// Its absolute path, without links on the way.
    pub path: String,
    /// Its permissions.
    pub mode: u32,
    /// What it begins with.
    pub content: Content,
}

/// What a folder begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// Nothing.
    Nothing,
    /// What the container's root has there: files are copied, and what is mounted there stays mounted.
    OfRoot,
}

/// A file system in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Space {
    /// How large it is.
    pub bytes: u64,
    /// The folders that lie on it together, and belong to whom commands run as.
    pub folders: Vec<SpaceFolder>,
}

/// Some ids, of users and of groups alike: the first inside, the first in the kernel's own numbering, and how many.
pub type Ids = (u32, u32, u32);

/// Commands begin as root of a user and a process namespace of their own, in which nobody sees the agent, or has a right to
/// what belongs to that kernel's own users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootInside {
    /// Everybody there is. The first are root's.
    pub ids: Vec<Ids>,
    /// What root may do, as the kernel's set of bits.
    pub capabilities: u64,
}

/// What is prepared before any command is started. All but the folders and the socket is for an agent that is root in a kernel
/// of the guest's own: it gives up what it needs for it before it says that it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// The folders in which files may be read and written: absolute paths, without links on the way.
    pub folders: Vec<String>,
    /// Whom commands run as and files are reached as where nobody else is named. Without, as the agent's own user.
    pub owner: Option<Owner>,
    /// A file system in memory for what can be written.
    pub space: Option<Space>,
    /// Who commands are in place of an owner, where there is root inside.
    pub root_inside: Option<RootInside>,
    /// The most processes and threads of all commands together, by each user's own limit; a control group inside counts them.
    pub processes: Option<u32>,
    /// What is taken away of what the container's runtime put there.
    pub remove: Vec<String>,
    /// A system call filter for every command; none if empty.
    pub filter: Vec<Instruction>,
    /// Where it listens for connections of its guest's, which [`Request::Accept`] takes. Without, nowhere.
    pub listen: Option<SocketAddrV4>,
}

/// A command to start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The program and its arguments. A program without a slash is looked up in the environment's `PATH`.
    pub argv: Vec<String>,
    /// The whole environment, as `NAME=value`.
    pub env: Vec<String>,
    /// Where it starts.
    pub directory: String,
    /// Whose it is, by a name or number that the tables inside have (`/etc/passwd`, `/etc/group`); `None` for whom commands
    /// run as anyway. The agent needs the privilege to become anybody.
    pub user: Option<String>,
    /// Its limits, each soft and hard.
    pub limits: Vec<(ProcessLimit, u64)>,
    /// A terminal of its own in place of three pipes: all output then comes as standard output.
    pub terminal: Option<TerminalSize>,
}

/// Something to be put in place before there are commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placed<'a> {
    /// Its absolute path, in a folder that is there.
    pub path: &'a str,
    /// Its permissions.
    pub mode: u32,
    /// Its user and its group. One that there isn't inside is the agent's own.
    pub owner: (u32, u32),
    /// What it is.
    #[serde(borrow)]
    pub what: What<'a>,
}

/// What is put in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What<'a> {
    /// A folder.
    Folder,
    /// A link that leads there.
    Link(&'a str),
    /// A file with this content, or the first part of it.
    File(&'a [u8]),
    /// More of a file's content.
    More(&'a [u8]),
}

/// One of a command's output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum OutputStream {
    /// Standard output, or what comes from a terminal.
    Out,
    /// Standard error.
    Error,
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recipients {
    /// The command's process group: its own process and what it started without giving it a group.
    Group,
    /// The command's process and all that came from it, as far as can be told; see `guest/tree.rs`.
    Tree,
}

/// From the supervisor to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// The first message.
    Begin(Beginning),
    /// Starts a command: answered by `Started` or `NotStarted`. Either side may send [`WINDOW`] bytes of each stream from
    /// then on.
    Start {
        /// Its number.
        number: u32,
        /// The command.
        command: Command,
    },
    /// Takes the next connection to [`Beginning::listen`], whenever it comes: answered by `Started` then. Either side may send
    /// [`WINDOW`] bytes from then on. Answered by `NotStarted` where no connection can be taken any more.
    Accept {
        /// The connection's number.
        number: u32,
    },
    /// Stops listening: connections that wait are refused, and what [`Request::Accept`] asked for is answered by `NotStarted`.
    StopListening,
    /// Bytes for a command's standard input.
    Input {
        /// The command.
        number: u32,
        /// The bytes.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// The end of a command's standard input.
    InputEnd {
        /// The command.
        number: u32,
    },
    /// That many more bytes of output may be sent.
    OutputCredit {
        /// The command.
        number: u32,
        /// Which output.
        stream: OutputStream,
        /// How many bytes.
        bytes: u32,
    },
    /// Nobody wants the rest of an output: the stream ends, and the command finds it broken.
    OutputUnwanted {
        /// The command.
        number: u32,
        /// Which output.
        stream: OutputStream,
    },
    /// Gives a command's terminal another size.
    Resize {
        /// The command.
        number: u32,
        /// The size.
        size: TerminalSize,
    },
    /// Sends a signal. Answered by `Signalled`.
    Signal {
        /// The command.
        number: u32,
        /// The signal's number.
        signal: i32,
        /// Who gets it.
        recipients: Recipients,
    },
    /// Kills every process but the agent. Answered by `ProcessesEnded`.
    EndProcesses,
    /// Makes or empties a file for writing, and makes the folders above it. Answered by `Written`.
    CreateFile {
        /// The transfer's number.
        number: u32,
        /// The absolute path.
        path: String,
        /// The permissions.
        mode: u32,
    },
    /// More bytes of a file. Answered by `Written`.
    WriteFile {
        /// The transfer.
        number: u32,
        /// The bytes.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// Puts things in place, in folders in which nobody else has been yet: a folder may be there, a file or link may not.
    /// Answered by `Written`.
    Put {
        /// The transfer's number.
        number: u32,
        /// What, parents before children.
        #[serde(borrow)]
        placed: Vec<Placed<'a>>,
    },
    /// Opens a regular file with one name for reading. Answered by `Opened`.
    OpenFile {
        /// The transfer's number.
        number: u32,
        /// The absolute path.
        path: String,
    },
    /// Asks for the next bytes of a file. Answered by `Piece`.
    ReadFile {
        /// The transfer.
        number: u32,
    },
    /// A transfer is over. Answered by `Closed`.
    CloseFile {
        /// The transfer.
        number: u32,
    },
    /// Lists a folder. Answered by `Listing`, as often as it takes.
    List {
        /// The transfer's number; it is over with the last answer.
        number: u32,
        /// The absolute path.
        path: String,
    },
    /// Asks what is used. Answered by `Usage`.
    Usage,
    /// Kills every process and ends the agent.
    ShutDown,
}

/// From the agent to the supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Report<'a> {
    /// The answer to `Begin`.
    Ready(Abilities),
    /// `Begin` can't be satisfied.
    Failed(Failure),
    /// A command runs, or a connection was taken.
    Started {
        /// The command or connection.
        number: u32,
    },
    /// A command couldn't be started, or no connection is taken any more.
    NotStarted {
        /// The command or connection.
        number: u32,
        /// Why.
        failure: Failure,
    },
    /// Bytes of a command's output.
    Output {
        /// The command.
        number: u32,
        /// Which output.
        stream: OutputStream,
        /// The bytes: not none.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// An output has ended: nobody holds it open any more, or it is unwanted.
    OutputEnd {
        /// The command.
        number: u32,
        /// Which output.
        stream: OutputStream,
    },
    /// That many more bytes of input may be sent.
    InputCredit {
        /// The command.
        number: u32,
        /// How many bytes.
        bytes: u32,
    },
    /// The input was closed: by the supervisor, or nobody reads it any more.
    InputClosed {
        /// The command.
        number: u32,
    },
    /// A command's own process has ended.
    Ended {
        /// The command.
        number: u32,
        /// How.
        status: Ended,
    },
    /// The answer to `Signal`.
    Signalled {
        /// The errno, if it couldn't.
        refused: Option<i32>,
    },
    /// Every process but the agent is dead.
    ProcessesEnded,
    /// The answer to `CreateFile` and `WriteFile`.
    Written {
        /// The transfer.
        number: u32,
        /// Whether it was done.
        result: Result<(), Refusal>,
    },
    /// The answer to `OpenFile`.
    Opened {
        /// The transfer.
        number: u32,
        /// The file's size.
        result: Result<u64, Refusal>,
    },
    /// The answer to `ReadFile`.
    Piece {
        /// The transfer.
        number: u32,
        /// The bytes; none at the file's end.
        #[serde(borrow)]
        result: Result<&'a [u8], Refusal>,
    },
    /// A part of the answer to `List`.
    Listing {
        /// The transfer.
        number: u32,
        /// Some entries.
        result: Result<Vec<Entry>, Refusal>,
        /// Whether others follow. None do after a refusal.
        more: bool,
    },
    /// The answer to `CloseFile`: nothing more comes of it.
    Closed {
        /// The transfer.
        number: u32,
    },
    /// The answer to `Usage`.
    Usage(Usage),
}

/// What an agent can do where it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// It is the first process of the commands' own process namespace: killing everything is one call.
    pub is_first: bool,
    /// It sees `/proc`. Without it, a command's tree is its process group, and a daemon of its is ended with everything else.
    pub sees_processes: bool,
    /// Every command is marked by a limit that its processes can't raise, so that a daemon's command is known.
    pub marks_commands: bool,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What was being done, in the imperative. From the agent, so hostile.
    pub step: String,
    /// Why it failed.
    pub errno: i32,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ended {
    /// By itself, with this code.
    Exited(i32),
    /// By this signal.
    Signaled(i32),
}

/// Why a file can't be handed out or taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The kernel's answer.
    Errno(i32),
    /// It lies in none of the folders.
    Outside,
    /// It is no regular file.
    NotRegular,
    /// It has several names.
    SeveralNames,
    /// It is no folder.
    NotFolder,
    /// There is no such transfer.
    NotOpen,
}

/// What an entry of a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EntryKind {
    /// A regular file with one name.
    File,
    /// A folder.
    Folder,
    /// Anything else.
    Other,
}

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Its size, for a file.
    pub size: u64,
}

/// What is used inside, by the agent's word alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Processor time of everything that has ended, in microseconds.
    pub cpu_of_ended_us: u64,
    /// Processes but the agent, and where [`Beginning::processes`] limits them threads, too; `None` where it can't see.
    pub processes: Option<u32>,
    /// What is free in each of the folders, in their order.
    pub free: Vec<Free>,
}

/// What is free in a folder's file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Free {
    /// Bytes.
    pub bytes: u64,
    /// Files.
    pub inodes: u64,
}
