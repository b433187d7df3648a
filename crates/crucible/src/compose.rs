//! The only place that picks implementations: from names in a request to backends and an engine.
//!
//! It starts only what a request needs, because starting a backend costs time.

mod mcp;
mod service;

pub use mcp::{McpSettings, mcp};
pub use service::{Composed, ServedParts, service, service_folder, service_store};

use crate::config::{AUTO, Chosen, Configuration, PolicyFile, Problem};
use crate::rule_files::{RuleFiles, RuleFolder};
use crucible_backends::docker::{DockerBackend, DockerConfig, Hardening};
use crucible_backends::gvisor::{GvisorBackend, GvisorConfig};
use crucible_backends::jail::{JailBackend, JailConfig, Watch};
use crucible_backends::subprocess::{SubprocessBackend, SubprocessConfig};
use crucible_backends::wasm::runtimes::RuntimeFolder;
use crucible_backends::wasm::{Note, WasmBackend, WasmConfig, WorkerProgram};
use crucible_core::{
    Backend, Error, ErrorKind, HostPath, Isolation, Language, Layer, Policy, Readiness, Result, ReviewStore, SandboxId,
    SandboxRequest, Scanner, Severity, SuiteResult, nearest,
};
use crucible_engine::{Engine, NodeFacts};
use crucible_evidence::{EvidenceFolder, Node, Protection, StoredAttestation, StoredAttestations};
use crucible_scan::{RuleSet, SourceScanner};
use crucible_state::file::{FileBaselines, FileReviews, SandboxPlaces};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// The native Linux jail.
pub const JAIL: &str = "jail";
/// Containers of a Docker daemon.
pub const DOCKER: &str = "docker";
/// The same as they come, without any option: for comparison in the attack suite's matrix.
pub const DOCKER_STOCK: &str = "docker-stock";
/// gVisor: a kernel of the guest's own, by `runsc`.
pub const GVISOR: &str = "gvisor";
/// No isolation at all; for development.
pub const SUBPROCESS: &str = "subprocess";
/// WebAssembly in a jailed worker.
pub const WASM: &str = "wasm";

/// The hidden verb by which this program is the worker that WebAssembly runs in.
pub const WASM_WORKER_VERB: &str = "wasm-worker";

/// The backends of this build, the preferred one first.
pub const BACKENDS: [&str; 5] = [JAIL, DOCKER, GVISOR, WASM, SUBPROCESS];
/// What is there to be compared with, and needs the same word as what isolates nothing.
const COMPARED: [&str; 1] = [DOCKER_STOCK];
/// Backends that people may know by name but that this build doesn't have.
const NOT_IN_THIS_BUILD: [&str; 1] = ["microvm"];

/// Whether a backend that isolates nothing may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unsafe {
    /// It is refused.
    #[default]
    Refused,
    /// The person said `--unsafe`.
    Admitted,
}

/// The backend that a request means by `name`, which may be `auto`.
///
/// # Errors
/// `NotFound` for an unknown name, `Refused` for one that isn't in this build or needs `--unsafe`.
pub fn choose(name: &str, unsafe_backends: Unsafe) -> Result<&'static str> {
    let operation = "choose the backend";
    if name == AUTO {
        return Ok(JAIL);
    }
    if let Some(known) = BACKENDS.into_iter().chain(COMPARED).find(|known| *known == name) {
        if known == DOCKER_STOCK && unsafe_backends == Unsafe::Refused {
            let message = "a stock container is there for comparison only";
            let hint = "add --unsafe if the program may do what a container's root can do, or use -b docker";
            return Err(Error::new(ErrorKind::Refused, operation, message).with_hint(hint));
        }
        if known == SUBPROCESS && unsafe_backends == Unsafe::Refused {
            let message = "the subprocess backend isolates nothing and is for development only";
            let hint = "add --unsafe if the program may do all that you can do, or leave out -b to use the jail";
            return Err(Error::new(ErrorKind::Refused, operation, message).with_hint(hint));
        }
        return Ok(known);
    }
    let here = BACKENDS.join(", ");
    if NOT_IN_THIS_BUILD.contains(&name) {
        let message = format!("the backend '{name}' is not in this build yet");
        return Err(Error::new(ErrorKind::Refused, operation, message).with_hint(format!("in this build: {here}")));
    }
    let shown: String = name.chars().take(64).collect();
    let error = Error::new(ErrorKind::NotFound, operation, format!("unknown backend {shown:?}"));
    Err(match nearest(name, BACKENDS.into_iter().chain(NOT_IN_THIS_BUILD).chain([AUTO])) {
        Some(known) => error.with_hint(format!("did you mean '{known}'?")),
        None => error.with_hint(format!("in this build: {here}")),
    })
}

