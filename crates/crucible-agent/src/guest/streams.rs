//! A command's standard streams: three pipes, or one terminal. And a connection's two, which are one socket. Nothing here
//! blocks on the guest.

use super::line::{Line, Lost};
use super::{Step, resize};
use crate::protocol::{Failure, OutputStream, Report, TerminalSize, WINDOW};
use crate::sys;
use rustix::event::PollFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;
use rustix::pty::OpenptFlags;
use std::collections::VecDeque;

/// What says the end of input on a terminal: control and D.
const END_OF_TRANSMISSION: u8 = 4;

/// What is waited for on a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Input can be written, or nobody reads it any more.
    Input,
    /// There is output, or its end.
    Output(OutputStream),
}

struct Input {
    file: OwnedFd,
    /// What the supervisor sent and the guest hasn't taken: never more than was granted.
    waiting: VecDeque<u8>,
    is_ending: bool,
}

struct Output {
    file: OwnedFd,
    credit: u32,
}

/// The agent's ends of the streams.
pub(super) struct Streams {
    input: Option<Input>,
    out: Option<Output>,
    error: Option<Output>,
    kind: Kind,
}

/// What the streams are made of.
enum Kind {
    Pipes,
    Terminal(OwnedFd),
    Socket,
}

/// The command's ends.
pub(super) struct Theirs {
    pub(super) input: OwnedFd,
    pub(super) out: OwnedFd,
    pub(super) error: OwnedFd,
}

impl Streams {
    pub(super) fn open(terminal: Option<TerminalSize>) -> Result<(Self, Theirs), Failure> {
        match terminal {
            None => Self::pipes().step("make pipes"),
            Some(size) => Self::terminal(size).step("make a terminal"),
        }
    }

    fn pipes() -> Result<(Self, Theirs), Errno> {
        // Their ends are inherited by being copied to 0, 1 and 2. Only ours don't block: the other ends are files of their own.
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        let (input, our_input) = pipe()?;
        let (our_out, out) = pipe()?;
        let (our_error, error) = pipe()?;
        for file in [&our_input, &our_out, &our_error] {
            rustix::io::ioctl_fionbio(file, true)?;
        }
        let streams = Self {
            input: Some(Input { file: our_input, waiting: VecDeque::new(), is_ending: false }),
            out: Some(Output { file: our_out, credit: WINDOW }),
            error: Some(Output { file: our_error, credit: WINDOW }),
            kind: Kind::Pipes,
        };
        Ok((streams, Theirs { input, out, error }))
    }

