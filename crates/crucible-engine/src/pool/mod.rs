//! The warm pool: sandboxes that are made, looked at from outside and, where their backend can, hold an initialised interpreter
//! before they are asked for.
//!
//! Invariants: no two evaluations use a sandbox at the same time. Nothing of a guest's is in one that is given: nothing ever was, or
//! its backend has found it to be as new after a run of the same kind and project. It differs in nothing from what is made on request. It never holds up a request: one that finds nothing ready has its sandbox
//! made as if there were no pool. One that stood longer than [`PoolSettings::oldest`], whose backend was replaced, or that is
//! lost, is never given.

mod demand;

use crate::patience::{SET_UP, TEAR_DOWN, within};
use crate::posture;
use crucible_core::{
    Backend, Error, ErrorKind, Language, Limits, Policy, ProjectId, Readiness, Result, Sandbox, SandboxId,
    SandboxRequest,
};
use demand::Demand;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// The most kinds of sandboxes that some are kept of.
const MOST_SHELVES: usize = 16;
/// The most of one project.
const MOST_OF_PROJECT: usize = 8;
/// How long a kind that isn't asked for any more is kept ready.
const LONGEST_UNASKED: Duration = Duration::from_secs(600);
/// The most sandboxes that are cleared away beside what goes on. Beyond it, evaluations wait until theirs is.
const MOST_CLEARED: usize = 16;
/// How often what is too old is looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// How many sandboxes are made ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSettings {
    /// The most of one kind (language, limits, policy and backend).
    pub most: usize,
    /// The bytes of memory that all of them together may take; no more are made beyond it.
    pub memory: u64,
    /// For how long one may stand ready before another one takes its place.
    pub oldest: Duration,
    /// With so many evaluations at a time, none are made ahead: the processors have enough to do.
    pub busy: usize,
}

impl Default for PoolSettings {
    /// Eight of a kind, 256 MiB, a minute, and as many evaluations as the machine has processors.
    fn default() -> Self {
        let busy = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { most: 8, memory: 256 << 20, oldest: Duration::from_secs(60), busy }
    }
}

/// What a pool did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolCounts {
    /// Evaluations that found a sandbox ready.
    pub hits: u64,
    /// Evaluations that had theirs made.
    pub misses: u64,
    /// Sandboxes that were made ahead and never used: too old, lost, or of a backend that was replaced.
    pub discarded: u64,
    /// Sandboxes that couldn't be made ahead.
    pub failed: u64,
    /// Sandboxes that stood ready again after a run, having been found to be as new.
    pub renewed: u64,
    /// Sandboxes of evaluations that couldn't be cleared away after their result was given.
    pub uncleared: u64,
    /// How many stand ready now.
    pub ready: usize,
    /// How many are being made or cleared away now.
    pub under_way: usize,
    /// How long those that were used had stood ready, together.
    pub waited: Duration,
}

/// A sandbox that is ready to be used.
pub(crate) struct Ready {
    pub(crate) sandbox: Box<dyn Sandbox>,
    /// What looking at it from outside said, or why that couldn't be done.
    pub(crate) looked: Result<posture::Looked>,
}

/// What tells one sandbox from another before anything ran in it.
#[derive(Clone)]
pub(crate) struct Kind {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) language: Option<Arc<Language>>,
    pub(crate) limits: Limits,
    pub(crate) policy: Policy,
    pub(crate) readiness: Readiness,
    /// Whose it is.
    pub(crate) project: Option<ProjectId>,
}

impl Kind {
    fn is_same(&self, other: &Self) -> bool {
        let same_language = match (&self.language, &other.language) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other) || own == other,
            (None, None) => true,
            _ => false,
        };
        Arc::ptr_eq(&self.backend, &other.backend)
            && same_language
            && self.readiness == other.readiness
            && self.project == other.project
            && self.limits == other.limits
            && self.policy.of_protection() == other.policy.of_protection()
    }

    /// What is asked of the backend.
    pub(crate) fn request(&self) -> SandboxRequest {
        SandboxRequest {
            id: SandboxId::generate(),
            language: self.language.clone(),
            limits: self.limits.clone(),
            policy: self.policy.clone(),
            readiness: self.readiness,
            project: self.project.clone(),
        }
    }
}

