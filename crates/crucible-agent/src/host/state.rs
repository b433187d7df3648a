//! What the client knows of its commands and transfers, and what a report does to it. Nothing here waits.
//!
//! Invariant: a report that nobody asked for, or that goes beyond what was granted, is an error, and no report makes this grow
//! beyond [`MOST_OPEN`] entries with one window each for every stream. A connection is a command without a process and without
//! standard error; it comes to be by the supervisor's number alone.

use super::error::AgentLoss;
use crate::protocol::{Abilities, Ended, Entry, Failure, MOST_ENTRIES, OutputStream, Refusal, Report, Usage, WINDOW};
use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// The most commands, and as many transfers, at one time.
pub(super) const MOST_OPEN: usize = 4096;

fn broken<T>(what: &str) -> Result<T, AgentLoss> {
    Err(AgentLoss::BrokeItsWord(what.to_owned()))
}

/// An output stream's bytes on their way to whoever reads them.
#[derive(Default)]
pub(super) struct OutputState {
    pub(super) bytes: VecDeque<u8>,
    /// How many bytes may still come.
    granted: u32,
    /// How many were taken and not granted anew.
    pub(super) taken: u32,
    pub(super) has_ended: bool,
    /// Nobody reads it any more: what still comes is thrown away.
    pub(super) is_unwanted: bool,
    pub(super) reader: Option<Waker>,
}

impl OutputState {
    /// Says that what was taken is granted anew, once that is worth a message.
    pub(super) fn grant_anew(&mut self) -> Option<u32> {
        if self.taken < WINDOW / 4 || self.has_ended {
            return None;
        }
        self.granted = self.granted.saturating_add(self.taken);
        Some(std::mem::take(&mut self.taken))
    }
}

/// An input stream's state.
#[derive(Default)]
pub(super) struct InputState {
    /// How many bytes may still be sent.
    pub(super) credit: u32,
    pub(super) is_closed: bool,
    /// The end was said.
    pub(super) is_ending: bool,
    pub(super) writer: Option<Waker>,
}

/// One command, or one connection.
pub(super) struct CommandState {
    started: Option<oneshot::Sender<Result<(), Failure>>>,
    ended: Option<oneshot::Sender<Ended>>,
    pub(super) input: InputState,
    out: OutputState,
    error: OutputState,
    /// A connection's place among as many as there may be.
    _place: Option<OwnedSemaphorePermit>,
}

impl CommandState {
    pub(super) fn output(&mut self, stream: OutputStream) -> &mut OutputState {
        match stream {
            OutputStream::Out => &mut self.out,
            OutputStream::Error => &mut self.error,
        }
    }

    fn is_over(&self) -> bool {
        let is_read = |output: &OutputState| output.has_ended && (output.bytes.is_empty() || output.is_unwanted);
        self.started.is_none()
            && self.ended.is_none()
            && self.input.is_closed
            && is_read(&self.out)
            && is_read(&self.error)
    }
}

/// What a transfer waits for.
pub(super) enum TransferState {
    /// So many answers about what was written.
    Writing { outstanding: u32, results: mpsc::UnboundedSender<Result<(), Refusal>> },
    /// A file that is being opened.
    Opening(oneshot::Sender<Result<u64, Refusal>>),
    /// A file that is open: the next bytes, where they were asked for.
    Reading(Option<oneshot::Sender<Result<Vec<u8>, Refusal>>>),
    /// A folder's entries.
    Listing { entries: Vec<Entry>, done: oneshot::Sender<Result<Vec<Entry>, Refusal>> },
}

/// Everything.
#[derive(Default)]
pub(super) struct State {
    pub(super) loss: Option<AgentLoss>,
    pub(super) commands: BTreeMap<u32, CommandState>,
    pub(super) transfers: BTreeMap<u32, TransferState>,
    pub(super) signalled: VecDeque<oneshot::Sender<Option<i32>>>,
    pub(super) all_ended: VecDeque<oneshot::Sender<()>>,
    pub(super) usages: VecDeque<oneshot::Sender<Usage>>,
    last_number: u32,
}

impl State {
    /// A number that was never used. There are enough of them for a sandbox's life.
    pub(super) fn next_number(&mut self) -> Option<u32> {
        self.last_number = self.last_number.checked_add(1)?;
        Some(self.last_number)
    }