    fn terminal(size: TerminalSize) -> Result<(Self, Theirs), Errno> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&ours)?;
        rustix::pty::unlockpt(&ours)?;
        let name = rustix::pty::ptsname(&ours, Vec::new())?;
        resize(&ours, size);
        let theirs = rustix::fs::open(&*name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::ioctl_fionbio(&ours, true)?;
        let copy = |file: &OwnedFd| rustix::io::fcntl_dupfd_cloexec(file, 3);
        let streams = Self {
            input: Some(Input { file: copy(&ours)?, waiting: VecDeque::new(), is_ending: false }),
            out: Some(Output { file: copy(&ours)?, credit: WINDOW }),
            error: None,
            kind: Kind::Terminal(ours),
        };
        Ok((streams, Theirs { input: copy(&theirs)?, out: copy(&theirs)?, error: theirs }))
    }

    /// Those of a connection, by its socket, which doesn't block.
    pub(super) fn connection(socket: OwnedFd) -> Result<Self, Errno> {
        let input = rustix::io::fcntl_dupfd_cloexec(&socket, 3)?;
        Ok(Self {
            input: Some(Input { file: input, waiting: VecDeque::new(), is_ending: false }),
            out: Some(Output { file: socket, credit: WINDOW }),
            error: None,
            kind: Kind::Socket,
        })
    }

    const fn is_terminal(&self) -> bool {
        matches!(self.kind, Kind::Terminal(_))
    }

    /// What has to be waited for. An output without credit isn't: its end is heard of when there is credit again.
    pub(super) fn waits(&self) -> impl Iterator<Item = (Wait, BorrowedFd<'_>, PollFlags)> {
        // With nothing to write, only that nobody reads any more is told. A terminal's reader is told of by its output.
        let input = self.input.as_ref().filter(|input| !self.is_terminal() || !input.waiting.is_empty()).map(|input| {
            let flags = if input.waiting.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            (Wait::Input, input.file.as_fd(), flags)
        });
        let outputs = [(OutputStream::Out, &self.out), (OutputStream::Error, &self.error)];
        let outputs = outputs.into_iter().filter_map(|(stream, output)| {
            let output = output.as_ref().filter(|output| output.credit > 0)?;
            Some((Wait::Output(stream), output.file.as_fd(), PollFlags::IN))
        });
        input.into_iter().chain(outputs)
    }

    pub(super) const fn are_over(&self) -> bool {
        self.input.is_none() && self.out.is_none() && self.error.is_none()
    }

    /// Deals with what was waited for.
    pub(super) fn attend(&mut self, number: u32, wait: Wait, line: &mut Line) -> Result<(), Lost> {
        match wait {
            Wait::Input => match &self.input {
                // It is told only of a reader that is gone.
                Some(input) if input.waiting.is_empty() => self.close_input(number, line),
                _ => self.write_on(number, line),
            },
            Wait::Output(stream) => self.read_on(number, stream, line),
        }
    }

    /// Takes bytes for the guest's input.
    pub(super) fn put_in(&mut self, number: u32, bytes: &[u8], line: &mut Line) -> Result<(), Lost> {
        let Some(input) = &mut self.input else { return Ok(()) };
        input.waiting.extend(bytes);
        self.write_on(number, line)
    }

    /// Closes the guest's input when all that is waiting was taken.
    pub(super) fn end_input(&mut self, number: u32, line: &mut Line) -> Result<(), Lost> {
        let is_terminal = self.is_terminal();
        let Some(input) = &mut self.input else { return Ok(()) };
        if is_terminal {
            input.waiting.push_back(END_OF_TRANSMISSION);
        }
        input.is_ending = true;
        self.write_on(number, line)
    }

    fn write_on(&mut self, number: u32, line: &mut Line) -> Result<(), Lost> {
        let Some(input) = &mut self.input else { return Ok(()) };
        let mut taken = 0_u32;
        let is_broken = loop {
            let (bytes, _) = input.waiting.as_slices();
            if bytes.is_empty() {
                break false;
            }
            match rustix::io::write(&input.file, bytes) {
                Ok(count) => {
                    input.waiting.drain(..count);
                    taken = taken.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break false,
                Err(_) => break true,
            }
        };
        if is_broken || (input.is_ending && input.waiting.is_empty()) {
            return self.close_input(number, line);
        }
        if taken > 0 { line.send(&Report::InputCredit { number, bytes: taken }) } else { Ok(()) }
    }

    fn close_input(&mut self, number: u32, line: &mut Line) -> Result<(), Lost> {
        match self.input.take() {
            Some(input) => {
                // The other direction goes on, so that closing this descriptor alone would tell the guest nothing.
                if matches!(self.kind, Kind::Socket) {
                    let _told = rustix::net::shutdown(&input.file, rustix::net::Shutdown::Write).is_ok();
                }
                line.send(&Report::InputClosed { number })
            }
            None => Ok(()),
        }
    }

    fn output(&mut self, stream: OutputStream) -> &mut Option<Output> {
        match stream {
            OutputStream::Out => &mut self.out,
            OutputStream::Error => &mut self.error,
        }
    }

    pub(super) fn grant(&mut self, stream: OutputStream, bytes: u32) {
        if let Some(output) = self.output(stream) {
            output.credit = output.credit.saturating_add(bytes);
        }
    }

    fn read_on(&mut self, number: u32, stream: OutputStream, line: &mut Line) -> Result<(), Lost> {
        let Some(output) = self.output(stream) else { return Ok(()) };
        let mut piece = std::mem::take(&mut line.piece);
        let most = piece.len().min(usize::try_from(output.credit).unwrap_or(usize::MAX));
        let read = match piece.get_mut(..most) {
            Some(room) => rustix::io::read(&output.file, room),
            None => Ok(0),
        };
        let sent = match read {
            Err(Errno::INTR | Errno::AGAIN) => Ok(()),
            Ok(0) | Err(_) => {
                line.piece = piece;
                return self.close_output(number, stream, line);
            }
            Ok(count) => {
                output.credit = output.credit.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
                let bytes = piece.get(..count).unwrap_or_default();
                line.send(&Report::Output { number, stream, bytes })
            }
        };
        line.piece = piece;
        sent
    }

    /// Ends an output. Without any, a terminal's input is over, too: its command has closed it.
    pub(super) fn close_output(&mut self, number: u32, stream: OutputStream, line: &mut Line) -> Result<(), Lost> {
        if self.output(stream).take().is_none() {
            return Ok(());
        }
        line.send(&Report::OutputEnd { number, stream })?;
        if self.is_terminal() { self.close_input(number, line) } else { Ok(()) }
    }

    /// Sets the terminal's size, of which the program in its foreground hears, or else the command whose terminal it is: not
    /// every kernel says it. Where this one does, it is said twice.
    pub(super) fn resize(&self, size: TerminalSize, process: i32) {
        if let Kind::Terminal(terminal) = &self.kind {
            resize(terminal, size);
            let group = rustix::termios::tcgetpgrp(terminal).map_or(process, |group| group.as_raw_nonzero().get());
            let _heard = sys::signal(-group, sys::WINDOW_CHANGED).is_ok();
        }
    }
}
