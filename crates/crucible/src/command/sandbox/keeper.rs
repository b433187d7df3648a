//! Keeps sandboxes: the hidden process that `crucible sandbox create` starts. It holds the sandbox, serves it on a socket in its
//! place, and ends with it.
//!
//! Invariant: it holds its place's lock, so that what it leaves when it is killed is known to be left over; and the sandbox's
//! processes end with it in any case. Nobody but its owner reaches the socket.

use super::create::FirstWord;
use crate::arguments::SandboxCreateArguments;
use crate::command::{input, runtime};
use crate::exit::Exit;
use crate::output;
use crate::signals::Signals;
use crucible::compose;
use crucible::config::{Configuration, Environment};
use crucible_api::v1::{CreateSandbox, ProblemDetail, SubmitEvaluation};
use crucible_core::{Discard, Error, ErrorKind, EvaluationSpec, Result};
use crucible_engine::{MOST_SESSIONS, Session, SessionSpec, Sessions};
use crucible_server::{SandboxService, SpecReader, sandbox_document, sandbox_routes};
use crucible_state::file::{SandboxPlace, SandboxPlaces};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::task::JoinSet;

/// How long an answer may take to get out when its sandbox is no more.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Keeps a sandbox in a place that another process claimed.
///
/// # Errors
/// Crucible's own failures, which the other process hears of, too.
pub(super) fn keep(arguments: &SandboxCreateArguments, place: &str) -> Result<Exit> {
    // A session of its own: no terminal, and no Ctrl-C that is meant for somebody else.
    let _made = rustix::process::setsid().is_ok();
    let runtime = runtime()?;
    let kept = runtime.block_on(async {
        let keeper = match start(arguments, place).await {
            Ok(keeper) => keeper,
            Err(error) => {
                say(&FirstWord::Error(ProblemDetail::from(&error)))?;
                return Err(error);
            }
        };
        let said = match keeper.sessions.list().first() {
            Some(session) => say(&FirstWord::Sandbox(Box::new(sandbox_document(session).await))),
            // It ended at once; whoever asked hears that there is none.
            None => Ok(()),
        };
        match said {
            Ok(()) => keeper.stay().await,
            // Nobody would know of it.
            Err(error) => keeper.sessions.destroy_all().await.and(Err(error)),
        }
    });
    runtime.shutdown_background();
    kept.map(|()| Exit::Success)
}

/// Says the first and only word to the process that asked, and lets go of it.
fn say(word: &FirstWord) -> Result<()> {
    let failed = |error| Error::new(ErrorKind::Io, "say the sandbox's id", "nobody hears it").with_source(error);
    let text = output::document(word)?;
    let written = {
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(&text).and_then(|()| stdout.flush())
    };
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    let let_go = null.and_then(|null| rustix::stdio::dup2_stdout(&null)).map_err(std::io::Error::from);
    written.and(let_go).map_err(failed)
}

async fn start(arguments: &SandboxCreateArguments, place: &str) -> Result<Arc<Keeper>> {
    let configuration = Configuration::load(&Environment::of_process(), &arguments.settings.overrides())?;
    let spec = spec(arguments, &configuration)?;
    // Read with the configuration of whoever asked, before any of the flags: that is where they look for it.
    let places = compose::sandbox_places(&super::configuration()?)?;
    let lock = std::io::stdin().as_fd().try_clone_to_owned().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "keep the sandbox's place", "no descriptor is left").with_source(error)
    })?;
    let place = places.take_over(place, File::from(lock))?;
    let backend = compose::start(&spec.backend, &configuration).await?;
    let engine = Arc::new(compose::unscanned_engine(vec![backend], &configuration));
    // Nothing of the folder that it was started in is held.
    std::env::set_current_dir("/").map_err(|error| {
        Error::new(ErrorKind::Io, "leave the current folder", "can't enter the root folder").with_source(error)
    })?;
    let keeper = Keeper::new(engine, places, place);
    keeper.sessions.open(spec).await?;
    Ok(keeper)
}