    /// A command that is about to be started.
    pub(super) fn expect_command(
        &mut self,
        number: u32,
    ) -> (oneshot::Receiver<Result<(), Failure>>, oneshot::Receiver<Ended>) {
        let ((started, is_started), (ended, has_ended)) = (oneshot::channel(), oneshot::channel());
        let output = || OutputState { granted: WINDOW, ..OutputState::default() };
        let command = CommandState {
            started: Some(started),
            ended: Some(ended),
            input: InputState { credit: WINDOW, ..InputState::default() },
            out: output(),
            error: output(),
            _place: None,
        };
        self.commands.insert(number, command);
        (is_started, has_ended)
    }

    /// A connection that is about to be waited for.
    pub(super) fn expect_connection(
        &mut self,
        number: u32,
        place: OwnedSemaphorePermit,
    ) -> oneshot::Receiver<Result<(), Failure>> {
        let (started, is_started) = oneshot::channel();
        let connection = CommandState {
            started: Some(started),
            ended: None,
            input: InputState { credit: WINDOW, ..InputState::default() },
            out: OutputState { granted: WINDOW, ..OutputState::default() },
            error: OutputState { has_ended: true, ..OutputState::default() },
            _place: Some(place),
        };
        self.commands.insert(number, connection);
        is_started
    }

    pub(super) fn forget_if_over(&mut self, number: u32) {
        if self.commands.get(&number).is_some_and(CommandState::is_over) {
            self.commands.remove(&number);
        }
    }

    /// The end of everything: whoever waits is told by what it waits for being dropped.
    pub(super) fn lose(&mut self, loss: AgentLoss) {
        self.loss.get_or_insert(loss);
        for command in self.commands.values_mut() {
            command.input.is_closed = true;
            (command.out.has_ended, command.error.has_ended) = (true, true);
            let waiting = [command.out.reader.take(), command.error.reader.take(), command.input.writer.take()];
            waiting.into_iter().flatten().for_each(Waker::wake);
            (command.started, command.ended) = (None, None);
        }
        self.transfers.clear();
        self.signalled.clear();
        self.all_ended.clear();
        self.usages.clear();
    }

    /// What a report does. An error loses the agent.
    pub(super) fn take(&mut self, report: Report<'_>) -> Result<(), AgentLoss> {
        match report {
            Report::Ready(_) | Report::Failed(_) => broken("it began twice"),
            Report::Started { number } => self.started(number, Ok(())),
            Report::NotStarted { number, failure } => {
                self.started(number, Err(failure))?;
                self.commands.remove(&number);
                Ok(())
            }
            Report::Output { number, stream, bytes } => self.put_out(number, stream, bytes),
            Report::OutputEnd { number, stream } => {
                let output = self.running(number)?.output(stream);
                if std::mem::replace(&mut output.has_ended, true) {
                    return broken("an output ended twice");
                }
                output.reader.take().into_iter().for_each(Waker::wake);
                self.forget_if_over(number);
                Ok(())
            }
            Report::InputCredit { number, bytes } => {
                let input = &mut self.running(number)?.input;
                match input.credit.checked_add(bytes).filter(|credit| *credit <= WINDOW && bytes > 0) {
                    Some(credit) => input.credit = credit,
                    None => return broken("it took more input than it was given"),
                }
                input.writer.take().into_iter().for_each(Waker::wake);
                Ok(())
            }
            Report::InputClosed { number } => {
                let input = &mut self.running(number)?.input;
                if std::mem::replace(&mut input.is_closed, true) {
                    return broken("an input was closed twice");
                }
                input.writer.take().into_iter().for_each(Waker::wake);
                self.forget_if_over(number);
                Ok(())
            }
            Report::Ended { number, status } => {
                // Whoever would want to know may be gone.
                match self.running(number)?.ended.take() {
                    Some(ended) => drop(ended.send(status)),
                    None => return broken("a command ended twice, or a connection as one"),
                }
                self.forget_if_over(number);
                Ok(())
            }
            Report::Signalled { refused } => answer(&mut self.signalled, refused),
            Report::ProcessesEnded => answer(&mut self.all_ended, ()),
            Report::Usage(usage) => answer(&mut self.usages, usage),
            Report::Closed { number } => match self.transfers.remove(&number) {
                Some(_) => Ok(()),
                None => broken("it closed what was not open"),
            },
            Report::Written { number, result } => match self.transfers.get_mut(&number) {
                Some(TransferState::Writing { outstanding, results }) if *outstanding > 0 => {
                    *outstanding -= 1;
                    let _heard = results.send(result).is_ok();
                    Ok(())
                }
                _ => broken("nothing was written there"),
            },
            Report::Opened { number, result } => self.opened(number, result),
            Report::Piece { number, result } => self.piece(number, result),
            Report::Listing { number, result, more } => self.listing(number, result, more),
        }
    }