impl Kind {
    /// What is asked of the backend by somebody who waits.
    pub(crate) fn request_at_once(&self) -> SandboxRequest {
        let request = self.request();
        let readiness = match request.readiness {
            Readiness::Interpreter => Readiness::AtHand,
            other => other,
        };
        SandboxRequest { readiness, ..request }
    }
}

struct Standing {
    ready: Ready,
    since: Instant,
    bytes: u64,
}

/// How much memory one that is put up takes.
#[derive(Clone, Copy)]
enum Memory {
    /// What is counted now.
    Counted,
    /// As much as the last one that was counted.
    AsOthers,
}

struct Shelf {
    kind: Kind,
    standing: VecDeque<Standing>,
    making: usize,
    demand: Demand,
    asked: Instant,
    /// Whether it is kept however long nobody asks.
    stays: bool,
    /// What the last one that was made took of memory, as each of a kind does.
    bytes: u64,
}

impl Shelf {
    /// Takes away what isn't to be kept.
    fn part(&mut self, keep: impl Fn(&Standing) -> bool) -> VecDeque<Standing> {
        let (kept, others) = std::mem::take(&mut self.standing).into_iter().partition(keep);
        self.standing = kept;
        others
    }
}

/// What all that stands ready takes.
fn bytes_of(shelves: &[Shelf]) -> u64 {
    shelves.iter().flat_map(|shelf| &shelf.standing).map(|standing| standing.bytes).sum()
}

/// The pool of one engine.
pub(crate) struct Pool {
    settings: PoolSettings,
    shelves: Mutex<Vec<Shelf>>,
    active: AtomicUsize,
    closed: AtomicBool,
    hits: AtomicU64,
    misses: AtomicU64,
    discarded: AtomicU64,
    failed: AtomicU64,
    renewed: AtomicU64,
    uncleared: AtomicU64,
    clearing: Arc<Semaphore>,
    /// All that is being made and destroyed beside what goes on.
    under_way: TaskTracker,
    waited_micros: AtomicU64,
    sweeper: Mutex<Option<JoinHandle<()>>>,
}

