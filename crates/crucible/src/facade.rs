//! The library's front: a blocking [`run`], and a [`Crucible`] to keep for many runs.
//!
//! It composes and calls; what happens to a program is the engine's matter.

use crate::compose::{self, Ahead, Unsafe};
use crate::config::{Configuration, Environment, Overrides};
use crucible_core::{
    Discard, Error, ErrorKind, EvaluationId, EvaluationSpec, Limits, Outcome, Policy, Program, Result,
};
use crucible_engine::{Engine, RunIo};
use std::collections::BTreeMap;
use std::future::Future;
use tokio::runtime::{Handle, Runtime};
use tokio_util::sync::CancellationToken;

/// Runs a Python program in the default jail, with the default limits, and waits for what comes of it.
///
/// ```
/// let outcome = crucible::run("print(6 * 7)")?;
/// assert_eq!(outcome.stdout_text(), "42\n");
/// # Ok::<(), crucible::Error>(())
/// ```
///
/// # Errors
/// Crucible's own failures, as [`Builder::build`] and [`Crucible::run`].
pub fn run(code: impl Into<Vec<u8>>) -> Result<Outcome> {
    Crucible::builder().build()?.run(code)
}

/// Settings for a [`Crucible`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    configuration: Option<Configuration>,
    backend: Option<String>,
    unsafe_backends: Unsafe,
    language: Option<String>,
    limits: Option<Limits>,
    policy: Option<Policy>,
}

impl Builder {
    /// The backend, by name; the jail without it.
    pub fn backend(mut self, name: impl Into<String>) -> Self {
        self.backend = Some(name.into());
        self
    }

    /// Admits the backend that isolates nothing.
    pub fn admit_unsafe(mut self) -> Self {
        self.unsafe_backends = Unsafe::Admitted;
        self
    }

    /// The language of the programs; Python without it.
    pub fn language(mut self, name: impl Into<String>) -> Self {
        self.language = Some(name.into());
        self
    }

    /// What each run may use.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// What each run must be protected by.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// A configuration in place of the built-in one.
    pub fn configuration(mut self, configuration: Configuration) -> Self {
        self.configuration = Some(configuration);
        self
    }

    /// The configuration that the command line would use: the user's file and this process's environment.
    ///
    /// # Errors
    /// As [`Configuration::load`].
    pub fn user_configuration(self) -> Result<Self> {
        Ok(self.configuration(Configuration::load(&Environment::of_process(), &Overrides::default())?))
    }

    /// Starts it, for calls that block.
    ///
    /// # Errors
    /// `InvalidInput` inside an async runtime, where [`Builder::build_async`] is for; else as that one.
    pub fn build(self) -> Result<Crucible> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "start the runtime", "can't start the async runtime").with_source(error)
        })?;
        let runtime = OwnRuntime(Some(runtime));
        let mut crucible = runtime.block_on("Builder::build_async", self.build_async())??;
        crucible.runtime = runtime;
        Ok(crucible)
    }

    /// Starts it inside the caller's Tokio runtime, for [`Crucible::evaluate`].
    ///
    /// # Errors
    /// `NotFound` or `Refused` for the backend's name; `Unavailable` where this machine can't run it, with the mend;
    /// `Configuration` for a mistake in the configuration.
    pub async fn build_async(self) -> Result<Crucible> {
        let configuration = self.configuration.map_or_else(Configuration::built_in, Ok)?;
        let language = self.language.unwrap_or_else(|| configuration.language().to_owned());
        let known = configuration.languages().find(&language).ok();
        let backend = compose::choose_for(
            self.backend.as_deref().unwrap_or(configuration.backend()),
            known.as_ref().map(|(_, language)| language.as_ref()),
            self.unsafe_backends,
        )?;
        if backend == compose::WASM {
            let message = "WebAssembly runs in a worker that is the program `crucible`, which a library isn't in";
            return Err(Error::new(ErrorKind::Refused, "start the backend wasm", message)
                .with_hint("use the command: crucible run -b wasm"));
        }
        Ok(Crucible {
            engine: compose::start_engine(backend, &configuration, Ahead::Pool).await?,
            backend,
            language,
            limits: self.limits.unwrap_or_else(|| configuration.limits().clone()),
            policy: self.policy.map_or_else(|| compose::policy(&configuration, backend), Ok)?,
            runtime: OwnRuntime(None),
        })
    }
}

/// A started Crucible: one backend and its settings, for any number of runs, from any number of threads.
pub struct Crucible {
    engine: Engine,
    backend: &'static str,
    language: String,
    limits: Limits,
    policy: Policy,
    runtime: OwnRuntime,
}

