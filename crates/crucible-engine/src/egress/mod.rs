//! The only way out of a sandbox whose policy has an allow-list: a proxy on the host.
//!
//! Invariant: a connection is made to an address that the host chose by itself for a destination that stands on the list, and
//! to nothing else. A name is looked up once in a run, so that it can't come to mean something else later; an address that
//! isn't public, or is this machine's, is only gone to where the list names the address itself. Every attempt is told.
//!
//! What is said on a connection isn't looked at: whoever is let out to a host is let out to all that this host passes on.

mod address;
mod outside;
mod request;
mod told;

pub use address::is_public;
pub use outside::{Internet, Outside};
pub(crate) use told::Observing;

use crucible_core::{BehaviorKind, Connection, Destination, Door, Host, NetworkPolicy, Result, Sandbox};
use request::{Request, Wanted};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, copy_bidirectional};
use tokio::sync::{Mutex, Semaphore};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;
use told::Told;

/// Connections at one time; more wait.
const MOST_CONNECTIONS: usize = 64;
/// How long a guest may take to say where it wants to go.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long finding and reaching a destination may take.
const REACHING: Duration = Duration::from_secs(30);

/// Variables by which programs find a proxy.
const VARIABLES: [&str; 4] = ["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"];

/// A proxy at work. Dropping it ends it, with every connection.
pub(crate) struct Egress {
    told: Arc<Told>,
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Egress {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the connections of one run share.
struct Proxy {
    allowed: BTreeSet<Destination>,
    outside: Arc<dyn Outside>,
    told: Arc<Told>,
    /// What each name was found to mean. Held while one is looked up, so that it is only once.
    pinned: Mutex<BTreeMap<String, Vec<IpAddr>>>,
}

/// Why somebody isn't let out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NotListed,
    NotPublic,
    Unknown,
    Unreachable,
}

impl Refusal {
    const fn words(self) -> &'static str {
        match self {
            Self::NotListed => "isn't on the allow-list",
            Self::NotPublic => "stands for an address that isn't public, which the allow-list doesn't name",
            Self::Unknown => "isn't known",
            Self::Unreachable => "can't be reached",
        }
    }
}

impl Egress {
    /// Opens the way out that a policy has. Needs a running tokio runtime.
    ///
    /// # Errors
    /// What the sandbox says where it has none.
    pub(crate) fn open(
        policy: &NetworkPolicy,
        sandbox: &dyn Sandbox,
        outside: &Arc<dyn Outside>,
    ) -> Result<Option<Self>> {
        let NetworkPolicy::AllowList(allowed) = policy else { return Ok(None) };
        let door = sandbox.door()?;
        let (address, told) = (door.address(), Arc::<Told>::default());
        let (outside, pinned) = (Arc::clone(outside), Mutex::default());
        let proxy = Proxy { allowed: allowed.clone(), outside, told: Arc::clone(&told), pinned };
        let task = tokio::spawn(serve(Arc::new(proxy), door)).abort_handle();
        Ok(Some(Self { told, address, task }))
    }

    /// What was told until now, and what will be.
    pub(crate) fn told(&self) -> Arc<Told> {
        Arc::clone(&self.told)
    }

    /// Tells programs of it that look for one, unless they were told otherwise.
    pub(crate) fn add_variables(&self, env: &mut BTreeMap<String, String>) {
        for name in VARIABLES {
            env.entry(name.to_owned()).or_insert_with(|| format!("http://{}", self.address));
        }
    }
}

async fn serve(proxy: Arc<Proxy>, mut door: Box<dyn Door>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut under_way = JoinSet::new();
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let Ok(connection) = door.accept().await else { break };
        let proxy = Arc::clone(&proxy);
        under_way.spawn(async move {
            proxy.attend(connection).await;
            drop(place);
        });
        while under_way.try_join_next().is_some() {}
    }
    while under_way.join_next().await.is_some() {}
}

impl Proxy {
    /// Hears where a guest wants to go and lets it out, or tells it why not.
    async fn attend(&self, mut guest: Box<dyn Connection>) {
        // Nothing that goes wrong with a guest's own connection is anybody else's matter.
        let _hung_up = match timeout(PATIENCE, request::read(&mut guest)).await {
            Ok(Ok(Some(request))) => self.let_out(guest, request).await,
            Ok(Ok(None)) => {
                self.told.tell(BehaviorKind::ConnectionRefused, "a request that is none for a proxy");
                answer(
                    &mut guest,
                    "400 Bad Request",
                    "this is a proxy: it wants CONNECT HOST:PORT, or a whole http:// address",
                )
                .await
            }
            Ok(Err(_)) | Err(_) => Ok(()),
        };
    }

    async fn let_out(&self, mut guest: Box<dyn Connection>, request: Request) -> std::io::Result<()> {
        let destination = &request.destination;
        let reached = timeout(REACHING, self.reach(destination)).await;
        match reached.unwrap_or(Err(Refusal::Unreachable)) {
            Ok(mut outside) => {
                self.told.tell(BehaviorKind::ConnectionMade, &destination.to_string());
                match &request.wanted {
                    Wanted::Tunnel => guest.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?,
                    Wanted::Resource { head } => outside.write_all(head).await?,
                }
                outside.write_all(&request.rest).await?;
                copy_bidirectional(&mut guest, &mut outside).await.map(drop)
            }
            Err(refusal) => {
                self.told.tell(BehaviorKind::ConnectionRefused, &destination.to_string());
                let status = match refusal {
                    Refusal::NotListed | Refusal::NotPublic => "403 Forbidden",
                    Refusal::Unknown | Refusal::Unreachable => "502 Bad Gateway",
                };
                answer(&mut guest, status, &format!("{destination} {}", refusal.words())).await
            }
        }
    }

    async fn reach(&self, destination: &Destination) -> Result<Box<dyn Connection>, Refusal> {
        if !self.allowed.contains(destination) {
            return Err(Refusal::NotListed);
        }
        let addresses = match &destination.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => self.look_up(name).await?,
        };
        let mut refusal = Refusal::NotPublic;
        for address in addresses {
            let named = self.allowed.contains(&Destination { host: Host::Address(address), port: destination.port });
            if !named && !is_public(address) {
                continue;
            }
            match self.outside.connect(SocketAddr::new(address, destination.port)).await {
                // A public address of this very machine, on which services may listen that mean to be private.
                Ok((_, here)) if here == address && !named => {}
                Ok((connection, _)) => return Ok(connection),
                Err(_) => refusal = Refusal::Unreachable,
            }
        }
        Err(refusal)
    }

    /// The addresses that a name stands for, as found when it was first asked for.
    async fn look_up(&self, name: &str) -> Result<Vec<IpAddr>, Refusal> {
        let mut pinned = self.pinned.lock().await;
        if let Some(known) = pinned.get(name) {
            return Ok(known.clone());
        }
        let found = self.outside.look_up(name).await.map_err(|_| Refusal::Unknown)?;
        let found: Vec<_> = found.into_iter().map(|address| address.to_canonical()).collect();
        if found.is_empty() {
            return Err(Refusal::Unknown);
        }
        pinned.insert(name.to_owned(), found.clone());
        Ok(found)
    }
}

/// Answers a guest that isn't let out.
async fn answer(guest: &mut Box<dyn Connection>, status: &str, why: &str) -> std::io::Result<()> {
    let body = format!("crucible: {why}\n");
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    guest.write_all(head.as_bytes()).await?;
    guest.write_all(body.as_bytes()).await?;
    guest.shutdown().await
}

#[cfg(test)]
mod tests;
