//! The client: greets the agent, has two tasks write and read the line, and asks for things.

use super::door::Door;
use super::error::{AgentError, AgentLoss};
use super::files::{FileReader, FileWriter, Putter};
use super::state::{self, MOST_OPEN, State, TransferState};
use super::streams::{Input, Output};
use crate::protocol::frame::{self, Receiver};
use crate::protocol::{
    Abilities, Beginning, Command, Ended, Entry, MOST_FROM_AGENT, MOST_TO_AGENT, OutputStream, Placed, Recipients,
    Report, Request, TerminalSize, Usage, preamble,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// What the client, its streams and its tasks share.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Bounded by what callers hold: the window of each command's input, a few pieces of each file, one question each.
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    lost: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a request on its way.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<(), AgentError> {
        let frame = frame::encode(request, MOST_TO_AGENT).ok_or(AgentError::TooLong)?;
        self.outgoing.send(frame).map_err(|_| self.lost())
    }

    /// Sends a question while no other can come between it and the place for its answer.
    fn ask(&self, request: &Request<'_>, expect: impl FnOnce(&mut State)) -> Result<(), AgentError> {
        let frame = frame::encode(request, MOST_TO_AGENT).ok_or(AgentError::TooLong)?;
        let mut state = self.state();
        if let Some(loss) = &state.loss {
            return Err(loss.clone().into());
        }
        expect(&mut state);
        self.outgoing.send(frame).map_err(|_| AgentLoss::Ended.into())
    }

    fn lose(&self, loss: AgentLoss) {
        self.state().lose(loss);
        // Nobody may be waiting for it.
        self.lost.send_replace(true);
    }

    /// The state, if there is room in it for one more of what is counted.
    pub(super) fn open(&self, open: impl Fn(&State) -> usize) -> Result<MutexGuard<'_, State>, AgentError> {
        let state = self.living()?;
        if open(&state) >= MOST_OPEN {
            return Err(AgentError::TooMany(MOST_OPEN));
        }
        Ok(state)
    }

    /// The state, unless the agent is lost.
    pub(super) fn living(&self) -> Result<MutexGuard<'_, State>, AgentError> {
        let state = self.state();
        match &state.loss {
            Some(loss) => Err(loss.clone().into()),
            None => Ok(state),
        }
    }

    /// Returns when the agent is lost. Cancel-safe.
    pub(super) async fn until_lost(&self) {
        // An error says that nobody could tell any more.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await.is_ok();
    }

    /// Why what was waited for will never come.
    pub(super) fn lost(&self) -> AgentError {
        self.state().loss.clone().unwrap_or(AgentLoss::Ended).into()
    }
}

/// An agent, and everything that it can be asked for. Dropping it cuts the line, upon which the agent kills everything.
pub struct AgentClient {
    shared: Arc<Shared>,
    abilities: Abilities,
    tasks: [JoinHandle<()>; 2],
}

/// A command that was started.
pub struct Running {
    /// Its standard input. Dropping it ends it.
    pub input: Input,
    /// Its standard output, or what comes from its terminal. Hostile bytes. Dropping it breaks it.
    pub out: Output,
    /// Its standard error.
    pub error: Output,
    /// Its end.
    pub ending: Ending,
    /// What can be done to it while it runs, and after.
    pub control: CommandControl,
}

/// The end of a command's own process.
pub struct Ending {
    ended: oneshot::Receiver<Ended>,
    known: Option<Option<Ended>>,
}

impl Ending {
    /// Waits for it; `None` where the agent was lost before. Cancel-safe.
    pub async fn wait(&mut self) -> Option<Ended> {
        if let Some(known) = self.known {
            return known;
        }
        let ended = (&mut self.ended).await.ok();
        self.known = Some(ended);
        ended
    }

    /// Whether it has come, or never will be told, as far as was heard by now.
    pub fn has_come(&mut self) -> bool {
        if self.known.is_none() {
            self.known = match self.ended.try_recv() {
                Ok(ended) => Some(Some(ended)),
                Err(oneshot::error::TryRecvError::Closed) => Some(None),
                Err(oneshot::error::TryRecvError::Empty) => None,
            };
        }
        self.known.is_some()
    }
}

