//! Arms with an allow-list: whole evaluations, in which a probe goes for a server that the list doesn't name.
//!
//! Invariant: nothing is proven unless the server that the list names was reached, too. Of the probe's output only that it has
//! tried is taken.

use super::lost;
use crate::canary::Sight;
use crate::scenario::Arm;
use crucible_core::{Destination, EvaluationSpec, Evaluator, Host, NetworkPolicy, Policy, Result};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A name that stands for the loopback addresses, by IPv4 and IPv6, where the suite runs evaluations: as if somebody had made a
/// listed name stand for them. No name server is asked for it.
pub const OTHER_NAME: &str = "crucible-canary.invalid";

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs an evaluation whose allow-list names one server, which sends everybody on to another one. In the control arm the list
/// names that, too.
pub(super) async fn evaluate(
    mut spec: EvaluationSpec,
    nonce: &str,
    address: IpAddr,
    arm: Arm,
    evaluator: &dyn Evaluator,
) -> Result<Sight> {
    let serve =
        |elsewhere| async move { Server::open(address, elsewhere).await.map_err(|e| lost("serve a canary", e)) };
    let canary = serve(None).await?;
    let listed = serve(Some(canary.address)).await?;
    let at = |server: &Server| Destination { host: Host::Address(address), port: server.address.port() };
    let other = Destination { host: Host::Name(OTHER_NAME.to_owned()), port: canary.address.port() };
    let mut list = BTreeSet::from([at(&listed), other]);
    if arm == Arm::Control {
        list.insert(at(&canary));
    }
    spec.policy = Policy { network: NetworkPolicy::AllowList(list), ..spec.policy };
    let parameters = [
        ("ADDRESS", address.to_string()),
        ("PORT", canary.address.port().to_string()),
        ("LISTED", listed.address.port().to_string()),
        ("NAME", OTHER_NAME.to_owned()),
    ];
    spec.env.extend(parameters.map(|(name, value)| (format!("CANARY_{name}"), value)));
    let patience = spec.limits.timeout.get() + Duration::from_secs(2);
    let Ok(outcome) = tokio::time::timeout(patience, evaluator.evaluate(spec)).await else {
        return Ok(Sight::Unknown("it took too long".to_owned()));
    };
    let outcome = outcome?;
    let tried = format!("tried {nonce}");
    let has_tried = outcome.stdout.bytes.split(|byte| *byte == b'\n').any(|line| line == tried.as_bytes());
    Ok(match (canary.calls(), listed.calls(), has_tried) {
        (1.., _, _) => Sight::Reached("the server that isn't listed was reached".to_owned()),
        (0, 0, _) => Sight::Unknown("the server that is listed wasn't reached either".to_owned()),
        (0, _, false) => Sight::Unknown("the probe didn't say that it tried".to_owned()),
        (0, _, true) => Sight::Stopped("the listed server was reached, and the other one wasn't".to_owned()),
    })
}

/// A server of the suite's own for plain HTTP.
struct Server {
    address: SocketAddr,
    calls: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// One that sends everybody elsewhere, or has little to say.
    async fn open(address: IpAddr, elsewhere: Option<SocketAddr>) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0)).await?;
        let (address, calls) = (listener.local_addr()?, Arc::<AtomicUsize>::default());
        let answer = match elsewhere {
            Some(place) => format!("HTTP/1.1 302 Found\r\nLocation: http://{place}/\r\nContent-Length: 0\r\n\r\n"),
            None => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        let counted = Arc::clone(&calls);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                // One that says nothing is not to hold up the others for long.
                let _answered = tokio::time::timeout(PATIENCE, attend(stream, &answer)).await.is_ok();
            }
        });
        Ok(Self { address, calls, task })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

/// Hears something, answers and hangs up.
async fn attend(mut stream: TcpStream, answer: &str) -> io::Result<()> {
    let _heard = stream.read(&mut [0; 4096]).await?;
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