/// The backend that a request means by `name` for a program in a language, if it has one: `auto` is the jail, but for
/// programs that are WebAssembly themselves.
///
/// # Errors
/// As [`choose`].
pub fn choose_for(name: &str, language: Option<&Language>, unsafe_backends: Unsafe) -> Result<&'static str> {
    if name == AUTO && language.is_some_and(Language::is_wasm_itself) {
        return Ok(WASM);
    }
    choose(name, unsafe_backends)
}

/// The rules that scanning goes by: the built-in ones, those of the configuration, and those of `more` folders. A later
/// rule takes the place of an earlier one that has its id; within a layer an id may be there only once.
///
/// # Errors
/// `Configuration` for what the configuration names, `NotFound`, `Io` or `InvalidInput` for what `more` names: a folder that
/// can't be read or holds no rules, and the first rule that is wrong, with file, line and id.
pub fn rules(configuration: &Configuration, more: &[PathBuf]) -> Result<RuleSet> {
    let configured: Vec<_> =
        configuration.rule_folders().into_iter().map(|(path, origin)| RuleFolder { path, origin }).collect();
    let rules = RuleFiles::read(&configured)?.over(RuleSet::built_in(), ErrorKind::Configuration)?;
    RuleFiles::read(&RuleFolder::of_flag(more))?.over(rules, ErrorKind::InvalidInput)
}

/// The rules of these folders alone.
///
/// # Errors
/// As [`rules`].
pub fn rules_of(folders: &[PathBuf]) -> Result<RuleSet> {
    RuleFiles::read(&RuleFolder::of_flag(folders))?.over(RuleSet::empty(), ErrorKind::InvalidInput)
}

/// What looks at every program before it runs, by the [`rules`] of the configuration. What it needs for a language is made
/// when the first program in it is looked at.
///
/// # Errors
/// As [`rules`].
pub fn scanner(configuration: &Configuration) -> Result<Arc<dyn Scanner>> {
    Ok(scanner_by(rules(configuration, &[])?))
}

/// A scanner that goes by these rules.
#[must_use]
pub fn scanner_by(rules: RuleSet) -> Arc<dyn Scanner> {
    Arc::new(SourceScanner::new(rules))
}

/// What the `*_rules` of a policy file name that is no rule of the scanner.
///
/// # Errors
/// As [`rules`].
pub fn unknown_rules(file: &PolicyFile, configuration: &Configuration) -> Result<Vec<Problem>> {
    let before = &file.policy.before;
    if before.deny_rules.is_empty() && before.hold_rules.is_empty() && before.note_rules.is_empty() {
        return Ok(Vec::new());
    }
    let rules = rules(configuration, &[])?;
    Ok(file.unknown_rules(rules.rules().iter().map(|rule| rule.id.as_str())))
}

/// The policy in force. A backend that isolates nothing, and was admitted as such, would be refused by the default one;
/// a policy that a person chose holds for it, too.
///
/// # Errors
/// As [`Configuration::policy`] and [`unknown_rules`].
pub fn policy(configuration: &Configuration, backend: &str) -> Result<Policy> {
    let policy = policy_itself(configuration, backend)?;
    let network = configuration.network()?.unwrap_or_else(|| policy.network.clone());
    Ok(Policy { network, ..policy })
}

fn policy_itself(configuration: &Configuration, backend: &str) -> Result<Policy> {
    if matches!(backend, SUBPROCESS | DOCKER_STOCK) && configuration.policy_chosen() == Chosen::ByDefault {
        return Ok(Policy::unisolated());
    }
    let Some(file) = configuration.policy_file()? else { return configuration.policy() };
    // A clause about a rule that isn't there would never apply, without anybody noticing.
    match unknown_rules(&file, configuration)?.into_iter().next() {
        Some(problem) => Err(problem.into()),
        None => Ok(file.policy),
    }
}

