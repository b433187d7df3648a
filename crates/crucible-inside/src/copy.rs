//! Copies all files of one sandbox into another: a process in the first one writes them to a pipe, and a process in the second
//! one reads them there and makes them anew.
//!
//! Invariant: both are under their guests' own confinement, and nobody else reads what goes through the pipe: a guest that
//! took the first one over could make nothing of it but files of the other sandbox, within that one's limits. Names are taken one
//! by one, below an open folder each, and no link is followed.

use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps, UTIME_OMIT};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};

/// How deep folders are followed: each takes descriptors while its own are copied.
const DEEPEST: usize = 200;
/// How many descriptors either side may need.
pub const MOST_DESCRIPTORS: u32 = 800;
/// The step of [`save`] that fails with `PIPE` where nobody wants the rest, which says nothing of why.
pub const HAND_OVER: &str = "hand the files over";
/// How many folders are kept open until all files in them have their names; each takes a descriptor.
const MOST_CLOSED: usize = 64;
/// The longest record, which holds at most two names.
const LONGEST_RECORD: u32 = 16 << 10;
/// How many bytes of a file are moved at a time.
const PIECE: usize = 64 << 10;

/// What couldn't be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// In which step.
    pub step: &'static str,
    /// Why.
    pub errno: Errno,
}

trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, Failure>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, step: &'static str) -> Result<T, Failure> {
        self.map_err(|errno| Failure { step, errno })
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, step: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure { step, errno: Errno::from_io_error(&error).unwrap_or(Errno::IO) })
    }
}

/// One step of making the files anew.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Record {
    /// The next of the guest's own folders, which is there already.
    Root(Attributes),
    /// Makes a folder and enters it.
    Folder(Vec<u8>, Attributes),
    /// Leaves a folder.
    Leave,
    /// Makes a file; `Data` records follow, and an `End`.
    File(Vec<u8>, Attributes, u64),
    /// So many bytes at this place follow.
    Data(u64, u64),
    /// Ends a file, with a number by which other names of it are made.
    End(Option<u64>),
    /// Another name of a file.
    Name(Vec<u8>, u64),
    /// A link with what it points to.
    Link(Vec<u8>, Vec<u8>, Attributes),
    /// A named pipe.
    Pipe(Vec<u8>, Attributes),
}

/// What a file has besides its bytes. Its owner is the guest, the only one there is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Attributes {
    mode: u32,
    modified: (i64, i64),
}

impl Attributes {
    fn of(seen: &Stat) -> Self {
        let nanoseconds = i64::try_from(seen.st_mtime_nsec).unwrap_or(0);
        Self { mode: seen.st_mode & 0o7777, modified: (seen.st_mtime, nanoseconds) }
    }

    fn apply(self, file: impl AsFd) -> Result<(), Errno> {
        rustix::fs::fchmod(&file, Mode::from_raw_mode(self.mode))?;
        rustix::fs::futimens(&file, &self.times())
    }

    const fn times(self) -> Timestamps {
        let unchanged = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
        let last_modification = Timespec { tv_sec: self.modified.0, tv_nsec: self.modified.1 };
        Timestamps { last_access: unchanged, last_modification }
    }
}

