//! Runs a command in a sandbox that is open, with our own streams or our own terminal.

use super::raw::{self, RawTerminal};
use super::{Open, Whose};
use crate::arguments::{CommandFlags, Controls, Interactive, SandboxExecArguments, SandboxShellArguments};
use crate::command::{input, runtime};
use crate::exit::Exit;
use crate::output::{self, LiveOutput};
use crate::signals::Signals;
use crucible_api::client::{Conversation, Heard, Listener, Speaker};
use crucible_api::v1::{ExecEnded, ExecRequest, OutputStream, Status, TerminalSize};
use crucible_core::{Error, ErrorKind, EvaluationId, Event, EventSink, Result, Stream};
use std::collections::BTreeMap;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many bytes of our input are sent at a time.
const PIECE: usize = 32 << 10;
/// Ctrl-D, by which input ends on a terminal.
const END_OF_TRANSMISSION: u8 = 4;
/// Finds a shell inside.
const SHELL: &str = "command -v bash >/dev/null 2>&1 && exec bash; exec sh";

/// Runs a command.
///
/// # Errors
/// Crucible's own failures.
pub(super) fn exec(whose: &Whose, arguments: &SandboxExecArguments) -> Result<Exit> {
    let request = request(&arguments.flags, arguments.command.clone())?;
    perform(whose, &arguments.id, request, arguments.interactive(), arguments.controls())
}

/// Opens a shell.
///
/// # Errors
/// Crucible's own failures.
pub(super) fn shell(whose: &Whose, arguments: &SandboxShellArguments) -> Result<Exit> {
    let command = if arguments.command.is_empty() {
        ["sh", "-c", SHELL].map(str::to_owned).to_vec()
    } else {
        arguments.command.clone()
    };
    let mut request = request(&arguments.flags, command)?;
    if let Ok(term) = std::env::var("TERM") {
        request.env.entry("TERM".to_owned()).or_insert(term);
    }
    perform(whose, &arguments.id, request, Interactive::Yes, Controls::Passed)
}

fn request(flags: &CommandFlags, command: Vec<String>) -> Result<ExecRequest> {
    Ok(ExecRequest {
        command,
        env: input::environment(&BTreeMap::new(), &flags.env, |name| std::env::var_os(name))?,
        directory: flags.directory.as_ref().map(|directory| directory.as_str().to_owned()),
        user: flags.user.clone(),
        timeout: flags.timeout.map(|timeout| timeout.to_string()),
        ..ExecRequest::default()
    })
}

fn perform(
    whose: &Whose,
    id: &str,
    mut request: ExecRequest,
    interactive: Interactive,
    controls: Controls,
) -> Result<Exit> {
    let controls = match interactive {
        Interactive::Yes => {
            request.terminal = Some(raw::size().unwrap_or(TerminalSize { rows: 24, columns: 80 }));
            Controls::Passed
        }
        Interactive::No => controls,
    };
    let runtime = runtime()?;
    let done = runtime.block_on(async { converse(&whose.find(id).await?, request, interactive, controls).await });
    // A thread of the runtime may wait for standard input for ever.
    runtime.shutdown_background();
    let (done, failure) = done?;
    if let Some(failure) = failure {
        return output::unwritable(failure, "the command's output");
    }
    Ok(match done {
        Done::Ended(ended) => {
            if let Some(reason) = reason(&ended) {
                output::note(&reason, interactive == Interactive::Yes);
            }
            exit(&ended)
        }
        Done::Interrupted(signal) => Exit::Interrupted(signal),
    })
}

/// How it came to its end.
enum Done {
    Ended(ExecEnded),
    /// We were told to stop, twice.
    Interrupted(u8),
}

/// What is to be said to the command.
enum Say {
    Input(Vec<u8>),
    EndOfInput,
    Signal(u8),
    Resize(TerminalSize),
}

