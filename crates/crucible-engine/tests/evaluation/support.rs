//! What the engine's tests share: an engine on one fake backend, and sinks that watch, dawdle or get stuck.

use async_trait::async_trait;
use crucible_core::{
    BaselineStore, Capabilities, EvaluationId, EvaluationSpec, Event, EventSink, Language, Limits, Outcome, Policy,
    Program, Result,
};
use crucible_engine::{Engine, LanguageTable, NodeFacts, RunIo};
use crucible_evidence::AttestationIndex;
use crucible_testkit::fake::{FakeBackend, Ledger, Script, everything};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// An engine on one fake backend.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) ledger: Arc<Ledger>,
}

impl Bench {
    pub(crate) fn new(script: Script) -> Self {
        Self::with_capabilities(script, everything())
    }

    pub(crate) fn with_capabilities(script: Script, capabilities: Capabilities) -> Self {
        let backend = FakeBackend::new(script).with_capabilities(capabilities);
        let ledger = backend.ledger();
        let language = Language {
            title: "Test".to_owned(),
            endings: vec!["test".to_owned()],
            aliases: vec!["t".to_owned()],
            interpreters: vec!["fake".to_owned()],
            run: vec!["{interpreter}".to_owned(), "-x".to_owned(), "{file}".to_owned()],
            file_name: "main.test".to_owned(),
            probe: vec![],
            files: vec![],
            env: BTreeMap::from([("MAIN".to_owned(), "{file}".to_owned()), ("MODE".to_owned(), "a".to_owned())]),
            install_hint: String::new(),
        };
        let binary = Language {
            aliases: vec![],
            endings: vec![],
            interpreters: vec![],
            run: vec!["{file}".to_owned()],
            file_name: "program".to_owned(),
            env: BTreeMap::new(),
            ..language.clone()
        };
        let languages = BTreeMap::from([("test".to_owned(), language), ("binary".to_owned(), binary)]);
        let languages = LanguageTable::from(languages);
        let node = NodeFacts { kernel: "6.18.0".to_owned() };
        Self { engine: Engine::new(vec![Arc::new(backend)], languages, Limits::maximum(), node), ledger }
    }

    /// The same with attestations.
    pub(crate) fn with_attestations(mut self, attestations: Arc<dyn AttestationIndex>) -> Self {
        self.engine = self.engine.with_attestations(attestations);
        self
    }

    /// The same with earlier runs to compare with.
    pub(crate) fn with_baselines(mut self, baselines: Arc<dyn BaselineStore>) -> Self {
        self.engine = self.engine.with_baselines(baselines);
        self
    }

    /// Runs a specification, and checks what holds for every run: nothing is left, nothing was read beside the living.
    pub(crate) async fn evaluate(&self, spec: EvaluationSpec) -> Result<Outcome> {
        let recorder = Recorder::default();
        self.evaluate_with(spec, &recorder, CancellationToken::new()).await
    }

    pub(crate) async fn evaluate_with(
        &self,
        spec: EvaluationSpec,
        events: &dyn EventSink,
        cancel: CancellationToken,
    ) -> Result<Outcome> {
        let outcome = self.engine.evaluate(spec, RunIo { stdin: None, events, cancel }).await;
        assert_eq!(self.ledger.living(), 0, "a sandbox outlived its evaluation");
        assert!(!self.ledger.read_beside_living(), "a file was read while a process lived");
        outcome
    }
}

pub(crate) fn spec() -> EvaluationSpec {
    EvaluationSpec {
        id: EvaluationId::generate(),
        program: Program::Source { language: "t".to_owned(), code: b"code".to_vec(), args: vec!["arg".to_owned()] },
        backend: "auto".to_owned(),
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

/// Writes events down, after dawdling over each.
#[derive(Default)]
pub(crate) struct Recorder {
    events: Mutex<Vec<Event>>,
    dawdle: Duration,
}

impl Recorder {
    pub(crate) fn dawdling(dawdle: Duration) -> Self {
        Self { events: Mutex::default(), dawdle }
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.lock().unwrap().clone()
    }
}

#[async_trait]
impl EventSink for Recorder {
    async fn publish(&self, _evaluation: EvaluationId, event: Event) {
        if !self.dawdle.is_zero() {
            tokio::time::sleep(self.dawdle).await;
        }
        self.events.lock().unwrap().push(event);
    }
}
