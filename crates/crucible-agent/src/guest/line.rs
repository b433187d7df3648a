//! The line to the supervisor: standard input and output, as descriptors that no command gets.

use crate::protocol::frame::{self, Malformed, Receiver};
use crate::protocol::{MOST_FROM_AGENT, MOST_TO_AGENT, PIECE, Report, Request, preamble};
use rustix::event::{PollFd, PollFlags};
use rustix::fd::OwnedFd;
use rustix::io::Errno;

/// The supervisor is gone, or says what it never would.
#[derive(Debug)]
pub(super) struct Lost;

impl From<Malformed> for Lost {
    fn from(_: Malformed) -> Self {
        Self
    }
}

pub(super) struct Line {
    input: OwnedFd,
    output: OwnedFd,
    requests: Receiver,
    /// Reports that are on their way out together: in a kernel of the guest's own every call costs.
    waiting: Vec<u8>,
    /// Room for a piece of a stream or file.
    pub(super) piece: Vec<u8>,
}

impl Line {
    /// Takes standard input and output away, so that nothing else can read or write them.
    pub(super) fn open() -> Result<Self, Errno> {
        let keep = |descriptor| rustix::io::fcntl_dupfd_cloexec(descriptor, 3);
        let (input, output) = (keep(rustix::stdio::stdin())?, keep(rustix::stdio::stdout())?);
        // What stands there in their place is never used. Without /dev/null it is a pipe without another end.
        let nothing = rustix::fs::open(
            "/dev/null",
            rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .or_else(|_| rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map(|(read, _)| read))?;
        rustix::stdio::dup2_stdin(&nothing)?;
        rustix::stdio::dup2_stdout(&nothing)?;
        Ok(Self { input, output, requests: Receiver::new(MOST_TO_AGENT), waiting: Vec::new(), piece: vec![0; PIECE] })
    }

    pub(super) const fn input(&self) -> &OwnedFd {
        &self.input
    }

    /// Says who this is, and hears who the other is.
    pub(super) fn greet(&mut self) -> Result<(), Lost> {
        self.write(&preamble::ours())?;
        let mut theirs = [0; preamble::LENGTH];
        let mut have = 0;
        while let Some(room) = theirs.get_mut(have..).filter(|room| !room.is_empty()) {
            have += self.read_some(room)?;
        }
        preamble::check(&theirs).map_err(|_| Lost)
    }

    /// Waits for a request of the kind that is expected.
    pub(super) fn expect<T>(&mut self, take: impl Fn(Request<'_>) -> Option<T>) -> Result<T, Lost> {
        loop {
            if let Some(request) = self.requests.next::<Request<'_>>()? {
                return take(request).ok_or(Lost);
            }
            self.read()?;
        }
    }

    /// Reads what there is.
    pub(super) fn read(&mut self) -> Result<(), Lost> {
        let mut requests = self.take_requests();
        let read = self.read_some(requests.room());
        requests.filled(*read.as_ref().unwrap_or(&0));
        self.put_requests(requests);
        read.map(drop)
    }

    fn read_some(&self, room: &mut [u8]) -> Result<usize, Lost> {
        loop {
            match rustix::io::read(&self.input, &mut *room) {
                Ok(0) => return Err(Lost),
                Ok(count) => return Ok(count),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_for(&self.input, PollFlags::IN)?,
                Err(_) => return Err(Lost),
            }
        }
    }

    pub(super) fn take_requests(&mut self) -> Receiver {
        std::mem::replace(&mut self.requests, Receiver::new(MOST_TO_AGENT))
    }

    pub(super) fn put_requests(&mut self, requests: Receiver) {
        self.requests = requests;
    }

    /// Sends a report, at the latest with the next [`Line::flush`].
    pub(super) fn send(&mut self, report: &Report<'_>) -> Result<(), Lost> {
        self.waiting.extend(frame::encode(report, MOST_FROM_AGENT).ok_or(Lost)?);
        if self.waiting.len() < PIECE { Ok(()) } else { self.flush() }
    }

    /// Waits until everything that was sent is gone.
    pub(super) fn flush(&mut self) -> Result<(), Lost> {
        let waiting = std::mem::take(&mut self.waiting);
        self.write(&waiting)?;
        // Its room is used again.
        self.waiting = waiting;
        self.waiting.clear();
        Ok(())
    }

    fn write(&self, mut bytes: &[u8]) -> Result<(), Lost> {
        while !bytes.is_empty() {
            match rustix::io::write(&self.output, bytes) {
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait_for(&self.output, PollFlags::OUT)?,
                Err(_) => return Err(Lost),
            }
        }
        Ok(())
    }
}

fn wait_for(file: &OwnedFd, flags: PollFlags) -> Result<(), Lost> {
    match rustix::event::poll(&mut [PollFd::new(file, flags)], None) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(_) => Err(Lost),
    }
}
