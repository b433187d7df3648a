//! A service in one process: a backend that can be told to fail, the store in SQLite, the queue in memory or in SQLite.

use async_trait::async_trait;
use crucible_core::{
    AdmissionRecord, Backend, Capabilities, Clock, Component, Document, Error, ErrorKind, EvaluationId, EvaluationSpec,
    Event, EventBus, Finding, HostPath, Import, Limits, NewEvent, Outcome, Policy, Priority, Program, ProjectId, Queue,
    Quotas, Region, Result, Sandbox, SandboxRequest, ScanFile, ScanReport, Scanner, SelfTest, Store as _,
    StoredEvaluation, StoredEvent,
};
use crucible_engine::{
    Breakers, Drained, Engine, LanguageTable, NodeFacts, Patience, Records, Reuse, Service, ServiceParts,
    ServiceSettings, Submission, Submitted,
};
use crucible_state::SystemClock;
use crucible_state::memory::{MemoryBus, MemoryQueue};
use crucible_state::sqlite::{SqliteFolder, SqliteQueue, SqliteStore};
use crucible_testkit::fake::{FakeBackend, Ledger, Script};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// No test may take longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Words in place of documents.
pub(crate) struct Words;

fn words(text: String) -> Document {
    Document { format: "words".to_owned(), body: text.into() }
}

fn told(kind: &'static str, at: SystemTime, body: String) -> NewEvent {
    NewEvent { at, kind: Cow::Borrowed(kind), body: body.into() }
}

impl Records for Words {
    fn outcome(&self, outcome: &Outcome) -> Result<Document> {
        Ok(words(String::from_utf8_lossy(&outcome.stdout.bytes).into_owned()))
    }

    fn failure(&self, error: &Error) -> Document {
        words(error.to_string())
    }

    fn admission(&self, _admission: &AdmissionRecord, findings: &[Finding]) -> Result<Document> {
        Ok(words(format!("{} findings", findings.len())))
    }

    fn event(&self, event: &Event, at: SystemTime) -> NewEvent {
        match event {
            Event::OutputProduced { bytes, .. } => told("output", at, String::from_utf8_lossy(bytes).into_owned()),
            Event::CommandStarted => told("command_started", at, String::new()),
            _ => told("other", at, String::new()),
        }
    }

    fn plain(&self, kind: &'static str, at: SystemTime) -> NewEvent {
        told(kind, at, String::new())
    }

    fn ended(&self, kind: &'static str, _outcome: &Outcome, at: SystemTime) -> NewEvent {
        told(kind, at, String::new())
    }

    fn failed(&self, kind: &'static str, error: &Error, at: SystemTime) -> NewEvent {
        told(kind, at, error.to_string())
    }
}

/// A fake that fails as often as it was told to, before it works.
pub(crate) struct Moody {
    inner: FakeBackend,
    failures: AtomicU32,
    kind: ErrorKind,
}

#[async_trait]
impl Component for Moody {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn self_test(&self) -> SelfTest {
        self.inner.self_test().await
    }
}

#[async_trait]
impl Backend for Moody {
    fn version(&self) -> String {
        self.inner.version()
    }

    fn runtime_digest(&self) -> Option<String> {
        self.inner.runtime_digest()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn create(&self, request: SandboxRequest) -> Result<Box<dyn Sandbox>> {
        let left = self.failures.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        match left {
            Ok(_) => Err(Error::new(self.kind, "make a sandbox", "it is in a mood")),
            Err(_) => self.inner.create(request).await,
        }
    }
}

/// Finds an import in every program that has the word `import`.
struct Imports;

#[async_trait]
impl Component for Imports {
    fn name(&self) -> &'static str {
        "scanner"
    }

    async fn self_test(&self) -> SelfTest {
        SelfTest { component: "scanner".to_owned(), checks: vec![] }
    }
}

impl Scanner for Imports {
    fn scan(&self, files: &[ScanFile<'_>]) -> ScanReport {
        let region = Region { line: 1, column: 1, end_line: 1, end_column: 2 };
        let found = files.iter().filter(|file| file.bytes.starts_with(b"import"));
        let imports = found.map(|file| Import { module: "socket".to_owned(), file: file.name.to_owned(), region });
        ScanReport { imports: imports.collect(), ..ScanReport::default() }
    }

    fn rules_digest(&self) -> &'static str {
        "d1"
    }
}