async fn converse(
    open: &Open,
    request: ExecRequest,
    interactive: Interactive,
    controls: Controls,
) -> Result<(Done, Option<std::io::Error>)> {
    let mut signals = Signals::listen()?;
    let mut resized = signal(SignalKind::window_change()).map_err(|error| {
        Error::new(ErrorKind::Unavailable, "listen for signals", "can't listen for signals").with_source(error)
    })?;
    let Conversation { speaker, mut listener } = open.client.exec(&open.id, request).await?;
    match listener.next().await? {
        Heard::Started => {}
        Heard::Output(..) | Heard::Ended(_) => return Err(out_of_turn()),
    }
    // From here on the keys are the command's. Put back at the end of this, whatever that is.
    let _terminal = match interactive {
        Interactive::Yes => RawTerminal::take()?,
        Interactive::No => None,
    };
    let gone = CancellationToken::new();
    let live = LiveOutput::new(controls, gone.clone())?;
    let (say, words) = mpsc::channel(4);
    let (urgent, urgent_words) = mpsc::channel(16);
    let speaking = tokio::spawn(speak(speaker, words, urgent_words));
    let typing = tokio::spawn(type_in(say, interactive));
    let mut told_to_stop = false;
    let done = loop {
        tokio::select! {
            biased;
            number = signals.next() => {
                // The first is for the command, which may deal with it as it likes.
                if told_to_stop || urgent.try_send(Say::Signal(number)).is_err() {
                    break Ok(Done::Interrupted(number));
                }
                told_to_stop = true;
            }
            _ = resized.recv(), if interactive == Interactive::Yes => {
                if let Some(size) = raw::size() {
                    // The next one tells it anyway.
                    let _ = urgent.try_send(Say::Resize(size));
                }
            }
            () = gone.cancelled() => break Ok(Done::Interrupted(crate::exit::SIGPIPE)),
            heard = hear(&mut listener, &live) => match heard {
                Ok(None) => {}
                Ok(Some(ended)) => break Ok(Done::Ended(ended)),
                Err(error) => break Err(error),
            }
        }
    };
    typing.abort();
    speaking.abort();
    let finished = live.finish().await;
    done.map(|done| (done, finished.failure))
}

fn out_of_turn() -> Error {
    Error::new(ErrorKind::Infrastructure, "talk with the command", "the service said something out of turn")
}

/// Hears the next thing, and writes it where it belongs.
async fn hear(listener: &mut Listener, live: &LiveOutput) -> Result<Option<ExecEnded>> {
    match listener.next().await? {
        Heard::Output(stream, bytes) => {
            let stream = match stream {
                OutputStream::Stdout => Stream::Stdout,
                OutputStream::Stderr => Stream::Stderr,
            };
            live.publish(EvaluationId::generate(), Event::OutputProduced { stream, bytes: bytes.to_vec() }).await;
            Ok(None)
        }
        Heard::Ended(ended) => Ok(Some(ended)),
        Heard::Started => Err(out_of_turn()),
    }
}

/// Says everything, the urgent first, until the conversation is over.
async fn speak(mut speaker: Speaker, mut words: mpsc::Receiver<Say>, mut urgent: mpsc::Receiver<Say>) {
    loop {
        let word = tokio::select! {
            biased;
            Some(word) = urgent.recv() => word,
            Some(word) = words.recv() => word,
            // Held on to: where it is dropped, the service takes us for gone.
            else => return std::future::pending().await,
        };
        let said = match word {
            Say::Input(bytes) => speaker.input(bytes).await,
            Say::EndOfInput => speaker.end_of_input().await,
            Say::Signal(number) => speaker.signal(number.to_string()).await,
            Say::Resize(size) => speaker.resize(size).await,
        };
        if said.is_err() {
            // The other side of the conversation says why.
            return std::future::pending().await;
        }
    }
}

/// Sends our standard input.
async fn type_in(say: mpsc::Sender<Say>, interactive: Interactive) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; PIECE];
    while let Ok(read @ 1..) = stdin.read(&mut buffer).await {
        let piece = buffer.get(..read).unwrap_or_default().to_vec();
        if say.send(Say::Input(piece)).await.is_err() {
            return;
        }
    }
    let last = match interactive {
        Interactive::Yes => Say::Input(vec![END_OF_TRANSMISSION]),
        Interactive::No => Say::EndOfInput,
    };
    let _ = say.send(last).await;
}

/// What a person should know of the end who can't see it otherwise.
fn reason(ended: &ExecEnded) -> Option<String> {
    let mut reason = match ended.status {
        Status::TimedOut => "the timeout ended the command".to_owned(),
        Status::OutOfMemory => "the sandbox's memory limit ended the command".to_owned(),
        Status::LimitExceeded => {
            format!("the limit {} ended the command", ended.limit.as_deref().unwrap_or("of the sandbox"))
        }
        Status::Denied => "the policy ended the sandbox for something that was done in it".to_owned(),
        Status::Cancelled => "the sandbox was ended, and the command with it".to_owned(),
        Status::Exited | Status::Signaled => return None,
    };
    if ended.others_ended {
        reason.push_str(", and everything else in the sandbox, because its backend can't tell them apart");
    }
    Some(reason)
}

/// What the command's end is for our caller.
fn exit(ended: &ExecEnded) -> Exit {
    match ended.status {
        Status::Exited => Exit::Program(ended.exit_code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)),
        Status::Signaled => {
            Exit::ProgramSignaled(ended.signal.and_then(|signal| u8::try_from(signal).ok()).unwrap_or(9))
        }
        Status::TimedOut => Exit::TimedOut,
        Status::OutOfMemory => Exit::OutOfMemory,
        Status::LimitExceeded => Exit::LimitExceeded,
        Status::Denied => Exit::Denied,
        Status::Cancelled => Exit::Failed(ErrorKind::Infrastructure),
    }
}