/// Starts one backend, by a name that [`choose`] returned.
///
/// # Errors
/// `Unavailable` where this machine can't run it, with the mend; `NotFound` for any other name.
pub async fn start(name: &str, configuration: &Configuration) -> Result<Arc<dyn Backend>> {
    match name {
        JAIL => Ok(Arc::new(start_jail(configuration).await?)),
        DOCKER => Ok(Arc::new(DockerBackend::start(&docker_config(configuration)).await?)),
        DOCKER_STOCK => {
            let config = DockerConfig { hardening: Hardening::Stock, ..docker_config(configuration) };
            Ok(Arc::new(DockerBackend::start(&config).await?))
        }
        GVISOR => Ok(Arc::new(GvisorBackend::start(gvisor_config(configuration)).await?)),
        WASM => Ok(Arc::new(start_wasm(configuration).await?)),
        SUBPROCESS => {
            let interpreter_cache = configuration.interpreter_cache();
            Ok(Arc::new(SubprocessBackend::start(SubprocessConfig { interpreter_cache }).await?))
        }
        other => Err(Error::new(ErrorKind::NotFound, "start the backend", format!("unknown backend {other:?}"))),
    }
}

/// Starts the jail, which can do more than a backend has to: it opens ranges.
///
/// # Errors
/// `Unavailable` where this machine can't run it, with the mend.
pub async fn start_jail(configuration: &Configuration) -> Result<JailBackend> {
    JailBackend::start(jail_config(configuration)?).await
}

/// What a configuration says about Docker.
#[must_use]
pub fn docker_config(configuration: &Configuration) -> DockerConfig {
    DockerConfig {
        host: configuration.docker_host(),
        runtime: configuration.docker_runtime(),
        image: configuration.docker_image(),
        hardening: Hardening::Full,
        interpreter_cache: configuration.interpreter_cache(),
    }
}

/// Starts the backend for WebAssembly, which can do more than a backend has to: it compiles runtimes ahead, and hands them
/// over to another one.
///
/// # Errors
/// As [`start_jail`]; `NotFound` where this program's own file isn't there any more.
pub async fn start_wasm(configuration: &Configuration) -> Result<WasmBackend> {
    WasmBackend::start(wasm_config(configuration)?).await
}

/// What a configuration says about WebAssembly. The worker is this same program.
///
/// # Errors
/// As [`jail_config`]; `Io` where this program's own file can't be found.
pub fn wasm_config(configuration: &Configuration) -> Result<WasmConfig> {
    let program = std::env::current_exe().map_err(|error| {
        Error::new(ErrorKind::Io, "find this program's own file", "the worker for WebAssembly can't be found")
            .with_source(error)
    })?;
    Ok(WasmConfig {
        jail: jail_config(configuration)?,
        worker: WorkerProgram { program: HostPath::new(program), arguments: vec![WASM_WORKER_VERB.to_owned()] },
        runtimes: configuration.runtime_folder(),
        artifacts: configuration.compiled_folder(),
        // Nobody else would say why a start takes seconds.
        note: Note::by(|what| drop(writeln!(std::io::stderr(), "note: {what}"))),
    })
}

/// Where runtimes for languages that run as WebAssembly are installed.
///
/// # Errors
/// `Configuration` where there is no user's folder to have them in, and none is set.
pub fn runtimes(configuration: &Configuration) -> Result<RuntimeFolder> {
    configuration.runtime_folder().map(RuntimeFolder::new).ok_or_else(|| {
        let message = "there is no folder for runtimes";
        Error::new(ErrorKind::Configuration, "find the folder of runtimes", message)
            .with_hint("set wasm.runtimes, XDG_DATA_HOME or HOME")
    })
}

/// What a configuration says about the jail.
///
/// # Errors
/// `Configuration` where it gives ids that can't be.
pub fn jail_config(configuration: &Configuration) -> Result<JailConfig> {
    Ok(JailConfig {
        cgroup_parent: configuration.cgroup_parent(),
        uid_start: configuration.uid_start()?,
        uid_count: configuration.uid_count()?,
        interpreter_cache: configuration.interpreter_cache(),
        watch: Watch::Everything,
    })
}

/// What a configuration says about gVisor.
#[must_use]
pub fn gvisor_config(configuration: &Configuration) -> GvisorConfig {
    GvisorConfig {
        runsc: configuration.runsc(),
        platform: configuration.gvisor_platform(),
        cgroup_parent: configuration.cgroup_parent(),
        cache: configuration.interpreter_cache(),
    }
}

