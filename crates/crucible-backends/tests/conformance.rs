//! The conformance suite against the backends of this crate, with the languages that Crucible comes with.

#![expect(clippy::unwrap_used, reason = "a test's own table")]

use crucible_backends::docker::{DockerBackend, DockerConfig};
use crucible_backends::gvisor::{GvisorBackend, GvisorConfig};
use crucible_backends::jail::{JailBackend, JailConfig};
use crucible_backends::runtime::DEFAULT_LANGUAGES;
use crucible_backends::subprocess::{SubprocessBackend, SubprocessConfig};
use crucible_backends::wasm::runtimes::RuntimeFolder;
use crucible_backends::wasm::{Note, WasmBackend, WasmConfig, WorkerProgram};
use crucible_core::{HostPath, Language, Policy, Readiness};
use crucible_testkit::conformance::{ConformanceSubject, Unavailable};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

fn language(name: &str) -> Arc<Language> {
    #[derive(serde::Deserialize)]
    struct Table {
        languages: BTreeMap<String, Language>,
    }
    let mut table: Table = toml::from_str(DEFAULT_LANGUAGES).unwrap();
    Arc::new(table.languages.remove(name).unwrap())
}

fn unavailable(backend: &str, error: &crucible_core::Error) -> Unavailable {
    Unavailable { backend: backend.to_owned(), reason: error.to_string() }
}

async fn jail() -> Result<ConformanceSubject, Unavailable> {
    let backend = JailBackend::start(JailConfig::default()).await.map_err(|error| unavailable("jail", &error))?;
    let (python, shell) = (language("python"), language("bash"));
    Ok(ConformanceSubject {
        backend: Arc::new(backend),
        python,
        shell,
        policy: Policy::default(),
        readiness: Readiness::Bare,
    })
}

/// A backend with interpreters that are made ready before their programs come.
fn warm(cold: ConformanceSubject) -> ConformanceSubject {
    let run = ["{interpreter}", "-I", "-S", "-B", "{file}"].map(str::to_owned).to_vec();
    // Without variables of its own: the suite's commands have none.
    let python = Arc::new(Language { run, env: BTreeMap::new(), ..Language::clone(&cold.python) });
    ConformanceSubject { python, readiness: Readiness::Interpreter, ..cold }
}

async fn warm_jail() -> Result<ConformanceSubject, Unavailable> {
    jail().await.map(warm)
}

async fn warm_docker() -> Result<ConformanceSubject, Unavailable> {
    docker().await.map(warm)
}

async fn warm_gvisor() -> Result<ConformanceSubject, Unavailable> {
    gvisor().await.map(warm)
}

/// A backend with root inside, where it can have one.
fn with_root(ordinary: ConformanceSubject) -> Result<ConformanceSubject, Unavailable> {
    let policy = Policy::inspect();
    let name = ordinary.backend.name().to_owned();
    match ordinary.backend.capabilities().admit(&name, &policy) {
        // Under another name: it isn't the backend that is missing.
        Err(error) if !rustix::process::geteuid().is_root() || name == "docker" => {
            Err(unavailable(&format!("{name}-with-root"), &error))
        }
        _ => Ok(ConformanceSubject { policy, ..ordinary }),
    }
}

async fn jail_with_root() -> Result<ConformanceSubject, Unavailable> {
    jail().await.and_then(with_root)
}

async fn docker_with_root() -> Result<ConformanceSubject, Unavailable> {
    docker().await.and_then(with_root)
}

async fn gvisor_with_root() -> Result<ConformanceSubject, Unavailable> {
    gvisor().await.and_then(with_root)
}

async fn subprocess() -> Result<ConformanceSubject, Unavailable> {
    let backend = SubprocessBackend::start(SubprocessConfig::default())
        .await
        .map_err(|error| unavailable("subprocess", &error))?;
    let (python, shell) = (language("python"), language("bash"));
    Ok(ConformanceSubject {
        backend: Arc::new(backend),
        python,
        shell,
        policy: Policy::unisolated(),
        readiness: Readiness::Bare,
    })
}

/// One test at a time makes the images that the others find.
static IMAGES: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

