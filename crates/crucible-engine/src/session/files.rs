//! Files of a session, in pieces of any number.
//!
//! Invariant: a transfer that breaks off leaves no half of a file behind, where the backend can remove one.

use super::{Session, gone};
use crate::patience::{SET_UP, within};
use crucible_core::{Error, ErrorKind, FileContent, FileEntry, FileKind, GuestPath, LiveFeature, Result, Sandbox};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, ReadBuf};

/// Whether a file may be executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Executable {
    /// It may.
    Yes,
    /// It may not.
    #[default]
    No,
}

impl Session {
    /// Writes a file, with the folders above it, replacing one that is there. It takes as long as its content takes to come.
    ///
    /// # Errors
    /// `InvalidInput` for a path that can't be written; `Refused` where it doesn't fit; `Io` where the content breaks off;
    /// `NotFound` where the sandbox is no more.
    pub async fn write_file(
        self: &Arc<Self>,
        path: &GuestPath,
        content: Box<dyn AsyncRead + Send + Unpin>,
        executable: Executable,
    ) -> Result<()> {
        let operation = "write a file into the sandbox";
        self.check_path(path, operation)?;
        let busy = self.busy()?;
        let (session, path) = (Arc::clone(self), path.clone());
        // A task of its own, so that a caller who goes away leaves no half of a file: its content then breaks off.
        let writing = tokio::spawn(async move {
            let _busy = busy;
            let mut content = Counted { content, came: false };
            let guard = session.sandbox().await?;
            let sandbox = guard.as_ref().ok_or_else(|| gone(session.end_reason().as_ref()))?;
            let executable = executable == Executable::Yes;
            let written = session.unless_closing(sandbox.write_file(&path, &mut content, executable)).await;
            if written.is_err() && content.came && session.features().contains(&LiveFeature::Files) {
                // What broke off is told; that this couldn't be removed either would be no help.
                drop(session.unless_closing(within(SET_UP, operation, remove_half(sandbox.as_ref(), &path))).await);
            }
            written
        });
        writing.await.unwrap_or_else(|_| Err(gone(self.end_reason().as_ref())))
    }

    /// Opens a regular file with one name for reading; never follows a link.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` for anything but such a file.
    pub async fn read_file(self: &Arc<Self>, path: &GuestPath) -> Result<FileContent> {
        self.check_path(path, "read a file of the sandbox")?;
        let _busy = self.busy()?;
        let guard = self.sandbox().await?;
        let sandbox = guard.as_ref().ok_or_else(|| gone(self.end_reason().as_ref()))?;
        self.unless_closing(within(SET_UP, "read a file of the sandbox", sandbox.read_file(path))).await
    }

    /// Lists a folder, sorted by name.
    ///
    /// # Errors
    /// `NotFound`, or `Refused` for anything but a folder.
    pub async fn list_files(self: &Arc<Self>, path: &GuestPath) -> Result<Vec<FileEntry>> {
        self.check_path(path, "list a folder of the sandbox")?;
        let _busy = self.busy()?;
        let guard = self.sandbox().await?;
        let sandbox = guard.as_ref().ok_or_else(|| gone(self.end_reason().as_ref()))?;
        self.unless_closing(within(SET_UP, "list a folder of the sandbox", sandbox.list_files(path))).await
    }

    /// Looks at a file, a folder or a link, which isn't followed.
    ///
    /// # Errors
    /// `NotFound`; `Refused` where the backend can't.
    pub async fn stat(self: &Arc<Self>, path: &GuestPath) -> Result<FileEntry> {
        let operation = "look at a file of the sandbox";
        self.check_path(path, operation)?;
        self.require(LiveFeature::Files, operation)?;
        let _busy = self.busy()?;
        let guard = self.sandbox().await?;
        let sandbox = guard.as_ref().ok_or_else(|| gone(self.end_reason().as_ref()))?;
        self.unless_closing(within(SET_UP, operation, sandbox.stat(path))).await
    }

    /// Removes a file, a link or an empty folder.
    ///
    /// # Errors
    /// `NotFound`; `Refused` for a folder that isn't empty, and where the backend can't.
    pub async fn remove_file(self: &Arc<Self>, path: &GuestPath) -> Result<()> {
        let operation = "remove a file of the sandbox";
        self.check_path(path, operation)?;
        self.require(LiveFeature::Files, operation)?;
        let _busy = self.busy()?;
        let guard = self.sandbox().await?;
        let sandbox = guard.as_ref().ok_or_else(|| gone(self.end_reason().as_ref()))?;
        self.unless_closing(within(SET_UP, operation, sandbox.remove(path))).await
    }

    fn check_path(&self, path: &GuestPath, operation: &'static str) -> Result<()> {
        if !self.backend.capabilities().absolute_paths && path.within_work().is_none() {
            let message = format!("backend '{}' reaches files in {} only, not {path}", self.backend(), GuestPath::WORK);
            return Err(Error::new(ErrorKind::InvalidInput, operation, message));
        }
        Ok(())
    }
}

/// Removes a file that was written half. What else may be there wasn't written to.
async fn remove_half(sandbox: &dyn Sandbox, path: &GuestPath) -> Result<()> {
    if sandbox.stat(path).await?.kind == FileKind::File {
        sandbox.remove(path).await?;
    }
    Ok(())
}

/// A file's content, of which is known whether any has been taken.
struct Counted {
    content: Box<dyn AsyncRead + Send + Unpin>,
    came: bool,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.came = true;
        Pin::new(&mut self.content).poll_read(context, buffer)
    }
}