/// Starts one backend, as [`start`] does, and an engine that looks at programs and runs them on it. Its records name the
/// attestations of this node, and say how runs with a label stand to earlier ones. `ahead` says whether sandboxes are made before
/// they are asked for.
///
/// # Errors
/// As [`start`] and [`scanner`].
pub async fn start_engine(name: &str, configuration: &Configuration, ahead: Ahead) -> Result<Engine> {
    // A backend waits for processes of its own while it starts, and the rules can be read meanwhile.
    let reading = async {
        tokio::task::yield_now().await;
        scanner(configuration)
    };
    let (started, scanner) = tokio::join!(start(name, configuration), reading);
    let engine = unscanned_engine(vec![started?], configuration).with_scanner(scanner?);
    match ahead {
        Ahead::Pool => with_pool(engine, configuration),
        Ahead::Never => Ok(engine),
    }
}

/// Whether sandboxes are made before they are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ahead {
    /// They are, where the configuration lets it: for whoever runs more than one program.
    Pool,
    /// None is.
    Never,
}

/// The same engine with its pool, unless the configuration wants none.
///
/// # Errors
/// `Configuration` for settings that can't be.
pub fn with_pool(engine: Engine, configuration: &Configuration) -> Result<Engine> {
    Ok(match configuration.pool()? {
        Some(settings) => engine.with_pool(settings),
        None => engine,
    })
}

/// What `auto` may have to choose in the jail's place: what has a layer that the policy requires and the jail can't have, and
/// a stronger wall where the policy may demand one by what is found in a program.
#[must_use]
pub fn stronger_than_the_jail(policy: &Policy) -> Vec<&'static str> {
    let jail = isolation(JAIL).unwrap_or(Isolation::None);
    let wants_wall = policy.before.wall_for(Severity::Critical) > jail;
    let wants_layer = policy.require.contains(&Layer::WebAssembly);
    [(WASM, wants_layer), (GVISOR, wants_wall)].into_iter().filter_map(|(name, wants)| wants.then_some(name)).collect()
}

