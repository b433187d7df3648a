//! What the engine's tests share: an engine on one fake backend, and sinks that watch, dawdle or get stuck.

use async_trait::async_trait;
use crucible_core::{
    BaselineStore, Capabilities, Component, EvaluationId, EvaluationSpec, Event, EventSink, Finding, Import, Language,
    Limits, Outcome, Policy, Program, Region, Result, ScanFile, ScanReport, Scanner, SelfTest, Severity, Unread,
};
use crucible_engine::{Engine, Evaluated, LanguageTable, NodeFacts, RunIo};
use crucible_evidence::AttestationIndex;
use crucible_testkit::fake::{FakeBackend, Ledger, Script, everything};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
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
            image: String::new(),
            install_hint: String::new(),
            wasm: String::new(),
            ready: String::new(),
            preload: Vec::new(),
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

    /// The same, which looks at programs.
    pub(crate) fn with_scanner(mut self, scanner: WordScanner) -> Self {
        self.engine = self.engine.with_scanner(Arc::new(scanner));
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
        match self.evaluate_or_hold(spec, events, cancel.clone()).await? {
            Evaluated::Finished(outcome) => Ok(*outcome),
            // Decided the same again, and then an error.
            Evaluated::Held(held) => {
                self.engine.evaluate(held.spec, RunIo { stdin: None, events, cancel, project: None }).await
            }
        }
    }

    pub(crate) async fn evaluate_or_hold(
        &self,
        spec: EvaluationSpec,
        events: &dyn EventSink,
        cancel: CancellationToken,
    ) -> Result<Evaluated> {
        let outcome = self.engine.evaluate_or_hold(spec, RunIo { stdin: None, events, cancel, project: None }).await;
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

/// Finds what the words of a program say: `find RULE SEVERITY`, `import MODULE`, `unread`, `panic`; `await sandbox` waits
/// until one is made.
#[derive(Default)]
pub(crate) struct WordScanner {
    pub(crate) ledger: Option<Arc<Ledger>>,
}

impl WordScanner {
    fn line(&self, file: &ScanFile<'_>, number: u64, line: &str, report: &mut ScanReport) {
        let region = Region { line: number, column: 1, end_line: number, end_column: 2 };
        let file = file.name.to_owned();
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["find", rule, severity] => report.findings.push(Finding {
                rule: rule.to_owned(),
                severity: Severity::ALL.into_iter().find(|known| known.as_str() == severity).unwrap(),
                group: "test".to_owned(),
                file,
                region,
                message: "it says so".to_owned(),
                does: "says so".to_owned(),
                foreshadows: BTreeSet::new(),
            }),
            ["import", module] => report.imports.push(Import { module: module.to_owned(), file, region }),
            ["unread"] => report.unread.push(Unread { file, reason: "it says so".to_owned() }),
            ["panic"] => panic!("the program says so"),
            ["await", "sandbox"] => {
                let (ledger, deadline) = (self.ledger.as_ref().unwrap(), Instant::now() + Duration::from_secs(10));
                while ledger.created() == 0 {
                    assert!(Instant::now() < deadline, "no sandbox was made meanwhile");
                    std::thread::yield_now();
                }
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Component for WordScanner {
    fn name(&self) -> &str {
        "words"
    }

    async fn self_test(&self) -> SelfTest {
        SelfTest { component: "words".to_owned(), checks: vec![] }
    }
}

impl Scanner for WordScanner {
    fn scan(&self, files: &[ScanFile<'_>]) -> ScanReport {
        let mut report = ScanReport::default();
        for file in files {
            for (number, line) in (1..).zip(String::from_utf8_lossy(file.bytes).lines()) {
                self.line(file, number, line, &mut report);
            }
        }
        report
    }

    fn rules_digest(&self) -> &str {
        "d1"
    }
}