/// What is to be kept.
fn spec(arguments: &SandboxCreateArguments, configuration: &Configuration) -> Result<SessionSpec> {
    let backend = compose::choose(configuration.backend(), arguments.settings.unsafe_backends())?;
    Ok(SessionSpec {
        backend: backend.to_owned(),
        language: arguments.language.clone(),
        limits: configuration.limits().clone(),
        policy: compose::policy(configuration, backend)?,
        env: input::environment(configuration.env(), &arguments.env, |name| std::env::var_os(name))?,
        tripwires: Vec::new(),
        command_timeout: arguments.settings.timeout(),
        idle_timeout: arguments.idle_timeout.unwrap_or(SessionSpec::IDLE_TIMEOUT),
        lifetime: arguments.lifetime.unwrap_or(SessionSpec::LIFETIME),
    })
}

/// Keeps sandboxes, each in a place of its own.
struct Keeper {
    sessions: Arc<Sessions>,
    places: SandboxPlaces,
    /// The place of the first one.
    first: Mutex<Option<SandboxPlace>>,
    serving: Mutex<JoinSet<()>>,
}

impl Keeper {
    fn new(engine: Arc<crucible_engine::Engine>, places: SandboxPlaces, first: SandboxPlace) -> Arc<Self> {
        Arc::new_cyclic(|keeper: &Weak<Self>| {
            let keeper = Weak::clone(keeper);
            let sessions = Sessions::new(engine, Arc::new(Discard), MOST_SESSIONS)
                .announcing(move |session| keeper.upgrade().map_or(Ok(()), |keeper| keeper.serve(session)));
            Self { sessions: Arc::new(sessions), places, first: Mutex::new(Some(first)), serving: Mutex::default() }
        })
    }

    /// Serves a session in a place of its own until it is no more.
    fn serve(&self, session: &Arc<Session>) -> Result<()> {
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let mut place = first.map_or_else(|| self.places.claim(), Ok)?;
        let listener = UnixListener::bind(place.socket()).map_err(|error| {
            Error::new(ErrorKind::Io, "listen on the sandbox's socket", "the socket can't be made").with_source(error)
        })?;
        // Whoever finds it can connect.
        place.publish(session.id())?;
        let service = SandboxService::new(Arc::clone(&self.sessions), Arc::new(KeepsWhatItHas));
        let session = Arc::clone(session);
        let work = async move {
            let over = Arc::clone(&session);
            let serving = axum::serve(listener, sandbox_routes(service)).with_graceful_shutdown(async move {
                let _ = over.ended().await;
            });
            let late = async {
                let ended = session.ended().await;
                tokio::time::sleep(LAST_ANSWERS).await;
                ended
            };
            tokio::select! {
                served = serving => drop(served),
                _ = late => {}
            }
            if let Err(error) = session.ended().await.and_then(|()| place.remove()) {
                output::error(&error);
            }
        };
        self.serving.lock().unwrap_or_else(PoisonError::into_inner).spawn(work);
        Ok(())
    }

    /// Stays until the last sandbox is no more, or somebody ends this process.
    async fn stay(&self) -> Result<()> {
        let mut signals = Signals::listen()?;
        tokio::select! {
            () = self.serve_all() => Ok(()),
            _ = signals.next() => {
                let destroyed = self.sessions.destroy_all().await;
                self.serve_all().await;
                destroyed
            }
        }
    }

    async fn serve_all(&self) {
        loop {
            let mut serving = std::mem::take(&mut *self.serving.lock().unwrap_or_else(PoisonError::into_inner));
            if serving.is_empty() {
                return;
            }
            // One that comes to an end may have made another meanwhile; one that is given up goes on beside.
            while serving.join_next().await.is_some() {}
        }
    }
}

/// A keeper makes no other sandboxes than what it was started for, and forks of that.
struct KeepsWhatItHas;

impl SpecReader for KeepsWhatItHas {
    fn evaluation_spec(&self, _request: SubmitEvaluation) -> Result<EvaluationSpec> {
        let message = "this process keeps a sandbox, and takes no evaluations";
        Err(Error::new(ErrorKind::Refused, "submit the evaluation", message).with_hint("use `crucible serve`"))
    }

    fn session_spec(&self, _request: &CreateSandbox) -> Result<SessionSpec> {
        let message = "this process keeps a sandbox that it was started for, and makes no others";
        Err(Error::new(ErrorKind::Refused, "create the sandbox", message).with_hint("use `crucible sandbox create`"))
    }

    fn backend(&self, _name: &str, _spec: &EvaluationSpec) -> Result<String> {
        Err(Error::new(ErrorKind::Refused, "read the request", "this keeper has one sandbox and nothing else"))
    }
}
