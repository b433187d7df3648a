//! How the parts are: each tests itself at the start and from time to time, and a backend that fails is out of use until it
//! passes again.

use super::breaker::Breakers;
use crucible_core::{Check, Component, SelfTest};
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

/// What is tested, in the order in which it is told.
pub struct Health {
    components: Vec<Arc<dyn Component>>,
    /// Those among them that are backends.
    backends: Vec<String>,
    breakers: Arc<Breakers>,
    latest: Mutex<Vec<ComponentHealth>>,
}

impl Health {
    /// Of these parts, of which those named are backends. Nothing is tested yet.
    #[must_use]
    pub fn new(components: Vec<Arc<dyn Component>>, backends: Vec<String>, breakers: Arc<Breakers>) -> Self {
        Self { components, backends, breakers, latest: Mutex::default() }
    }

    fn latest(&self) -> MutexGuard<'_, Vec<ComponentHealth>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the latest tests showed.
    #[must_use]
    pub fn report(&self) -> Vec<ComponentHealth> {
        self.latest().clone()
    }

    /// The parts that aren't well, among those that the service can't do without, with one line on each. Empty where all are;
    /// a backend is done without as long as another one is in use.
    #[must_use]
    pub fn unwell(&self) -> Vec<String> {
        let latest = self.latest();
        if latest.is_empty() {
            return vec!["no part has been tested yet".to_owned()];
        }
        let is_backend = |health: &&ComponentHealth| self.backends.contains(&health.test.component);
        let mut unwell: Vec<_> = latest
            .iter()
            .filter(|health| !is_backend(health) && !health.test.is_healthy() && !health.test.is_absent())
            .map(|health| first_failure(&health.test))
            .collect();
        let backends: Vec<_> = latest.iter().filter(is_backend).collect();
        if !backends.iter().any(|health| health.test.is_healthy()) {
            unwell.push("no backend is in use".to_owned());
            unwell.extend(
                backends.iter().filter(|health| !health.test.is_absent()).map(|health| first_failure(&health.test)),
            );
        }
        unwell
    }

    /// Lets every part test itself, one after the other, and tells of each as soon as it has.
    pub async fn check(&self, mut tell: impl FnMut(&ComponentHealth)) {
        for component in &self.components {
            let (at, begun) = (SystemTime::now(), Instant::now());
            let test = match tokio::time::timeout(PATIENCE, component.self_test()).await {
                Ok(test) => test,
                Err(_) => {
                    let seen = format!("no answer within {} s", PATIENCE.as_secs());
                    let check =
                        Check::new("it tests itself in time", false.into(), seen).with_mend("start Crucible anew");
                    SelfTest { component: component.name().to_owned(), checks: vec![check] }
                }
            };
            if self.backends.contains(&test.component) {
                if test.is_healthy() {
                    self.breakers.close(&test.component);
                } else {
                    self.breakers.open(&test.component, first_failure(&test));
                }
            }
            let health = ComponentHealth { test, at, took: begun.elapsed() };
            tell(&health);
            let mut latest = self.latest();
            match latest.iter_mut().find(|known| known.test.component == health.test.component) {
                Some(known) => *known = health,
                None => latest.push(health),
            }
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

/// The first check that failed, in one line with its mend.
fn first_failure(test: &SelfTest) -> String {
    let failed = test.checks.iter().find(|check| check.status == crucible_core::CheckStatus::Failed);
    match failed.or(test.checks.first()) {
        Some(Check { name, seen, mend, .. }) if mend.is_empty() => format!("{}: {name}: {seen}", test.component),
        Some(Check { name, seen, mend, .. }) => format!("{}: {name}: {seen} ({mend})", test.component),
        None => format!("{}: nothing was tested", test.component),
    }
}