/// Counts an evaluation for as long as it goes on.
pub(crate) struct Active<'a>(&'a Pool);

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(crate) fn new(settings: PoolSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            shelves: Mutex::default(),
            active: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            discarded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            renewed: AtomicU64::new(0),
            uncleared: AtomicU64::new(0),
            clearing: Arc::new(Semaphore::new(MOST_CLEARED)),
            under_way: TaskTracker::new(),
            waited_micros: AtomicU64::new(0),
            sweeper: Mutex::default(),
        })
    }

    pub(crate) fn counts(&self) -> PoolCounts {
        PoolCounts {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            discarded: self.discarded.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            renewed: self.renewed.load(Ordering::Relaxed),
            uncleared: self.uncleared.load(Ordering::Relaxed),
            ready: self.shelves().iter().map(|shelf| shelf.standing.len()).sum(),
            under_way: self.under_way.len(),
            waited: Duration::from_micros(self.waited_micros.load(Ordering::Relaxed)),
        }
    }

    fn shelves(&self) -> MutexGuard<'_, Vec<Shelf>> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an evaluation that begins.
    pub(crate) fn begin(&self) -> Active<'_> {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(self)
    }

    /// A sandbox of that kind, if one stands ready.
    pub(crate) fn take(self: &Arc<Self>, kind: &Kind) -> Option<Ready> {
        let now = Instant::now();
        let mut useless = Vec::new();
        let found = {
            let mut shelves = self.shelves();
            let Some((at, evicted)) = shelf_of(&mut shelves, kind, now) else {
                self.misses.fetch_add(1, Ordering::Relaxed);
                return None;
            };
            useless.extend(evicted);
            let shelf = shelves.get_mut(at)?;
            shelf.demand.asked(now.duration_since(shelf.asked));
            shelf.asked = now;
            loop {
                let Some(standing) = shelf.standing.pop_front() else { break None };
                let age = now.duration_since(standing.since);
                if self.is_good(&standing, now) {
                    self.waited_micros.fetch_add(u64::try_from(age.as_micros()).unwrap_or(0), Ordering::Relaxed);
                    break Some(standing.ready);
                }
                useless.push(standing);
            }
        };
        self.discard(useless);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Makes as many of that kind as are wanted, beside what goes on.
    pub(crate) fn refill(self: &Arc<Self>, kind: &Kind) {
        if self.closed.load(Ordering::Relaxed) || self.active.load(Ordering::Relaxed) > self.settings.busy {
            return;
        }
        let missing = {
            let mut shelves = self.shelves();
            let bytes = bytes_of(&shelves);
            let Some(shelf) = shelves.iter_mut().find(|shelf| shelf.kind.is_same(kind)) else { return };
            if bytes >= self.settings.memory {
                return;
            }
            let wanted = shelf.demand.wanted().min(self.settings.most);
            let missing = wanted.saturating_sub(shelf.standing.len() + shelf.making);
            shelf.making += missing;
            missing
        };
        for _ in 0..missing {
            drop(self.begin_to_make(kind));
        }
        self.sweep();
    }

    /// Has one of that kind stand ready, and stay so however long nobody asks; returns when it does.
    ///
    /// # Errors
    /// What keeps it from being made; `Unavailable` where the pool was drained, or as many kinds are kept ready as may be.
    pub(crate) async fn keep_ready(self: &Arc<Self>, kind: &Kind) -> Result<()> {
        let refused = |why| Err(Error::new(ErrorKind::Unavailable, "have a sandbox stand ready", why));
        if self.closed.load(Ordering::Relaxed) {
            return refused("nothing is made ahead any more");
        }
        let now = Instant::now();
        let (mut useless, is_there) = {
            let mut shelves = self.shelves();
            let Some((at, mut useless)) = shelf_of(&mut shelves, kind, now) else {
                return refused("so many kinds are kept ready already");
            };
            let Some(shelf) = shelves.get_mut(at) else { return refused("there is no place for it") };
            shelf.stays = true;
            useless.extend(shelf.part(|standing| self.is_good(standing, now)));
            let is_there = !shelf.standing.is_empty();
            if !is_there {
                shelf.making += 1;
            }
            (useless, is_there)
        };
        self.discard(useless.drain(..));
        if is_there {
            return Ok(());
        }
        self.sweep();
        let made = self.begin_to_make(kind).await;
        made.unwrap_or_else(|_| refused("what made it ended early"))
    }

    /// Whether it may still be given.
    fn is_good(&self, standing: &Standing, now: Instant) -> bool {
        now.duration_since(standing.since) <= self.settings.oldest && standing.ready.sandbox.loss().is_none()
    }

    /// Puts the sandbox of an evaluation away beside what goes on, unless too many are being put away: those are given back. No
    /// process of its guest may live. Where `again` names its kind, it stands ready again if it is as new; else it is destroyed.
    pub(crate) fn clear_away(
        self: &Arc<Self>,
        sandbox: Box<dyn Sandbox>,
        again: Option<&Kind>,
    ) -> Result<(), Box<dyn Sandbox>> {
        let Ok(permit) = Arc::clone(&self.clearing).try_acquire_owned() else { return Err(sandbox) };
        let pool = Arc::clone(self);
        let again = again.filter(|kind| sandbox.may_be_renewed() && self.reserve(kind)).cloned();
        self.under_way.spawn(async move {
            let cleared = match &again {
                Some(kind) => pool.renew(sandbox, kind).await,
                None => within(TEAR_DOWN, "destroy the sandbox", sandbox.destroy()).await,
            };
            if cleared.is_err() {
                pool.uncleared.fetch_add(1, Ordering::Relaxed);
            }
            drop(permit);
        });
        Ok(())
    }

    /// Keeps a place on the shelf of that kind for one that is being renewed, if there is any.
    fn reserve(&self, kind: &Kind) -> bool {
        if self.closed.load(Ordering::Relaxed) {
            return false;
        }
        let reserved = self.of_shelf(kind, |shelf| {
            let has_room = shelf.standing.len() + shelf.making < self.settings.most;
            shelf.making += usize::from(has_room);
            has_room
        });
        reserved.unwrap_or(false)
    }

    /// Has a sandbox stand ready again, if it is as new.
    async fn renew(self: &Arc<Self>, sandbox: Box<dyn Sandbox>, kind: &Kind) -> Result<()> {
        let renewed = within(TEAR_DOWN, "make the sandbox as new", sandbox.renew(SandboxId::generate())).await;
        let (made, result) = match renewed {
            Ok(Some(sandbox)) => (self.look(sandbox, kind, Memory::AsOthers).await, Ok(())),
            Ok(None) => (Ok(None), Ok(())),
            Err(error) => (Ok(None), Err(error)),
        };
        // What can't be looked at isn't given; why, it will say when one is needed.
        if self.put_up(kind, made.unwrap_or_default()) {
            self.renewed.fetch_add(1, Ordering::Relaxed);
        } else {
            self.refill(kind);
        }
        result
    }

    /// Makes one beside what goes on, whoever waits for that or doesn't any more.
    fn begin_to_make(self: &Arc<Self>, kind: &Kind) -> JoinHandle<Result<()>> {
        let (pool, kind) = (Arc::clone(self), kind.clone());
        self.under_way.spawn(async move { pool.make(&kind).await })
    }

    async fn make(self: &Arc<Self>, kind: &Kind) -> Result<()> {
        let began = Instant::now();
        let made = within(SET_UP, "create the sandbox", kind.backend.create(kind.request())).await;
        let made = match made {
            Ok(sandbox) => self.look(sandbox, kind, Memory::Counted).await,
            // It will be told when one is needed.
            Err(error) => Err(error),
        };
        let (standing, result) = match made {
            Ok(standing) => (standing, Ok(())),
            Err(error) => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                (None, Err(error))
            }
        };
        if result.is_ok() {
            self.of_shelf(kind, |shelf| shelf.demand.made(began.elapsed()));
        }
        self.put_up(kind, standing);
        result
    }

    /// Looks at a sandbox from outside, so that it can be given.
    async fn look(&self, sandbox: Box<dyn Sandbox>, kind: &Kind, memory: Memory) -> Result<Option<Standing>> {
        match posture::before(sandbox.as_ref(), &kind.policy).await {
            // It can't be looked at now; that needn't be so when one is needed.
            Err(error) if error.kind() != ErrorKind::Refused => {
                let _destroyed = within(TEAR_DOWN, "destroy the sandbox", sandbox.destroy()).await.is_ok();
                Err(error)
            }
            looked => {
                let bytes = match memory {
                    Memory::Counted => {
                        let counters = sandbox.counters().await.ok();
                        let bytes = counters.and_then(|counters| counters.memory_bytes).unwrap_or(0);
                        self.of_shelf(kind, |shelf| shelf.bytes = bytes);
                        bytes
                    }
                    Memory::AsOthers => self.of_shelf(kind, |shelf| shelf.bytes).unwrap_or(0),
                };
                Ok(Some(Standing { ready: Ready { sandbox, looked }, since: Instant::now(), bytes }))
            }
        }
    }

    fn of_shelf<T>(&self, kind: &Kind, work: impl FnOnce(&mut Shelf) -> T) -> Option<T> {
        self.shelves().iter_mut().find(|shelf| shelf.kind.is_same(kind)).map(work)
    }

    /// Puts one up in the place that is kept for it, or gives that place up. Whether one stands there now.
    fn put_up(self: &Arc<Self>, kind: &Kind, standing: Option<Standing>) -> bool {
        let useless = {
            let mut shelves = self.shelves();
            let others = bytes_of(&shelves);
            let mut shelf = shelves.iter_mut().find(|shelf| shelf.kind.is_same(kind));
            if let Some(shelf) = &mut shelf {
                shelf.making = shelf.making.saturating_sub(1);
            }
            match (standing, shelf) {
                (Some(standing), Some(shelf)) => {
                    // Others may have been made meanwhile.
                    let is_too_much = others > 0 && others.saturating_add(standing.bytes) > self.settings.memory;
                    if !self.closed.load(Ordering::Relaxed) && !is_too_much {
                        shelf.standing.push_back(standing);
                        return true;
                    }
                    Some(standing)
                }
                (standing, _) => standing,
            }
        };
        self.discard(useless);
        false
    }

    /// Destroys, beside what goes on, what nobody will use.
    fn discard(self: &Arc<Self>, useless: impl IntoIterator<Item = Standing>) {
        for standing in useless {
            self.discarded.fetch_add(1, Ordering::Relaxed);
            self.under_way.spawn(destroy(standing));
        }
    }

    /// Looks from time to time for what is too old, for as long as the pool lives.
    fn sweep(self: &Arc<Self>) {
        let mut sweeper = self.sweeper.lock().unwrap_or_else(PoisonError::into_inner);
        if sweeper.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let pool = Arc::downgrade(self);
        *sweeper = Some(tokio::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                match pool.upgrade() {
                    Some(pool) => pool.sweep_once(),
                    None => return,
                }
            }
        }));
    }

    fn sweep_once(self: &Arc<Self>) {
        let now = Instant::now();
        let (mut useless, mut wanted) = (Vec::new(), Vec::new());
        self.shelves().retain_mut(|shelf| {
            let is_asked_for = shelf.stays || now.duration_since(shelf.asked) < LONGEST_UNASKED;
            let former = shelf.standing.len();
            useless.extend(shelf.part(|standing| is_asked_for && self.is_good(standing, now)));
            if is_asked_for && shelf.standing.len() < former {
                wanted.push(shelf.kind.clone());
            }
            is_asked_for || shelf.making > 0
        });
        self.discard(useless);
        for kind in wanted {
            self.refill(&kind);
        }
    }

    /// Gives up what stands ready by any backend that isn't among these.
    pub(crate) fn keep_only(self: &Arc<Self>, backends: &[Arc<dyn Backend>]) {
        let mut useless = Vec::new();
        self.shelves().retain_mut(|shelf| {
            let stays = backends.iter().any(|backend| Arc::ptr_eq(backend, &shelf.kind.backend));
            if !stays {
                useless.extend(shelf.standing.drain(..));
            }
            stays
        });
        self.discard(useless);
    }

    /// Destroys all that stands ready, and makes no more.
    pub(crate) async fn drain(&self) {
        // Under the lock, so that what is made from now on finds it closed.
        let standing: Vec<_> = {
            let mut shelves = self.shelves();
            self.closed.store(true, Ordering::Relaxed);
            shelves.drain(..).flat_map(|shelf| shelf.standing).collect()
        };
        for standing in standing {
            destroy(standing).await;
        }
        // Until nothing is being made, cleared away or discarded any more.
        self.under_way.close();
        self.under_way.wait().await;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let sweeper = self.sweeper.get_mut().unwrap_or_else(PoisonError::into_inner);
        sweeper.iter().for_each(JoinHandle::abort);
    }
}