/// What can be done to a command.
#[derive(Clone)]
pub struct CommandControl {
    shared: Arc<Shared>,
    number: u32,
}

impl CommandControl {
    /// Sends a signal. One that kills a whole tree returns when all of it is dead. A command that has ended may have left
    /// processes, which are its tree.
    ///
    /// # Errors
    /// `NotSignalled` where there is nobody to get it; `Lost`.
    pub async fn signal(&self, signal: i32, recipients: Recipients) -> Result<(), AgentError> {
        let (sent, is_sent) = oneshot::channel();
        let request = Request::Signal { number: self.number, signal, recipients };
        self.shared.ask(&request, |state| state.signalled.push_back(sent))?;
        match is_sent.await {
            Ok(None) => Ok(()),
            Ok(Some(errno)) => Err(AgentError::NotSignalled(errno)),
            Err(_) => Err(self.shared.lost()),
        }
    }

    /// Sends a signal to its process group, without waiting for what becomes of it.
    pub(super) fn send(&self, signal: i32) -> Result<(), AgentError> {
        let request = Request::Signal { number: self.number, signal, recipients: Recipients::Group };
        let (sent, _) = oneshot::channel();
        self.shared.ask(&request, |state| state.signalled.push_back(sent))
    }

    /// Gives its terminal another size. Nothing happens without one.
    ///
    /// # Errors
    /// `Lost`.
    pub fn resize(&self, size: TerminalSize) -> Result<(), AgentError> {
        self.shared.send(&Request::Resize { number: self.number, size })
    }
}

impl AgentClient {
    /// As [`AgentClient::connect_with`], with nothing to prepare. Files may be read and written in `folders`.
    ///
    /// # Errors
    /// As there.
    pub async fn connect(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        folders: &[&str],
    ) -> Result<Self, AgentError> {
        let folders = folders.iter().map(|folder| (*folder).to_owned()).collect();
        Self::connect_with(reader, writer, Beginning { folders, ..Beginning::default() }).await
    }

