//! Runs one command in a sandbox until it ends or is ended, and leaves no process of it.
//!
//! Invariant: when [`run`] has returned without an error in `processes_ended`, every process of the guest is dead.
//!
//! It takes no part in making or destroying the sandbox, and doesn't judge: that is the verdict's.

use crate::journal::Journal;
use crate::monitor::{Meter, OnRefusal, Rate, Reached, watch};
use crate::patience::{DRAIN, LAST_WORD, SET_UP, TEAR_DOWN, within};
use crate::streams::{Ears, Kept, Stopped, feed, pump};
use crate::tripwire::{Armed, Tripwires};
use crate::verdict::Ending;
use crucible_core::{
    BehaviorKind, Command, Event, Execution, ExitStatus, Limits, Observation, Observer, Readiness, Result, Sandbox,
    Stream,
};
use std::collections::BTreeSet;
use std::pin::pin;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// What a command is run with.
pub(crate) struct Setting<'a> {
    pub(crate) sandbox: &'a dyn Sandbox,
    pub(crate) limits: &'a Limits,
    pub(crate) rate: Rate,
    pub(crate) journal: &'a Journal,
    pub(crate) tripwires: &'a Tripwires,
    pub(crate) armed: &'a mut Armed,
    pub(crate) observer: &'a mut dyn Observer,
    /// What ends the run at once.
    pub(crate) end_on: &'a BTreeSet<BehaviorKind>,
    pub(crate) cancel: &'a CancellationToken,
}

/// What was seen of a command from its start to the death of everything that it started.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) ending: Ending,
    pub(crate) main: Option<ExitStatus>,
    pub(crate) stdout: Kept,
    pub(crate) stderr: Kept,
    /// Whether every process is known to be dead.
    pub(crate) processes_ended: Result<()>,
    /// Until the main process ended or was ended.
    pub(crate) wall: Duration,
    /// Until nothing of it was left.
    pub(crate) exec: Duration,
    /// When it was asked to start.
    pub(crate) started: Instant,
    pub(crate) meter: Meter,
    /// What had stood ready for it.
    pub(crate) readiness: Readiness,
}

/// Runs a command.
///
/// # Errors
/// What the backend said when it could not start the command.
pub(crate) async fn run(
    setting: Setting<'_>,
    command: Command,
    stdin: Option<Box<dyn AsyncRead + Send + Unpin>>,
) -> Result<Ran> {
    let Setting { sandbox, limits, rate, journal, tripwires, armed, observer, end_on, cancel } = setting;
    let ears = Ears { journal, tripwires };
    let started = Instant::now();
    let execution = within(SET_UP, "start the command", sandbox.exec(command)).await?;
    journal.record(Event::CommandStarted);

    let Execution { stdin: guest_stdin, stdout: mut stdout_reader, stderr: mut stderr_reader, mut process, readiness } =
        execution;
    let (mut stdout, mut stderr) = (Kept::default(), Kept::default());
    let (closing, dead) = (CancellationToken::new(), CancellationToken::new());
    let meter = Meter::new(started);
    let on_refusal = if end_on.contains(&BehaviorKind::LimitReached) { OnRefusal::Tell } else { OnRefusal::GoOn };
    let cap = limits.output.as_usize();

    let (ending, wall, processes_ended) = {
        let mut read_stdout = pin!(pump(Stream::Stdout, &mut stdout_reader, cap, &mut stdout, ears, &closing));
        let mut read_stderr = pin!(pump(Stream::Stderr, &mut stderr_reader, cap, &mut stderr, ears, &closing));
        let (mut stdout_stopped, mut stderr_stopped) = (false, false);
        let ending = {
            let mut give_stdin = pin!(async move {
                match stdin {
                    Some(source) => feed(source, guest_stdin).await,
                    None => drop(guest_stdin),
                }
            });
            let mut given = false;
            let mut watching = pin!(watch(sandbox, limits.cpu_time.get(), rate, on_refusal, (&meter, journal)));
            let mut touched = pin!(tripwires.until_touched(armed));
            let mut clock = pin!(sleep_until(started + limits.timeout.get()));
            loop {
                tokio::select! {
                    biased;
                    status = process.wait() => break status.map_or_else(Ending::Failed, Ending::ByItself),
                    () = cancel.cancelled() => break Ending::Cancelled,
                    () = &mut clock => break Ending::TimedOut,
                    stopped = &mut read_stdout, if !stdout_stopped => {
                        stdout_stopped = true;
                        if stopped == Stopped::AtLimit {
                            break Ending::OutputLimit;
                        }
                    }
                    stopped = &mut read_stderr, if !stderr_stopped => {
                        stderr_stopped = true;
                        if stopped == Stopped::AtLimit {
                            break Ending::OutputLimit;
                        }
                    }
                    () = &mut give_stdin, if !given => given = true,
                    reached = &mut watching => break match reached {
                        Ok(Reached::CpuLimit) => Ending::CpuLimit,
                        Ok(Reached::Refused(limit)) => {
                            Ending::Forbidden { kind: BehaviorKind::LimitReached, name: limit.as_str().to_owned() }
                        }
                        Err(error) => Ending::Failed(error),
                    },
                    name = &mut touched, if end_on.contains(&BehaviorKind::TripwireTouched) => {
                        break Ending::Forbidden { kind: BehaviorKind::TripwireTouched, name: name.to_owned() };
                    }
                    seen = observer.next() => {
                        let Observation { kind, name, source, .. } = seen;
                        journal.record(Event::BehaviorSeen { kind, name: name.clone(), source });
                        if end_on.contains(&kind) {
                            break Ending::Forbidden { kind, name };
                        }
                    }
                }
            }
        };
        let wall = started.elapsed();
        closing.cancel();

        // Reading goes on while the processes are ended: one that is stuck writing must not hold that up. What they left in
        // the pipes is finite; only a backend that keeps a pipe open beyond the last process makes the wait below run out.
        let end = async {
            let ended = within(TEAR_DOWN, "end the processes", sandbox.end_processes()).await;
            dead.cancel();
            ended
        };
        let drain = async {
            let rest = async {
                tokio::join!(
                    async {
                        if !stdout_stopped {
                            read_stdout.await;
                        }
                    },
                    async {
                        if !stderr_stopped {
                            read_stderr.await;
                        }
                    },
                );
            };
            let enough = async {
                dead.cancelled().await;
                sleep(DRAIN).await;
            };
            tokio::select! {
                biased;
                () = rest => {}
                () = enough => {}
            }
        };
        let (processes_ended, ()) = tokio::join!(end, drain);
        (ending, wall, processes_ended)
    };
    let main = match &ending {
        Ending::ByItself(status) => Some(*status),
        _ => timeout(LAST_WORD, process.wait()).await.ok().and_then(Result::ok),
    };
    let exec = started.elapsed();
    Ok(Ran { ending, main, stdout, stderr, processes_ended, wall, exec, started, meter, readiness })
}
