//! How the parts are: each tests itself at the start and from time to time. A backend that fails is started anew, and is out of
//! use until it passes again; one that this machine didn't have is used once it has.

use super::breaker::Breakers;
use crate::engine::Engine;
use async_trait::async_trait;
use crucible_core::{Backend, Check, CheckStatus, Component, ErrorKind, Result, SelfTest};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio_util::sync::CancellationToken;

/// How long a part may take to test itself.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a part's latest self-test showed.
#[derive(Clone, Debug)]
pub struct ComponentHealth {
    /// What it showed.
    pub test: SelfTest,
    /// When it began.
    pub at: SystemTime,
    /// How long it took.
    pub took: Duration,
}

/// How many earlier self-tests of a part are remembered.
const REMEMBERED: usize = 60;

/// What one self-test of a part came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastTest {
    /// When it began.
    pub at: SystemTime,
    /// Checks that passed.
    pub passed: usize,
    /// Checks that were made.
    pub total: usize,
    /// What those are called that failed.
    pub failed: Vec<String>,
}

impl From<&ComponentHealth> for PastTest {
    fn from(health: &ComponentHealth) -> Self {
        let with = |status| health.test.checks.iter().filter(move |check| check.status == status);
        let failed: Vec<_> = with(CheckStatus::Failed).map(|check| check.name.clone()).collect();
        let passed = with(CheckStatus::Passed).count();
        Self { at: health.at, passed, total: passed + failed.len(), failed }
    }
}

/// Starts a backend: for the first time, or anew where the one that there was has failed.
#[async_trait]
pub trait Starter: Send + Sync {
    /// The backend's name.
    fn name(&self) -> &str;

    /// Starts it.
    ///
    /// # Errors
    /// `Unavailable` where this machine doesn't have it; else why it can't be started.
    async fn start(&self) -> Result<Arc<dyn Backend>>;
}

/// A backend that is kept in use, and what there is of it now.
struct Kept {
    starter: Box<dyn Starter>,
    running: Option<Arc<dyn Backend>>,
}

/// What is tested: the parts that there is one of, and backends, which are started anew where they fail.
pub struct Health {
    engine: Arc<Engine>,
    parts: Vec<Arc<dyn Component>>,
    backends: tokio::sync::Mutex<Vec<Kept>>,
    names: Vec<String>,
    breakers: Arc<Breakers>,
    /// Whether all have been tested once: nothing is run before.
    has_tested: AtomicBool,
    latest: Mutex<Vec<ComponentHealth>>,
    /// By part, the oldest first.
    history: Mutex<BTreeMap<String, VecDeque<PastTest>>>,
}