    /// Greets the agent at the other end and begins. Needs a running tokio runtime. It waits for the agent as long as the
    /// caller does.
    ///
    /// # Errors
    /// `Stranger` or `OtherVersion` where something else is there; `Failed` where the agent can't begin; `Lost`, `Line`.
    pub async fn connect_with(
        mut reader: impl AsyncRead + Send + Unpin + 'static,
        mut writer: impl AsyncWrite + Send + Unpin + 'static,
        beginning: Beginning,
    ) -> Result<Self, AgentError> {
        let mut theirs = [0; preamble::LENGTH];
        let greeting = async {
            writer.write_all(&preamble::ours()).await?;
            writer.flush().await
        };
        let hearing = hear(&mut reader, &mut theirs);
        let (greeted, heard) = tokio::join!(greeting, hearing);
        // What it said tells more than that the line broke.
        let heard = heard?;
        if heard < theirs.len() {
            return Err(match theirs.get(..heard) {
                Some(said) if !said.is_empty() => AgentError::of_stranger(preamble::Stranger::Unknown, said),
                _ => AgentLoss::Ended.into(),
            });
        }
        preamble::check(&theirs).map_err(|stranger| AgentError::of_stranger(stranger, &theirs))?;
        greeted.map_err(|_| AgentLoss::Ended)?;
        let (outgoing, to_write) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared { state: Mutex::default(), outgoing, lost: watch::Sender::new(false) });
        shared.send(&Request::Begin(beginning))?;
        let writing = tokio::spawn(write(writer, to_write));
        let (began, has_begun) = oneshot::channel();
        let reading = tokio::spawn(read(reader, Arc::clone(&shared), began));
        let mut client = Self { shared, abilities: Abilities::default(), tasks: [writing, reading] };
        client.abilities = match has_begun.await {
            Ok(Ok(abilities)) => abilities,
            Ok(Err(failure)) => return Err(AgentError::Failed(failure)),
            Err(_) => return Err(client.shared.lost()),
        };
        Ok(client)
    }

    /// What the agent can do where it is. Its own word.
    #[must_use]
    pub const fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// Why the agent is lost, if it is.
    #[must_use]
    pub fn loss(&self) -> Option<AgentLoss> {
        self.shared.state().loss.clone()
    }

    /// Returns when the agent is lost. Cancel-safe.
    pub async fn until_lost(&self) {
        self.shared.until_lost().await;
    }

    /// Starts a command.
    ///
    /// # Errors
    /// `NotStarted` where the agent can't; `TooLong`, `TooMany`, `Lost`.
    pub async fn start(&self, command: Command) -> Result<Running, AgentError> {
        let (number, started, ended) = {
            let mut state = self.shared.open(|state| state.commands.len())?;
            let number = state.next_number().ok_or(AgentError::TooMany(MOST_OPEN))?;
            let (started, ended) = state.expect_command(number);
            (number, started, ended)
        };
        if let Err(error) = self.shared.send(&Request::Start { number, command }) {
            self.shared.state().commands.remove(&number);
            return Err(error);
        }
        // Whoever gives up waiting drops these, upon which nobody holds the command's streams.
        let running = Running {
            input: Input::new(Arc::clone(&self.shared), number),
            out: Output::new(Arc::clone(&self.shared), number, OutputStream::Out),
            error: Output::new(Arc::clone(&self.shared), number, OutputStream::Error),
            ending: Ending { ended, known: None },
            control: CommandControl { shared: Arc::clone(&self.shared), number },
        };
        match started.await {
            Ok(Ok(())) => Ok(running),
            Ok(Err(failure)) => Err(AgentError::NotStarted(failure)),
            Err(_) => Err(self.shared.lost()),
        }
    }

    /// What comes in at the socket on which the agent was asked to listen ([`Beginning::listen`]). To be called once: the agent
    /// listens until the door is dropped.
    #[must_use]
    pub fn door(&self) -> Door {
        Door::new(Arc::clone(&self.shared))
    }

    /// Begins a file, with the folders above it, replacing one that is there.
    ///
    /// # Errors
    /// `TooMany`, `Lost`. What the agent refuses is told by the writer.
    pub fn create_file(&self, path: &str, mode: u32) -> Result<FileWriter, AgentError> {
        let (results, answers) = mpsc::unbounded_channel();
        let number = self.open_transfer(TransferState::Writing { outstanding: 0, results })?;
        FileWriter::new(Arc::clone(&self.shared), number, answers).begin(path, mode)
    }

    /// Puts things in place, parents before children, in folders in which nobody else has been yet.
    ///
    /// # Errors
    /// `Refused`, `TooLong`, `TooMany`, `Lost`. Some of them may be there then.
    pub async fn put<'a>(&self, placed: impl Iterator<Item = Placed<'a>>) -> Result<(), AgentError> {
        let (results, answers) = mpsc::unbounded_channel();
        let number = self.open_transfer(TransferState::Writing { outstanding: 0, results })?;
        let mut putter = Putter::new(FileWriter::new(Arc::clone(&self.shared), number, answers));
        for placed in placed {
            putter.put(placed).await?;
        }
        putter.finish().await
    }

    /// Opens a regular file with one name for reading; never follows a link.
    ///
    /// # Errors
    /// `Refused`, `TooMany`, `Lost`.
    pub async fn open_file(&self, path: &str) -> Result<FileReader, AgentError> {
        let (opened, is_opened) = oneshot::channel();
        let number = self.open_transfer(TransferState::Opening(opened))?;
        // Closes the file should the caller not wait for it.
        let mut reader = FileReader::new(Arc::clone(&self.shared), number);
        self.shared.send(&Request::OpenFile { number, path: path.to_owned() })?;
        match is_opened.await {
            Ok(Ok(size)) => {
                reader.size = size;
                Ok(reader)
            }
            Ok(Err(refusal)) => Err(AgentError::Refused(refusal)),
            Err(_) => Err(self.shared.lost()),
        }
    }

    /// Lists a folder, in no order.
    ///
    /// # Errors
    /// `Refused`, `TooMany`, `Lost`.
    pub async fn list(&self, path: &str) -> Result<Vec<Entry>, AgentError> {
        let (done, is_done) = oneshot::channel();
        let number = self.open_transfer(TransferState::Listing { entries: Vec::new(), done })?;
        self.shared.send(&Request::List { number, path: path.to_owned() })?;
        match is_done.await {
            Ok(listed) => listed.map_err(AgentError::Refused),
            Err(_) => Err(self.shared.lost()),
        }
    }

    /// Kills every process but the agent and returns when all are dead.
    ///
    /// # Errors
    /// `Lost`.
    pub async fn end_processes(&self) -> Result<(), AgentError> {
        let (ended, all_ended) = oneshot::channel();
        self.shared.ask(&Request::EndProcesses, |state| state.all_ended.push_back(ended))?;
        all_ended.await.map_err(|_| self.shared.lost())
    }

    /// What is used inside, by the agent's word alone.
    ///
    /// # Errors
    /// `Lost`.
    pub async fn usage(&self) -> Result<Usage, AgentError> {
        let (told, is_told) = oneshot::channel();
        self.shared.ask(&Request::Usage, |state| state.usages.push_back(told))?;
        is_told.await.map_err(|_| self.shared.lost())
    }

    /// Asks the agent to kill everything and to end, and doesn't wait for it.
    pub fn shut_down(&self) {
        // One that is lost has ended already.
        let _ = self.shared.send(&Request::ShutDown).is_ok();
    }

    fn open_transfer(&self, transfer: TransferState) -> Result<u32, AgentError> {
        let mut state = self.shared.open(|state| state.transfers.len())?;
        let number = state.next_number().ok_or(AgentError::TooMany(MOST_OPEN))?;
        state.transfers.insert(number, transfer);
        Ok(number)
    }
}

