//! `crucible mcp`: the Model Context Protocol on standard input and output, or over HTTP.
//!
//! Invariants: on standard output is the protocol and nothing else; whatever ends it, the host's end or a signal, every run is
//! ended and every sandbox closed before this process ends.

use super::serve::{LAST_ANSWERS, check_keys, ended_by, listen, say, wants_keys};
use crate::arguments::McpArguments;
use crate::exit::Exit;
use crate::output;
use crate::signals::Signals;
use crucible::compose;
use crucible::config::{Configuration, Environment};
use crucible_core::{Error, ErrorKind, Result};
use crucible_mcp::Mcp;
use crucible_server::{Access, KeyRing};
use std::future::IntoFuture as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long tasks may take to let go of what they hold. A thread may wait for standard input for ever, where that is no pipe.
const LAST_TASKS: Duration = Duration::from_secs(1);

/// Serves until the host closes its end, or somebody ends it.
///
/// # Errors
/// Crucible's own failures.
pub(crate) fn mcp(arguments: &McpArguments) -> Result<Exit> {
    let configuration = Configuration::load(&Environment::of_process(), &arguments.overrides())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| {
        Error::new(ErrorKind::Unavailable, "start the runtime", "can't start the async runtime").with_source(error)
    })?;
    let served = runtime.block_on(run(arguments, &configuration));
    // Tasks hold the backend, which clears away after itself when the last lets go of it.
    runtime.shutdown_timeout(LAST_TASKS);
    served
}

async fn run(arguments: &McpArguments, configuration: &Configuration) -> Result<Exit> {
    let mut signals = Signals::listen()?;
    let unsafe_backends = arguments.settings.unsafe_backends();
    if compose::choose(configuration.backend(), unsafe_backends)? == compose::SUBPROCESS {
        output::warning("the subprocess backend isolates nothing: what a model runs can do all that you can do");
    }
    let (mcp, missing) = compose::mcp(configuration, unsafe_backends, arguments.settings_of_tools()).await?;
    for (name, error) in missing {
        output::warning(&format!("the backend {name} can't be chosen here: {}", output::chain(&error)));
    }
    let served = match arguments.listen {
        None => serve_host(&mcp, &mut signals).await,
        Some(address) => serve_http(&mcp, configuration, address, &mut signals).await,
    };
    let ended = tokio::select! {
        ended = mcp.shut_down() => ended,
        // Somebody who can't wait. The kernel ends what is left, as it does after SIGKILL.
        number = signals.next() => return Ok(Exit::Interrupted(number)),
    };
    let exit = served?;
    ended.map(|()| exit)
}

/// Serves the host that started this process.
async fn serve_host(mcp: &Mcp, signals: &mut Signals) -> Result<Exit> {
    if std::io::stdin().is_terminal() {
        output::note("a host of the Model Context Protocol starts this and speaks first; docs/mcp.md says how", false);
    }
    let stop = CancellationToken::new();
    let mut serving = std::pin::pin!(crucible_mcp::serve_host(mcp.clone(), stop.clone()));
    let number = tokio::select! {
        served = &mut serving => return served.map(|()| Exit::Success),
        number = signals.next() => number,
    };
    stop.cancel();
    tokio::select! {
        served = serving => served.map(|()| ended_by(number)),
        number = signals.next() => Ok(Exit::Interrupted(number)),
    }
}

async fn serve_http(
    mcp: &Mcp,
    configuration: &Configuration,
    address: SocketAddr,
    signals: &mut Signals,
) -> Result<Exit> {
    let wants_keys = wants_keys(configuration, address)?;
    let (_folder, access) = if wants_keys {
        let (folder, store, _bus) = compose::service_store(configuration)?;
        check_keys(store.as_ref()).await?;
        (Some(folder), Access::Keys(KeyRing::new(store)))
    } else {
        (None, Access::Local)
    };
    let listener = listen(address).await?;
    let address = listener.local_addr().unwrap_or(address);
    let (closing, over) = (CancellationToken::new(), CancellationToken::new());
    let routes = crucible_mcp::routes(mcp.clone(), access, closing.clone());
    let serving = axum::serve(listener, routes).with_graceful_shutdown(over.clone().cancelled_owned());
    let serving = tokio::spawn(serving.into_future());
    let keys = if wants_keys { ", for whoever has a key" } else { "" };
    say(&format!("listening on http://{address}{}{keys}\n", crucible_mcp::PATH));
    let number = signals.next().await;
    // Calls are ended first, so that they can still be answered.
    let ended = tokio::select! {
        ended = mcp.shut_down() => ended,
        number = signals.next() => return Ok(Exit::Interrupted(number)),
    };
    closing.cancel();
    over.cancel();
    let _served = tokio::time::timeout(LAST_ANSWERS, serving).await.is_ok();
    ended.map(|()| ended_by(number))
}
