//! The supervisor's end of a terminal in a sandbox.
//!
//! Invariant: the supervisor opened it itself, in the folder that the init handed over before any guest ran. Nobody inside has
//! this end, so that nobody can make reading from it wait.

use super::super::JailError;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};

/// How large a terminal is, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters of a line.
    pub columns: u16,
}

/// The supervisor's end.
pub(super) struct Terminal {
    master: AsyncFd<OwnedFd>,
}

impl Terminal {
    /// Opens a terminal in a folder of terminals, and gives the guest's end, too.
    pub(super) fn open(folder: &OwnedFd, size: Size) -> Result<(Arc<Self>, OwnedFd), JailError> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let master =
            rustix::fs::openat(folder, "ptmx", flags, Mode::empty()).map_err(JailError::os("open a terminal"))?;
        rustix::pty::unlockpt(&master).map_err(JailError::os("unlock the terminal"))?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let theirs = rustix::pty::ioctl_tiocgptpeer(&master, flags)
            .map_err(JailError::os("open the other end of the terminal"))?;
        let master = crate::sys::watch(master, Interest::READABLE | Interest::WRITABLE)
            .map_err(JailError::io("watch the terminal"))?;
        let terminal = Self { master };
        terminal.resize(size)?;
        Ok((Arc::new(terminal), theirs))
    }

    /// Says how large it is; its processes hear of it.
    pub(super) fn resize(&self, size: Size) -> Result<(), JailError> {
        let size = Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(self.master.get_ref(), size).map_err(JailError::os("resize the terminal"))
    }
}

/// What is typed.
pub(super) struct Keyboard(pub(super) Arc<Terminal>);

/// What is shown.
pub(super) struct Screen(pub(super) Arc<Terminal>);

impl AsyncRead for Screen {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut ready = ready!(self.0.master.poll_read_ready(context))?;
            let into = buffer.initialize_unfilled();
            match rustix::io::read(self.0.master.get_ref().as_fd(), into) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                // Nobody has the other end any more.
                Err(Errno::IO) => return Poll::Ready(Ok(())),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }
}

impl AsyncWrite for Keyboard {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            let mut ready = ready!(self.0.master.poll_write_ready(context))?;
            match rustix::io::write(self.0.master.get_ref().as_fd(), bytes) {
                Ok(written) => return Poll::Ready(Ok(written)),
                Err(Errno::IO) => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Err(Errno::AGAIN) => ready.clear_ready(),
                Err(Errno::INTR) => {}
                Err(errno) => return Poll::Ready(Err(errno.into())),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