impl Crucible {
    /// Settings to choose.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// An evaluation of `code` with the settings of this Crucible, to change at will and give to [`Crucible::evaluate`].
    #[must_use]
    pub fn specification(&self, code: impl Into<Vec<u8>>) -> EvaluationSpec {
        EvaluationSpec {
            id: EvaluationId::generate(),
            program: Program::Source { language: self.language.clone(), code: code.into(), args: Vec::new() },
            backend: self.backend.to_owned(),
            stdin: Vec::new(),
            files: Vec::new(),
            collect: Vec::new(),
            tripwires: Vec::new(),
            env: BTreeMap::new(),
            limits: self.limits.clone(),
            policy: self.policy.clone(),
            review: None,
            label: None,
        }
    }

    /// Runs a program and waits for what comes of it.
    ///
    /// # Errors
    /// Crucible's own failures; `InvalidInput` inside an async runtime, where [`Crucible::evaluate`] is for, and for a
    /// Crucible that was started by [`Builder::build_async`].
    pub fn run(&self, code: impl Into<Vec<u8>>) -> Result<Outcome> {
        self.run_specification(self.specification(code))
    }

    /// Runs an evaluation and waits for what comes of it.
    ///
    /// # Errors
    /// As [`Crucible::run`].
    pub fn run_specification(&self, specification: EvaluationSpec) -> Result<Outcome> {
        self.runtime.block_on("Crucible::evaluate", self.evaluate_here(specification))?
    }

    /// Runs an evaluation. Dropping the future ends the program.
    ///
    /// # Errors
    /// Crucible's own failures; what the program does is an outcome. `InvalidInput` for a Crucible that was started by
    /// [`Builder::build`], whose runtime stands still outside of its own calls.
    pub async fn evaluate(&self, specification: EvaluationSpec) -> Result<Outcome> {
        if self.runtime.0.is_some() {
            let message = "this Crucible was built for calls that block";
            let error = Error::new(ErrorKind::InvalidInput, "wait for a result", message);
            return Err(error.with_hint("build it with Builder::build_async"));
        }
        self.evaluate_here(specification).await
    }

    async fn evaluate_here(&self, specification: EvaluationSpec) -> Result<Outcome> {
        let io = RunIo { stdin: None, events: &Discard, cancel: CancellationToken::new(), project: None };
        self.engine.evaluate(specification, io).await
    }

    /// The engine, for standard input as it comes, events and cancellation.
    #[must_use]
    pub const fn engine(&self) -> &Engine {
        &self.engine
    }
}

impl std::fmt::Debug for Crucible {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crucible")
            .field("backend", &self.backend)
            .field("language", &self.language)
            .finish_non_exhaustive()
    }
}

/// The runtime of a Crucible that was built for blocking calls.
struct OwnRuntime(Option<Runtime>);

impl OwnRuntime {
    /// Waits for a future, unless this thread belongs to a runtime that would stand still meanwhile.
    fn block_on<F: Future>(&self, instead: &str, future: F) -> Result<F::Output> {
        let refuse = |message: &str| {
            let error = Error::new(ErrorKind::InvalidInput, "wait for a result", message);
            Err(error.with_hint(format!("await {instead}")))
        };
        match &self.0 {
            _ if Handle::try_current().is_ok() => refuse("a call that blocks was made inside an async runtime"),
            Some(runtime) => Ok(runtime.block_on(future)),
            None => refuse("this Crucible was built for async calls"),
        }
    }
}

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        // Dropping a runtime the ordinary way panics inside another one.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subprocess() -> Builder {
        Crucible::builder().backend("subprocess").admit_unsafe()
    }

    #[test]
    fn a_crucible_runs_many_programs() {
        let crucible = subprocess().language("bash").build().unwrap();
        for number in 0..3 {
            assert_eq!(crucible.run(format!("echo {number}")).unwrap().stdout_text(), format!("{number}\n"));
        }
    }

    #[tokio::test]
    async fn a_blocking_call_in_a_runtime_is_an_error_and_no_panic() {
        assert_eq!(run("print(1)").unwrap_err().kind(), ErrorKind::InvalidInput);
        let crucible = subprocess().language("bash").build_async().await.unwrap();
        assert_eq!(crucible.run("true").unwrap_err().hint(), Some("await Crucible::evaluate"));
        let outcome = crucible.evaluate(crucible.specification("echo hello >&2")).await.unwrap();
        assert_eq!(outcome.stderr_text(), "hello\n");
    }

    #[tokio::test]
    async fn a_runtime_that_stands_still_is_not_waited_for() {
        let built = std::thread::spawn(|| subprocess().build().unwrap()).join().unwrap();
        let error = built.evaluate(built.specification("true")).await.unwrap_err();
        assert_eq!(error.hint(), Some("build it with Builder::build_async"));
    }

    #[test]
    fn what_is_not_isolated_must_be_admitted() {
        assert_eq!(Crucible::builder().backend("subprocess").build().unwrap_err().kind(), ErrorKind::Refused);
    }
}
