//! Watches places in a sandbox from outside: files by the kernel's own notices about them, sockets by listening on them.
//!
//! Invariant: what is seen is the kernel's word about the guest's access, not the guest's. A place is watched until it was
//! touched once, so that nobody can keep the supervisor busy by touching it again and again; a caller is never listened to.
//!
//! It works through the descriptor of the sandbox's writable file system, whatever the guest sees of that. Looking at a file
//! without opening it (its size, its name in a listing) isn't noticed.

use super::JailError;
use super::sandbox::{Reach, Sandbox};
use crate::plan::WORK;
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags};
use std::mem::MaybeUninit;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::task::JoinHandle;

/// A place to watch, as an absolute path inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A file that is there.
    File(&'a str),
    /// A socket to be made, directly below `/tmp`.
    Listener(&'a str),
}

/// What was done first to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// It was opened.
    Opened,
    /// It was read.
    Read,
    /// It was written, removed, or given other attributes or one more name.
    Changed,
    /// It was moved.
    Moved,
    /// It was called.
    Called,
}

/// Notices of a change. That the last name is gone comes as another attribute, too, since a file's names are counted.
const CHANGES: ReadFlags =
    ReadFlags::MODIFY.union(ReadFlags::ATTRIB).union(ReadFlags::DELETE_SELF).union(ReadFlags::QUEUE_OVERFLOW);

type Touches = Arc<Mutex<Vec<Option<(Touch, Instant)>>>>;

/// Watched places. Dropping it ends the watching.
pub struct Watch {
    touches: Touches,
    files: Option<Arc<Files>>,
    listeners: Vec<(usize, Arc<AsyncFd<OwnedFd>>)>,
    tasks: Vec<JoinHandle<()>>,
}

/// Watched files, with the place that each watch stands for.
struct Files {
    notices: AsyncFd<OwnedFd>,
    places: Vec<(i32, usize)>,
}

fn lock(touches: &Touches) -> MutexGuard<'_, Vec<Option<(Touch, Instant)>>> {
    touches.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a touch, unless there was an earlier one.
fn note(touches: &Touches, place: usize, touch: Touch) {
    let mut touches = lock(touches);
    if let Some(earlier @ None) = touches.get_mut(place) {
        *earlier = Some((touch, Instant::now()));
    }
}

