//! The suite's two ends of a range: what runs in it and makes arms on request, and what asks for them from outside.
//!
//! Invariant: what comes out of a range is the suite's own word, but sandboxes in it are weakened. A weakened guest could
//! put words into its mouth; so nothing from a range ever turns a property green by itself: that takes the protected arm.

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
    scenario: Scenario,
    /// The layers to leave off; `None` for a protected arm.
    without: Option<BTreeSet<Layer>>,
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
    while let Some(Request { scenario, without }) = receive::<Request>(&mut requests).await? {
        let result = match (without, &arms) {
            (None, _) => Some(arm::run(&scenario, protected, Arm::Protected, world).await),
            (Some(without), Some(arms)) => {
                let weakened = Subject::Weakened(Arc::clone(arms), without);
                Some(arm::run(&scenario, &weakened, Arm::Control, world).await)
            }
            (Some(_), None) => None,
        };
        tidy(world);
        send(&mut answers, &result).await?;
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
    pub async fn run(&mut self, scenario: &Scenario, without: Option<BTreeSet<Layer>>) -> Result<Option<ArmResult>> {
        let lost = |why: String| Error::new(ErrorKind::Infrastructure, "run an arm in the range", why);
        if let Some(why) = &self.broken {
            return Err(lost(why.clone()));
        }
        let request = Request { scenario: scenario.clone(), without };
        let exchange = async {
            send(&mut self.requests, &request).await?;
            receive::<Option<ArmResult>>(&mut self.answers).await
        };
        let answer = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(Some(answer))) => return Ok(answer),
            Ok(Ok(None)) => "the range ended".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the range didn't answer within {} seconds", PATIENCE.as_secs()),
        };
        self.broken = Some(answer.clone());
        Err(lost(answer))
    }
}

impl Range {
    /// Lets what serves in the range end by itself, which clears away what it made there.
    pub async fn close(self) {
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
