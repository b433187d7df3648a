//! `crucible serve`: the whole service in one process.
//!
//! Invariant: it listens before its parts have tested themselves and runs nothing until they have; it stops by letting what
//! runs come to its end. What it accepted is on disk, whatever becomes of it.

use crate::arguments::{LogFormat, ServeArguments};
use crate::exit::Exit;
use crate::output;
use crate::signals::Signals;
use axum::serve::ListenerExt as _;
use crucible::compose::{self, Composed};
use crucible::config::{Auth, Configuration, Environment};
use crucible_core::{
    BackendStore as _, CheckStatus, Error, ErrorKind, KeyStore, ProjectStore as _, Result, Retention, StoreCare,
};
use crucible_engine::{ComponentHealth, Drained};
use crucible_server::{Access, Api, KeyRing, Metrics, Rate, Statistics, routes};
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How often the parts test themselves.
const TESTED_EVERY: Duration = Duration::from_secs(60);
/// How often is looked for what may be forgotten.
const FORGOTTEN_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long answers may take to get out when the service stops.
pub(super) const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// Where the interface of E2B's SDK is.
const E2B: &str = "/e2b";

/// Serves until somebody ends it.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn serve(arguments: &ServeArguments) -> Result<Exit> {
    log(arguments.log);
    let configuration = Configuration::load(&Environment::of_process(), &arguments.overrides())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "start the runtime", "can't start the async runtime").with_source(error)
    })?;
    let served = runtime.block_on(run(arguments, &configuration));
    runtime.shutdown_timeout(LAST_ANSWERS);
    served
}

fn log(format: LogFormat) {
    use tracing_subscriber::filter::LevelFilter;
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::INFO).with_ansi(is_terminal);
    let builder = builder.with_writer(std::io::stderr);
    // Fails where somebody set one up before, which is then as good.
    let _set = match format {
        LogFormat::Text => builder.with_target(false).try_init().is_ok(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).try_init().is_ok(),
        LogFormat::Off => false,
    };
}

async fn run(arguments: &ServeArguments, configuration: &Configuration) -> Result<Exit> {
    let mut signals = Signals::listen()?;
    let address = configuration.listen()?;
    let keep = configuration.keep()?;
    let wants_keys = wants_keys(configuration, address)?;
    let Composed { parts, store, queue } = compose::service(configuration, arguments.unsafe_backends()).await?;
    if wants_keys {
        check_keys(store.as_ref()).await?;
    }
    let recovered = parts.service.recover().await?;
    if recovered != crucible_engine::Recovered::default() {
        tracing::info!(
            queued = recovered.queued,
            interrupted = recovered.interrupted,
            held = recovered.held,
            "unfinished evaluations of the last time"
        );
    }
    parts.service.heed(store.projects().await?).await?;
    for (backend, setting) in store.backend_settings().await? {
        parts.service.set_backend(&backend, setting);
    }
    let listener = listen(address).await?;
    let address = listener.local_addr().unwrap_or(address);
    let (stop, closing) = (CancellationToken::new(), CancellationToken::new());
    let metrics = Metrics::default();
    tokio::spawn(metrics.clone().count(Arc::clone(&parts.service.parts().bus)));
    let statistics = Statistics::default();
    tokio::spawn(statistics.clone().follow(Arc::clone(&parts.service.parts().bus)));
    let (service, sessions) = (Arc::clone(&parts.service), Arc::clone(&parts.sessions));
    tokio::spawn(statistics.clone().watch(service, sessions, closing.clone()));
    // Whoever needs no key is this machine's own.
    let rate = configuration.most_requests()?.filter(|_| wants_keys).map(Rate::per_second);
    let access = if wants_keys { Access::Keys(KeyRing::new(store.clone())) } else { Access::Local };
    let sessions = Arc::clone(&parts.sessions);
    let (service, health) = (Arc::clone(&parts.service), Arc::clone(&parts.health));
    let webhooks = Arc::clone(&parts.webhooks.webhooks);
    let api = Api::new(parts.into_api(access, rate, (metrics, statistics), closing.clone(), &store));
    api.attacks.recover().await?;
    let over = closing.clone();
    let adapter = arguments.e2b.then(|| crucible_e2b::routes(crucible_e2b::E2b::new(api.clone())));
    let routes = adapter.into_iter().fold(routes(api), |routes, adapter| routes.nest(E2B, adapter));
    // Else the second piece of an answer waits until the first one was acknowledged, which callers take their time for.
    let listener = listener.tap_io(|connection| drop(connection.set_nodelay(true)));
    let serving = axum::serve(listener, routes).with_graceful_shutdown(over.cancelled_owned());
    let serving = tokio::spawn(serving.into_future());
    let tested = tokio::select! {
        () = health.check(|health| say(&line(health))) => None,
        // Nothing runs yet that could come to its end.
        number = signals.next() => Some(number),
    };
    if let Some(number) = tested {
        return Ok(ended_by(number));
    }
    say(&format!("listening on http://{address}{}\n", if wants_keys { ", for whoever has a key" } else { "" }));
    notify("READY=1");
    let dispatching = {
        let (service, stop) = (Arc::clone(&service), stop.clone());
        let patience = arguments.drain.get();
        tokio::spawn(async move { service.dispatch(stop, patience).await })
    };
    let telling = tokio::spawn(webhooks.deliver(stop.clone()));
    let watching = health.watch(TESTED_EVERY, stop.clone());
    let forgetting = forget(store.clone(), keep.map(crucible_core::TimeSpan::get), stop.clone());
    let signal = tokio::select! {
        number = signals.next() => number,
        () = async { tokio::join!(watching, forgetting); } => std::future::pending().await,
    };
    notify("STOPPING=1");
    tracing::info!(running = service.running_now(), "stopping: what runs may come to its end");
    stop.cancel();
    let ending = async {
        let drained = dispatching.await.unwrap_or(Drained::PutBack);
        // What it didn't come to is told after the next start.
        let _told = tokio::time::timeout(LAST_ANSWERS, telling).await.is_ok();
        closing.cancel();
        let _served = tokio::time::timeout(LAST_ANSWERS, serving).await.is_ok();
        let destroyed = sessions.destroy_all().await;
        service.drain_pool().await;
        // What was written is on disk when the queue has ended.
        drop(queue);
        tracing::info!(completely = drained == Drained::Completely, "stopped");
        destroyed
    };
    tokio::select! {
        ended = ending => ended.map(|()| ended_by(signal)),
        // Somebody who can't wait. What was written is on disk, and what runs is put back at the next start.
        number = signals.next() => Ok(Exit::Interrupted(number)),
    }
}