    /// A command that was started.
    fn running(&mut self, number: u32) -> Result<&mut CommandState, AgentLoss> {
        match self.commands.get_mut(&number) {
            Some(command) if command.started.is_none() => Ok(command),
            _ => broken("it told of a command that doesn't run"),
        }
    }

    fn started(&mut self, number: u32, result: Result<(), Failure>) -> Result<(), AgentLoss> {
        match self.commands.get_mut(&number).and_then(|command| command.started.take()) {
            Some(started) => {
                drop(started.send(result));
                Ok(())
            }
            None => broken("it started what nobody asked for"),
        }
    }

    fn put_out(&mut self, number: u32, stream: OutputStream, bytes: &[u8]) -> Result<(), AgentLoss> {
        let output = self.running(number)?.output(stream);
        let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if output.has_ended || bytes.is_empty() {
            return broken("it sent output after its end, or none");
        }
        match output.granted.checked_sub(count) {
            Some(left) => output.granted = left,
            None => return broken("it sent more output than it was granted"),
        }
        if !output.is_unwanted {
            output.bytes.extend(bytes);
            output.reader.take().into_iter().for_each(Waker::wake);
        }
        Ok(())
    }

    fn opened(&mut self, number: u32, result: Result<u64, Refusal>) -> Result<(), AgentLoss> {
        let Some(transfer) = self.transfers.get_mut(&number) else { return broken("it opened what nobody asked for") };
        match std::mem::replace(transfer, TransferState::Reading(None)) {
            TransferState::Opening(waiting) => {
                let _heard = waiting.send(result).is_ok();
                Ok(())
            }
            _ => broken("it opened what nobody asked for"),
        }
    }

    fn piece(&mut self, number: u32, result: Result<&[u8], Refusal>) -> Result<(), AgentLoss> {
        match self.transfers.get_mut(&number) {
            Some(TransferState::Reading(waiting)) => match waiting.take() {
                Some(waiting) => {
                    drop(waiting.send(result.map(<[u8]>::to_vec)));
                    Ok(())
                }
                None => broken("it sent a piece of a file that nobody asked for"),
            },
            _ => broken("it sent a piece of no file"),
        }
    }

    fn listing(&mut self, number: u32, result: Result<Vec<Entry>, Refusal>, more: bool) -> Result<(), AgentLoss> {
        let Some(TransferState::Listing { mut entries, done }) = self.transfers.remove(&number) else {
            return broken("it listed what nobody asked for");
        };
        match result {
            Ok(part) if entries.len() + part.len() > MOST_ENTRIES => {
                drop(part);
                return broken("it listed more entries than a folder is listed with");
            }
            Ok(part) if more && part.is_empty() => return broken("it listed nothing, and more to come"),
            Ok(part) => {
                let is_legal = |name: &[u8]| {
                    !name.is_empty()
                        && name.len() <= 255
                        && !name.iter().any(|byte| matches!(byte, b'/' | 0))
                        && name != b"."
                        && name != b".."
                };
                if !part.iter().all(|entry| is_legal(&entry.name)) {
                    return broken("it listed a name that no file can have");
                }
                entries.extend(part);
                if more {
                    self.transfers.insert(number, TransferState::Listing { entries, done });
                } else {
                    drop(done.send(Ok(entries)));
                }
            }
            Err(_) if more => return broken("it listed a refusal, and more to come"),
            Err(refusal) => drop(done.send(Err(refusal))),
        }
        Ok(())
    }
}

/// Answers the question that was asked first.
fn answer<T>(asked: &mut VecDeque<oneshot::Sender<T>>, answer: T) -> Result<(), AgentLoss> {
    match asked.pop_front() {
        Some(asked) => {
            // Whoever asked may not wait any more.
            drop(asked.send(answer));
            Ok(())
        }
        None => broken("it answered what nobody asked"),
    }
}

/// What the first report has to be.
pub(super) fn ready(report: Report<'_>) -> Result<Result<Abilities, Failure>, AgentLoss> {
    match report {
        Report::Ready(abilities) => Ok(Ok(abilities)),
        Report::Failed(failure) => Ok(Err(failure)),
        _ => broken("it began with something else"),
    }
}