impl Sandbox {
    /// Watches places from now on. Needs a running tokio runtime.
    ///
    /// # Errors
    /// [`JailError::Os`] where a file isn't there, a socket can't be made, or the kernel watches no more.
    pub fn watch(&self, places: &[Place<'_>]) -> Result<Watch, JailError> {
        let touches: Touches = Arc::new(Mutex::new(vec![None; places.len()]));
        let (mut watched, mut listeners, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
        for (index, place) in places.iter().enumerate() {
            match place {
                Place::File(path) => watched.push((index, *path)),
                Place::Listener(path) => listeners.push((index, Arc::new(self.listen(path)?))),
            }
        }
        let files = if watched.is_empty() { None } else { Some(Arc::new(self.watch_files(&watched)?)) };
        if let Some(files) = files.as_ref().map(Arc::clone) {
            let touches = Arc::clone(&touches);
            tasks.push(tokio::spawn(async move {
                while let Ok(mut ready) = files.notices.readable().await {
                    ready.clear_ready();
                    files.take_notice(&touches);
                }
            }));
        }
        for (index, listener) in &listeners {
            let (index, listener, touches) = (*index, Arc::clone(listener), Arc::clone(&touches));
            tasks.push(tokio::spawn(async move {
                if listener.readable().await.is_ok() {
                    note(&touches, index, Touch::Called);
                    // Once is enough: the caller is hung up on unheard, and the next one refused.
                    let heard = rustix::net::accept_with(listener.get_ref(), SocketFlags::CLOEXEC);
                    drop(heard);
                    let _refusing = rustix::net::shutdown(listener.get_ref(), Shutdown::Both).is_ok();
                }
            }));
        }
        Ok(Watch { touches, files, listeners, tasks })
    }

    fn watch_files(&self, watched: &[(usize, &str)]) -> Result<Files, JailError> {
        let notices = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)
            .map_err(JailError::os("watch files (see /proc/sys/fs/inotify)"))?;
        let flags = WatchFlags::OPEN
            | WatchFlags::ACCESS
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE_SELF
            | WatchFlags::DELETE_SELF;
        let mut places = Vec::new();
        for (index, path) in watched {
            let file = self.open_own(path).map_err(JailError::os("find a file to watch"))?;
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            let watch = inotify::add_watch(&notices, link, flags)
                .map_err(JailError::os("watch a file (see /proc/sys/fs/inotify)"))?;
            places.push((watch, *index));
        }
        let notices = crate::sys::watch(notices, Interest::READABLE).map_err(JailError::io("watch files"))?;
        Ok(Files { notices, places })
    }

    /// Where a path inside lies on the sandbox's writable file system.
    fn below_storage<'a>(&self, path: &'a str) -> Option<(&'static str, &'a str)> {
        let folders: &[(&str, &'static str)] = match self.reach() {
            Reach::Namespace => &[(WORK, "work"), ("/tmp", "tmp"), ("/dev/shm", "shm")],
            // The file system is the work folder itself.
            Reach::Descendants => &[(WORK, ".")],
        };
        folders.iter().find_map(|(inside, own)| Some((*own, path.strip_prefix(inside)?.strip_prefix('/')?)))
    }

    fn open_own(&self, path: &str) -> Result<OwnedFd, Errno> {
        let (folder, rest) = self.below_storage(path).ok_or(Errno::NOENT)?;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat2(self.storage(), format!("{folder}/{rest}"), flags, Mode::empty(), resolve)
    }

    /// Makes a socket that everyone may call. Only `/tmp` lets the supervisor make one, whoever it is.
    fn listen(&self, path: &str) -> Result<AsyncFd<OwnedFd>, JailError> {
        let operation = "make a socket in the sandbox";
        let missing = || JailError::os(operation)(Errno::NOENT);
        let (folder, name) = self.below_storage(path).filter(|(folder, _)| *folder == "tmp").ok_or_else(missing)?;
        let place = format!("/proc/self/fd/{}/{folder}/{name}", self.storage().as_raw_fd());
        let listener = match UnixListener::bind(&place) {
            // The file system of a sandbox that was forked from an interpreter knows no user of the host but guests.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::OVERFLOW) => return Err(JailError::Foreign),
            bound => bound.map_err(JailError::io(operation))?,
        };
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o666)).map_err(JailError::io(operation))?;
        listener.set_nonblocking(true).map_err(JailError::io(operation))?;
        crate::sys::watch(listener.into(), Interest::READABLE).map_err(JailError::io(operation))
    }
}

impl Files {
    /// Takes the notices that are there. A file that was touched is watched no longer.
    fn take_notice(&self, touches: &Touches) {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut notices = inotify::Reader::new(self.notices.get_ref(), &mut buffer);
        while let Ok(notice) = notices.next() {
            let (watch, events) = (notice.wd(), notice.events());
            let touch = if events.contains(ReadFlags::OPEN) {
                Touch::Opened
            } else if events.contains(ReadFlags::ACCESS) {
                Touch::Read
            } else if events.contains(ReadFlags::MOVE_SELF) {
                Touch::Moved
            } else if events.intersects(CHANGES) {
                Touch::Changed
            } else {
                continue;
            };
            // Too many notices to be kept are about some of these files, whichever.
            let overflow = events.contains(ReadFlags::QUEUE_OVERFLOW);
            for (_, place) in self.places.iter().filter(|(known, _)| overflow || *known == watch) {
                note(touches, *place, touch);
            }
            // Fails where the file is gone already.
            let _unwatched = inotify::remove_watch(self.notices.get_ref(), watch).is_ok();
        }
    }
}

impl Watch {
    /// What was done first to each place until now, and when that was seen.
    #[must_use]
    pub fn touches(&self) -> Vec<Option<(Touch, Instant)>> {
        // The tasks may not have come to it yet.
        if let Some(files) = &self.files {
            files.take_notice(&self.touches);
        }
        for (index, listener) in &self.listeners {
            if super::sandbox::is_readable(listener.get_ref()).unwrap_or(false) {
                note(&self.touches, *index, Touch::Called);
            }
        }
        lock(&self.touches).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
