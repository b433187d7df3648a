//! What is said between the supervisor and a sandbox's init, and what that tells of the init.
//!
//! Invariant: an answer reaches whoever asked, also where an earlier asker went away half-way; and an init that says what it
//! never would by itself is noted for good.

use super::super::JailError;
use super::super::socket::MessageSocket;
use crate::plan::{Ended, InitMessage, InitRequest};
use crate::socket::MessageError;
use std::collections::BTreeMap;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard as AsyncMutexGuard, mpsc, oneshot};

/// What an init says, with the descriptors that came along.
pub(super) type Said = (InitMessage, Vec<OwnedFd>);

type Waiting = BTreeMap<u32, oneshot::Sender<Ended>>;

/// The conversation with one init.
pub(super) struct Conversation {
    socket: MessageSocket,
    /// Those who wait for the end of a command.
    waiting: Mutex<Waiting>,
    /// Whether the init is known to be the only process.
    alone: AtomicBool,
    answers: AsyncMutex<Answers>,
    /// It said what it never would by itself.
    broke_its_word: AtomicBool,
    /// It doesn't talk any more. It may take the kernel a moment from here until the process has ended.
    hung_up: AtomicBool,
}

/// Answers as they come.
pub(super) struct Answers {
    channel: mpsc::Receiver<Said>,
    /// Whether an answer is still to come, also to a request that its asker abandoned half-way: it comes before all others.
    owed: bool,
}

impl Answers {
    /// The next answer, or the next part of one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Said, JailError> {
        let answer = self.channel.recv().await.ok_or(JailError::SandboxLost)?;
        self.owed = matches!(answer.0, InitMessage::Listing { more: true, .. });
        Ok(answer)
    }
}

impl Conversation {
    /// With an init that is ready. Whoever reads its messages hands the answers on by the sender.
    pub(super) fn new(socket: MessageSocket) -> (Arc<Self>, mpsc::Sender<Said>) {
        // One place only: an init that says more than it was asked is left standing with it.
        let (sender, channel) = mpsc::channel(1);
        let conversation = Arc::new(Self {
            socket,
            waiting: Mutex::default(),
            alone: AtomicBool::new(true),
            answers: AsyncMutex::new(Answers { channel, owed: false }),
            broke_its_word: AtomicBool::new(false),
            hung_up: AtomicBool::new(false),
        });
        (conversation, sender)
    }

    /// The right to ask, until the answer has come.
    pub(super) async fn floor(&self) -> AsyncMutexGuard<'_, Answers> {
        self.answers.lock().await
    }

    /// Asks, and gives the answer or the first part of it.
    pub(super) async fn ask(&self, answers: &mut Answers, request: &InitRequest) -> Result<Said, JailError> {
        self.ask_with(answers, request, &[]).await
    }

    /// The same, with descriptors.
    pub(super) async fn ask_with(
        &self,
        answers: &mut Answers,
        request: &InitRequest,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Said, JailError> {
        while answers.owed {
            drop(answers.next().await?);
        }
        self.tell(request, descriptors).await?;
        answers.owed = true;
        answers.next().await
    }

    /// Sends a request to which no answer comes.
    pub(super) async fn tell(&self, request: &InitRequest, descriptors: &[BorrowedFd<'_>]) -> Result<(), JailError> {
        self.socket.send(request, descriptors).await.map_err(lost)
    }

    /// Asks for something that is done or refused.
    pub(super) async fn request(&self, request: &InitRequest, operation: &'static str) -> Result<(), JailError> {
        let mut answers = self.floor().await;
        match self.ask(&mut answers, request).await?.0 {
            InitMessage::Done => Ok(()),
            InitMessage::Refused(refusal) => Err(JailError::Refused(refusal)),
            _ => Err(self.caught_lying(operation)),
        }
    }

    /// Notes a command that is about to be started, and gives what will tell of its end.
    pub(super) fn expect(&self, command: u32) -> oneshot::Receiver<Ended> {
        let (sender, ended) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.insert(command, sender);
        self.alone.store(false, Ordering::Release);
        ended
    }

    /// The command was never started.
    pub(super) fn expect_no_more(&self, command: u32) {
        self.waiting().remove(&command);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the init is known to be the only process.
    pub(super) fn is_alone(&self) -> bool {
        self.alone.load(Ordering::Acquire)
    }

    /// Notes that the init gave an answer that it never would by itself.
    pub(super) fn caught_lying(&self, operation: &'static str) -> JailError {
        self.broke_its_word.store(true, Ordering::Release);
        JailError::Protocol(operation)
    }

    pub(super) fn broke_its_word(&self) -> bool {
        self.broke_its_word.load(Ordering::Acquire)
    }

    pub(super) fn has_hung_up(&self) -> bool {
        self.hung_up.load(Ordering::Acquire)
    }

    pub(super) fn shut_down(&self) {
        self.socket.shut_down();
    }

    /// Hands messages to those who wait for them, until the sandbox is gone or talks nonsense.
    pub(super) async fn listen(self: Arc<Self>, answers: mpsc::Sender<Said>) {
        loop {
            let (message, descriptors) = match self.socket.receive::<InitMessage>().await {
                Ok(received) => received,
                Err(MessageError::Malformed) => {
                    self.broke_its_word.store(true, Ordering::Release);
                    break;
                }
                Err(MessageError::Closed | MessageError::Os(_)) => break,
            };
            match message {
                InitMessage::Ended { number, status, alone: is_alone } => {
                    let mut waiting = self.waiting();
                    // Another command may have been asked for meanwhile.
                    let sender = waiting.remove(&number);
                    self.alone.store(is_alone && waiting.is_empty(), Ordering::Release);
                    drop(waiting);
                    if let Some(sender) = sender {
                        // The one who waited may have gone away.
                        let _told = sender.send(status).is_ok();
                    }
                }
                other => {
                    if answers.send((other, descriptors)).await.is_err() {
                        break;
                    }
                }
            }
        }
        self.hung_up.store(true, Ordering::Release);
        self.waiting().clear();
    }
}

fn lost(error: MessageError) -> JailError {
    match error {
        MessageError::Closed => JailError::SandboxLost,
        MessageError::Os(errno) => JailError::os("talk to the sandbox")(errno),
        MessageError::Malformed => JailError::Protocol("talk to the sandbox"),
    }
}