impl Health {
    /// Of these parts, and of backends with what the engine has of them now. Nothing is tested yet.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        parts: Vec<Arc<dyn Component>>,
        starters: Vec<Box<dyn Starter>>,
        breakers: Arc<Breakers>,
    ) -> Self {
        let names = starters.iter().map(|starter| starter.name().to_owned()).collect();
        let running = |name: &str| engine.backends().iter().find(|backend| backend.name() == name).cloned();
        let (latest, history) = (Mutex::default(), Mutex::default());
        let kept = starters.into_iter().map(|starter| Kept { running: running(starter.name()), starter }).collect();
        let (backends, has_tested) = (tokio::sync::Mutex::new(kept), AtomicBool::new(false));
        Self { engine, parts, backends, names, breakers, has_tested, latest, history }
    }

    fn latest(&self) -> MutexGuard<'_, Vec<ComponentHealth>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the latest tests showed.
    #[must_use]
    pub fn report(&self) -> Vec<ComponentHealth> {
        self.latest().clone()
    }

    /// What the latest tests of a part came to, the oldest first: at most 60.
    #[must_use]
    pub fn history(&self, component: &str) -> Vec<PastTest> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.get(component).map(|past| past.iter().cloned().collect()).unwrap_or_default()
    }

    /// Those of them that are of backends.
    #[must_use]
    pub fn backends(&self) -> Vec<ComponentHealth> {
        let mut latest = self.report();
        latest.retain(|health| self.names.contains(&health.test.component));
        latest
    }

    /// The parts that aren't well, among those that the service can't do without, with one line on each. Empty where all are;
    /// a backend is done without as long as another one is in use.
    #[must_use]
    pub fn unwell(&self) -> Vec<String> {
        let (backends, parts): (Vec<_>, Vec<_>) =
            self.report().into_iter().partition(|health| self.names.contains(&health.test.component));
        if !self.has_tested.load(Ordering::Acquire) {
            return vec!["not every part has been tested yet".to_owned()];
        }
        let is_unwell = |health: &&ComponentHealth| !health.test.is_healthy() && !health.test.is_absent();
        let mut unwell: Vec<_> = parts.iter().filter(is_unwell).map(|health| first_failure(&health.test)).collect();
        if !backends.iter().any(|health| health.test.is_healthy()) {
            unwell.push("no backend is in use".to_owned());
            unwell.extend(backends.iter().filter(is_unwell).map(|health| first_failure(&health.test)));
        }
        unwell
    }

    /// Lets every part test itself, one after the other, and tells of each as soon as it has.
    pub async fn check(&self, mut tell: impl FnMut(&ComponentHealth)) {
        for part in &self.parts {
            let health = test(part.as_ref()).await;
            tell(&health);
            self.note(health);
        }
        for kept in self.backends.lock().await.iter_mut() {
            let health = self.check_backend(kept).await;
            if health.test.is_healthy() {
                self.breakers.close(&health.test.component);
            } else if !health.test.is_absent() {
                self.breakers.open(&health.test.component, first_failure(&health.test));
            }
            tell(&health);
            self.note(health);
        }
        self.has_tested.store(true, Ordering::Release);
    }

    /// Tests a backend; where it fails, or isn't there, one that is started now takes its place.
    async fn check_backend(&self, kept: &mut Kept) -> ComponentHealth {
        let known = match &kept.running {
            Some(backend) => {
                let health = test(backend.as_ref()).await;
                if health.test.is_healthy() {
                    return health;
                }
                Some(health)
            }
            None => None,
        };
        let (at, begun) = (SystemTime::now(), Instant::now());
        match kept.starter.start().await {
            Ok(backend) => {
                let health = test(backend.as_ref()).await;
                if health.test.is_healthy() {
                    if known.is_some() {
                        tracing::warn!(backend = backend.name(), "the backend failed, and was started anew");
                    }
                    self.engine.replace_backend(Arc::clone(&backend));
                    kept.running = Some(backend);
                    return health;
                }
                known.unwrap_or(health)
            }
            Err(error) => known.unwrap_or_else(|| {
                let name = "it can be started";
                let check = match error.kind() {
                    ErrorKind::Unavailable => Check::skipped(name, error.to_string()),
                    _ => Check::new(name, false.into(), error.to_string()),
                };
                let checks = vec![check.with_mend(error.hint().unwrap_or_default())];
                let test = SelfTest { component: kept.starter.name().to_owned(), checks };
                ComponentHealth { test, at, took: begun.elapsed() }
            }),
        }
    }

    fn note(&self, health: ComponentHealth) {
        {
            let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
            let past = history.entry(health.test.component.clone()).or_default();
            if past.len() >= REMEMBERED {
                past.pop_front();
            }
            past.push_back(PastTest::from(&health));
        }
        let mut latest = self.latest();
        match latest.iter_mut().find(|known| known.test.component == health.test.component) {
            Some(known) => *known = health,
            None => latest.push(health),
        }
    }

    /// Tests again and again, until it is told to stop.
    pub async fn watch(&self, interval: Duration, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            let tell = |health: &ComponentHealth| {
                if !health.test.is_healthy() && !health.test.is_absent() {
                    tracing::error!(component = health.test.component, "{}", first_failure(&health.test));
                }
            };
            if stop.run_until_cancelled(self.check(tell)).await.is_none() {
                return;
            }
        }
    }
}

/// Has a part test itself, within a time.
async fn test<C: Component + ?Sized>(part: &C) -> ComponentHealth {
    let (at, begun) = (SystemTime::now(), Instant::now());
    let test = match tokio::time::timeout(PATIENCE, part.self_test()).await {
        Ok(test) => test,
        Err(_) => {
            let seen = format!("no answer within {} s", PATIENCE.as_secs());
            let check = Check::new("it tests itself in time", false.into(), seen).with_mend("start Crucible anew");
            SelfTest { component: part.name().to_owned(), checks: vec![check] }
        }
    };
    ComponentHealth { test, at, took: begun.elapsed() }
}

/// The first check that failed, in one line with its mend.
fn first_failure(test: &SelfTest) -> String {
    let failed = test.checks.iter().find(|check| check.status == crucible_core::CheckStatus::Failed);
    match failed.or(test.checks.first()) {
        Some(Check { name, seen, mend, .. }) if mend.is_empty() => format!("{}: {name}: {seen}", test.component),
        Some(Check { name, seen, mend, .. }) => format!("{}: {name}: {seen} ({mend})", test.component),
        None => format!("{}: nothing was tested", test.component),
    }
}