/// Starts the engine as [`start_engine`] does, with the jail and all of `stronger` that can be used here, among which it
/// chooses for a specification with the backend `auto`. Also says why the others can't.
///
/// # Errors
/// As there, for the jail.
pub async fn start_engine_to_choose(
    stronger: &[&'static str],
    configuration: &Configuration,
) -> Result<(Engine, Vec<(&'static str, Error)>)> {
    let (mut backends, mut missing) = (vec![start(JAIL, configuration).await?], Vec::new());
    for name in stronger {
        match start(name, configuration).await {
            Ok(backend) => backends.push(backend),
            Err(error) => missing.push((*name, error)),
        }
    }
    Ok((unscanned_engine(backends, configuration).with_scanner(scanner(configuration)?), missing))
}

/// The same without a look at programs: for those whose programs are Crucible's own.
#[must_use]
pub fn unscanned_engine(backends: Vec<Arc<dyn Backend>>, configuration: &Configuration) -> Engine {
    let engine = Engine::new(backends, configuration.languages().clone(), configuration.maximum().clone(), node());
    let engine = match baselines(configuration) {
        Ok(baselines) => engine.with_baselines(Arc::new(baselines)),
        // A run with a label says that there is nothing to compare it with.
        Err(_) => engine,
    };
    match evidence(configuration) {
        Ok(folder) => engine.with_attestations(Arc::new(StoredAttestations::new(folder, HostPath::new("/")))),
        // Nobody to have attestations, so there are none.
        Err(_) => engine,
    }
}

/// What earlier runs with a label were like.
///
/// # Errors
/// `Configuration` where there is no user's folder to have it in, and none is set.
pub fn baselines(configuration: &Configuration) -> Result<FileBaselines> {
    configuration.baseline_folder().map(FileBaselines::new).ok_or_else(|| {
        let message = "there is no folder for what earlier runs were like";
        Error::new(ErrorKind::Configuration, "find the baseline folder", message)
            .with_hint("set baseline.folder, XDG_DATA_HOME or HOME")
    })
}

/// The folder with this node's key and attestations.
///
/// # Errors
/// `Configuration` where there is no user's folder to have it in, and none is set.
pub fn evidence(configuration: &Configuration) -> Result<EvidenceFolder> {
    configuration.evidence_folder().map(EvidenceFolder::new).ok_or_else(|| {
        let message = "there is no folder for the signing key and the attestations";
        Error::new(ErrorKind::Configuration, "find the evidence folder", message)
            .with_hint("set evidence.folder, XDG_DATA_HOME or HOME")
    })
}

/// Where programs are kept that a policy holds for review.
///
/// # Errors
/// `Configuration` where there is no user's folder to have them in, and none is set.
pub fn reviews(configuration: &Configuration) -> Result<Arc<dyn ReviewStore>> {
    let folder = configuration.review_folder().ok_or_else(|| {
        let message = "there is no folder for programs that are held for review";
        Error::new(ErrorKind::Configuration, "find the review folder", message)
            .with_hint("set review.folder, XDG_DATA_HOME or HOME")
    })?;
    Ok(Arc::new(FileReviews::new(folder)))
}

/// Where sandboxes that stay open have their places.
///
/// # Errors
/// `Configuration` where there is no user's folder to have them in, and none is set.
pub fn sandbox_places(configuration: &Configuration) -> Result<SandboxPlaces> {
    configuration.sandbox_folder().map(SandboxPlaces::new).ok_or_else(|| {
        let message = "there is no folder for sandboxes that stay open";
        Error::new(ErrorKind::Configuration, "find the sandbox folder", message)
            .with_hint("set sandbox.folder, XDG_DATA_HOME or HOME")
    })
}

/// The strength of a backend's wall, as far as it is known without starting it; `None` for a name that isn't in this build.
#[must_use]
pub fn isolation(backend: &str) -> Option<Isolation> {
    match backend {
        // Of a runtime with a kernel of its own nothing is known until the daemon was asked.
        JAIL | WASM | DOCKER | DOCKER_STOCK => Some(Isolation::SharedKernel),
        GVISOR => Some(Isolation::OwnKernel),
        SUBPROCESS => Some(Isolation::None),
        _ => None,
    }
}

/// Signs and stores what a whole suite found out about a backend under a policy, so that runs that are protected in the
/// same way name it. One sandbox is made and destroyed, to see the layers as they are applied.
///
/// # Errors
/// As [`crucible_evidence::attest`], [`Node::read`], [`evidence`] and [`Backend::create`].
pub async fn attest(
    configuration: &Configuration,
    backend: &dyn Backend,
    policy: &Policy,
    suite: &SuiteResult,
) -> Result<StoredAttestation> {
    let request = SandboxRequest {
        id: SandboxId::generate(),
        language: None,
        limits: configuration.limits().clone(),
        policy: policy.clone(),
        readiness: Readiness::Bare,
        project: None,
    };
    let sandbox = backend.create(request).await?;
    let layers = sandbox.layers().clone();
    sandbox.destroy().await?;
    let protection = Protection { backend, layers: &layers, policy };
    crucible_evidence::attest(&evidence(configuration)?, Node::read(&HostPath::new("/"))?, &protection, suite)
}

/// This machine's name.
#[must_use]
pub fn node_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// What is recorded about this machine.
#[must_use]
pub fn node() -> NodeFacts {
    NodeFacts { kernel: rustix::system::uname().release().to_string_lossy().into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_unisolated_is_chosen_unless_asked_for() {
        assert_eq!(choose("auto", Unsafe::Admitted).unwrap(), JAIL);
        let error = choose("subprocess", Unsafe::Refused).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.hint().unwrap().contains("--unsafe"));
        assert_eq!(choose("subprocess", Unsafe::Admitted).unwrap(), SUBPROCESS);
        assert_eq!(choose("docker-stock", Unsafe::Refused).unwrap_err().kind(), ErrorKind::Refused);
    }

    #[test]
    fn a_backend_of_a_later_build_and_a_mistyped_one_are_told_apart() {
        assert_eq!(choose("microvm", Unsafe::Admitted).unwrap_err().kind(), ErrorKind::Refused);
        assert_eq!(choose("wasm", Unsafe::Refused).unwrap(), WASM);
        let error = choose("jial", Unsafe::Refused).unwrap_err();
        assert_eq!((error.kind(), error.hint()), (ErrorKind::NotFound, Some("did you mean 'jail'?")));
        assert!(choose("quaternion", Unsafe::Refused).unwrap_err().hint().unwrap().contains("jail"));
    }
}