/// Where sandboxes of that kind stand. A place for them is made if there is none, for which the one may go that was asked for
/// longest ago: of the same project, if that has its share already, so that no project crowds out the others. What stood there
/// is of no use any more. `None` where all of them have to stay.
fn shelf_of(shelves: &mut Vec<Shelf>, kind: &Kind, now: Instant) -> Option<(usize, VecDeque<Standing>)> {
    if let Some(at) = shelves.iter().position(|shelf| shelf.kind.is_same(kind)) {
        return Some((at, VecDeque::new()));
    }
    let is_of_project = |shelf: &Shelf| shelf.kind.project == kind.project && !shelf.stays;
    let has_its_share = shelves.iter().filter(|shelf| is_of_project(shelf)).count() >= MOST_OF_PROJECT;
    let mut useless = VecDeque::new();
    if has_its_share || shelves.len() >= MOST_SHELVES {
        let may_go = |shelf: &Shelf| !shelf.stays && (!has_its_share || is_of_project(shelf));
        let oldest = shelves.iter().enumerate().filter(|(_, shelf)| may_go(shelf)).min_by_key(|(_, shelf)| shelf.asked);
        let (at, _) = oldest?;
        useless = shelves.remove(at).standing;
    }
    let demand = Demand::default();
    let kind = kind.clone();
    shelves.push(Shelf { kind, standing: VecDeque::new(), making: 0, demand, asked: now, stays: false, bytes: 0 });
    Some((shelves.len() - 1, useless))
}

/// A failure here is one of the backend's, which its self-test finds; nothing of any guest's is in it.
async fn destroy(standing: Standing) {
    let _destroyed = within(TEAR_DOWN, "destroy the sandbox", standing.ready.sandbox.destroy()).await.is_ok();
}