/// Where the queue is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueIn {
    Memory,
    Sqlite,
}

/// What a bench is made of.
pub(crate) struct Plan {
    pub(crate) backends: Vec<(&'static str, Script)>,
    /// How often the first backend fails, and how.
    pub(crate) failures: (u32, ErrorKind),
    pub(crate) queue: QueueIn,
    pub(crate) settings: ServiceSettings,
}

impl Plan {
    pub(crate) fn of(script: Script) -> Self {
        let settings = ServiceSettings {
            first_delay: Duration::from_millis(20),
            longest_delay: Duration::from_millis(100),
            while_out: Duration::from_millis(20),
            lease: Duration::from_secs(3),
            ..ServiceSettings::for_machine(2, 8 << 30)
        };
        let failures = (0, ErrorKind::Infrastructure);
        Self { backends: vec![("fake", script)], failures, queue: QueueIn::Memory, settings }
    }

    pub(crate) const fn failing(mut self, times: u32, kind: ErrorKind) -> Self {
        self.failures = (times, kind);
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut ServiceSettings)) -> Self {
        change(&mut self.settings);
        self
    }

    pub(crate) const fn on(mut self, queue: QueueIn) -> Self {
        self.queue = queue;
        self
    }
}

/// A service, and all that it is made of.
pub(crate) struct Bench {
    pub(crate) service: Arc<Service>,
    pub(crate) store: Arc<SqliteStore>,
    pub(crate) queue: Arc<dyn Queue>,
    pub(crate) breakers: Arc<Breakers>,
    pub(crate) ledger: Arc<Ledger>,
    stop: CancellationToken,
    dispatching: Option<JoinHandle<Drained>>,
    pub(crate) folder: Arc<tempfile::TempDir>,
}

