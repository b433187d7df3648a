//! The suite's two ends of a range: what runs in it and makes arms on request, and what asks for them from outside.
//!
//! Invariant: there are two ranges. In one run sandboxes as they are used and nothing else, in the other weakened ones, whose
//! guests could put words into the mouth of what serves them. So what a weakened guest says or does never stands for a
//! protected arm. Every answer names its request by a random word.

use crate::arm::{self, World};
use crate::scenario::{Arm, Scenario};
use crate::subject::Subject;
use crucible_core::{ArmResult, ControlArms, Error, ErrorKind, Execution, Layer, Layers, Result};
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
/// How much of what it says beside its answers is kept, for when it doesn't start.
const MOST_SAID: u64 = 4096;
/// How long what serves in a range may take to end.
const CLOSING: Duration = Duration::from_secs(5);
/// Folders that arms without a mount namespace share, and leave things in.
const SHARED: [&str; 3] = ["/work", "/tmp", "/dev/shm"];

/// The first thing that is said from inside.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Hello {
    /// The layers that the backend has there.
    layers: BTreeSet<Layer>,
}

/// The answer to a request.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Answer {
    /// The request's word.
    word: String,
    /// How the probe fared; `None` where nothing can be weakened.
    result: Option<ArmResult>,
}

/// Asks for an arm.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Request {
    /// A random word, to know the answer by.
    word: String,
    scenario: Scenario,
    /// The layers to leave off; `None` for a protected arm.
    without: Option<BTreeSet<Layer>>,
}

/// Serves requests in a range until there are no more. Without a protected subject there are control arms alone.
///
/// # Errors
/// `InvalidInput` for a request that can't be read, `Io` where nobody listens any more.
pub async fn serve(
    world: &World,
    protected: Option<&Subject>,
    arms: Option<Arc<dyn ControlArms>>,
    layers: &Layers,
    requests: impl AsyncRead + Unpin,
    mut answers: impl AsyncWrite + Unpin,
) -> Result<()> {
    let mut requests = BufReader::new(requests);
    send(&mut answers, &Hello { layers: active(layers) }).await?;
    while let Some(Request { word, scenario, without }) = receive::<Request>(&mut requests).await? {
        let result = match (without, &arms) {
            (None, _) => match protected {
                Some(protected) => Some(arm::run(&scenario, protected, Arm::Protected, world).await),
                None => None,
            },
            (Some(without), Some(arms)) => {
                let weakened = Subject::Weakened(Arc::clone(arms), without);
                Some(arm::run(&scenario, &weakened, Arm::Control, world).await)
            }
            (Some(_), None) => None,
        };
        tidy(world);
        send(&mut answers, &Answer { word, result }).await?;
    }
    Ok(())
}

/// Removes what an arm left in folders that the next one would find it in.
fn tidy(world: &World) {
    let _named = rustix::system::sethostname(b"crucible-range").is_ok();
    for folder in SHARED.map(std::path::Path::new).into_iter().chain([world.site.base()]) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            // What can't be removed is in nobody's way but the next arm's, which will say so.
            let _removed = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path)).is_ok();
        }
    }
}

/// The layers that are in force.
pub(crate) fn active(layers: &Layers) -> BTreeSet<Layer> {
    layers.iter().filter(|(_, state)| state.is_active()).map(|(layer, _)| *layer).collect()
}

/// The ranges of a suite.
pub struct Ranges {
    /// For sandboxes as they are used.
    protected: Range,
    /// For weakened ones.
    control: Range,
}

impl TryFrom<Vec<Range>> for Ranges {
    type Error = Error;

    fn try_from(ranges: Vec<Range>) -> Result<Self> {
        match <[Range; 2]>::try_from(ranges) {
            Ok([protected, control]) => Ok(Self { protected, control }),
            Err(_) => Err(Error::new(ErrorKind::Infrastructure, "open the ranges", "the suite needs two")),
        }
    }
}

impl Ranges {
    /// Has a scenario tried in a sandbox as it is used.
    pub(crate) async fn protected(&mut self, scenario: &Scenario) -> Result<Option<ArmResult>> {
        self.protected.run(scenario, None).await
    }

    /// Has a scenario tried in a weakened sandbox.
    pub(crate) async fn control(&mut self, scenario: &Scenario, without: BTreeSet<Layer>) -> Result<Option<ArmResult>> {
        self.control.run(scenario, Some(without)).await
    }

    /// The layers that the backend has where its protected arms run.
    pub(crate) const fn layers(&self) -> &BTreeSet<Layer> {
        &self.protected.layers
    }

    /// Lets what serves in the ranges end by itself, which clears away what it made there.
    pub async fn close(self) {
        self.protected.close().await;
        self.control.close().await;
    }
}

/// A range with the suite's other end in it.
pub struct Range {
    layers: BTreeSet<Layer>,
    requests: Box<dyn AsyncWrite + Send + Unpin>,
    answers: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    /// Why it is of no use any more.
    broken: Option<String>,
}

impl Range {
    /// Takes what was started in a range, and serves there with [`serve`].
    ///
    /// # Errors
    /// `Infrastructure` where it doesn't say hello.
    pub async fn open(execution: Execution) -> Result<Self> {
        let Execution { stdin, stdout, mut stderr, .. } = execution;
        let said = tokio::spawn(async move {
            let mut said = Vec::new();
            let _read = (&mut stderr).take(MOST_SAID).read_to_end(&mut said).await.is_ok();
            // Nobody reads on: a weakened guest may write here, too.
            tokio::spawn(async move { tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await.is_ok() });
            said
        });
        let mut answers = BufReader::new(stdout);
        let hello = tokio::time::timeout(PATIENCE, receive::<Hello>(&mut answers)).await;
        match hello {
            Ok(Ok(Some(Hello { layers }))) => Ok(Self { layers, requests: stdin, answers, broken: None }),
            _ => {
                let said = tokio::time::timeout(CLOSING, said).await.ok().and_then(std::result::Result::ok);
                let said = said.unwrap_or_default();
                let why: String =
                    String::from_utf8_lossy(&said).chars().filter(|c| !c.is_control()).take(400).collect();
                let message = format!("what serves in the range didn't start: {why}");
                Err(Error::new(ErrorKind::Infrastructure, "open a range", message))
            }
        }
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
        let word = crate::nonce().map_err(|error| lost(error.to_string()))?;
        let request = Request { word: word.clone(), scenario: scenario.clone(), without };
        let exchange = async {
            send(&mut self.requests, &request).await?;
            receive::<Answer>(&mut self.answers).await
        };
        let answer = match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(Ok(Some(answer))) if answer.word == word => return Ok(answer.result),
            Ok(Ok(Some(_))) => "an answer came that nobody asked for".to_owned(),
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
