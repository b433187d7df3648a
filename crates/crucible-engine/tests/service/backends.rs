//! A backend that is out isn't used, costs nobody a try, and comes back.

use crate::bench::{Bench, PATIENCE, Plan, spec, submission};
use async_trait::async_trait;
use crucible_core::{
    Backend, Capabilities, Check, Component, Error, ErrorKind, EvaluationSpec, EvaluationState, Passed, Result,
    Sandbox, SandboxRequest, SelfTest,
};
use crucible_engine::{Health, Starter};
use crucible_testkit::fake::{FakeBackend, Script, Step, everything};
use std::sync::{Arc, LazyLock, Mutex};

fn short() -> Script {
    Script::of([Step::Exit(0)])
}

fn fake(name: &'static str) -> Result<Arc<dyn Backend>> {
    Ok(Arc::new(FakeBackend::new(short()).named(name)))
}

/// The health of these backends, and of a part that is always well.
fn health(bench: &Bench, starters: Vec<Box<dyn Starter>>) -> Health {
    let part: Arc<dyn Component> = Arc::new(FakeBackend::new(short()).named("part"));
    let engine = Arc::clone(&bench.service.parts().engine);
    Health::new(engine, vec![part], starters, Arc::clone(&bench.breakers))
}

/// Gives one thing after the other, the last one first.
struct Starting {
    name: &'static str,
    what: Mutex<Vec<Result<Arc<dyn Backend>>>>,
}

#[async_trait]
impl Starter for Starting {
    fn name(&self) -> &str {
        self.name
    }

    async fn start(&self) -> Result<Arc<dyn Backend>> {
        self.what.lock().unwrap().pop().unwrap_or_else(|| fake(self.name))
    }
}

/// A backend that doesn't work any more.
struct Broken;

#[async_trait]
impl Component for Broken {
    fn name(&self) -> &str {
        "fake"
    }

    async fn self_test(&self) -> SelfTest {
        let checks = vec![Check::new("it works", Passed::No, "it is broken")];
        SelfTest { component: "fake".to_owned(), checks }
    }
}

#[async_trait]
impl Backend for Broken {
    fn version(&self) -> String {
        "1".to_owned()
    }

    fn runtime_digest(&self) -> Option<String> {
        None
    }

    fn capabilities(&self) -> &Capabilities {
        static CAPABILITIES: LazyLock<Capabilities> = LazyLock::new(everything);
        &CAPABILITIES
    }