impl Bench {
    pub(crate) async fn new(plan: Plan) -> Self {
        Self::in_folder(plan, Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// A service on what an earlier one has left.
    pub(crate) async fn in_folder(plan: Plan, folder: Arc<tempfile::TempDir>) -> Self {
        let Plan { backends, failures, queue, settings } = plan;
        let (times, kind) = failures;
        let mut ledger = None;
        let backends = backends.into_iter().enumerate().map(|(number, (name, script))| -> Arc<dyn Backend> {
            let inner = FakeBackend::new(script).named(name);
            let _first = ledger.get_or_insert_with(|| inner.ledger());
            Arc::new(Moody { inner, failures: AtomicU32::new(if number == 0 { times } else { 0 }), kind })
        });
        let backends: Vec<_> = backends.collect();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let bus: Arc<dyn EventBus> = Arc::new(MemoryBus::default());
        let opened = opened(&HostPath::new(folder.path().join("data"))).await;
        let store = Arc::new(SqliteStore::new(&opened, Arc::clone(&bus)));
        let queue: Arc<dyn Queue> = match queue {
            QueueIn::Memory => Arc::new(MemoryQueue::new(clock)),
            QueueIn::Sqlite => Arc::new(SqliteQueue::load_beside_store(&opened, clock).await.unwrap()),
        };
        let breakers = Arc::new(Breakers::default());
        let node = NodeFacts { kernel: "6".to_owned() };
        let engine = Engine::new(backends, LanguageTable::from(BTreeMap::new()), Limits::maximum(), node)
            .with_scanner(Arc::new(Imports))
            .with_breakers(Arc::clone(&breakers));
        let parts = ServiceParts {
            engine: Arc::new(engine),
            store: Arc::clone(&store) as _,
            queue: Arc::clone(&queue),
            bus,
            records: Arc::new(Words),
            breakers: Arc::clone(&breakers),
            node: "here".to_owned(),
        };
        let service = Arc::new(Service::new(parts, settings));
        let ledger = ledger.unwrap();
        Self { service, store, queue, breakers, ledger, stop: CancellationToken::new(), dispatching: None, folder }
    }

    /// Begins to run what is queued.
    pub(crate) fn dispatch(&mut self, patience: Duration) {
        let (service, stop) = (Arc::clone(&self.service), self.stop.clone());
        self.dispatching = Some(tokio::spawn(async move { service.dispatch(stop, patience).await }));
    }

    /// A service that runs.
    pub(crate) async fn running(plan: Plan) -> Self {
        let mut bench = Self::new(plan).await;
        bench.dispatch(PATIENCE);
        bench
    }

    /// Stops as a node does that is asked to.
    pub(crate) async fn stop(&mut self) -> Drained {
        self.stop.cancel();
        self.dispatching.take().unwrap().await.unwrap()
    }

    /// Ends as a process does that is killed: nothing comes to its end, and nobody is told.
    pub(crate) async fn die(mut self) -> Arc<tempfile::TempDir> {
        let dispatching = self.dispatching.take().unwrap();
        dispatching.abort();
        let _ended = dispatching.await;
        Arc::clone(&self.folder)
    }

    pub(crate) async fn submit(&self) -> EvaluationId {
        self.submit_all(vec![submission(spec())]).await.pop().unwrap().unwrap().id()
    }

    pub(crate) async fn submit_all(&self, submissions: Vec<Submission>) -> Vec<Result<Submitted>> {
        self.service.submit_all(&ProjectId::default(), Quotas::default(), submissions).await.unwrap()
    }

    pub(crate) async fn get(&self, id: EvaluationId) -> StoredEvaluation {
        self.store.get(None, id).await.unwrap()
    }

    /// Waits for as long as a test may take.
    pub(crate) fn patience() -> Patience {
        Patience::of(PATIENCE, CancellationToken::new())
    }

    /// Waits for a final state, or one that is held.
    pub(crate) async fn result(&self, id: EvaluationId) -> StoredEvaluation {
        let found = self.service.wait_for(None, id, &Self::patience()).await.unwrap();
        assert!(found.summary.state.ends_waiting(), "{found:?}");
        found
    }

    /// Waits until something is so.
    pub(crate) async fn until<F: Future<Output = bool>>(&self, what: &str, mut look: impl FnMut() -> F) {
        let looking = async {
            while !look().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let looked = tokio::time::timeout(PATIENCE, looking).await;
        assert!(looked.is_ok(), "never: {what}");
    }

    /// Waits until the guest of so many evaluations runs.
    pub(crate) async fn until_commands(&self, count: usize) {
        self.until("a command runs", || async { self.ledger.commands().len() >= count }).await;
    }

    pub(crate) async fn events(&self, id: EvaluationId) -> Vec<Arc<StoredEvent>> {
        self.store.events(None, id, 0, 1000).await.unwrap()
    }

    /// The kinds of an evaluation's events, which must be numbered without a gap.
    pub(crate) async fn kinds(&self, id: EvaluationId) -> Vec<String> {
        let events = self.events(id).await;
        assert!(events.iter().map(|event| event.number).eq(1..=u64::try_from(events.len()).unwrap()), "{events:?}");
        assert!(events.is_sorted_by(|one, next| one.global < next.global), "{events:?}");
        events.iter().map(|event| event.kind.clone().into_owned()).filter(|kind| kind != "other").collect()
    }
}

/// The store's folder, once an earlier service has let go of it: nobody waits for the threads of one that died.
async fn opened(folder: &HostPath) -> SqliteFolder {
    let opening = async {
        loop {
            match SqliteFolder::open(folder) {
                Err(error) if error.kind() == ErrorKind::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(5)).await
                }
                opened => break opened.unwrap(),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opening).await.unwrap()
}

/// A command that the fake follows its script for.
pub(crate) fn spec() -> EvaluationSpec {
    EvaluationSpec {
        id: EvaluationId::generate(),
        program: Program::Command { argv: vec!["fake".to_owned()] },
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

pub(crate) fn submission(spec: EvaluationSpec) -> Submission {
    let (labels, delay) = (BTreeMap::new(), Duration::ZERO);
    let (priority, reuse) = (Priority::default(), Reuse::Never);
    Submission { spec, labels, idempotency_key: None, priority, delay, reuse }
}

/// The words that were kept.
pub(crate) fn said(document: Option<&Document>) -> String {
    document.map(|document| String::from_utf8_lossy(&document.body).into_owned()).unwrap_or_default()
}
