//! The server of the Model Context Protocol put together: one engine as `crucible run` has it, with a pool, and what the tools
//! may use.

use super::{
    Ahead, JAIL, Unsafe, WASM, choose_for, policy, reviews, start_engine, start_engine_to_choose,
    stronger_than_the_jail, with_pool,
};
use crate::catalogue::named_policy;
use crate::config::{AUTO, Configuration};
use crate::http_specs::ConfiguredSpecs;
use crucible_core::{ByteSize, Error, ErrorKind, Limits, NetworkPolicy, Policy, Result, TimeSpan};
use crucible_engine::MOST_SESSIONS;
use crucible_mcp::{Bounds, Mcp, McpParts};
use std::sync::Arc;

/// What the tools may use at most.
#[derive(Clone, Debug)]
pub struct McpSettings {
    /// The policies that a call may name.
    pub policy_choices: Vec<String>,
    /// Sandboxes that are open at one time.
    pub most_sandboxes: usize,
    /// How long one may lie idle.
    pub idle_timeout: TimeSpan,
    /// How long one may live.
    pub lifetime: TimeSpan,
    /// Bytes of a stream or a file that a model is given at once.
    pub most_output: ByteSize,
}

/// The least that a model can be given and learn anything from, and the most.
const OUTPUT: (ByteSize, ByteSize) = (ByteSize::bytes(256), ByteSize::mib(4));

/// Puts the server together. Also says why backends that a policy may demand can't be chosen here.
///
/// # Errors
/// As [`super::choose_for`], [`super::start`] and [`super::scanner`]; `InvalidInput` for settings that can't be; `NotFound` for a
/// policy that isn't there.
pub async fn mcp(
    configuration: &Configuration,
    unsafe_backends: Unsafe,
    settings: McpSettings,
) -> Result<(Mcp, Vec<(&'static str, Error)>)> {
    let bounds = bounds(configuration, &settings)?;
    let backend = choose_for(configuration.backend(), None, unsafe_backends)?;
    let mut policies = vec![policy(configuration, backend)?];
    for name in &settings.policy_choices {
        policies.push(named_policy(configuration, name)?);
    }
    let is_to_be_chosen = configuration.backend() == AUTO && backend == JAIL;
    let mut stronger: Vec<_> = policies.iter().flat_map(stronger_than_the_jail).collect();
    stronger.sort_unstable();
    stronger.dedup();
    let (engine, missing) = if is_to_be_chosen && !stronger.is_empty() {
        let (engine, missing) = start_engine_to_choose(&stronger, configuration).await?;
        (with_pool(engine, configuration)?, missing)
    } else {
        (start_engine(backend, configuration, Ahead::Pool).await?, Vec::new())
    };
    let reaches_out = |policy: &Policy| policy.network != NetworkPolicy::None;
    let parts = McpParts {
        engine: Arc::new(engine),
        specs: Arc::new(ConfiguredSpecs::new(configuration.clone(), unsafe_backends)),
        // Where there is no folder for them, a program that its policy holds is refused.
        reviews: reviews(configuration).ok(),
        limits: configuration.limits().clone(),
        maximum: maximum(configuration),
        languages: languages(configuration, backend),
        may_reach_out: policies.iter().any(reaches_out),
        policies: settings.policy_choices,
        bounds,
    };
    Ok((Mcp::new(parts), missing))
}

/// The most that a call may ask for: no single one gets more of the machine's memory, in which files lie, too, than a quarter,
/// unless its operator gives more to all.
fn maximum(configuration: &Configuration) -> Limits {
    let (usual, maximum) = (configuration.limits(), configuration.maximum());
    let machine = rustix::system::sysinfo();
    let share = ByteSize::bytes(machine.totalram.saturating_mul(machine.mem_unit.into()) / 4);
    Limits {
        memory: maximum.memory.min(share.max(usual.memory)),
        disk: maximum.disk.min(share.max(usual.disk)),
        ..maximum.clone()
    }
}

/// Those that the backend can run, the usual one first.
fn languages(configuration: &Configuration, backend: &str) -> Vec<String> {
    let usual = configuration.languages().find(configuration.language()).map(|(name, _)| name).ok();
    let can_run =
        configuration.languages().iter().filter(|(_, language)| backend == WASM || !language.is_wasm_itself());
    let mut names: Vec<_> = can_run.map(|(name, _)| name.to_owned()).collect();
    names.sort_by_key(|name| Some(name) != usual.as_ref());
    names
}

fn bounds(configuration: &Configuration, settings: &McpSettings) -> Result<Bounds> {
    let wrong = |message: String| Err(Error::new(ErrorKind::InvalidInput, "read the settings of the tools", message));
    let (least, most) = OUTPUT;
    if settings.most_output < least || settings.most_output > most {
        return wrong(format!("--most-output of {} is outside {least} to {most}", settings.most_output));
    }
    if settings.most_sandboxes == 0 || settings.most_sandboxes > MOST_SESSIONS {
        return wrong(format!("--most-sandboxes of {} is outside 1 to {MOST_SESSIONS}", settings.most_sandboxes));
    }
    let longest = crucible_engine::SessionSpec::LONGEST;
    for (flag, time) in [("--idle-timeout", settings.idle_timeout), ("--lifetime", settings.lifetime)] {
        if time < TimeSpan::secs(1) || time > longest {
            return wrong(format!("{flag} of {time} is outside 1s to {longest}"));
        }
    }
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let most_running = configuration.most_running()?.and_then(|most| usize::try_from(most).ok());
    Ok(Bounds {
        most_sandboxes: settings.most_sandboxes,
        most_running: most_running.unwrap_or(2 * processors),
        idle_timeout: settings.idle_timeout,
        lifetime: settings.lifetime,
        most_output: settings.most_output.as_usize(),
    })
}