/// Writes all files of a guest's folders to a pipe. Folders that their owner can't read are opened meanwhile, so that a broken pipe
/// should be an error and no signal.
///
/// # Errors
/// The first step that fails.
pub fn save(folders: &[BorrowedFd<'_>], pipe: OwnedFd) -> Result<(), Failure> {
    let mut saving = Saving { pipe: BufWriter::with_capacity(PIECE, File::from(pipe)), names: HashMap::new() };
    for folder in folders {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(folder, ".", flags, Mode::empty()).step("open a folder to copy")?;
        let seen = rustix::fs::fstat(&folder).step("look at a folder to copy")?;
        // Each may be a file system of its own, with numbers of its own.
        saving.names.clear();
        saving.say(&Record::Root(Attributes::of(&seen)))?;
        saving.folder(folder, 0)?;
        saving.say(&Record::Leave)?;
    }
    saving.pipe.flush().step(HAND_OVER)
}

struct Saving {
    pipe: BufWriter<File>,
    /// Files with several names in the folder that is being saved, by their inode's number.
    names: HashMap<u64, u64>,
}

impl Saving {
    fn say(&mut self, record: &Record) -> Result<(), Failure> {
        let bytes = postcard::to_stdvec(record).map_err(|_| Errno::INVAL).step("describe a file")?;
        let length = u32::try_from(bytes.len()).map_err(|_| Errno::TOOBIG).step("describe a file")?;
        self.pipe.write_all(&length.to_le_bytes()).and_then(|()| self.pipe.write_all(&bytes)).step(HAND_OVER)
    }

    fn folder(&mut self, folder: OwnedFd, depth: usize) -> Result<(), Failure> {
        if depth > DEEPEST {
            return Err(Errno::NAMETOOLONG).step("copy folders that are so deep");
        }
        // The same open folder: opening it anew would need the right to read it, which it may not give.
        let again = rustix::io::fcntl_dupfd_cloexec(&folder, 3).step("list a folder to copy")?;
        let entries = Dir::new(again).step("list a folder to copy")?;
        for entry in entries {
            let entry = entry.step("list a folder to copy")?;
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            // Gone since it was listed: the guest is still running.
            let Ok(seen) = rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            let (bytes, attributes) = (name.to_bytes().to_vec(), Attributes::of(&seen));
            match FileType::from_raw_mode(seen.st_mode) {
                FileType::Directory => {
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                    let Some(inner) = open_anyway(&folder, name, flags, &seen)? else { continue };
                    self.say(&Record::Folder(bytes, attributes))?;
                    self.inner_folder(inner, &seen, depth + 1)?;
                    self.say(&Record::Leave)?;
                }
                FileType::RegularFile => match self.names.get(&seen.st_ino) {
                    Some(number) if seen.st_nlink > 1 => {
                        let number = *number;
                        self.say(&Record::Name(bytes, number))?;
                    }
                    _ => {
                        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
                        let Some(file) = open_anyway(&folder, name, flags, &seen)? else { continue };
                        self.file(&file, bytes, attributes)?;
                    }
                },
                FileType::Symlink => {
                    let Ok(points_to) = rustix::fs::readlinkat(&folder, name, Vec::new()) else { continue };
                    self.say(&Record::Link(bytes, points_to.into_bytes(), attributes))?;
                }
                FileType::Fifo => self.say(&Record::Pipe(bytes, attributes))?,
                // Nobody listens at a socket of the copy.
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks into a folder that its owner may have closed to itself, and leaves it as it was.
    fn inner_folder(&mut self, folder: OwnedFd, seen: &Stat, depth: usize) -> Result<(), Failure> {
        if seen.st_mode & 0o500 == 0o500 {
            return self.folder(folder, depth);
        }
        let mode = |mode: u32| Mode::from_raw_mode(mode & 0o7777);
        let closed = rustix::io::fcntl_dupfd_cloexec(&folder, 3).step("open a folder that its owner can't")?;
        rustix::fs::fchmod(&closed, mode(seen.st_mode | 0o700)).step("open a folder that its owner can't")?;
        let copied = self.folder(folder, depth);
        rustix::fs::fchmod(&closed, mode(seen.st_mode)).step("give a folder its mode again")?;
        copied
    }

    fn file(&mut self, file: &OwnedFd, name: Vec<u8>, attributes: Attributes) -> Result<(), Failure> {
        let seen = rustix::fs::fstat(file).step("look at a file to copy")?;
        if FileType::from_raw_mode(seen.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let size = u64::try_from(seen.st_size).unwrap_or(0);
        self.say(&Record::File(name, attributes, size))?;
        let mut at = 0;
        // Holes take no room, and must not take any in the copy.
        while at < size {
            let (from, end) = match rustix::fs::seek(file, SeekFrom::Data(at)) {
                Ok(from) => {
                    let end = rustix::fs::seek(file, SeekFrom::Hole(from)).step("look for a file's holes")?;
                    (from, end.min(size))
                }
                Err(Errno::NXIO) => break,
                // gVisor can't tell: there all is read, and what is nothing but zeros isn't written.
                Err(Errno::INVAL | Errno::OPNOTSUPP) => (at, size),
                Err(errno) => return Err(errno).step("look for a file's bytes"),
            };
            if from >= end {
                break;
            }
            self.data(file, from, end)?;
            at = end;
        }
        let number = (seen.st_nlink > 1).then(|| {
            let next = u64::try_from(self.names.len()).unwrap_or(u64::MAX);
            *self.names.entry(seen.st_ino).or_insert(next)
        });
        self.say(&Record::End(number))
    }

    fn data(&mut self, file: &OwnedFd, from: u64, end: u64) -> Result<(), Failure> {
        let mut buffer = vec![0; PIECE];
        let mut at = from;
        while at < end {
            let wanted = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
            let piece = buffer.get_mut(..wanted).unwrap_or_default();
            let read = rustix::io::pread(file, &mut *piece, at).step("read a file to copy")?;
            let bytes = piece.get(..read).unwrap_or_default();
            if bytes.is_empty() {
                // Cut while it was read.
                break;
            }
            let length = u64::try_from(read).unwrap_or(0);
            if bytes.iter().any(|byte| *byte != 0) {
                self.say(&Record::Data(at, length))?;
                self.pipe.write_all(bytes).step(HAND_OVER)?;
            }
            at += length;
        }
        Ok(())
    }
}

/// Opens something of the guest's own that it may have forbidden itself to read; `None` where it is gone or another thing.
fn open_anyway(
    folder: &OwnedFd,
    name: &std::ffi::CStr,
    flags: OFlags,
    seen: &Stat,
) -> Result<Option<OwnedFd>, Failure> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(folder, name, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::ACCESS) => {
            let mode =
                |mode: u32| rustix::fs::chmodat(folder, name, Mode::from_raw_mode(mode & 0o7777), AtFlags::empty());
            mode(seen.st_mode | 0o700).step("open a file that its owner can't read")?;
            let opened = open();
            mode(seen.st_mode).step("give a file its mode again")?;
            opened
        }
        opened => opened,
    };
    match opened {
        Ok(file) => Ok(Some(file)),
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).step("open a file to copy"),
    }
}

/// Makes all files anew that come from a pipe, in as many folders.
///
/// # Errors
/// The first step that fails, or `PROTO` for what [`save`] doesn't write.
pub fn restore(folders: &[BorrowedFd<'_>], pipe: OwnedFd) -> Result<(), Failure> {
    let mut restoring = Restoring { pipe: BufReader::with_capacity(PIECE, File::from(pipe)), names: HashMap::new() };
    for folder in folders {
        let Record::Root(attributes) = restoring.hear()? else { return out_of_turn() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::openat(folder, ".", flags, Mode::empty()).step("open a folder of the copy")?;
        restoring.root(folder, attributes)?;
    }
    Ok(())
}

fn out_of_turn<T>() -> Result<T, Failure> {
    Err(Errno::PROTO).step("understand what is to be copied")
}

struct Restoring {
    pipe: BufReader<File>,
    /// The paths of files with several names, below the guest's folder that is being filled.
    names: HashMap<u64, Vec<u8>>,
}

/// A folder that is being filled.
struct Filled {
    folder: OwnedFd,
    attributes: Attributes,
    /// How long the path is up to here.
    path: usize,
}

impl Filled {
    fn finish(self) -> Result<(), Failure> {
        self.attributes.apply(&self.folder).step("finish a folder of the copy")
    }
}

impl Restoring {
    fn hear(&mut self) -> Result<Record, Failure> {
        let mut length = [0; 4];
        self.pipe.read_exact(&mut length).step("hear what is to be copied")?;
        let length = u32::from_le_bytes(length);
        if length > LONGEST_RECORD {
            return out_of_turn();
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        self.pipe.read_exact(&mut bytes).step("hear what is to be copied")?;
        postcard::from_bytes(&bytes).map_err(|_| Errno::PROTO).step("understand what is to be copied")
    }

    fn root(&mut self, root: OwnedFd, attributes: Attributes) -> Result<(), Failure> {
        self.names.clear();
        let again = rustix::io::fcntl_dupfd_cloexec(&root, 3).step("open a folder of the copy")?;
        let mut path = Vec::new();
        let mut open = vec![Filled { folder: again, attributes, path: 0 }];
        // Folders that their owner can't enter any more once they have their modes: files in them may have to get other names first.
        let mut closed = Vec::new();
        while let Some(Filled { folder, .. }) = open.last() {
            match self.hear()? {
                Record::Folder(name, attributes) => {
                    let name = plain(name)?;
                    rustix::fs::mkdirat(folder, &name, Mode::RWXU).step("make a folder of the copy")?;
                    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
                    let inner = open_in(folder.as_fd(), &name, flags).step("open a folder of the copy")?;
                    let length = path.len();
                    path.extend([b"/", name.as_bytes()].concat());
                    open.push(Filled { folder: inner, attributes, path: length });
                    if open.len() > DEEPEST + 2 {
                        return out_of_turn();
                    }
                }
                Record::Leave => {
                    if let Some(left) = open.pop() {
                        path.truncate(left.path);
                        if left.attributes.mode & 0o500 == 0o500 || open.is_empty() || closed.len() >= MOST_CLOSED {
                            left.finish()?;
                        } else {
                            closed.push(left);
                        }
                    }
                }
                Record::File(name, attributes, size) => {
                    let name = plain(name)?;
                    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
                    let file = open_in(folder.as_fd(), &name, flags).step("make a file of the copy")?;
                    if let Some(number) = self.file(&file, attributes, size)? {
                        let path = [path.as_slice(), b"/", name.as_bytes()].concat();
                        self.names.insert(number, path);
                    }
                }
                Record::Name(name, number) => {
                    let Some(first) = self.names.get(&number) else { return out_of_turn() };
                    let first = CString::new([b".", first.as_slice()].concat())
                        .map_err(|_| Errno::INVAL)
                        .step("name a file")?;
                    rustix::fs::linkat(&root, &first, folder, &plain(name)?, AtFlags::empty())
                        .step("give a file of the copy another name")?;
                }
                Record::Link(name, points_to, attributes) => {
                    let name = plain(name)?;
                    let points_to = CString::new(points_to).map_err(|_| Errno::INVAL).step("read a link")?;
                    rustix::fs::symlinkat(&points_to, folder, &name).step("make a link of the copy")?;
                    let itself = AtFlags::SYMLINK_NOFOLLOW;
                    rustix::fs::utimensat(folder, &name, &attributes.times(), itself)
                        .step("finish a link of the copy")?;
                }
                Record::Pipe(name, attributes) => {
                    let (name, mode) = (plain(name)?, Mode::from_raw_mode(attributes.mode));
                    rustix::fs::mknodat(folder, &name, FileType::Fifo, mode, 0).step("make a pipe of the copy")?;
                }
                Record::Root(_) | Record::Data(..) | Record::End(_) => return out_of_turn(),
            }
        }
        closed.into_iter().try_for_each(Filled::finish)
    }

    fn file(&mut self, file: &OwnedFd, attributes: Attributes, size: u64) -> Result<Option<u64>, Failure> {
        rustix::fs::ftruncate(file, size).step("size a file of the copy")?;
        let mut buffer = vec![0; PIECE];
        loop {
            match self.hear()? {
                Record::Data(mut at, mut left) => {
                    while left > 0 {
                        let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
                        let piece = buffer.get_mut(..wanted).unwrap_or_default();
                        self.pipe.read_exact(piece).step("hear what is to be copied")?;
                        let mut written = 0;
                        while written < wanted {
                            let rest = piece.get(written..).unwrap_or_default();
                            let more = rustix::io::pwrite(file, rest, at).step("write a file of the copy")?;
                            written += more;
                            at += u64::try_from(more).unwrap_or(0);
                        }
                        left -= u64::try_from(wanted).unwrap_or(left);
                    }
                }
                Record::End(number) => {
                    attributes.apply(file).step("finish a file of the copy")?;
                    return Ok(number);
                }
                _ => return out_of_turn(),
            }
        }
    }
}

fn open_in(folder: BorrowedFd<'_>, name: &CString, flags: OFlags) -> Result<OwnedFd, Errno> {
    // One name, so that no folder on the way can be a link, and no `openat2` is needed, which not every kernel has.
    let mode = if flags.contains(OFlags::CREATE) { Mode::RUSR | Mode::WUSR } else { Mode::empty() };
    rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, mode)
}

/// A name of one part.
fn plain(name: Vec<u8>) -> Result<CString, Failure> {
    if name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') {
        return out_of_turn();
    }
    CString::new(name).map_err(|_| Errno::INVAL).step("name a file")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;
    use tempfile::TempDir;

    const ORDINARY: Attributes = Attributes { mode: 0o755, modified: (1, 0) };

    fn open(folder: &Path) -> OwnedFd {
        rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap()
    }

    fn said(records: &[Record]) -> Vec<u8> {
        let framed = |record: &Record| {
            let bytes = postcard::to_stdvec(record).unwrap();
            [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes.as_slice()].concat()
        };
        records.iter().flat_map(framed).collect()
    }

    /// A folder with what came of these bytes in its `inside`, and what was said of it.
    fn restored(bytes: &[u8]) -> (TempDir, Result<(), Failure>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("inside")).unwrap();
        std::fs::write(folder.path().join("bytes"), bytes).unwrap();
        let pipe = File::open(folder.path().join("bytes")).unwrap();
        let inside = open(&folder.path().join("inside"));
        let done = restore(&[inside.as_fd()], pipe.into());
        (folder, done)
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort_unstable();
        names
    }

    fn file(name: &[u8]) -> Vec<Record> {
        vec![Record::File(name.to_vec(), ORDINARY, 0), Record::End(None)]
    }

    #[test]
    fn what_would_leave_the_folder_or_is_out_of_turn_is_refused() {
        let link = |to: &[u8]| Record::Link(b"link".to_vec(), to.to_vec(), ORDINARY);
        let through_it = || Record::Folder(b"link".to_vec(), ORDINARY);
        let deep = || (0..300).map(|_| Record::Folder(b"d".to_vec(), ORDINARY)).collect();
        let cases: Vec<(Vec<Record>, Errno)> = vec![
            (file(b"../out"), Errno::PROTO),
            (file(b".."), Errno::PROTO),
            (file(b"."), Errno::PROTO),
            (file(b""), Errno::PROTO),
            (file(b"/out"), Errno::PROTO),
            (file(b"a\0b"), Errno::INVAL),
            (vec![Record::Folder(b"../out".to_vec(), ORDINARY)], Errno::PROTO),
            (vec![Record::Pipe(b"../out".to_vec(), ORDINARY)], Errno::PROTO),
            (vec![link(b".."), through_it()], Errno::EXIST),
            ([vec![link(b"../out")], file(b"link")].concat(), Errno::EXIST),
            (vec![Record::Name(b"other".to_vec(), 7)], Errno::PROTO),
            (vec![Record::Data(0, 1)], Errno::PROTO),
            (vec![Record::End(None)], Errno::PROTO),
            (vec![Record::Root(ORDINARY)], Errno::PROTO),
            (vec![Record::File(b"a".to_vec(), ORDINARY, u64::MAX)], Errno::INVAL),
            (deep(), Errno::PROTO),
        ];
        for (records, wanted) in cases {
            let bytes = said(&[vec![Record::Root(ORDINARY)], records].concat());
            let (folder, done) = restored(&bytes);
            assert_eq!(done.map_err(|failure| failure.errno), Err(wanted), "{bytes:?}");
            assert_eq!(names(folder.path()), ["bytes", "inside"], "{bytes:?}");
        }
        let (_folder, done) = restored(&u32::MAX.to_le_bytes());
        assert_eq!(done.unwrap_err().errno, Errno::PROTO);
    }

    #[test]
    fn pieces_of_zeros_become_holes_and_all_else_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let (from, into) = (folder.path().join("from"), folder.path().join("into"));
        std::fs::create_dir(&from).unwrap();
        std::fs::create_dir(&into).unwrap();
        let content = [vec![0; 3 * PIECE], b"middle".to_vec(), vec![0; 5 * PIECE], b"end".to_vec()].concat();
        std::fs::write(from.join("file"), &content).unwrap();
        let pipe = folder.path().join("pipe");
        save(&[open(&from).as_fd()], File::create(&pipe).unwrap().into()).unwrap();
        assert!(std::fs::metadata(&pipe).unwrap().len() < 4 * PIECE as u64);
        restore(&[open(&into).as_fd()], File::open(&pipe).unwrap().into()).unwrap();
        assert_eq!(std::fs::read(into.join("file")).unwrap(), content);
    }

    #[test]
    fn a_closed_folder_is_closed_again_where_nobody_wants_the_rest() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        std::fs::create_dir(&closed).unwrap();
        for number in 0..20_u8 {
            std::fs::write(closed.join(number.to_string()), vec![1; PIECE]).unwrap();
        }
        std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o000)).unwrap();
        let (nobody, pipe) = rustix::pipe::pipe().unwrap();
        drop(nobody);
        let failure = save(&[open(folder.path()).as_fd()], pipe).unwrap_err();
        assert_eq!(failure, Failure { step: HAND_OVER, errno: Errno::PIPE });
        assert_eq!(std::fs::metadata(&closed).unwrap().permissions().mode() & 0o7777, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn whatever_comes_nothing_leaves_the_folder(
            words in proptest::collection::vec((0_u8..9, "[./a-c\0]{0,4}", "[./a-c]{0,6}", 0_u64..200_000), 0..24),
            rubbish in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let attributes = Attributes { mode: 0o700, modified: (0, 0) };
            let record = |(kind, name, other, number): &(u8, String, String, u64)| {
                let (name, other) = (name.as_bytes().to_vec(), other.as_bytes().to_vec());
                match kind {
                    0 => Record::Root(attributes),
                    1 => Record::Folder(name, attributes),
                    2 => Record::Leave,
                    3 => Record::File(name, attributes, *number),
                    4 => Record::Data(*number, number % 40),
                    5 => Record::End(Some(number % 3)),
                    6 => Record::Name(name, number % 3),
                    7 => Record::Link(name, other, attributes),
                    _ => Record::Pipe(name, attributes),
                }
            };
            let records: Vec<Record> = [Record::Root(attributes)].into_iter().chain(words.iter().map(record)).collect();
            let bytes = [said(&records), rubbish].concat();
            let (folder, _done) = restored(&bytes);
            prop_assert_eq!(names(folder.path()), ["bytes", "inside"]);
        }
    }
}
