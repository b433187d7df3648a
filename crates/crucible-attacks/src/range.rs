//! The suite's two ends of a range: what runs in it and makes arms on request, and what asks for them from outside.
//!
//! Invariant: what comes out of a range is the suite's own word, but where sandboxes in it are weakened, a guest could put
//! words into its mouth. So protected arms never run in a range in which anything was weakened, and every answer has to
//! name the request that it answers: one that doesn't ends the range's use.
//!
//! It can't keep the probe of a weakened arm, which may be root in there, from lying about that very arm: probes are the
//! suite's own. What it could gain is a control arm that seems to have reached its canary, and never more.

use crate::arm::{self, World};
use crate::scenario::{Arm, Scenario};
use crate::subject::Subject;
use crucible_core::{ArmResult, ControlArms, Error, ErrorKind, Execution, Layer, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The longest line from a range.
const LONGEST_LINE: u64 = 1 << 20;
/// How long an arm in a range may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long what serves in a range may take to end.
const CLOSING: Duration = Duration::from_secs(5);
/// Folders that arms without a mount namespace share, and leave things in.
const SHARED: [&str; 3] = ["/work", "/tmp", "/dev/shm"];

/// Asks for an arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Request {
    /// What nobody but who reads the request can answer it with.
    nonce: String,
    scenario: Scenario,
    /// The layers to leave off; `None` for a protected arm.
    without: Option<BTreeSet<Layer>>,
}

/// Answers a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    /// That of the request.
    nonce: String,
    /// `None` where the backend can't weaken anything.
    result: Option<ArmResult>,
}

/// Serves requests in a range until there are no more.
///
/// # Errors
/// `InvalidInput` for a request that can't be read, `Io` where nobody listens any more.
pub async fn serve(
    world: &World,
    protected: &Subject,
    arms: Option<Arc<dyn ControlArms>>,
    requests: impl AsyncRead + Unpin,
    mut answers: impl AsyncWrite + Unpin,
) -> Result<()> {
    let mut requests = BufReader::new(requests);
    while let Some(Request { nonce, scenario, without }) = receive::<Request>(&mut requests).await? {
        let result = match (without, &arms) {
            (None, _) => Some(arm::run(&scenario, protected, Arm::Protected, world).await),
            (Some(without), Some(arms)) => {
                let weakened = Subject::Weakened(Arc::clone(arms), without);
                Some(arm::run(&scenario, &weakened, Arm::Control, world).await)
            }
            (Some(_), None) => None,
        };
        tidy(world);
        send(&mut answers, &Answer { nonce, result }).await?;
    }
    Ok(())
}

/// Removes what an arm left in folders that the next one would find it in.
fn tidy(world: &World) {
    let _named = rustix::system::sethostname(b"crucible-range").is_ok();
    for folder in SHARED.map(std::path::Path::new).into_iter().chain([world.base.as_path()]) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // What can't be removed is in nobody's way but the next arm's, which will say so.
            let _removed = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path)).is_ok();
        }
    }
}

/// Where arms run that must not run on the node.
pub struct Ranges {
    /// For backends as they are used: nothing in it is ever weakened.
    pub protected: Range,
    /// For weakened sandboxes; none for a backend that can't weaken anything.
    pub weakened: Option<Range>,
}

impl Ranges {
    /// Has a protected arm run.
    ///
    /// # Errors
    /// As [`Range::run`].
    pub(crate) async fn run_protected(&mut self, scenario: &Scenario) -> Result<Option<ArmResult>> {
        self.protected.run(scenario, None).await
    }

    /// Has an arm run without some layers; `None` where nothing can be weakened.
    ///
    /// # Errors
    /// As [`Range::run`].
    pub(crate) async fn run_without(
        &mut self,
        scenario: &Scenario,
        layers: BTreeSet<Layer>,
    ) -> Result<Option<ArmResult>> {
        match &mut self.weakened {
            Some(range) => range.run(scenario, Some(layers)).await,
            None => Ok(None),
        }
    }

    /// Lets what serves in the ranges end by itself, which clears away what it made there.
    pub async fn close(self) {
        self.protected.close().await;
        if let Some(range) = self.weakened {
            range.close().await;
        }
    }
}

/// A range with the suite's other end in it.
pub struct Range {
    requests: Box<dyn AsyncWrite + Send + Unpin>,
    answers: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    /// Why it is of no use any more.
    broken: Option<String>,
}

impl Range {
    /// Takes what was started in a range, and serves there with [`serve`].
    #[must_use]
    pub fn new(execution: Execution) -> Self {
        let Execution { stdin, stdout, mut stderr, .. } = execution;
        tokio::spawn(async move {
            // What it says beside the answers is for whoever debugs it.
            let _said = tokio::io::copy(&mut stderr, &mut tokio::io::stderr()).await;
        });
        Self { requests: stdin, answers: BufReader::new(stdout), broken: None }
    }

    /// Has an arm run; `None` where the backend there can't weaken anything.
    ///
    /// # Errors
    /// `Infrastructure` where the range is lost, and from then on.
    async fn run(&mut self, scenario: &Scenario, without: Option<BTreeSet<Layer>>) -> Result<Option<ArmResult>> {
        let lost = |why: String| Error::new(ErrorKind::Infrastructure, "run an arm in the range", why);
        if let Some(why) = &self.broken {
            return Err(lost(why.clone()));
        }
        let nonce = crate::nonce().map_err(|error| lost(format!("no nonce can be made: {error}")))?;
        let request = Request { nonce, scenario: scenario.clone(), without };
        let exchange = async {
            send(&mut self.requests, &request).await?;
            receive::<Answer>(&mut self.answers).await
        };
        let answer = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(Some(Answer { nonce, result }))) if nonce == request.nonce => return Ok(result),
            Ok(Ok(Some(_))) => "the range answered what it wasn't asked".to_owned(),
            Ok(Ok(None)) => "the range ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the range didn't answer within {} seconds", PATIENCE.as_secs()),
        };
        self.broken = Some(answer.clone());
        Err(lost(answer))
    }
}

impl Range {
    async fn close(self) {
        drop(self.requests);
        let mut rest = Vec::new();
        let mut answers = self.answers.take(LONGEST_LINE);
        // What takes longer ends with the range.
        let _in_time = tokio::time::timeout(CLOSING, answers.read_to_end(&mut rest)).await.is_ok();
    }
}

async fn send(to: &mut (impl AsyncWrite + Unpin), message: &impl Serialize) -> Result<()> {
    let fail = |error| Error::new(ErrorKind::Io, "talk to the range", "the other end is gone").with_source(error);
    let mut line = serde_json::to_vec(message).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "talk to the range", "a message can't be written").with_source(error)
    })?;
    line.push(b'\n');
    to.write_all(&line).await.map_err(fail)?;
    to.flush().await.map_err(fail)
}

async fn receive<T: DeserializeOwned>(from: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<T>> {
    let mut line = Vec::new();
    let read = from.take(LONGEST_LINE).read_until(b'\n', &mut line).await;
    read.map_err(|error| {
        Error::new(ErrorKind::Io, "talk to the range", "the other end can't be read").with_source(error)
    })?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, "talk to the range", "a message can't be read").with_source(error)
    })
}
