//! An engine with a pool, on fake backends.

use crucible_core::{
    Backend, EvaluationId, EvaluationSpec, Event, EventSink, Language, Limits, Outcome, Policy, Program, ProjectId,
    Result,
};
use crucible_engine::{Engine, LanguageTable, NodeFacts, PoolCounts, PoolSettings, RunIo};
use crucible_testkit::fake::{FakeBackend, Ledger, Script, Switches};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// One of a kind, for long, with memory enough and however many evaluations.
pub(crate) fn settings() -> PoolSettings {
    PoolSettings { most: 1, memory: u64::MAX, oldest: Duration::from_secs(3600), busy: usize::MAX }
}

pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) switches: Arc<Switches>,
    others: Vec<Arc<Ledger>>,
}

pub(crate) struct Silent;

#[async_trait::async_trait]
impl EventSink for Silent {
    async fn publish(&self, _evaluation: EvaluationId, _event: Event) {}
}

impl Bench {
    pub(crate) fn new(script: Script, settings: PoolSettings) -> Self {
        Self::with_others(script, settings, &[])
    }

    /// With backends of these names beside the one that is called `fake`.
    pub(crate) fn with_others(script: Script, settings: PoolSettings, names: &[&str]) -> Self {
        let backend = FakeBackend::new(script.clone());
        let (ledger, switches) = (backend.ledger(), backend.switches());
        let mut backends: Vec<Arc<dyn Backend>> = vec![Arc::new(backend)];
        let mut others = Vec::new();
        for name in names {
            let other = FakeBackend::new(script.clone()).named(*name);
            others.push(other.ledger());
            backends.push(Arc::new(other));
        }
        let node = NodeFacts { kernel: "6.18.0".to_owned() };
        let engine = Engine::new(backends, languages(), Limits::maximum(), node).with_pool(settings);
        Self { engine, ledger, switches, others }
    }

    pub(crate) async fn evaluate(&self, spec: EvaluationSpec) -> Result<Outcome> {
        self.evaluate_for(spec, None, CancellationToken::new()).await
    }

    pub(crate) async fn evaluate_for(
        &self,
        spec: EvaluationSpec,
        project: Option<&str>,
        cancel: CancellationToken,
    ) -> Result<Outcome> {
        let project = project.map(id);
        self.engine.evaluate(spec, RunIo { stdin: None, events: &Silent, cancel, project }).await
    }

    pub(crate) async fn keep_ready(&self, spec: &EvaluationSpec) {
        self.engine.keep_ready(spec, None).await.unwrap();
        settle().await;
    }

    pub(crate) fn counts(&self) -> PoolCounts {
        self.engine.pool_counts().unwrap()
    }

    /// Hits and misses.
    pub(crate) fn found(&self) -> (u64, u64) {
        (self.counts().hits, self.counts().misses)
    }

    /// Every sandbox that was made is used once at most.
    fn check_used_once(&self) {
        let used = self.ledger.used();
        assert_eq!(used.iter().collect::<BTreeSet<_>>().len(), used.len(), "one was used twice");
    }

    /// Drains the pool and checks that nothing is left: all that were made were destroyed.
    pub(crate) async fn end(&self) {
        self.end_with_dropped(0).await;
    }

    /// As [`Self::end`], where so many were dropped with their evaluation.
    pub(crate) async fn end_with_dropped(&self, dropped: usize) {
        self.engine.drain_pool().await;
        settle().await;
        self.check_used_once();
        assert_eq!(self.counts().ready, 0);
        let Self { ledger, .. } = self;
        assert_eq!((ledger.created(), ledger.dropped()), (ledger.destroyed() + dropped, dropped), "some are left");
        for other in &self.others {
            assert_eq!((other.created(), other.dropped()), (other.destroyed(), 0), "some are left");
        }
    }
}

pub(crate) fn id(name: &str) -> ProjectId {
    name.parse().unwrap()
}

/// Until everything waits for something: only then does the test's time go on.
pub(crate) async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

fn languages() -> LanguageTable {
    let language = Language {
        title: "Test".to_owned(),
        endings: vec!["test".to_owned()],
        aliases: vec![],
        interpreters: vec!["fake".to_owned()],
        run: vec!["{interpreter}".to_owned(), "{file}".to_owned()],
        file_name: "main.test".to_owned(),
        probe: vec![],
        files: vec![],
        env: BTreeMap::new(),
        image: String::new(),
        install_hint: String::new(),
        wasm: String::new(),
        ready: String::new(),
        preload: Vec::new(),
    };
    let other = Language { title: "Other".to_owned(), endings: vec![], ..language.clone() };
    LanguageTable::from(BTreeMap::from([("test".to_owned(), language), ("other".to_owned(), other)]))
}

pub(crate) fn spec() -> EvaluationSpec {
    EvaluationSpec {
        id: EvaluationId::generate(),
        program: source("test"),
        backend: "fake".to_owned(),
        stdin: vec![],
        files: vec![],
        collect: vec![],
        tripwires: vec![],
        env: BTreeMap::new(),
        limits: Limits::default(),
        review: None,
        label: None,
        policy: Policy::built_in("default").unwrap(),
    }
}

pub(crate) fn source(language: &str) -> Program {
    Program::Source { language: language.to_owned(), code: b"code".to_vec(), args: vec![] }
}