impl Drop for AgentClient {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        self.shared.lose(AgentLoss::Ended);
    }
}

/// Reads as much of a preamble as there is.
async fn hear(reader: &mut (impl AsyncRead + Unpin), room: &mut [u8]) -> std::io::Result<usize> {
    let mut heard = 0;
    while let Some(rest) = room.get_mut(heard..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest).await? {
            0 => break,
            count => heard += count,
        }
    }
    Ok(heard)
}

/// Writes what is to be written, as much at a time as there is.
async fn write(mut writer: impl AsyncWrite + Unpin, mut outgoing: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(frame) = outgoing.recv().await {
        // A line that can't be written to is found out by reading from it.
        if writer.write_all(&frame).await.is_err() {
            return;
        }
        if outgoing.is_empty() && writer.flush().await.is_err() {
            return;
        }
    }
}

/// Reads reports until the line ends or the agent breaks its word.
async fn read(
    mut reader: impl AsyncRead + Unpin,
    shared: Arc<Shared>,
    began: oneshot::Sender<Result<Abilities, crate::protocol::Failure>>,
) {
    let loss = match read_reports(&mut reader, &shared, began).await {
        Ok(()) => AgentLoss::Ended,
        Err(loss) => loss,
    };
    shared.lose(loss);
}

async fn read_reports(
    reader: &mut (impl AsyncRead + Unpin),
    shared: &Shared,
    began: oneshot::Sender<Result<Abilities, crate::protocol::Failure>>,
) -> Result<(), AgentLoss> {
    let mut receiver = Receiver::new(MOST_FROM_AGENT);
    let mut began = Some(began);
    loop {
        while let Some(report) = receiver.next::<Report<'_>>()? {
            match began.take() {
                // Nobody may be waiting any more.
                Some(began) => drop(began.send(state::ready(report)?)),
                None => shared.state().take(report)?,
            }
        }
        match reader.read(receiver.room()).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(count) => receiver.filled(count),
        }
    }
}