    async fn create(&self, _request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        Err(Error::new(ErrorKind::Infrastructure, "make a sandbox", "it is broken"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_out_is_waited_for_by_those_who_named_it_and_they_lose_no_try() {
    let bench = Bench::running(Plan::of(short())).await;
    bench.breakers.open("fake", "its self-test failed".to_owned());
    let id = bench.submit_all(vec![submission(EvaluationSpec { backend: "fake".to_owned(), ..spec() })]).await;
    let id = id.into_iter().next().unwrap().unwrap().id();
    // Looked at more often than it has tries.
    let begun = std::time::Instant::now();
    bench.until("it was looked at", || async { begun.elapsed() > std::time::Duration::from_millis(500) }).await;
    let waiting = bench.get(id).await.summary;
    assert_eq!((waiting.state, waiting.attempt, bench.ledger.created()), (EvaluationState::Queued, 0, 0));
    bench.breakers.close("fake");
    let found = bench.result(id).await.summary;
    assert_eq!((found.state, found.attempt), (EvaluationState::Finished, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_one_runs_what_named_none() {
    let mut plan = Plan::of(short());
    plan.backends.push(("second", short()));
    let bench = Bench::running(plan).await;
    bench.breakers.open("fake", "it is out".to_owned());
    let found = bench.result(bench.submit().await).await.summary;
    assert_eq!((found.state, found.indexed.backend.as_deref()), (EvaluationState::Finished, Some("second")));
    bench.breakers.close("fake");
    let found = bench.result(bench.submit().await).await.summary;
    assert_eq!(found.indexed.backend.as_deref(), Some("fake"));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_again_and_again_is_out_until_its_self_test_passes() {
    let plan = Plan::of(short()).failing(5, ErrorKind::Infrastructure).with(|settings| settings.attempts = 9);
    let bench = Bench::running(plan).await;
    let id = bench.submit().await;
    bench.until("it is out", || async { bench.breakers.why_out("fake").is_some() }).await;
    assert!(bench.breakers.why_out("fake").unwrap().contains("in a mood"));
    let health = health(&bench, vec![Box::new(Starting { name: "fake", what: Mutex::new(vec![]) })]);
    // Not when the first is: nothing is run before all are.
    let not_yet = ["not every part has been tested yet"];
    assert_eq!(health.unwell(), not_yet);
    health.check(|_| assert_eq!(health.unwell(), not_yet)).await;
    assert!(health.unwell().is_empty() && bench.breakers.why_out("fake").is_none());
    let found = bench.result(id).await.summary;
    assert_eq!((found.state, found.attempt), (EvaluationState::Finished, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_fails_its_test_is_started_anew_and_one_that_comes_later_is_used() {
    let bench = Bench::running(Plan::of(short())).await;
    bench.service.parts().engine.replace_backend(Arc::new(Broken));
    let later = || Err(Error::new(ErrorKind::Unavailable, "start", "it isn't here yet").with_hint("install it"));
    let starters = vec![
        Starting {
            name: "fake",
            what: Mutex::new(vec![fake("fake"), Err(Error::new(ErrorKind::Io, "start", "not now"))]),
        },
        Starting { name: "late", what: Mutex::new(vec![fake("late"), later()]) },
    ];
    let health = health(&bench, starters.into_iter().map(|starting| Box::new(starting) as Box<dyn Starter>).collect());
    health.check(|_| ()).await;
    assert!(bench.breakers.why_out("fake").unwrap().contains("it is broken"));
    let unwell = health.unwell().join("; ");
    assert!(unwell.contains("no backend is in use") && unwell.contains("it is broken"), "{unwell}");
    let absent = health.backends().into_iter().find(|health| health.test.is_absent()).unwrap().test;
    assert_eq!((absent.component.as_str(), absent.checks[0].seen.as_str()), ("late", "it isn't here yet"));
    health.check(|_| ()).await;
    assert!(health.unwell().is_empty() && bench.breakers.why_out("fake").is_none());
    for name in ["fake", "late"] {
        let id = bench.submit_all(vec![submission(EvaluationSpec { backend: name.to_owned(), ..spec() })]).await;
        let found = bench.result(id.into_iter().next().unwrap().unwrap().id()).await.summary;
        assert_eq!((found.state, found.indexed.backend.as_deref()), (EvaluationState::Finished, Some(name)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_run_on_a_backend_than_it_may_have() {
    let plan = Plan::of(Script::of([Step::WaitForever])).with(|settings| {
        settings.most_running = 4;
        settings.most_running_on = [("fake".to_owned(), 2)].into();
    });
    let bench = Bench::running(plan).await;
    let ids: Vec<_> = bench.submit_all((0..4).map(|_| submission(spec())).collect()).await;
    bench.until_commands(2).await;
    bench.until("all are begun", || async { bench.service.running_now() == 4 }).await;
    assert_eq!(bench.ledger.living(), 2);
    for id in ids {
        bench.service.cancel(None, id.as_ref().unwrap().id()).await.unwrap();
        tokio::time::timeout(PATIENCE, bench.result(id.unwrap().id())).await.unwrap();
    }
    assert_eq!(bench.ledger.living(), 0);
}

#[test]
fn a_fake_is_a_backend() {
    // So that the names in these tests are those that breakers hear.
    let backend: Box<dyn Backend> = Box::new(FakeBackend::new(short()));
    assert_eq!(backend.name(), "fake");
}
