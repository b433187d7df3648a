//! The sessions of one process, by id.

use super::{Session, SessionSpec};
use crate::engine::Engine;
use crucible_core::{Error, ErrorKind, EventSink, Result, SandboxId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The most sandboxes that one process keeps open.
pub const MOST_SESSIONS: usize = 256;

/// Of how many that are no more it is known what was seen of them.
const MOST_ENDED: usize = 1024;

/// Hears of a session before whoever opened it does. Where it fails, the session is destroyed.
type Announce = Box<dyn Fn(&Arc<Session>) -> Result<()> + Send + Sync>;

/// The sessions of one process.
pub struct Sessions {
    engine: Arc<Engine>,
    events: Arc<dyn EventSink>,
    most: usize,
    announce: Announce,
    open: Mutex<BTreeMap<SandboxId, Arc<Session>>>,
    ended: Mutex<VecDeque<Arc<Session>>>,
}

impl Sessions {
    /// None yet. At most `most` will be open at one time.
    #[must_use]
    pub fn new(engine: Arc<Engine>, events: Arc<dyn EventSink>, most: usize) -> Self {
        Self { engine, events, most, announce: Box::new(|_| Ok(())), open: Mutex::default(), ended: Mutex::default() }
    }

    /// The same, telling of each one before whoever opened it hears of it. Where that fails, the session is destroyed.
    #[must_use]
    pub fn announcing(mut self, announce: impl Fn(&Arc<Session>) -> Result<()> + Send + Sync + 'static) -> Self {
        self.announce = Box::new(announce);
        self
    }

    /// The engine that makes them.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Opens one.
    ///
    /// # Errors
    /// As [`Engine::open_session`]; `Refused` where as many are open as may be.
    pub async fn open(&self, spec: SessionSpec) -> Result<Arc<Session>> {
        self.check_room()?;
        let session = self.engine.open_session(spec, Arc::clone(&self.events)).await?;
        self.keep(session).await
    }

    /// Makes one with the same files as another.
    ///
    /// # Errors
    /// As [`Session::fork`]; `Refused` where as many are open as may be.
    pub async fn fork(&self, id: SandboxId) -> Result<Arc<Session>> {
        let session = self.find(id)?;
        self.check_room()?;
        self.keep(session.fork().await?).await
    }

    /// The one with this id.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find(&self, id: SandboxId) -> Result<Arc<Session>> {
        self.living().get(&id).map(Arc::clone).ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "find the sandbox", format!("there is no sandbox {id}"))
                .with_hint("`crucible sandbox list` shows those that there are")
        })
    }

    /// The one with this id, also if it is no more, as long as that is known.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find_also_ended(&self, id: SandboxId) -> Result<Arc<Session>> {
        self.find(id).or_else(|missing| {
            let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.iter().find(|session| session.id() == id).map(Arc::clone).ok_or(missing)
        })
    }

    /// The ids of all that are open, and of those that are no more of which something is known.
    #[must_use]
    pub fn known(&self) -> BTreeSet<SandboxId> {
        let open: Vec<_> = self.living().keys().copied().collect();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        open.into_iter().chain(ended.iter().map(|session| session.id())).collect()
    }

    /// All that are open, the oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Session>> {
        self.living().values().map(Arc::clone).collect()
    }

    /// Destroys all of them.
    ///
    /// # Errors
    /// The first failure, after all were tried.
    pub async fn destroy_all(&self) -> Result<()> {
        let mut result = Ok(());
        for session in self.list() {
            let destroyed = session.destroy().await;
            result = result.and(destroyed);
        }
        result
    }

    fn check_room(&self) -> Result<()> {
        if self.living().len() < self.most {
            return Ok(());
        }
        let message = format!("{} sandboxes are open, and no more may be", self.most);
        Err(Error::new(ErrorKind::Refused, "open the sandbox", message)
            .with_hint("remove one that isn't used any more"))
    }

    /// Several may have been made beside each other, of which only so many may stay.
    async fn keep(&self, session: Arc<Session>) -> Result<Arc<Session>> {
        let has_room = {
            let mut open = self.living();
            let has_room = open.len() < self.most;
            if has_room {
                open.insert(session.id(), Arc::clone(&session));
            }
            has_room
        };
        let announced = if has_room { (self.announce)(&session) } else { Ok(()) };
        if has_room && announced.is_ok() {
            return Ok(session);
        }
        session.destroy().await?;
        announced?;
        self.check_room()?;
        Err(Error::new(ErrorKind::Refused, "open the sandbox", "too many sandboxes were opened at the same time"))
    }

    /// Those that live.
    fn living(&self) -> MutexGuard<'_, BTreeMap<SandboxId, Arc<Session>>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<_> = open.extract_if(.., |_, session| session.end_reason().is_some()).collect();
        if !gone.is_empty() {
            let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.extend(gone.into_iter().map(|(_, session)| session));
            let beyond = ended.len().saturating_sub(MOST_ENDED);
            ended.drain(..beyond);
        }
        open
    }
}
