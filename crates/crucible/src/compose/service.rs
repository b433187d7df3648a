//! The service put together: its store, its queue, every backend that this machine can run, and what its interface needs.

use super::{
    BACKENDS, JAIL, SUBPROCESS, Unsafe, choose, evidence, node_name, policy, rules, scanner_by, start,
    unscanned_engine, with_pool,
};
use crate::catalogue::ConfiguredCatalogue;
use crate::config::{AUTO, Configuration};
use crate::http_attacks::ConfiguredAttacks;
use crate::http_specs::ConfiguredSpecs;
use async_trait::async_trait;
use crucible_core::{
    Backend, BackendStore, Component, Discard, Error, ErrorKind, EvaluationId, EvaluationSpec, EventBus, HostPath,
    Program, ProjectId, ProjectStore, Result, StoreCare,
};
use crucible_engine::{
    Breakers, Engine, Health, MOST_SESSIONS, Service, ServiceParts, ServiceSettings, Sessions, Starter, Webhooks,
};
use crucible_server::{
    Access, ApiParts, AttackRunner, Attacks, Catalogue, HttpCourier, JsonRecords, Metrics, Page, Rate, Reachable,
    SpecReader, Statistics, WebhookParts,
};
use crucible_state::SystemClock;
use crucible_state::memory::MemoryBus;
use crucible_state::sqlite::{SqliteFolder, SqliteQueue, SqliteStore};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// A service that is put together and doesn't run yet.
pub struct Composed {
    /// All that the interface needs.
    pub parts: ServedParts,
    /// Keeps evaluations, keys and projects.
    pub store: Arc<SqliteStore>,
    /// Says which is next.
    pub queue: Arc<SqliteQueue>,
}

/// Starts a backend by its name and the configuration.
struct ConfiguredBackend {
    name: &'static str,
    configuration: Configuration,
}

#[async_trait]
impl Starter for ConfiguredBackend {
    fn name(&self) -> &str {
        self.name
    }

    async fn start(&self) -> Result<Arc<dyn Backend>> {
        start(self.name, &self.configuration).await
    }
}

/// What is served.
pub struct ServedParts {
    /// Accepts and runs evaluations.
    pub service: Arc<Service>,
    /// Knows how the parts are.
    pub health: Arc<Health>,
    /// Keeps sandboxes open.
    pub sessions: Arc<Sessions>,
    /// Tells addresses of ends.
    pub webhooks: WebhookParts,
    specs: Arc<dyn SpecReader>,
    catalogue: Arc<dyn Catalogue>,
    page: Page,
    attack_runner: Arc<dyn AttackRunner>,
    backups: HostPath,
}

impl ServedParts {
    /// The parts of an interface.
    #[must_use]
    pub fn into_api(
        self,
        access: Access,
        rate: Option<Rate>,
        (metrics, statistics): (Metrics, Statistics),
        closing: CancellationToken,
        store: &Arc<SqliteStore>,
    ) -> ApiParts {
        let Self { service, health, sessions, specs, catalogue, page, attack_runner, backups, webhooks } = self;
        let attacks = Arc::new(Attacks::new(Arc::clone(store) as _, attack_runner, closing.clone()));
        let backends = Arc::clone(store) as Arc<dyn BackendStore>;
        let (projects, care) = (Arc::clone(store) as Arc<dyn ProjectStore>, Arc::clone(store) as Arc<dyn StoreCare>);
        ApiParts {
            service,
            health,
            sessions,
            specs,
            catalogue,
            page,
            access,
            rate,
            projects,
            backends,
            attacks,
            metrics,
            statistics,
            care,
            backups,
            webhooks,
            closing,
        }
    }
}

/// The folder of a service.
///
/// # Errors
/// `Configuration` where there is no user's folder to have it in, and none is set.
pub fn service_folder(configuration: &Configuration) -> Result<HostPath> {
    configuration.service_folder().ok_or_else(|| {
        let message = "there is no folder for what the service keeps";
        Error::new(ErrorKind::Configuration, "find the service's folder", message)
            .with_hint("set serve.data, XDG_DATA_HOME or HOME")
    })
}

/// Opens what a service keeps, for this process alone.
///
/// # Errors
/// As [`service_folder`]; `Unavailable` where another process serves it; `Io`.
pub fn service_store(configuration: &Configuration) -> Result<(SqliteFolder, Arc<SqliteStore>, Arc<MemoryBus>)> {
    let folder = SqliteFolder::open(&service_folder(configuration)?)?;
    let bus = Arc::new(MemoryBus::default());
    let store = Arc::new(SqliteStore::new(&folder, Arc::clone(&bus) as Arc<dyn EventBus>));
    Ok((folder, store, bus))
}