async fn docker() -> Result<ConformanceSubject, Unavailable> {
    let failed = |error| unavailable("docker", &error);
    let config = DockerConfig::default();
    let backend = DockerBackend::start(&config).await.map_err(failed)?;
    let making = IMAGES.lock().await;
    for name in ["python", "bash"] {
        let language = language(name);
        if backend.daemon().image(&language.image).await.is_err() {
            backend.daemon().import_host(name, &language, None).await.map_err(failed)?;
        }
    }
    drop(making);
    let (python, shell) = (language("python"), language("bash"));
    Ok(ConformanceSubject {
        backend: Arc::new(backend),
        python,
        shell,
        policy: Policy::default(),
        readiness: Readiness::Bare,
    })
}

/// Where the runtimes for these tests are installed, once; what hinders that is found out once, too.
fn wasm_config() -> Result<WasmConfig, Unavailable> {
    static INSTALLED: OnceLock<Result<(), Unavailable>> = OnceLock::new();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm");
    let runtimes = HostPath::new(folder.join("runtimes"));
    let install = || match RuntimeFolder::new(runtimes.clone()) {
        installed if installed.get("python-wasm").is_ok() => Ok(()),
        empty => empty.install("python-wasm").map(drop).map_err(|error| unavailable("wasm", &error)),
    };
    INSTALLED.get_or_init(install).clone()?;
    let program = HostPath::new(env!("CARGO_BIN_EXE_crucible-wasm-worker"));
    Ok(WasmConfig {
        jail: JailConfig::default(),
        worker: WorkerProgram { program, arguments: Vec::new() },
        runtimes: Some(runtimes),
        artifacts: Some(HostPath::new(folder.join("compiled"))),
        note: Note::to_nobody(),
    })
}

async fn wasm() -> Result<ConformanceSubject, Unavailable> {
    // Installing waits for npm, and compiling for the worker.
    static COMPILED: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let failed = |error: crucible_core::Error| unavailable("wasm", &error);
    let backend = WasmBackend::start(wasm_config()?).await.map_err(failed)?;
    let alone = COMPILED.lock().await;
    backend.compiled("python-wasm").await.map_err(failed)?;
    drop(alone);
    let (python, shell) = (language("python"), language("bash"));
    Ok(ConformanceSubject {
        backend: Arc::new(backend),
        python,
        shell,
        policy: Policy::default(),
        readiness: Readiness::Bare,
    })
}

async fn gvisor() -> Result<ConformanceSubject, Unavailable> {
    // What takes a moment to find out about runsc is found out once for all tests.
    let cache = Some(HostPath::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/gvisor-cache")));
    let config = GvisorConfig { cache, ..GvisorConfig::default() };
    let backend = GvisorBackend::start(config).await.map_err(|error| unavailable("gvisor", &error))?;
    let (python, shell) = (language("python"), language("bash"));
    Ok(ConformanceSubject {
        backend: Arc::new(backend),
        python,
        shell,
        policy: Policy::default(),
        readiness: Readiness::Bare,
    })
}

mod docker_conforms {
    crucible_testkit::conformance_suite!(super::docker);
}

mod gvisor_conforms {
    crucible_testkit::conformance_suite!(super::gvisor);
}

mod wasm_conforms {
    crucible_testkit::conformance_suite!(super::wasm);
}

mod warm_jail_conforms {
    crucible_testkit::conformance_suite!(super::warm_jail);
}

mod warm_docker_conforms {
    crucible_testkit::conformance_suite!(super::warm_docker);
}

mod warm_gvisor_conforms {
    crucible_testkit::conformance_suite!(super::warm_gvisor);
}

mod jail_with_root_conforms {
    crucible_testkit::conformance_suite!(super::jail_with_root);
}

mod docker_with_root_conforms {
    crucible_testkit::conformance_suite!(super::docker_with_root);
}

mod gvisor_with_root_conforms {
    crucible_testkit::conformance_suite!(super::gvisor_with_root);
}

mod jail_conforms {
    crucible_testkit::conformance_suite!(super::jail);
}

mod subprocess_conforms {
    crucible_testkit::conformance_suite!(super::subprocess);
}