/// Whether whoever asks at an address needs a key.
///
/// # Errors
/// `Refused` where anybody could run code; as [`Configuration::auth`].
pub(super) fn wants_keys(configuration: &Configuration, address: SocketAddr) -> Result<bool> {
    let is_local = address.ip().is_loopback();
    match configuration.auth()? {
        Auth::Keys => Ok(true),
        Auth::Auto => Ok(!is_local),
        Auth::None if is_local => Ok(false),
        Auth::None => {
            let message = format!("without keys everybody who can reach {address} could run code here");
            Err(Error::new(ErrorKind::Refused, "listen", message)
                .with_hint("leave serve.auth as it is, or listen on 127.0.0.1"))
        }
    }
}

/// Whether there is any key that lets somebody in.
///
/// # Errors
/// `Refused` where there is none.
pub(super) async fn check_keys(store: &dyn KeyStore) -> Result<()> {
    if store.keys(None).await?.iter().any(|key| key.revoked.is_none()) {
        return Ok(());
    }
    let message = "there is no key, so that nobody could do anything";
    Err(Error::new(ErrorKind::Refused, "let callers in", message)
        .with_hint("make one with `crucible keys create --role admin NAME`, which prints it once"))
}

/// By which whoever keeps services ends one.
const SIGTERM: u8 = 15;

/// What the process ends with where a signal asked for it.
pub(super) fn ended_by(signal: u8) -> Exit {
    if signal == SIGTERM { Exit::Success } else { Exit::Interrupted(signal) }
}

pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let is_taken = error.kind() == std::io::ErrorKind::AddrInUse;
        let told =
            Error::new(ErrorKind::Unavailable, "listen", format!("can't listen on {address}")).with_source(error);
        if is_taken { told.with_hint("something else listens there: name another port with --listen") } else { told }
    })
}

/// Forgets from time to time what is older than is to be kept.
async fn forget(store: Arc<dyn StoreCare>, keep: Option<Duration>, stop: CancellationToken) {
    let Some(keep) = keep else { return };
    loop {
        let finished_before = SystemTime::now().checked_sub(keep);
        match store.collect_garbage(Retention { finished_before, most_bytes: None }).await {
            Ok(forgotten) if forgotten.evaluations > 0 => {
                tracing::info!(evaluations = forgotten.evaluations, bytes = forgotten.bytes, "forgot what was old");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "what is old can't be forgotten"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(FORGOTTEN_EVERY)).await.is_none() {
            return;
        }
    }
}

/// What a part found, in one line, and the mend for what is wrong.
fn line(health: &ComponentHealth) -> String {
    let test = &health.test;
    let count = |status| test.checks.iter().filter(|check| check.status == status).count();
    let (passed, failed) = (count(CheckStatus::Passed), count(CheckStatus::Failed));
    if test.is_absent() {
        let why = test.checks.first().map(|check| check.seen.as_str()).unwrap_or_default();
        return format!("➖ {}: not here: {why}\n", test.component);
    }
    let mark = if test.is_healthy() { "✅" } else { "❌" };
    let mut text = format!("{mark} {}: {passed}/{}\n", test.component, passed + failed);
    for check in test.checks.iter().filter(|check| check.status == CheckStatus::Failed) {
        text.push_str(&format!("   {}: {}\n", check.name, check.seen));
        if !check.mend.is_empty() {
            text.push_str(&format!("   mend: {}\n", check.mend));
        }
    }
    text
}

/// Says how it goes. Where nobody reads it, it goes on all the same.
pub(super) fn say(text: &str) {
    let _said = output::data(&output::neutral(text)).is_ok();
}

/// Tells whoever keeps this service, where somebody does.
fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    use std::os::linux::net::SocketAddrExt as _;
    use std::os::unix::ffi::OsStrExt as _;
    let address = match path.as_bytes().strip_prefix(b"@") {
        Some(name) => std::os::unix::net::SocketAddr::from_abstract_name(name),
        None => std::os::unix::net::SocketAddr::from_pathname(&path),
    };
    let told = address
        .and_then(|address| std::os::unix::net::UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address));
    if let Err(error) = told {
        tracing::warn!(%error, "whoever keeps this service can't be told of it");
    }
}