/// Puts a service together: every backend that this machine can run, the engine, and what is kept in its folder.
///
/// # Errors
/// As [`service_store`] and [`super::scanner`]; `Configuration` for settings that can't be.
pub async fn service(configuration: &Configuration, unsafe_backends: Unsafe) -> Result<Composed> {
    let (folder, store, bus) = service_store(configuration)?;
    let queue = Arc::new(SqliteQueue::load_beside_store(&folder, Arc::new(SystemClock)).await?);
    let mut backends: Vec<Arc<dyn Backend>> = Vec::new();
    let mut starters: Vec<Box<dyn Starter>> = Vec::new();
    for name in BACKENDS {
        if name == SUBPROCESS && unsafe_backends == Unsafe::Refused {
            continue;
        }
        // What can't be started now is tried again, and told of, whenever the parts are tested.
        backends.extend(start(name, configuration).await.ok());
        starters.push(Box::new(ConfiguredBackend { name, configuration: configuration.clone() }));
    }
    let breakers = Arc::new(Breakers::default());
    let rules = rules(configuration, &[])?;
    let scanner = scanner_by(rules.clone());
    let engine = unscanned_engine(backends, configuration)
        .with_scanner(Arc::clone(&scanner))
        .with_breakers(Arc::clone(&breakers));
    let engine = Arc::new(with_pool(engine, configuration)?);
    keep_ready(&engine, configuration).await;
    let mut components: Vec<Arc<dyn Component>> = vec![
        Arc::clone(&engine) as _,
        Arc::clone(&store) as _,
        Arc::clone(&queue) as _,
        Arc::clone(&bus) as _,
        scanner as _,
    ];
    if let Ok(evidence) = evidence(configuration) {
        components.push(Arc::new(evidence) as _);
    }
    let health = Arc::new(Health::new(Arc::clone(&engine), components, starters, Arc::clone(&breakers)));
    let parts = ServiceParts {
        engine: Arc::clone(&engine),
        store: Arc::clone(&store) as _,
        queue: Arc::clone(&queue) as _,
        bus: Arc::clone(&bus) as _,
        records: Arc::new(JsonRecords),
        breakers,
        node: node_name(),
    };
    let service = Arc::new(Service::new(parts, service_settings(configuration)?));
    let sessions = Arc::new(Sessions::new(engine, Arc::new(Discard), MOST_SESSIONS));
    // What is wrong there is told now, and not to who sends a request.
    configuration.request_networks()?;
    let specs = Arc::new(ConfiguredSpecs::new(configuration.clone(), unsafe_backends));
    let catalogue = Arc::new(ConfiguredCatalogue::new(configuration.clone(), rules));
    let attack_runner = Arc::new(ConfiguredAttacks::new(configuration.clone(), unsafe_backends));
    let page = configuration.page_folder().map_or_else(Page::built_in, Page::folder);
    let backups = backups(&service_folder(configuration)?)?;
    let courier = Arc::new(HttpCourier::new(Reachable::new(configuration.webhook_networks()?)));
    let webhooks = Arc::new(Webhooks::new(Arc::clone(&store) as _, bus as _, Arc::clone(&courier) as _));
    let webhooks = WebhookParts { webhooks, courier };
    Ok(Composed {
        parts: ServedParts { service, health, sessions, specs, catalogue, page, attack_runner, backups, webhooks },
        store,
        queue,
    })
}

/// The folder for backups that are asked for over HTTP, inside the service's own.
fn backups(folder: &HostPath) -> Result<HostPath> {
    use std::os::unix::fs::DirBuilderExt as _;
    let backups = folder.as_path().join("backups");
    match std::fs::DirBuilder::new().mode(0o700).create(&backups) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Error::new(ErrorKind::Io, "make the folder for backups", "it can't be made").with_source(error))
        }
        _ => Ok(HostPath::new(backups)),
    }
}

/// Has sandboxes for the usual programs stand ready before the first is asked for. What can't be made ahead will be told when it
/// is asked for.
async fn keep_ready(engine: &Engine, configuration: &Configuration) {
    for language in configuration.warm_languages() {
        let (Ok(backend), Ok(policy)) = (choose(AUTO, Unsafe::Refused), policy(configuration, JAIL)) else { continue };
        let spec = EvaluationSpec {
            id: EvaluationId::generate(),
            program: Program::Source { language, code: Vec::new(), args: Vec::new() },
            backend: backend.to_owned(),
            stdin: Vec::new(),
            files: Vec::new(),
            collect: Vec::new(),
            tripwires: Vec::new(),
            env: BTreeMap::new(),
            limits: configuration.limits().clone(),
            policy,
            review: None,
            label: None,
        };
        let project = ProjectId::default();
        if let Err(error) = engine.keep_ready(&spec, Some(&project)).await {
            tracing::warn!(%error, "nothing stands ready");
        }
    }
}

fn service_settings(configuration: &Configuration) -> Result<ServiceSettings> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = rustix::system::sysinfo();
    let memory = memory.totalram.saturating_mul(memory.mem_unit.into());
    let usual = ServiceSettings::for_machine(processors, memory);
    let most_running = configuration.most_running()?.and_then(|most| usize::try_from(most).ok());
    Ok(ServiceSettings {
        most_running: most_running.unwrap_or(usual.most_running),
        most_running_on: configuration.most_running_on()?,
        most_queued: configuration.most_queued()?.into(),
        attempts: configuration.attempts()?,
        ..usual
    })
}
